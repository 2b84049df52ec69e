"""What changed rules would have done to the leads of the past."""
