"""Reads what is committed in a topic, up to where it ended when it was asked, and never waits for more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError

from scorer.kafka.connection import connection
from scorer.kafka.topic_admin import connecting
from scorer.runtime.settings import Settings

STALLED_SECONDS: Final = 30.0
_POLL_MS: Final = 200
_FETCH_WAIT_MS: Final = 20
_FETCH_BYTES: Final = 8 * 1024 * 1024


class Span(NamedTuple):
    """Offsets of a partition: the first that is there, and the one after the last."""

    first: int
    end: int


class TopicReader:
    """Reads topics from their beginning to their end. Get one from `topic_reader`."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    async def spans(self, topic: str, partitions: int) -> dict[TopicPartition, Span]:
        """Where each partition begins and ends now. Raises `KafkaError`."""
        found = [TopicPartition(topic, number) for number in range(partitions)]
        self._consumer.assign(found)
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                firsts = await self._consumer.beginning_offsets(found)
                ends = await self._consumer.end_offsets(found)
        except TimeoutError:
            raise KafkaConnectionError(f"no answer on where {topic} ends in {STALLED_SECONDS:.0f} s") from None
        return {each: Span(firsts[each], ends[each]) for each in found}

    async def read(
        self, spans: Mapping[TopicPartition, Span]
    ) -> "AsyncIterator[ConsumerRecord[bytes | None, bytes | None]]":
        """The committed records in the spans, in order within a partition.

        Raises `KafkaError`, also where nothing has come for 30 seconds.
        """
        open_ = {each: span.end for each, span in spans.items() if span.first < span.end}
        if not open_:
            return
        consumer = self._consumer
        consumer.assign(list(open_))
        for partition in open_:
            consumer.seek(partition, spans[partition].first)
        clock = asyncio.get_running_loop().time
        positions, moved = {each: spans[each].first for each in open_}, clock()
        while open_:
            for partition, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                for record in records:
                    if partition in open_ and record.offset < open_[partition]:
                        yield record
                # What the caller did meanwhile is not the broker's delay.
                moved = clock()
            # By position: the last records before the end may be control records, which nobody is given.
            for partition in list(open_):
                position = await consumer.position(partition)
                if position != positions[partition]:
                    positions[partition], moved = position, clock()
                if position >= open_[partition]:
                    consumer.pause(partition)
                    del open_[partition]
            if clock() - moved > STALLED_SECONDS:
                raise KafkaConnectionError(f"nothing more of {_names(open_)} in {STALLED_SECONDS:.0f} s")


@contextlib.asynccontextmanager
async def topic_reader(settings: Settings) -> AsyncIterator[TopicReader]:
    """A reader that is connected. Raises `KafkaError` where Kafka does not answer in time."""
    consumer = AIOKafkaConsumer(
        **connection(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
        # Nobody waits for records that are still to come.
        fetch_max_wait_ms=_FETCH_WAIT_MS,
    )
    try:
        async with connecting(settings):
            await consumer.start()
        yield TopicReader(consumer)
    finally:
        await consumer.stop()


def _names(partitions: Mapping[TopicPartition, object]) -> str:
    return ", ".join(f"{each.topic}-{each.partition}" for each in partitions)
