"""A mapping as a source."""

from collections.abc import Iterable, Sequence

from scorer.sources.cloudevents import Header
from scorer.sources.mapping.language import MappingFile
from scorer.sources.source import Outcome


class MappingSource:
    """Translates records by a mapping file."""

    def __init__(self, name: str, file: MappingFile) -> None:
        self.name = name
        self.file = file

    def outcomes(self, value: bytes | None, headers: Iterable[Header], now: int, max_bytes: int) -> Sequence[Outcome]:
        """What comes of each event of a record. Raises `Rejected`."""
        raise NotImplementedError
