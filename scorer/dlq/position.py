"""The position of a dead letter, in its own module: the command line uses it without importing the Kafka client."""

from typing import NamedTuple


class Position(NamedTuple):
    """Partition and offset in the dead letter topic; `P:O` as text."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"
