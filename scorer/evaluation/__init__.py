"""Leads judged by rules: points, rating, route and their explanation."""
