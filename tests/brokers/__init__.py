"""Apache Kafka for the tests: its jars through Maven, and clusters of one or three nodes as child processes."""
