"""Decision tables over small integers, and the engines that evaluate them."""
