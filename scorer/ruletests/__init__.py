"""Tests that live beside rule files."""
