"""Files of other senders as activities: each record becomes the lines of its activities, before shards split the lines
by lead."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from scorer.domain.unfitting_keys import NOT_KNOWN, UnfittingKeys
from scorer.offline.activity_files import Block, Refused
from scorer.offline.place import Rejection, place, place_text
from scorer.offline.sender_records import Records, records_of
from scorer.offline.sent_values import SentValues
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
    """What came of the records beside activities. `events`: how many there were; `ignored` by kind and reason, `held`
    by kind and activity type; `dropped`: the keys that were left out of activities."""

    events: int = 0
    ignored: dict[tuple[str, str], Count] = field(default_factory=dict)
    held: dict[tuple[str, str], Count] = field(default_factory=dict)
    dropped: UnfittingKeys = field(default_factory=UnfittingKeys)

    def add(self, outcome: Outcome, where: str) -> None:
        """Count what came of an event at this place, but for what was dropped."""
        self.events += 1
        if outcome.ignored is not None:
            _count(self.ignored, (outcome.kind, outcome.ignored), where)
        for activity in outcome.held:
            _count(self.held, (outcome.kind, activity.type), where)


class Translation:
    """Translates files by a source. `max_bytes`: longer records are refused. `now`: in microseconds since the epoch.
    `only`: the lead whose events are counted; None for all."""

    def __init__(self, source: Source, now: int, max_bytes: int, only: str | None = None) -> None:
        self.translated = Translated()
        self._source = source
        self._now = now
        self._max_bytes = max_bytes
        self._only = only
        self._sent = SentValues(source.file) if isinstance(source, MappingSource) else None

    def blocks(self, raw: Iterator[Block]) -> Iterator[Block]:
        """The activities of one file, as the lines of blocks. `raw`: its lines as they are. Raises `InputError`."""
        return map(self._block, records_of(self._source, raw, self._max_bytes))

    def _block(self, records: Records) -> Block:
        places: list[int] = []
        lines: list[bytes] = []
        refused: list[Refused] = []
        for line, value in records.records:
            shown: bytes | None = value
            outcomes = self._outcomes(line, value, refused)
            # Decoded once more, but only for the few records of which something was dropped.
            is_whole = not any(outcome.dropped for outcome in outcomes)
            events = () if is_whole or self._sent is None else self._sent.events(value)
            for number, outcome in enumerate(outcomes):
                at = place(line, outcome.index)
                if outcome.rejected is not None:
                    # Once for all events of a record. Thousands of them would repeat a megabyte.
                    refused.append(_refused(at, outcome.rejected, shown))
                    shown = None
                if self._only is None or any(activity.lead_id == self._only for activity in outcome.activities):
                    self.translated.add(outcome, f"{records.file}:{place_text(at)}")
                    self._note_dropped(at, outcome, events[number] if number < len(events) else None)
                for part, activity in enumerate(outcome.activities):
                    places.append(place(line, outcome.index, part))
                    lines.append(activity.value)
        return Block(records.file, places, lines, records.size, refused)

    def _note_dropped(self, at: int, outcome: Outcome, event: object) -> None:
        for key, reason in dict.fromkeys(outcome.dropped):
            sent = NOT_KNOWN if self._sent is None else self._sent.of(event, outcome.kind, key)
            self.translated.dropped.note_untranslated(at, key, reason, sent)

    def _outcomes(self, line: int, value: bytes, refused: list[Refused]) -> Sequence[Outcome]:
        try:
            return self._source.outcomes(value, (), self._now, self._max_bytes)
        except Rejected as rejected:
            refused.append(_refused(place(line), rejected, value))
            return ()


def _refused(at: int, rejected: Rejected, value: bytes | None) -> Refused:
    return Refused(Rejection(at, rejected.reason, rejected.detail), value)


def _count(counts: dict[tuple[str, str], Count], key: tuple[str, str], where: str) -> None:
    known = counts.get(key)
    if known is None:
        counts[key] = Count(1, where)
    else:
        known.number += 1
