"""The demo on one machine: the embedded broker, the service, and the activities played into them."""
