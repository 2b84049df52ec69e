"""Reads the committed records of a topic up to the end that it had at the start, and never waits for more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError

from scorer.kafka.connection import connection
from scorer.kafka.topic_admin import connecting
from scorer.runtime.settings import Settings

STALLED_SECONDS: Final = 30.0


class Span(NamedTuple):
    """Offsets of a partition: its first record, and the one after its last record."""

    first: int
    end: int


class Poll(NamedTuple):
    """The result of one poll: the committed records within the spans, in order within a partition, and the next offset
    of each partition that is still being read. A partition at its end appears for the last time."""

    records: "Sequence[ConsumerRecord[bytes | None, bytes | None]]"
    positions: Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Pace:
    """How much a reader takes at a time, and how long it waits.

    `fetch_bytes`: the limit of one partition in one fetch. `fetch_total_bytes`: the limit of all partitions together.
    `fetch_wait_ms`: how long the broker delays an answer without records. `poll_ms`: how long one poll waits.
    `poll_records`: the limit of one poll; None: all fetched records. `patient`: wait for the connection and for offsets
    as long as the client itself does. Otherwise a broker that does not answer is an error after some seconds.
    """

    fetch_bytes: int
    fetch_total_bytes: int
    fetch_wait_ms: int
    poll_ms: int
    poll_records: int | None = None
    patient: bool = False


TOOL_PACE: Final = Pace(
    fetch_bytes=8 * 1024 * 1024,
    fetch_total_bytes=50 * 1024 * 1024,
    # Short, because these readers do not want later records.
    fetch_wait_ms=20,
    poll_ms=200,
)
"""For a command that does nothing else meanwhile and that a person waits for."""


class TopicReader:
    """Reads topics from their beginning to their end. `topic_reader` makes one."""

    def __init__(self, consumer: Any, pace: Pace = TOOL_PACE) -> None:
        self._consumer = consumer
        self._pace = pace

    def partitions(self, topic: str) -> int | None:
        """How many partitions a topic has that is being read, as the client last heard; None if it does not know."""
        numbers = self._consumer.partitions_for_topic(topic)
        return len(numbers) if numbers else None

    async def spans(self, topic: str, partitions: int) -> dict[TopicPartition, Span]:
        """Where each of the first `partitions` partitions begins and ends now. Raises `KafkaError`."""
        return await self.spans_of([TopicPartition(topic, number) for number in range(partitions)])

    async def spans_of(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Span]:
        """`spans` for chosen partitions."""
        self._consumer.assign(partitions)
        try:
            async with asyncio.timeout(None if self._pace.patient else STALLED_SECONDS):
                firsts = await self._consumer.beginning_offsets(partitions)
                ends = await self._consumer.end_offsets(partitions)
        except TimeoutError:
            raise KafkaConnectionError(
                f"Kafka did not say within {STALLED_SECONDS:.0f} s where {partitions[0].topic} ends"
            ) from None
        return {partition: Span(firsts[partition], ends[partition]) for partition in partitions}

    async def read(
        self, spans: Mapping[TopicPartition, Span]
    ) -> "AsyncIterator[ConsumerRecord[bytes | None, bytes | None]]":
        """The committed records in the spans, in order within a partition.

        Raises `KafkaError`, also after 30 seconds without progress.
        """
        async for records, _ in self.polls(spans):
            for record in records:
                yield record

    async def polls(
        self,
        spans: Mapping[TopicPartition, Span],
        on_stall: Callable[[Mapping[TopicPartition, int]], None] | None = None,
    ) -> AsyncIterator[Poll]:
        """`read`, poll by poll, including empty polls. Other tasks can run after each poll.

        `on_stall`: called with the positions after 30 seconds without progress, instead of the error. It is called
        again only after some progress. Raises `KafkaError`.
        """
        ends = {partition: span.end for partition, span in spans.items() if span.first < span.end}
        if not ends:
            return
        consumer, pace = self._consumer, self._pace
        if consumer.assignment() != ends.keys():
            # Only if needed, because it drops the records that were fetched already.
            consumer.assign(list(ends))
        for partition in ends:
            consumer.seek(partition, spans[partition].first)
        consumer.resume(*ends)
        clock = asyncio.get_running_loop().time
        positions = {partition: spans[partition].first for partition in ends}
        moved, stalled = clock(), False
        while positions:
            fetched = await consumer.getmany(timeout_ms=pace.poll_ms, max_records=pace.poll_records)
            # Positions count, because the last records before the end may be control records, which are not returned.
            before = positions
            positions = {partition: await consumer.position(partition) for partition in before}
            if positions != before:
                stalled = False
            elif not stalled and clock() - moved > STALLED_SECONDS:
                if on_stall is None:
                    raise KafkaConnectionError(f"nothing more from {_names(positions)} within {STALLED_SECONDS:.0f} s")
                on_stall(positions)
                stalled = True
            yield Poll(_within(fetched, before, ends), positions)
            # Fetched records come without waiting, so other tasks would wait for a whole fetch. With a million leads,
            # the heartbeats of a worker came too late.
            await asyncio.sleep(0)
            if positions != before:
                # The time that the caller took is not a delay of the broker.
                moved = clock()
            for partition in [partition for partition in positions if positions[partition] >= ends[partition]]:
                consumer.pause(partition)
                del positions[partition]


@contextlib.asynccontextmanager
async def topic_reader(
    settings: Settings, pace: Pace = TOOL_PACE, *, committed_only: bool = True
) -> AsyncIterator[TopicReader]:
    """A connected reader. Raises `KafkaError`, also if Kafka does not answer in time, unless the pace is patient.

    `committed_only` False: it also reads records of open and aborted transactions, and the spans end behind them.
    """
    consumer = AIOKafkaConsumer(
        **connection(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed" if committed_only else "read_uncommitted",
        max_partition_fetch_bytes=pace.fetch_bytes,
        fetch_max_bytes=pace.fetch_total_bytes,
        fetch_max_wait_ms=pace.fetch_wait_ms,
    )
    try:
        async with contextlib.nullcontext() if pace.patient else connecting(settings):
            await consumer.start()
        yield TopicReader(consumer, pace)
    finally:
        await consumer.stop()


def _within(
    fetched: "Mapping[TopicPartition, list[ConsumerRecord[bytes | None, bytes | None]]]",
    wanted: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> "Sequence[ConsumerRecord[bytes | None, bytes | None]]":
    """The records before the ends. It looks at single records only in a poll that goes beyond an end."""
    parts = []
    for partition, records in fetched.items():
        if partition not in wanted or not records:
            continue
        end = ends[partition]
        parts.append(records if records[-1].offset < end else [record for record in records if record.offset < end])
    return parts[0] if len(parts) == 1 else [record for part in parts for record in part]


def _names(partitions: Mapping[TopicPartition, object]) -> str:
    return ", ".join(f"{partition.topic}-{partition.partition}" for partition in partitions)
