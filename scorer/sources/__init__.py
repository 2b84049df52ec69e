"""Turns input (bytes and headers) into activities."""
