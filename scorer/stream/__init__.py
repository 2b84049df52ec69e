"""The stream: activities in, decisions out, exactly once. Each partition has one transactional worker."""
