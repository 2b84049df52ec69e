"""The activities of one partition of an input topic as lines of a file, each with its arrival. Pure.

A line has what the scorer reads of an event, and is the same whichever mode the event was sent in. So a topic is scored
like a file, and gives the decisions that the service publishes.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from scorer.domain.activity import LeadActivity
from scorer.domain.instant import to_text
from scorer.domain.unfitting import as_sent
from scorer.offline.activity_files import Block, Refused
from scorer.offline.place import ARRIVAL, Rejection, place
from scorer.sources.arrival import arrival_of, is_stamped, log_time_after
from scorer.sources.cloudevents import EventBatch, NullKey, parse_record
from scorer.sources.elements import elements, index_of
from scorer.sources.rejected import Rejected
from scorer.sources.strict_json import MAX_DEPTH, decode_object
from scorer.sources.tick import is_tick


class PartitionLines:
    """Turns the records of a partition, which come in order, into blocks of lines. `name`: of the partition.

    `now`, in microseconds since the epoch: where only the sender says when it wrote a record, much later activities are
    refused. `max_bytes`: so are longer values. `rekeyed`: the service writes a record without a key into the input once
    more, with a key, so the one without is left out. `only`: so are records with another key than this.
    """

    def __init__(
        self, name: str, now: int, max_bytes: int, *, rekeyed: bool = False, only: bytes | None = None
    ) -> None:
        self.log_time: int | None = None
        """The latest arrival so far, in microseconds since the epoch; None if it is not known."""
        self._name = name
        self._now = now
        self._max_bytes = max_bytes
        self._rekeyed = rekeyed
        self._only = only

    def block(self, records: Iterable[Any], size: int) -> Block:
        """The lines of these records (`ConsumerRecord`). The offset is the number of the line. Ticks give none, and
        what is not an activity is refused. `size`: of the block, to show progress."""
        places: list[int] = []
        lines: list[bytes] = []
        refused: list[Refused] = []
        for record in records:
            self._add(record, places, lines, refused)
        return Block(self._name, places, lines, size, refused)

    def _add(self, record: Any, places: list[int], lines: list[bytes], refused: list[Refused]) -> None:
        where = place(record.offset, index_of(record))
        try:
            try:
                line = self._line(record)
            except EventBatch as batch:
                for element in elements(record, batch.events):
                    self._add(element, places, lines, refused)
                return
        except Rejected as rejected:
            if not (self._rekeyed and isinstance(rejected, NullKey)):
                refused.append(Refused(Rejection(where, rejected.reason, rejected.detail), record.value))
            return
        if line is not None:
            places.append(where)
            lines.append(line)

    def _line(self, record: Any) -> bytes | None:
        """The line of the record; None for a tick or another key. Raises `Rejected`."""
        self.log_time = log_time = log_time_after(self.log_time, record)
        if is_tick(record.value) or (self._only is not None and record.key != self._only):
            return None
        latest = log_time if log_time is not None and is_stamped(record) else self._now
        activity = parse_record(record.value, record.key, record.headers, latest, max_bytes=self._max_bytes)
        return activity_line(activity, arrival_of(record, log_time, activity.time))


def activity_line(activity: LeadActivity, arrival: int | None) -> bytes:
    """The line from which `activity_at` reads this activity and this arrival, in microseconds since the epoch; None: at
    its own time."""
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": activity.id,
        "source": activity.source,
        "type": activity.type,
        "time": to_text(activity.time),
        "subject": activity.lead_id,
    }
    if arrival is not None:
        event[ARRIVAL] = to_text(arrival)
    # What does not fit is said where the line is read.
    data = as_sent(activity.data, activity.dropped) if activity.dropped else activity.data
    line = msgspec.json.encode({**event, "data": data})
    if line.count(b"{") + line.count(b"[") <= MAX_DEPTH:
        return line
    try:
        decode_object(line, len(line), "the event")
    except Rejected:
        # The data was a value of its own, so it may be as deep as a whole event. So it may in a string.
        line = msgspec.json.encode({**event, "data": msgspec.json.encode(data).decode()})
    return line
