"""What comes from outside, bytes and headers, made into activities."""
