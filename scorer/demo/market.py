"""A plausible B2B market as a stream of activities. The same seed, leads and start give the same bytes.

A young vendor becomes known, so more leads join every day. Each lead goes through the episodes of its persona and is
silent between them. Records come in order of arrival: most arrive at once, some hours or days late, some twice, and a
few are broken.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec

from scorer.demo.diary import MINUTE, Diary, Happening
from scorer.demo.people import Person, household
from scorer.demo.personas import live
from scorer.domain.instant import DAY, HOUR, SECOND, day_to_text, from_datetime

BROKEN = 0.003
"""Share of records that cannot be read as an activity."""
REPEATED = 0.012
"""Share of activities that are delivered a second time, byte for byte."""
LATE = 0.02
"""Share of activities that arrive hours to days after they happened."""

_JOINING = 365 * DAY
"""The longest time until all leads have joined; a small market is complete earlier."""

CONTENT_TYPE = "application/cloudevents+json"
HEADERS: list[tuple[str, bytes]] = [("content-type", CONTENT_TYPE.encode())]


class Record(NamedTuple):
    """A Kafka record to send: a CloudEvent in structured mode."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class _Event(msgspec.Struct):
    specversion: str
    id: str
    source: str
    type: str
    time: str
    subject: str
    data: dict[str, object]
    datacontenttype: str = "application/json"


class _Life(NamedTuple):
    """A lead and the rest of its current episode, latest first."""

    person: Person
    ahead: list[Happening]
    silence: float | None


def activities(
    seed: int, leads: int, start: datetime, *, until: datetime | None = None, events: int | None = None
) -> Iterator[Record]:
    """Records of a market with that many leads, in order of arrival, from `start` (aware) on. The stream ends at
    `until`, after `events` records, or when every lead has left for good; otherwise it is endless.

    Raises `ValueError` if `leads` is not positive or `start` has no time zone.
    """
    if leads < 1:
        raise ValueError(f"a market needs at least one lead, not {leads}")
    end = None if until is None else from_datetime(until)
    return islice(_Market(seed, leads, from_datetime(start)).records(end), events)


def write_jsonl(path: Path, seed: int, leads: int, start: datetime, events: int) -> int:
    """Write that many activities as JSON Lines (structured mode) for `scorer score` and tests. Broken records are
    included if they fit on one line. Returns the number of lines."""
    lines = 0
    with path.open("wb") as file:
        for record in activities(seed, leads, start):
            if lines == events:
                break
            if record.value and b"\n" not in record.value:
                file.write(record.value + b"\n")
                lines += 1
    return lines


def _edit(record: Record, **changes: object) -> Record:
    return record._replace(value=msgspec.json.encode(msgspec.json.decode(record.value) | changes))


def _without_subject(record: Record) -> Record:
    event = msgspec.json.decode(record.value)
    del event["subject"]
    return record._replace(value=msgspec.json.encode(event))


_BREAKAGES: Sequence[Callable[[Record], Record]] = (
    lambda record: record._replace(value=record.value[: len(record.value) * 2 // 3]),  # cut off: not JSON
    lambda record: record._replace(value=b""),
    lambda record: record._replace(value=record.value.replace(b'"data":{', b'"data":{"note":"M\xfcnchen",')),  # Latin-1
    lambda record: _edit(record, type="crm.contact_synchronised"),
    lambda record: _edit(record, type="lead.stage_changed", data={"stage": ""}),
    lambda record: _edit(record, time="2199-01-01T00:00:00Z"),
    _without_subject,
)
"""Each turns a good record into one that a faulty emitter would send."""


def _time(happening: Happening) -> int:
    return happening.time


class _Market:
    def __init__(self, seed: int, leads: int, start: int) -> None:
        self._rng = Random(seed)
        self._start = start
        self._leads = leads
        self._joining = min(_JOINING, int(5 * DAY * leads**0.5))
        self._named = 0
        self._emitted = 0
        self._encode = msgspec.json.Encoder().encode
        # (arrival, order, item). The order makes equal times comparable; the item None lets the next household join.
        self._queue: list[tuple[int, int, _Life | Record | None]] = []
        self._order = 0
        self._day, self._date = -1, ""
        self._push(start, None)

    def records(self, end: int | None) -> Iterator[Record]:
        rng = self._rng
        while self._queue:
            now, _, item = heappop(self._queue)
            if end is not None and now > end:
                return
            if item is None:
                self._join(now)
                continue
            if isinstance(item, Record):
                yield item
                continue
            happening = item.ahead.pop()
            if item.ahead:
                self._push(item.ahead[-1].time, item)
            elif item.silence is not None:
                self._begin(item.person, now + int(item.silence * DAY))
            record = self._record(item.person.id, happening)
            draw = rng.random()
            if draw < LATE:
                self._push(now + int(rng.lognormvariate(1.8, 1.2) * HOUR), record)
                continue
            yield record
            if draw < LATE + REPEATED:
                self._push(now + int(rng.lognormvariate(2.0, 2.0) * MINUTE), record)
            elif draw > 1 - BROKEN:
                yield rng.choice(_BREAKAGES)(record)

    def _push(self, time: int, item: _Life | Record | None) -> None:
        self._order += 1
        heappush(self._queue, (time, self._order, item))

    def _join(self, now: int) -> None:
        named = self._named
        newcomers = household(self._rng, self._name)[: self._leads - named]
        for number, person in enumerate(newcomers):
            self._begin(person, now + number * self._rng.randrange(2, 9) * DAY)
        if self._named < self._leads:
            # The number of leads grows with the square of time.
            due = self._start + int(self._joining * (self._named / self._leads) ** 0.5)
            self._push(max(now, due), None)

    def _name(self) -> str:
        self._named += 1
        return f"L-{self._named:06d}"

    def _begin(self, person: Person, now: int) -> None:
        diary = Diary(self._rng, now)
        silence = live(person, diary)
        diary.entries.sort(key=_time, reverse=True)
        self._push(diary.entries[-1].time, _Life(person, diary.entries, silence))

    def _clock(self, instant: int) -> str:
        day, within = divmod(instant, DAY)
        if day != self._day:
            self._day, self._date = day, day_to_text(day)
        seconds, micros = divmod(within, SECOND)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{self._date}T{hours:02}:{minutes:02}:{seconds:02}.{micros // 1000:03}Z"

    def _record(self, lead_id: str, happening: Happening) -> Record:
        self._emitted += 1
        event = _Event(
            specversion="1.0",
            id=f"{self._emitted:08x}",
            source=happening.source,
            type=happening.type,
            time=self._clock(happening.time),
            subject=lead_id,
            data=happening.data,
        )
        return Record(lead_id.encode(), self._encode(event), HEADERS)
