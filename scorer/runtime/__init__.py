"""What a process needs around the work: settings, logs, metrics."""
