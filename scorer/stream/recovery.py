"""Recovers a partition: its committed offset, and the states of its leads from the changelog."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiokafka import TopicPartition

from scorer.kafka.fault_points import reached
from scorer.kafka.topic_reader import Pace, Span, TopicReader, topic_reader
from scorer.kafka.transaction import Offset
from scorer.runtime.settings import Settings
from scorer.state.codec import VERSION, CodecError
from scorer.state.input_position import POSITION_KEY, InputPosition, decode_position
from scorer.state.marker import MARKER_KEY, decode_marker
from scorer.state.store import LeadStore
from scorer.stream.input_log import SpanOf, check_input, refuse_lost_states
from scorer.stream.outbox import OFFSET_HEADER

_PACE: Final = Pace(
    # A fetch is parsed in one go, and nothing else runs meanwhile.
    fetch_bytes=4 * 1024 * 1024,
    fetch_total_bytes=4 * 1024 * 1024,
    fetch_wait_ms=500,
    poll_ms=500,
    # Few at a time, because each record takes as much memory as its state, and the process does not give that memory
    # back. Other tasks run between two polls.
    poll_records=500,
    patient=True,
)
_NEAR_END: Final = 10_000

log = structlog.get_logger()


@dataclass(slots=True)
class Progress:
    """How far a restore has come, in changelog records."""

    done: int = 0
    total: int = 0


async def restore(
    settings: Settings,
    changelog: TopicPartition,
    span: Span,
    store: LeadStore,
    progress: Progress,
    on_records: Callable[[int], None],
) -> int | None:
    """Read the committed records of the changelog within the span into the store.

    Returns the input offset after the last one that the state includes; None for an empty changelog. It waits for
    transactions that are open within the span. Raises `KafkaError`, `CodecError`.
    """
    if span.first == span.end:
        return None
    async with topic_reader(settings, _PACE) as reader:
        return await _read(reader, changelog, span, store, progress, on_records)


async def _read(
    reader: TopicReader,
    changelog: TopicPartition,
    span: Span,
    store: LeadStore,
    progress: Progress,
    on_records: Callable[[int], None],
) -> int | None:
    def stalled(positions: Mapping[TopicPartition, int]) -> None:
        position = positions[changelog]
        log.warning("restore_stalled", partition=changelog.partition, position=position, end=span.end)

    applied = -1
    progress.total = span.end - span.first
    async for records, positions in reader.polls({changelog: span}, stalled):
        for record in records:
            offset = _apply(record, store)
            # A position also goes back: after a reset, earlier states have higher offsets, maybe of another log.
            applied = offset if record.key == POSITION_KEY else max(applied, offset)
        on_records(len(records))
        reached("restoring")
        progress.done = positions[changelog] - span.first
    return applied + 1 if applied >= 0 else None


def _apply(record: Any, store: LeadStore) -> int:
    where = f"offset {record.offset} of {record.topic}-{record.partition}"
    if record.key is None:
        raise CodecError(f"the changelog record at {where} has no key")
    if record.key == MARKER_KEY:
        store.marker = None if record.value is None else decode_marker(record.value, record.headers)
        return -1
    if record.key == POSITION_KEY:
        store.position = None if record.value is None else decode_position(record.value, record.headers)
        return -1 if store.position is None else store.position.next_offset - 1
    if record.value is not None and record.value[:1] > bytes([VERSION]):
        raise CodecError(
            f"the state at {where} has version {record.value[0]}, this software reads up to {VERSION}: "
            "a newer version of it wrote the state"
        )
    try:
        lead_id = record.key.decode()
    except UnicodeDecodeError as error:
        raise CodecError(f"the key of the changelog record at {where} is not UTF-8") from error
    store.restore(lead_id, record.value)
    for name, value in record.headers:
        if name == OFFSET_HEADER and value is not None:
            return int.from_bytes(value, "big")
    return -1


async def last_position(reader: TopicReader, changelog: TopicPartition) -> InputPosition | None:
    """The position in the input that the changelog holds, without its states. Raises `CodecError`, `KafkaError`."""
    span = (await reader.spans_of([changelog]))[changelog]
    position = None
    # Almost every transaction writes it, so it is usually near the end.
    for first in (max(span.first, span.end - _NEAR_END), span.first):
        async for record in reader.read({changelog: Span(first, span.end)}):
            if record.key == POSITION_KEY and record.value is not None:
                position = decode_position(record.value, record.headers)
        if position is not None or first == span.first:
            break
    return position


async def starting_offset(
    settings: Settings,
    span_of: SpanOf,
    partition: TopicPartition,
    committed: Offset | None,
    in_state: int | None,
    position: InputPosition | None,
) -> int:
    """The offset to continue from. `committed`: that of the group, read before the changelog. `in_state`: the result of
    `restore`. `position`: what it found in the changelog. Raises `KafkaError`, and `InputChangedError` if the input
    cannot be continued."""
    if committed is None:
        if in_state is None:
            return (await span_of(partition)).first
        # The group was idle for too long, or the topic was deleted: Kafka then forgets its offsets.
        log.warning("offset_missing_taken_from_state", partition=partition.partition, offset=in_state)
        offset = in_state
    else:
        offset = committed.next
        if in_state is not None and offset < in_state:
            # Somebody reset the offset on purpose. Events that the state includes change nothing when they are read
            # again.
            log.warning("offset_behind_state", partition=partition.partition, offset=offset, state=in_state)
        elif in_state is None and position is None and offset > 0:
            await refuse_lost_states(partition, committed, span_of)
            # Either an earlier release found nothing but dead letters, or somebody chose the offset for a new group, or
            # the changelog was deleted after an earlier release had written it.
            log.warning(
                "changelog_is_empty",
                topic=settings.state_topic,
                partition=partition.partition,
                offset=offset,
                detail="if leads were known, their states are lost; stop all workers, and `scorer offsets reset --to "
                "earliest --yes` computes them again from the input",
            )
    await check_input(settings, partition, offset, position)
    return offset
