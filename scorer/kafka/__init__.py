"""Connections to Kafka, topics, one transactional send, reading a topic to its end."""
