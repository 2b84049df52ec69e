"""What the commands read that judge activities: files, or a topic."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from scorer.offline.activity_files import Block
from scorer.offline.translation import Translated


class Part(Protocol):
    """Activities of leads that are in no other part: those of all files, or of one partition of a topic."""

    def blocks(self) -> Iterator[Block]:
        """All lines, in order. Each call reads them once."""

    @property
    def log_time(self) -> int | None:
        """The instant that the log has reached at their end, in microseconds since the epoch; None if the activities
        come from no log, or if it is not known. Only after the last block."""

    @property
    def translated(self) -> Translated | None:
        """What came of the records of another sender beside the activities; None if there are none. Only after the last
        block."""


class Activities(NamedTuple):
    """What a command reads. `size`: of all blocks, in bytes or records; None if it is not known. `max_bytes`: longer
    lines are rejected."""

    names: Sequence[str]
    size: int | None
    max_bytes: int
    parts: Sequence[Part]
