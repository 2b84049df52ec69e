"""Topics of other senders in front of the input: their load, and what must have come of it."""

import time
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

from aiokafka import ConsumerRecord

from scorer.domain.instant import MILLISECOND
from scorer.sources.own_events import OwnEvents
from scorer.sources.rejected import Rejected
from tests.faults.group import positions
from tests.faults.load import Load
from tests.faults.sizes import DRAIN_SECONDS
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import Service

_MAX_BYTES: Final = 1 << 20
_BETWEEN: Final = b",\n"
_LARGEST: Final = 20
"""Events of a record."""
Place = tuple[str, int, int, int | None]
"""Of an event: topic, partition, offset, and its index in an array."""


class OtherLeads(Load):
    """A load whose leads are not those of another load."""

    def take(self, count: int) -> list[Record]:
        """The next `count` records."""
        return [record._replace(key=_other(record.key), value=_other(record.value)) for record in super().take(count)]


def _other(text: bytes | None) -> bytes | None:
    return None if text is None else text.replace(b"L-", b"S-")


class ForeignLoad:
    """Writes a load into topics of other senders: single events and arrays of them, with keys that mean nothing. Their
    broker stamps the records."""

    def __init__(self, kafka: Kafka, names: Names, random: Random, load: Load, topics: int = 2) -> None:
        self.topics = [f"{names.prefix}.sender-{number}" for number in range(topics)]
        self._kafka = kafka
        self._random = random
        self._load = load
        kafka.create(dict.fromkeys(self.topics, 2), {"message.timestamp.type": "LogAppendTime"})

    @property
    def setting(self) -> str:
        """SCORER_SOURCES."""
        return ",".join(f"{topic}:cloudevents" for topic in self.topics)

    def write(self, count: int) -> None:
        """Write so many events."""
        records: dict[str, list[Record]] = {topic: [] for topic in self.topics}
        events = self._load.take(count)
        while events:
            size = self._random.choice((1, 1, 1, self._random.randint(1, _LARGEST)))
            some, events = events[:size], events[size:]
            key = self._random.choice((None, b"%d" % self._random.randrange(100)))
            values = [event.value or b"" for event in some]
            # What is no JSON would spoil its whole array.
            value = values[0] if size == 1 else b"[" + _BETWEEN.join(map(_valid, values)) + b"]"
            records[self._random.choice(self.topics)].append(Record(key, value))
        for topic, some_records in records.items():
            self._kafka.write(topic, some_records)


def wait_until_translated(
    kafka: Kafka, names: Names, topics: Sequence[str], workers: Sequence[Service], seconds: float = DRAIN_SECONDS
) -> None:
    """Return once the group has committed these topics to their ends."""
    deadline = time.monotonic() + seconds
    while behind := {topic: found.behind for topic in topics if (found := positions(kafka, names, topic)).behind}:
        for worker in workers:
            assert worker.process.poll() is None, f"a worker ended:\n{worker.text()}"
        logs = "\n".join(worker.text() for worker in workers)
        assert time.monotonic() < deadline, f"not translated within {seconds} s: {behind}:\n{logs}"
        time.sleep(0.1)


def check_translated(kafka: Kafka, names: Names, topics: Sequence[str]) -> None:
    """Fail unless each event of these topics is in the input once, or once in the dead letters."""
    found = translated(kafka, names, topics)
    print(f"of other senders: {found}")  # noqa: T201
    assert (found.lost, found.doubled) == (0, 0)
    assert found.activities, "nothing is translated: the test shows nothing"


class Translated(NamedTuple):
    """How many activities and dead letters must come of other senders' events, and how many are lost or doubled."""

    activities: int
    letters: int
    lost: int
    doubled: int


def translated(kafka: Kafka, names: Names, topics: Sequence[str]) -> Translated:
    """Compare what is in these topics with the input and the dead letters."""
    activities: Counter[tuple[Place, bytes, bytes]] = Counter()
    letters: Counter[tuple[Place, str, bytes | None]] = Counter()
    for topic in topics:
        for record in kafka.read(topic):
            _expect(record, activities, letters)
    found = Counter(
        (_place((value or b"").decode()), record.key or b"", record.value or b"")
        for record in kafka.read(names.activity)
        for name, value in record.headers
        if name == "translated-from"
    )
    dead: Counter[tuple[Place, str, bytes | None]] = Counter()
    for record in kafka.read(names.dead_letters):
        headers = {name: (value or b"").decode() for name, value in record.headers if name.startswith("dlq-")}
        if headers["dlq-topic"] in topics:
            index = int(headers["dlq-index"]) if "dlq-index" in headers else None
            place = headers["dlq-topic"], int(headers["dlq-partition"]), int(headers["dlq-offset"]), index
            dead[place, headers["dlq-reason"], record.value] += 1
    lost, doubled = (activities - found).total(), (found - activities).total()
    lost, doubled = lost + (letters - dead).total(), doubled + (dead - letters).total()
    return Translated(activities.total(), letters.total(), lost, doubled)


def _expect(
    record: "ConsumerRecord[bytes, bytes]",
    activities: Counter[tuple[Place, bytes, bytes]],
    letters: Counter[tuple[Place, str, bytes | None]],
) -> None:
    place = record.topic, record.partition, record.offset
    try:
        outcomes = OwnEvents().outcomes(record.value, record.headers, record.timestamp * MILLISECOND, _MAX_BYTES)
    except Rejected as rejected:
        letters[(*place, None), rejected.reason, record.value] += 1
        return
    for outcome in outcomes:
        if outcome.rejected is not None:
            value = record.value if outcome.index is None else _items(record)[outcome.index]
            letters[(*place, outcome.index), outcome.rejected.reason, value] += 1
        for activity in outcome.activities:
            activities[(*place, outcome.index), activity.lead_id.encode(), activity.value] += 1


def _valid(value: bytes) -> bytes:
    return value if value.startswith(b"{") else b'{"broken": "%b"}' % value


def _items(record: "ConsumerRecord[bytes, bytes]") -> list[bytes]:
    return (record.value or b"")[1:-1].split(_BETWEEN)


def _place(text: str) -> Place:
    where, _, index = text.partition("#")
    topic, partition, offset = where.split("/")
    return topic, int(partition), int(offset), int(index) if index else None
