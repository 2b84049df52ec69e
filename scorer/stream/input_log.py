"""Whether the input is still the log that was processed, and still has what comes next."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final

import structlog
from aiokafka import TopicPartition

from scorer.dlq.dead_letter import SHORTENED
from scorer.domain.instant import to_text
from scorer.kafka.topic_admin import cleanup_policy, describe, topic_admin
from scorer.kafka.topic_reader import Pace, Span, TopicReader, topic_reader
from scorer.kafka.transaction import Offset
from scorer.runtime.settings import Settings
from scorer.state.input_position import NOTED, InputPosition, Seen

_PACE: Final = Pace(
    # One record is wanted. The broker sends at least one batch.
    fetch_bytes=1024,
    fetch_total_bytes=1024,
    fetch_wait_ms=20,
    poll_ms=200,
)
SpanOf = Callable[[TopicPartition], Awaitable[Span]]
"""Where the log of a partition begins and ends now, with the records of open transactions. Raises `KafkaError`."""

_SHORT_ATTEMPTS: Final = 5
_SHORT_PAUSE: Final = 0.2
_YEAR_10000: Final = 253_402_300_800_000

log = structlog.get_logger()


class Change(StrEnum):
    """Why a partition cannot be continued. `recreated`: the log has other records at the same offsets. `shortened`: it
    ends before the offset to continue from. `expired`: it begins after that offset. `states lost`: the changelog no
    longer has what was written into it."""

    RECREATED = "recreated"
    SHORTENED = "shortened"
    EXPIRED = "expired"
    STATES_LOST = "states lost"


@dataclass(frozen=True, slots=True)
class InputLog:
    """A partition of the input: what the group processed of it, and what it is now.

    `offset`: to continue from; None if nothing is committed. `span`: where the log begins and ends. `last`: the last
    record that was processed. `found`: what is at its offset now. `change`: None if all is well. `compared`: whether
    the last record could be compared.
    """

    partition: TopicPartition
    offset: int | None
    span: Span
    last: Seen | None = None
    found: Seen | None = None
    change: Change | None = None
    compared: bool = False

    @property
    def problem(self) -> str:
        """What happened, as a phrase; "" if all is well."""
        offset, (first, end) = self.offset or 0, self.span
        match self.change:
            case Change.SHORTENED:
                reached = max(offset, 0 if self.last is None else self.last.offset + 1)
                return f"the log ends at {end}, but was processed up to {reached}: the topic was recreated or cut"
            case Change.RECREATED:
                assert self.last is not None
                now = "no record" if self.found is None else f"a record of {_time(self.found)}"
                was = f"a record of {_time(self.last)} was processed"
                return f"at offset {self.last.offset} {was}, and now there is {now}: the topic was recreated"
            case Change.EXPIRED:
                lost = first - offset
                return f"the log begins at {first}: retention deleted up to {lost} records that were not processed"
            case Change.STATES_LOST:
                return (
                    "the changelog (SCORER_STATE_TOPIC) is empty for this partition, and was not when this offset was "
                    "committed: it was deleted or emptied, or it is another topic than before"
                )
        return ""


class InputChangedError(Exception):
    """The input cannot be continued from its committed offset. The message says what happened and what to do."""

    def __init__(self, found: InputLog, *, is_input: bool = True) -> None:
        topic, number = found.partition
        option = "" if is_input else f" --topic {topic}"
        super().__init__(
            f"{topic}-{number}, committed offset {found.offset}: {found.problem}. Stop all workers; `scorer offsets "
            f"show` shows all partitions, and {_way_out(found, option)}"
        )
        self.found = found


def _way_out(found: InputLog, option: str) -> str:
    if found.change is not Change.STATES_LOST:
        return f"`scorer offsets reset{option}` chooses where to continue"
    command = f"scorer offsets reset --partition {found.partition.partition} --yes --to"
    return (
        f"`{command} earliest` computes the states again from what the input still has; `{command} {found.offset}` "
        "goes on without them"
    )


def seen(record: Any) -> Seen:
    """What is remembered of a record (`ConsumerRecord`). The worker has only the beginning of a large value, and so
    only that counts, with the size."""
    digest = blake2b(b"%d %d " % (record.serialized_key_size, record.serialized_value_size), digest_size=8)
    digest.update((record.key or b"")[:SHORTENED])
    digest.update((record.value or b"")[:SHORTENED])
    return Seen(record.offset, record.timestamp, digest.digest())


async def check_input(
    settings: Settings, partition: TopicPartition, offset: int, position: InputPosition | None
) -> None:
    """Raise `InputChangedError` unless the input can be continued from `offset`.

    `position`: from the changelog; None if there is none. Raises `KafkaError`.
    """
    # Everything in the log counts, because a record before the committed offset is committed.
    async with topic_reader(settings, _PACE, committed_only=False) as reader:
        found = await inspect(reader, settings, partition, offset, position)
        for _ in range(_SHORT_ATTEMPTS):
            if found.change is not Change.SHORTENED:
                break
            # A broker that has just become the leader may know an earlier end for a moment.
            await asyncio.sleep(_SHORT_PAUSE)
            found = await inspect(reader, settings, partition, offset, position)
    if found.change is not None:
        raise InputChangedError(found, is_input=partition.topic == settings.activity_topic)
    if found.last is not None and not found.compared:
        log.info(
            "input_not_compared",
            topic=partition.topic,
            partition=partition.partition,
            offset=found.last.offset,
            first=found.span.first,
        )


async def inspect(
    reader: TopicReader,
    settings: Settings,
    partition: TopicPartition,
    offset: int | None,
    position: InputPosition | None,
) -> InputLog:
    """Compare what was processed with the log. The reader must read uncommitted records. Raises `KafkaError`."""
    last = None if position is None else position.last
    span = (await reader.spans_of([partition]))[partition]
    if (offset is not None and offset > span.end) or (last is not None and last.offset >= span.end):
        return InputLog(partition, offset, span, last, change=Change.SHORTENED)
    found, compared = None, False
    if last is not None and last.offset >= span.first:
        async for record in reader.read({partition: Span(last.offset, last.offset + 1)}):
            if record.offset == last.offset:
                found = seen(record)
        # In a compacted topic, a later record of the same key removes it. Otherwise it cannot be missing.
        compared = found is not None or not await _compacted(settings, partition.topic)
        if compared and found != last:
            return InputLog(partition, offset, span, last, found, Change.RECREATED, compared)
    change = Change.EXPIRED if offset is not None and offset < span.first else None
    return InputLog(partition, offset, span, last, found, change, compared)


async def refuse_lost_states(partition: TopicPartition, committed: Offset, span_of: SpanOf) -> None:
    """Raise `InputChangedError` if the offset was committed when the changelog had a position. Ask only if it has
    none now. Raises `KafkaError`."""
    if committed.metadata.endswith(NOTED):
        span = await span_of(partition)
        raise InputChangedError(InputLog(partition, committed.next, span, change=Change.STATES_LOST))


async def _compacted(settings: Settings, name: str) -> bool:
    async with topic_admin(settings) as admin:
        topics = await describe(admin, [name])
    return name in topics and "compact" in (cleanup_policy(topics[name]) or "").split(",")


def _time(record: Seen) -> str:
    # Kafka accepts any number.
    return to_text(record.timestamp * 1000) if 0 <= record.timestamp < _YEAR_10000 else str(record.timestamp)
