"""The running service: its composition, its run, HTTP, and the reload of rules."""
