"""Mapping files: how the records of a platform become activities, as YAML with JMESPath."""
