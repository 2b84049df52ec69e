"""Decision tables over small integers, and the engines that decide them."""
