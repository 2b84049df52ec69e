"""What the rules make of a lead: points, rating, route, and why."""
