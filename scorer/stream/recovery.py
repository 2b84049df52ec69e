"""The way back to where a partition was: its committed offset, and the state of its leads from the changelog."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from scorer.kafka.connection import connection
from scorer.kafka.fault_points import reached
from scorer.runtime.settings import Settings
from scorer.state.codec import VERSION, CodecError
from scorer.state.marker import MARKER_KEY, decode_marker
from scorer.state.store import LeadStore
from scorer.stream.outbox import OFFSET_HEADER

_POLL_MS: Final = 500
# What a fetch brings is read and taken apart in one go, while nothing else happens.
_FETCH_BYTES: Final = 4 * 1024 * 1024
# Few at a time: each costs as much as the state in it while it lives, and the memory is not given back; and between two
# times everything else has its turn.
_RECORDS: Final = 500
_STALLED_SECONDS: Final = 30.0
_STALE_ATTEMPTS: Final = 10
_STALE_PAUSE: Final = 0.2

log = structlog.get_logger()


@dataclass(slots=True)
class Progress:
    """How far a restore is, in changelog records."""

    done: int = 0
    total: int = 0


class Offsets(Protocol):
    """What of a group's consumer the recovery asks."""

    async def committed(self, partition: TopicPartition) -> int | None:
        """The committed offset of the group."""

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """The oldest offsets that are still there."""


async def restore(
    settings: Settings,
    partition: int,
    store: LeadStore,
    progress: Progress,
    on_records: Callable[[int], None],
) -> int | None:
    """Read the changelog of the partition to its end into the store.

    Returns the input offset after the last one that the state holds, None for an empty changelog. Only the state
    committed before the call is sure to be read: fence the former owner first. Raises `KafkaError`, `CodecError`.
    """
    changelog = TopicPartition(settings.state_topic, partition)
    consumer = AIOKafkaConsumer(
        **connection(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_bytes=_FETCH_BYTES,
    )
    await consumer.start()
    try:
        consumer.assign([changelog])
        end = (await consumer.end_offsets([changelog]))[changelog]
        begin = (await consumer.beginning_offsets([changelog]))[changelog]
        consumer.seek(changelog, begin)
        progress.total = end - begin
        return await _read(consumer, changelog, begin, end, store, progress, on_records)
    finally:
        await consumer.stop()


async def _read(
    consumer: Any,
    changelog: TopicPartition,
    begin: int,
    end: int,
    store: LeadStore,
    progress: Progress,
    on_records: Callable[[int], None],
) -> int | None:
    applied = -1
    clock = asyncio.get_running_loop().time
    position, moved, stalled = begin, clock(), False
    # By position: the last records before the end may be control records, which nobody is given.
    while position < end:
        records = (await consumer.getmany(changelog, timeout_ms=_POLL_MS, max_records=_RECORDS)).get(changelog, ())
        for record in records:
            applied = max(applied, _apply(record, store))
        on_records(len(records))
        reached("restoring")
        before, position = position, await consumer.position(changelog)
        progress.done = position - begin
        if position != before:
            moved, stalled = clock(), False
        elif not stalled and clock() - moved > _STALLED_SECONDS:
            stalled = True
            log.warning("restore_stalled", partition=changelog.partition, position=position, end=end)
        # What is fetched already is handed over without waiting: a whole fetch would pass before anybody else had a
        # turn, and with a million leads the heartbeats came too late.
        await asyncio.sleep(0)
    return applied + 1 if applied >= 0 else None


def _apply(record: Any, store: LeadStore) -> int:
    where = f"offset {record.offset} of {record.topic}-{record.partition}"
    if record.key is None:
        raise CodecError(f"the changelog record at {where} has no key")
    if record.key == MARKER_KEY:
        store.marker = None if record.value is None else decode_marker(record.value)
        return -1
    if record.value is not None and record.value[:1] > bytes([VERSION]):
        raise CodecError(
            f"the state at {where} has version {record.value[0]}, this software reads up to {VERSION}: "
            "it was written by a newer one"
        )
    store.restore(record.key.decode(), record.value)
    for name, value in record.headers:
        if name == OFFSET_HEADER and value is not None:
            return int.from_bytes(value, "big")
    return -1


async def starting_offset(consumer: Offsets, partition: TopicPartition, in_state: int | None) -> int:
    """Where to go on reading. `in_state` is what `restore` returned; ask only after it. Raises `KafkaError`."""
    committed = await consumer.committed(partition)
    # A broker may answer from before the transaction that it has just completed: the state then knows better.
    for _ in range(_STALE_ATTEMPTS):
        if in_state is None or (committed is not None and committed >= in_state):
            break
        await asyncio.sleep(_STALE_PAUSE)
        committed = await consumer.committed(partition)
    beginning = (await consumer.beginning_offsets([partition]))[partition]
    if committed is None:
        if in_state is None:
            return beginning
        log.warning("offset_missing_taken_from_state", partition=partition.partition, offset=in_state)
        committed = in_state
    elif in_state is not None and committed < in_state:
        # Somebody set it back on purpose. Events that the state knows change nothing when they are read again.
        log.warning("offset_behind_state", partition=partition.partition, offset=committed, state=in_state)
    if committed < beginning:
        log.error("activities_lost_by_retention", partition=partition.partition, lost=beginning - committed)
        return beginning
    return committed
