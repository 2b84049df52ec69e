"""What exists: activities, leads, scores, decisions. Pure; imports nothing else of ours."""
