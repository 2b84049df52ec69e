"""Dead letters back into the input, each at most once, whatever happens to the one who sends them.

A record goes back in one transaction with a mark in the topic `<dead letter topic>.replayed` (compacted, kept for
ever). All replays of a dead letter topic share one transactional id, so starting one fences the one before and ends its
open transaction; only then are the marks read. So there is one writer of marks at a time, it knows all of them,
and a record without a mark was not sent.
"""

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner

from scorer.dlq.dead_letter import PREFIX
from scorer.dlq.position import Position
from scorer.dlq.queue import (
    REPLAYED_FROM,
    DeadLetter,
    dead_letter_of,
    mark_of,
    read_marks,
)
from scorer.domain.instant import to_text
from scorer.kafka.message import Headers, Message
from scorer.kafka.topic_admin import TopicError, cleanup_policy, connecting, describe
from scorer.kafka.topic_reader import Span, TopicReader
from scorer.kafka.transaction import (
    AbortedError,
    DoubtfulError,
    FencedError,
    TransactionalProducer,
    TransactionLimits,
)
from scorer.runtime.settings import Settings

__all__ = ["Replay", "ReplayError", "ReplayReport", "obstacle", "transactional_id"]

_RECORDS: Final = 500
_BYTES: Final = 4 * 1024 * 1024
_LIMITS: Final = TransactionLimits(
    # Short: readers of the input wait behind an open transaction, also behind that of a replay that was killed.
    timeout_ms=20_000,
    batch_bytes=256 * 1024,
    abort_seconds=5.0,
    phase_seconds=60.0,
    # Readers of the input would wait until the time-out of the transaction.
    abort_on_interrupt=True,
)


class ReplayError(Exception):
    """The replay ended early; the message says why and what to do. What was committed stays so."""


@dataclass(slots=True)
class ReplayReport:
    """What became of the dead letters that were to go back."""

    replayed: int = 0
    already: int = 0
    refused: dict[Position, str] = field(default_factory=dict)
    """Left where they are, and why."""


class _TooLargeError(Exception):
    def __init__(self, positions: list[Position]) -> None:
        super().__init__(positions)
        self.positions = positions


def obstacle(letter: DeadLetter, settings: Settings) -> str | None:
    """Why a dead letter cannot go back; None where it can."""
    if letter.origin is None:
        return "it does not say where it came from (dlq-topic, dlq-partition, dlq-offset)"
    if letter.origin.topic != settings.activity_topic:
        return f"it came from {letter.origin.topic}; set SCORER_ACTIVITY_TOPIC to that to send it back"
    if letter.cut_from is not None:
        return f"only {letter.size:,} of its {letter.cut_from:,} bytes are here; the whole was at {letter.origin}"
    return None


def transactional_id(settings: Settings) -> str:
    """One for all who replay from a dead letter topic, so that they fence each other."""
    return f"{settings.dead_letter_topic}.replay"


