"""Key figures of many leads, from their states. Pure."""
