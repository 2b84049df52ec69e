"""Files of other senders as activities: each record becomes the lines of its activities, before shards split the lines
by lead."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from scorer.offline.activity_files import Block, Refused
from scorer.offline.place import Rejection, line_of, place, place_text
from scorer.sources.framing import Framing
from scorer.sources.mapping.translation import MappingSource
from scorer.sources.rejected import Rejected
from scorer.sources.source import Outcome, Source


@dataclass(slots=True)
class Count:
    """How often something came, and where first: `file:line`, or `file:line#index`."""

    number: int
    first: str


@dataclass(slots=True)
class Translated:
    """What came of the records beside activities. `ignored` by kind and reason, `held` by activity type, `dropped` by
    key and reason."""

    activities: int = 0
    ignored: dict[tuple[str, str], Count] = field(default_factory=dict)
    held: dict[tuple[str, str], Count] = field(default_factory=dict)
    dropped: dict[tuple[str, str], Count] = field(default_factory=dict)

    def add(self, outcome: Outcome, where: str) -> None:
        """Count what came of an event at this place."""
        self.activities += len(outcome.activities)
        if outcome.ignored is not None:
            _count(self.ignored, (outcome.kind, outcome.ignored), where)
        for activity in outcome.held:
            _count(self.held, (outcome.kind, activity.type), where)
        for key, reason in outcome.dropped:
            _count(self.dropped, (key, str(reason)), where)


class Translation:
    """Translates files by a source. `max_bytes`: longer records are refused. `now`: in microseconds since the epoch."""

    def __init__(self, source: Source, now: int, max_bytes: int) -> None:
        self.translated = Translated()
        self._source = source
        self._now = now
        self._max_bytes = max_bytes

    def blocks(self, raw: Iterable[Block]) -> Iterator[Block]:
        """The activities of one file, as the lines of blocks. `raw`: its lines as they are."""
        framing = framing_of(self._source)
        name = ""
        for block in raw:
            name = block.file
            first = line_of(block.places[0]) if block.places else 1
            yield self._block(name, framing.records(first, block.lines), block.size)
        yield self._block(name, framing.end(), 0)

    def _block(self, file: str, records: Iterator[tuple[int, bytes]], size: int) -> Block:
        places: list[int] = []
        lines: list[bytes] = []
        refused: list[Refused] = []
        for line, value in records:
            shown: bytes | None = value
            for outcome in self._outcomes(line, value, refused):
                at = place(line, outcome.index)
                if outcome.rejected is not None:
                    # Once for all events of a record. Thousands of them would repeat a megabyte.
                    refused.append(_refused(at, outcome.rejected, shown))
                    shown = None
                self.translated.add(outcome, f"{file}:{place_text(at)}")
                for part, activity in enumerate(outcome.activities):
                    places.append(place(line, outcome.index, part))
                    lines.append(activity.value)
        return Block(file, places, lines, size, refused)

    def _outcomes(self, line: int, value: bytes, refused: list[Refused]) -> Sequence[Outcome]:
        try:
            return self._source.outcomes(value, (), self._now, self._max_bytes)
        except Rejected as rejected:
            refused.append(_refused(place(line), rejected, value))
            return ()


def framing_of(source: Source) -> Framing:
    """How the records of a source are written in a file."""
    return source.framing() if isinstance(source, MappingSource) else Framing()


def _refused(at: int, rejected: Rejected, value: bytes | None) -> Refused:
    return Refused(Rejection(at, rejected.reason, rejected.detail), value)


def _count(counts: dict[tuple[str, str], Count], key: tuple[str, str], where: str) -> None:
    known = counts.get(key)
    if known is None:
        counts[key] = Count(1, where)
    else:
        known.number += 1
