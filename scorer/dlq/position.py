"""Where a dead letter is, and where it was. In a module of its own: the command line uses it without importing the
Kafka client."""

from typing import NamedTuple


class Position(NamedTuple):
    """Partition and offset in the dead letter topic; `P:O` as text."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


class Place(NamedTuple):
    """Partition and offset in the input topic, and the index in the array if the record is a batch (None: it is not, or
    all of it); `P:O` or `P:O#I` as text. With `topic` it is a place of that topic only: `topic:P:O`."""

    partition: int
    offset: int
    element: int | None = None
    topic: str | None = None

    def __str__(self) -> str:
        topic = "" if self.topic is None else f"{self.topic}:"
        return f"{topic}{self.partition}:{self.offset}" + ("" if self.element is None else f"#{self.element}")
