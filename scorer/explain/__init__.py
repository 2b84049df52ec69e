"""The story of one lead: where each point comes from, why the lead goes where it goes, and what would change that."""
