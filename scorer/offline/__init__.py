"""Reads activities and rules from files, and spreads leads over processes."""
