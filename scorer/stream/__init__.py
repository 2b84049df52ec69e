"""The stream: activities in, decisions out, exactly once, one transactional worker per partition."""
