"""What is not written here: where it comes from, under which licence, and whether something bad is known of it."""
