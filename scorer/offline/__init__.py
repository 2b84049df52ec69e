"""Activities and rules from files, leads spread over processes."""
