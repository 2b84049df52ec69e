"""What a change of rules would have done to the leads of the past."""
