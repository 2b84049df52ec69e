"""The running service: composed, run, served over HTTP, reloaded."""
