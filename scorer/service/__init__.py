"""The running service: composed, served over HTTP, reloaded."""
