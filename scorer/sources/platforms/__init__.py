"""The mapping files of the platforms that are built in."""
