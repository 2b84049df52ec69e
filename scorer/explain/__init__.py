"""The story of one lead: every point, why, and what would change it."""
