"""Lists the dead letters, with their reasons and whether they were replayed.

A topic of its own, `<dead letter topic>.replayed`, has a mark for each replayed dead letter, written in the transaction
that sends the record back. Only `scorer.dlq.replay` writes there.
"""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient

from scorer.dlq.dead_letter import PREFIX
from scorer.dlq.position import Place, Position
from scorer.kafka.topic_admin import TopicError, describe
from scorer.kafka.topic_reader import TopicReader
from scorer.runtime.settings import Settings

REPLAYED_FROM: Final = "replayed-from"
UNKNOWN: Final = "unknown"


class Origin(NamedTuple):
    """The position of a dead letter in the input. `element`: its index in a batch, from 0; None if the record is no
    batch."""

    topic: str
    partition: int
    offset: int
    element: int | None = None

    def __str__(self) -> str:
        return f"{self.topic}:{self.place}"

    @property
    def place(self) -> Place:
        """The position without the topic."""
        return Place(self.partition, self.offset, self.element)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The description of a dead letter, without its value.

    `time`: when it was written, microseconds since the epoch. `origin` is None for a record that is not one of our dead
    letters. `cut_from`: the length of the value in bytes if only its beginning was kept. `replayed_from`: the dead
    letter (`<topic>/<partition>/<offset>`) that it was before.
    """

    position: Position
    time: int
    reason: str
    detail: str
    key: bytes | None
    size: int
    origin: Origin | None
    cut_from: int | None
    replayed_from: str | None
    replayed: bool

    @property
    def readable_key(self) -> str | None:
        """The lead id; None if the key is not a lead id."""
        try:
            return None if self.key is None else self.key.decode()
        except UnicodeDecodeError:
            return None


def mark_of(record: Any) -> bytes:
    """The key of the mark for a record of the dead letter topic. Its time distinguishes it from a record at the same
    position in an earlier topic of the same name."""
    return f"{record.partition}/{record.offset}/{record.timestamp}".encode()


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects the dead letters that meet all given conditions. Times in microseconds since the epoch. `places` are
    those in the input; one without an index selects all events of a batch."""

    reasons: frozenset[str] = frozenset()
    since: int | None = None
    until: int | None = None
    key: bytes | None = None
    positions: frozenset[Position] = frozenset()
    places: frozenset[Place] = frozenset()

    def matches(self, letter: DeadLetter) -> bool:
        """Whether the filter selects the dead letter. `since` is inclusive, `until` is exclusive."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since is None or letter.time >= self.since)
            and (self.until is None or letter.time < self.until)
            and (self.key is None or letter.key == self.key)
            and (not self.positions or letter.position in self.positions)
            and (not self.places or (letter.origin is not None and self._came_from(letter.origin.place)))
        )

    def _came_from(self, place: Place) -> bool:
        return place in self.places or place._replace(element=None) in self.places


@dataclass(frozen=True, slots=True)
class DeadLetterList:
    """Dead letters, oldest first. `matching` counts all that match, by reason, including those beyond the limit.
    `replayed` counts those that match and were replayed. `missing`: requested positions without a record."""

    letters: list[DeadLetter]
    matching: Counter[str]
    replayed: int
    missing: list[Position]


def dead_letter_of(record: Any, *, replayed: bool) -> DeadLetter:
    """The description of a record of the dead letter topic. It never fails, because anybody may write there."""
    headers: dict[str, bytes] = {name: value for name, value in record.headers if value is not None}
    texts = {name: value.decode("utf-8", "backslashreplace") for name, value in headers.items()}
    is_ours = f"{PREFIX}reason" in texts
    partition, offset = _number(texts.get(f"{PREFIX}partition")), _number(texts.get(f"{PREFIX}offset"))
    topic = texts.get(f"{PREFIX}topic")
    origin = None
    if is_ours and topic is not None and partition is not None and offset is not None:
        origin = Origin(topic, partition, offset, _number(texts.get(f"{PREFIX}index")))
    return DeadLetter(
        position=Position(record.partition, record.offset),
        time=record.timestamp * 1000,
        reason=texts.get(f"{PREFIX}reason", UNKNOWN),
        detail=texts.get(
            f"{PREFIX}detail",
            "" if is_ours else "the record has no dlq-reason, so it is not a dead letter of this service",
        ),
        key=record.key,
        size=len(record.value or b""),
        origin=origin,
        cut_from=_number(texts.get(f"{PREFIX}length")),
        replayed_from=texts.get(REPLAYED_FROM),
        replayed=replayed,
    )


async def find(
    reader: TopicReader,
    admin: AIOKafkaAdminClient,
    settings: Settings,
    wanted: Filter,
    limit: int | None = None,
    *,
    pending: bool = False,
) -> DeadLetterList:
    """The dead letters that match, oldest first, at most `limit`. `pending`: without those that were replayed.

    Raises `TopicError` if the dead letter topic does not exist, and `KafkaError`.
    """
    name, marks_name = settings.dead_letter_topic, settings.replay_marks_topic
    topics = await describe(admin, (name, marks_name))
    if name not in topics:
        raise TopicError(
            f"the topic {name} (SCORER_DEAD_LETTER_TOPIC) does not exist; create it with `scorer topics ensure`"
        )
    marks = await read_marks(reader, marks_name, topics[marks_name].partitions) if marks_name in topics else set()
    spans = await reader.spans(name, topics[name].partitions)
    letters: list[DeadLetter] = []
    matching: Counter[str] = Counter()
    replayed = 0
    missing = set(wanted.positions)
    async for record in reader.read(spans):
        letter = dead_letter_of(record, replayed=mark_of(record) in marks)
        missing.discard(letter.position)
        if not wanted.matches(letter):
            continue
        replayed += letter.replayed
        if pending and letter.replayed:
            continue
        matching[letter.reason] += 1
        letters.append(letter)
        if limit is not None and len(letters) >= 2 * limit + 1000:
            letters = _oldest(letters, limit)
    return DeadLetterList(_oldest(letters, limit), matching, replayed, sorted(missing))


async def read_marks(reader: TopicReader, topic: str, partitions: int) -> set[bytes]:
    """The keys of all committed marks. Raises `KafkaError`."""
    spans = await reader.spans(topic, partitions)
    return {record.key async for record in reader.read(spans) if record.key is not None}


def _oldest(letters: Iterable[DeadLetter], limit: int | None) -> list[DeadLetter]:
    if limit is None:
        return sorted(letters, key=_age)
    return heapq.nsmallest(limit, letters, key=_age)


def _age(letter: DeadLetter) -> tuple[int, Position]:
    return letter.time, letter.position


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 20 else None