class Replay:
    """Sends chosen dead letters back. `outcome` is told what is sure, so that it can be read after an exception too."""

    def __init__(
        self,
        reader: TopicReader,
        admin: AIOKafkaAdminClient,
        settings: Settings,
        outcome: ReplayReport,
        on_progress: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._reader = reader
        self._admin = admin
        self._settings = settings
        self._on_progress = on_progress
        self._partitioner = DefaultPartitioner()
        self._most = _RECORDS
        self.outcome = outcome

    async def run(self, positions: Collection[Position]) -> None:
        """Send those back that were not before, with their own key, value and headers, to the partition they came from.

        Raises `TopicError`, `ReplayError` and `KafkaError`.
        """
        waiting = set(positions)
        while waiting:
            try:
                async with self._producer() as producer:
                    await self._attempt(producer, waiting)
                break
            except _TooLargeError as error:
                # After a refused batch the producer's sequence has a gap: only a new start of it goes on.
                if len(error.positions) > 1:
                    self._most = 1
                else:
                    self.outcome.refused[error.positions[0]] = f"larger than {self._settings.activity_topic} takes"
                    waiting.discard(error.positions[0])

    @contextlib.asynccontextmanager
    async def _producer(self) -> AsyncIterator[TransactionalProducer]:
        producer = TransactionalProducer(self._settings, transactional_id(self._settings), _LIMITS)
        try:
            async with connecting(self._settings):
                await producer.start()
            yield producer
        finally:
            await producer.stop()

    async def _attempt(self, producer: TransactionalProducer, waiting: set[Position]) -> None:
        settings = self._settings
        marks_name = settings.replay_marks_topic
        topics = await describe(self._admin, (settings.activity_topic, settings.dead_letter_topic, marks_name))
        for name in (settings.activity_topic, settings.dead_letter_topic, marks_name):
            if name not in topics:
                raise TopicError(f"the topic {name} does not exist; create it with `scorer topics ensure`")
        found = cleanup_policy(topics[marks_name])
        if found not in (None, "compact"):
            raise TopicError(
                f"the topic {marks_name} has cleanup.policy={found}: it would forget what went back; set it to compact"
            )
        marks = await read_marks(self._reader, marks_name, topics[marks_name].partitions)
        spans = await self._reader.spans(settings.dead_letter_topic, topics[settings.dead_letter_topic].partitions)
        partitions = topics[settings.activity_topic].partitions
        chunk: list[Any] = []
        size = 0
        async for record in self._reader.read(_narrow(spans, waiting)):
            if not self._due(record, waiting, marks):
                continue
            chunk.append(record)
            size += len(record.value or b"")
            if len(chunk) >= self._most or size >= _BYTES:
                await self._send_back(producer, chunk, partitions, waiting)
                chunk, size = [], 0
        if chunk:
            await self._send_back(producer, chunk, partitions, waiting)
        for position in sorted(waiting):
            self.outcome.refused[position] = "no longer in the topic"
        waiting.clear()

    def _due(self, record: Any, waiting: set[Position], marks: Collection[bytes]) -> bool:
        """Whether to send it now; what is not to be sent at all is noted in the outcome."""
        position = Position(record.partition, record.offset)
        if position not in waiting:
            return False
        if mark_of(record) in marks:
            self.outcome.already += 1
            waiting.discard(position)
            return False
        problem = obstacle(dead_letter_of(record, replayed=False), self._settings)
        if problem is not None:
            self.outcome.refused[position] = problem
            waiting.discard(position)
        return problem is None

    async def _send_back(
        self, producer: TransactionalProducer, records: Sequence[Any], partitions: int, waiting: set[Position]
    ) -> None:
        now = to_text(time.time_ns() // 1000)
        value = json.dumps({"replayed_at": now, "topic": self._settings.activity_topic}).encode()
        marks = [Message(self._settings.replay_marks_topic, 0, mark_of(record), value, []) for record in records]
        try:
            await producer.commit([*(self._original(record, partitions) for record in records), *marks])
        except FencedError as error:
            raise ReplayError(
                f"another replay of {self._settings.dead_letter_topic} has taken over (or a transaction took over "
                f"{_LIMITS.timeout_ms // 1000} s); this one ends. Run it again where something is left: nothing goes "
                "back twice"
            ) from error
        except (AbortedError, DoubtfulError) as error:
            cause = error.__cause__
            if isinstance(error, DoubtfulError) and error.committing:
                raise ReplayError(
                    f"whether the last transaction was committed is not known ({cause!r}); run it again, nothing goes "
                    "twice"
                ) from cause
            if isinstance(cause, MessageSizeTooLargeError):
                raise _TooLargeError([Position(record.partition, record.offset) for record in records]) from None
            raise ReplayError(
                f"the last transaction was given up ({cause!r}), nothing of it went back; run it again"
            ) from cause
        waiting.difference_update(Position(record.partition, record.offset) for record in records)
        self.outcome.replayed += len(records)
        self._on_progress(len(records))

    def _original(self, record: Any, partitions: int) -> Message:
        """The record as it was in the input. To the same partition: what the producer of the input made of the key, we
        cannot know; only where that partition is gone, the key says which."""
        letter = dead_letter_of(record, replayed=False)
        assert letter.origin is not None
        partition = letter.origin.partition
        if partition >= partitions:
            numbers = list(range(partitions))
            partition = int(self._partitioner(record.key, numbers, numbers))
        headers: Headers = [
            (name, value) for name, value in record.headers if not name.startswith(PREFIX) and name != REPLAYED_FROM
        ]
        headers.append((REPLAYED_FROM, f"{record.topic}/{record.partition}/{record.offset}".encode()))
        return Message(self._settings.activity_topic, partition, record.key, record.value, headers)


def _narrow(spans: Mapping[TopicPartition, Span], wanted: Collection[Position]) -> dict[TopicPartition, Span]:
    """The spans cut to what is wanted of them."""
    offsets: dict[int, list[int]] = {}
    for each in wanted:
        offsets.setdefault(each.partition, []).append(each.offset)
    return {
        partition: Span(max(span.first, min(offsets[number])), min(span.end, max(offsets[number]) + 1))
        for partition, span in spans.items()
        if (number := partition.partition) in offsets
    }
