"""Restoring fills the store, and other tasks run meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from scorer.kafka.topic_reader import Span, TopicReader
from scorer.kafka.transaction import Offset
from scorer.runtime.settings import load_settings
from scorer.state.input_position import NOTED, InputPosition
from scorer.state.store import LeadStore
from scorer.stream import recovery
from scorer.stream.input_log import Change, InputChangedError
from scorer.stream.outbox import OFFSET_HEADER
from scorer.stream.recovery import _PACE, Progress, _read, starting_offset
from tests.unit.test_topic_reader import Fetched

CHANGELOG = TopicPartition("states", 0)
RECORDS_A_TURN = 500
"""Records: about ten milliseconds of work."""


def state(offset: int) -> "ConsumerRecord[bytes, bytes]":
    headers = ((OFFSET_HEADER, offset.to_bytes(8, "big")),)
    return ConsumerRecord("states", 0, offset, 0, 0, b"lead-%d" % offset, b"\x01", None, 1, 1, headers)


def reader(count: int) -> TopicReader:
    """A reader of a fetched changelog, with the pace of a worker."""
    return TopicReader(Fetched({CHANGELOG: [state(offset) for offset in range(count)]}), _PACE)


def test_other_tasks_run_during_a_long_restore() -> None:
    """With a million leads it takes longer than a session, so heartbeats must go out meanwhile."""
    count = 20_000
    store = LeadStore()
    seen: list[int] = []

    async def turns() -> None:
        while True:
            seen.append(len(store))
            await asyncio.sleep(0)

    async def scenario() -> int | None:
        watching = asyncio.create_task(turns())
        in_state = await _read(reader(count), CHANGELOG, Span(0, count), store, Progress(), lambda number: None)
        watching.cancel()
        return in_state

    assert asyncio.run(asyncio.wait_for(scenario(), 30)) == count
    assert len(store) == count
    gaps = [after - before for before, after in zip(seen, [*seen[1:], count], strict=True)]
    assert max(gaps) <= RECORDS_A_TURN


def test_parallel_restores_take_turns() -> None:
    """The restores of other partitions do not wait for the end of one."""
    count = 5_000
    stores = [LeadStore(), LeadStore()]

    async def scenario() -> list[int]:
        lengths: list[int] = []

        async def one(store: LeadStore) -> None:
            await _read(reader(count), CHANGELOG, Span(0, count), store, Progress(), lambda number: None)
            lengths.append(min(map(len, stores)))

        await asyncio.gather(*map(one, stores))
        return lengths

    first, last = asyncio.run(asyncio.wait_for(scenario(), 30))
    assert last == count
    assert first >= count - 2 * RECORDS_A_TURN


def test_a_poll_that_brings_nothing_is_not_the_end() -> None:
    """A broker that is slow for a moment, or a long run of aborted transactions, gives empty polls."""

    class Slow(Fetched):
        polls = 0

        async def getmany(self, **limits: Any) -> dict[TopicPartition, list[Any]]:
            self.polls += 1
            return await super().getmany(**limits) if self.polls % 3 == 1 else {}

    count = 1_200
    store = LeadStore()
    slow = TopicReader(Slow({CHANGELOG: [state(offset) for offset in range(count)]}), _PACE)
    reading = _read(slow, CHANGELOG, Span(0, count), store, Progress(), lambda number: None)
    assert asyncio.run(asyncio.wait_for(reading, 30)) == count
    assert len(store) == count


INPUT = TopicPartition("in", 3)


async def log_of_the_input(partition: TopicPartition) -> Span:
    """Retention has deleted what came before offset 7."""
    assert partition == INPUT
    return Span(7, 40)


@pytest.mark.parametrize(
    ("committed", "in_state", "offset"),
    [
        # A new group begins with the first record that is there, neither at 0 nor at the end.
        (None, None, 7),
        (None, 20, 20),
        (Offset(12), 20, 12),
        (Offset(12), None, 12),
        (Offset(20), 20, 20),
    ],
)
def test_where_a_partition_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: Offset | None, in_state: int | None, offset: int
) -> None:
    checked: list[int] = []

    async def unchanged(settings: object, partition: object, at: int, position: InputPosition | None) -> None:
        checked.append(at)

    monkeypatch.setattr(recovery, "check_input", unchanged)
    settings = load_settings(None, rules=tmp_path)
    found = asyncio.run(starting_offset(settings, log_of_the_input, INPUT, committed, in_state, None))
    assert found == offset
    # An empty group has nothing to compare.
    assert checked == ([] if committed is None and in_state is None else [offset])


def test_lost_states_are_refused_with_what_the_log_still_has(tmp_path: Path) -> None:
    settings = load_settings(None, rules=tmp_path)
    committed = Offset(12, f"worker-1 {NOTED}")
    with pytest.raises(InputChangedError) as raised:
        asyncio.run(starting_offset(settings, log_of_the_input, INPUT, committed, None, None))
    found = raised.value.found
    assert (found.change, found.partition, found.offset, found.span) == (Change.STATES_LOST, INPUT, 12, Span(7, 40))
