"""Where a record of the dead letter topic is. Apart, so that the command line knows it without the Kafka client."""

from typing import NamedTuple


class Position(NamedTuple):
    """Partition and offset in the dead letter topic. As text `P:O`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"
