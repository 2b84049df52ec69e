"""What exists: activities, leads, scores, decisions. Pure: it imports no other package of `scorer`."""
