"""Sends dead letters back to where they came from, each at most once, even if the replay is killed.

One transaction contains the record and a mark in the topic `<dead letter topic>.replayed` (compacted, kept for ever).
All replays of a dead letter topic share one transactional id, so starting one fences the previous one and ends its open
transaction. The marks are read after that. So only one process writes marks at a time, it knows all of them, and a
record without a mark was not sent.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner

from scorer.dlq.chunks import chunks
from scorer.dlq.dead_letter import PREFIX
from scorer.dlq.position import Position
from scorer.dlq.queue import (
    REPLAYED_FROM,
    DeadLetter,
    dead_letter_of,
    is_second,
    mark_of,
    read_marks,
)
from scorer.domain.instant import to_text
from scorer.kafka.message import Headers, Message
from scorer.kafka.tool_producer import TOOL_LIMITS, tool_producer
from scorer.kafka.topic_admin import TopicError, cleanup_policy, describe
from scorer.kafka.topic_reader import Span, TopicReader
from scorer.kafka.transaction import (
    AbortedError,
    DoubtfulError,
    FencedError,
    TransactionalProducer,
)
from scorer.runtime.settings import Settings

__all__ = ["Replay", "ReplayError", "ReplayReport", "obstacle", "transactional_id"]

_RECORDS: Final = 500
_BYTES: Final = 4 * 1024 * 1024


class ReplayError(Exception):
    """The replay ended early; the message gives the reason and what to do. Committed records stay in the input."""


@dataclass(slots=True)
class ReplayReport:
    """The result of a replay. `already` counts the dead letters that were replayed before."""

    replayed: int = 0
    already: int = 0
    refused: dict[Position, str] = field(default_factory=dict)
    """The dead letters that were not sent, with the reasons."""


class _TooLargeError(Exception):
    def __init__(self, positions: list[Position], topic: str) -> None:
        super().__init__(positions)
        self.positions = positions
        self.topic = topic


def obstacle(letter: DeadLetter, settings: Settings) -> str | None:
    """Why a dead letter cannot be replayed; None if it can."""
    if letter.origin is None:
        return "it does not say where it came from (dlq-topic, dlq-partition, dlq-offset)"
    if letter.origin.topic not in _topics(settings):
        return (
            f"it came from {letter.origin.topic}; set SCORER_ACTIVITY_TOPIC to that topic to send it back, or name it "
            "in SCORER_SOURCES"
        )
    if letter.cut_from == letter.size:
        return f"its key or its headers were cut; the whole was at {letter.origin}"
    if letter.cut_from is not None:
        return f"only {letter.size:,} of its {letter.cut_from:,} bytes are here; the whole was at {letter.origin}"
    return None


def _topics(settings: Settings) -> tuple[str, ...]:
    """Where dead letters come from."""
    return (settings.activity_topic, *settings.source_topics)


def transactional_id(settings: Settings) -> str:
    """The transactional id that all replays of a dead letter topic share, so that they fence each other."""
    return f"{settings.dead_letter_topic}.replay"


class Replay:
    """Sends chosen dead letters back. `report` contains only what is certain, also after an exception."""

    def __init__(
        self,
        reader: TopicReader,
        admin: AIOKafkaAdminClient,
        settings: Settings,
        report: ReplayReport,
        on_progress: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._reader = reader
        self._admin = admin
        self._settings = settings
        self._on_progress = on_progress
        self._partitioner = DefaultPartitioner()
        self._chunk_limit = _RECORDS
        self.report = report

    async def run(self, positions: Collection[Position]) -> None:
        """Send the records that were not replayed yet back to their partition, with their key, value and headers.

        Raises `TopicError`, `ReplayError` and `KafkaError`.
        """
        waiting = set(positions)
        while waiting:
            try:
                async with tool_producer(self._settings, transactional_id(self._settings)) as producer:
                    await self._attempt(producer, waiting)
                break
            except _TooLargeError as error:
                # The refused batch left a gap in the sequence of the producer, which only a new start fixes.
                if len(error.positions) > 1:
                    self._chunk_limit = 1
                else:
                    self.report.refused[error.positions[0]] = f"larger than {error.topic} accepts"
                    waiting.discard(error.positions[0])

    async def _attempt(self, producer: TransactionalProducer, waiting: set[Position]) -> None:
        settings = self._settings
        marks_name = settings.replay_marks_topic
        names = (*_topics(settings), settings.dead_letter_topic, marks_name)
        topics = await describe(self._admin, names)
        for name in names:
            if name not in topics:
                raise TopicError(f"the topic {name} does not exist; create it with `scorer topics ensure`")
        policy = cleanup_policy(topics[marks_name])
        if policy not in (None, "compact"):
            raise TopicError(
                f"the topic {marks_name} has cleanup.policy={policy}: it would forget what was replayed; "
                "set it to compact"
            )
        marks = await read_marks(self._reader, marks_name, topics[marks_name].partitions)
        spans = await self._reader.spans(settings.dead_letter_topic, topics[settings.dead_letter_topic].partitions)
        partitions = {name: topics[name].partitions for name in _topics(settings)}
        records = self._reader.read(_narrow(spans, waiting))

        def due(record: Any) -> bool:
            return not is_second(record, spans) and self._due(record, waiting, marks)

        async for chunk in chunks(records, due, self._chunk_limit, _BYTES):
            await self._send_back(producer, chunk, partitions, waiting)
        for position in sorted(waiting):
            self.report.refused[position] = "no longer in the topic"
        waiting.clear()

    def _due(self, record: Any, waiting: set[Position], marks: Collection[bytes]) -> bool:
        """Whether to send the record now. The report names a record that is never sent."""
        position = Position(record.partition, record.offset)
        if position not in waiting:
            return False
        if mark_of(record) in marks:
            self.report.already += 1
            waiting.discard(position)
            return False
        problem = obstacle(dead_letter_of(record, replayed=False), self._settings)
        if problem is not None:
            self.report.refused[position] = problem
            waiting.discard(position)
        return problem is None

    async def _send_back(
        self,
        producer: TransactionalProducer,
        records: Sequence[Any],
        partitions: Mapping[str, int],
        waiting: set[Position],
    ) -> None:
        now = to_text(time.time_ns() // 1000)
        originals = [self._original(record, partitions) for record in records]
        marks = [
            Message(
                self._settings.replay_marks_topic,
                0,
                mark_of(record),
                json.dumps({"replayed_at": now, "topic": original.topic}).encode(),
                [],
            )
            for record, original in zip(records, originals, strict=True)
        ]
        try:
            await producer.commit([*originals, *marks])
        except FencedError as error:
            raise ReplayError(
                f"another replay of {self._settings.dead_letter_topic} has taken over (or a transaction took more than "
                f"{TOOL_LIMITS.timeout_ms // 1000} s); this one ends. Run it again if something is left: nothing is "
                "sent twice"
            ) from error
        except (AbortedError, DoubtfulError) as error:
            cause = error.__cause__
            if isinstance(error, DoubtfulError) and error.committing:
                raise ReplayError(
                    f"it is not known whether the last transaction was committed ({cause!r}); run it again: nothing is "
                    "sent twice"
                ) from cause
            if isinstance(cause, MessageSizeTooLargeError):
                positions = [Position(record.partition, record.offset) for record in records]
                raise _TooLargeError(positions, originals[0].topic) from None
            raise ReplayError(
                f"the last transaction was aborted ({cause!r}), and nothing of it was sent; run it again"
            ) from cause
        waiting.difference_update(Position(record.partition, record.offset) for record in records)
        self.report.replayed += len(records)
        self._on_progress(len(records))

    def _original(self, record: Any, partitions: Mapping[str, int]) -> Message:
        """The record as it was in its topic. It goes to the same partition, because we do not know how the producer of
        the topic uses the key. The key chooses only if that partition does not exist any more."""
        letter = dead_letter_of(record, replayed=False)
        assert letter.origin is not None
        topic, partition, *_ = letter.origin
        if partition >= partitions[topic]:
            numbers = list(range(partitions[topic]))
            partition = int(self._partitioner(record.key, numbers, numbers))
        headers: Headers = [
            (name, value) for name, value in record.headers if not name.startswith(PREFIX) and name != REPLAYED_FROM
        ]
        headers.append((REPLAYED_FROM, f"{record.topic}/{record.partition}/{record.offset}".encode()))
        return Message(topic, partition, record.key, record.value, headers)


def _narrow(spans: Mapping[TopicPartition, Span], wanted: Collection[Position]) -> dict[TopicPartition, Span]:
    """The spans, cut to the wanted positions."""
    offsets: dict[int, list[int]] = {}
    for position in wanted:
        offsets.setdefault(position.partition, []).append(position.offset)
    return {
        partition: Span(max(span.first, min(offsets[number])), min(span.end, max(offsets[number]) + 1))
        for partition, span in spans.items()
        if (number := partition.partition) in offsets
    }
