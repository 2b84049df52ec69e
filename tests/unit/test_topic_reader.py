"""Reading a topic to its end, with a fake consumer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError

from scorer.kafka import topic_reader
from scorer.kafka.topic_reader import Pace, Span, TopicReader

ONE, OTHER = TopicPartition("t", 0), TopicPartition("t", 1)
PACE = Pace(fetch_bytes=1, fetch_total_bytes=1, fetch_wait_ms=1, poll_ms=7, poll_records=3)

AnyRecord: TypeAlias = "ConsumerRecord[bytes, bytes]"


def record(partition: TopicPartition, offset: int) -> AnyRecord:
    return ConsumerRecord(partition.topic, partition.partition, offset, 0, 0, b"k", b"v", None, 1, 1, ())


class Fetched:
    """A consumer that has fetched everything: it never waits, like aiokafka for fetched records.

    `controls`: offsets of control records, which move the position and are not returned.
    """

    def __init__(
        self,
        records: Mapping[TopicPartition, Sequence[AnyRecord]],
        controls: Mapping[TopicPartition, frozenset[int]] | None = None,
    ) -> None:
        self._records = {
            partition: {given.offset: given for given in of_partition} for partition, of_partition in records.items()
        }
        self._controls = dict(controls or {})
        self._assigned: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int] = {}
        self.asked: list[tuple[int, int | None]] = []
        self.assignments = 0

    def assignment(self) -> set[TopicPartition]:
        return self._assigned

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._assigned, self._paused, self._positions = set(partitions), set(), {}
        self.assignments += 1

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._positions[partition] = offset

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused -= set(partitions)

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: min(self._records[partition], default=0) for partition in partitions}

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {
            partition: max([*self._records[partition], *self._controls.get(partition, ())], default=-1) + 1
            for partition in partitions
        }

    async def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    async def getmany(self, *, timeout_ms: int, max_records: int | None) -> dict[TopicPartition, list[AnyRecord]]:
        self.asked.append((timeout_ms, max_records))
        taken: dict[TopicPartition, list[AnyRecord]] = {}
        left = 10**9 if max_records is None else max_records
        for partition in sorted(self._assigned - self._paused):
            held, position = self._records[partition], self._positions[partition]
            controls = self._controls.get(partition, frozenset())
            while left and (position in held or position in controls):
                if position in held:
                    taken.setdefault(partition, []).append(held[position])
                    left -= 1
                position += 1
            while position in controls:
                position += 1
            self._positions[partition] = position
        return taken


def fetched(controls: Mapping[TopicPartition, frozenset[int]] | None = None, **counts: int) -> Fetched:
    """`one`, `other`: the numbers of records in the partitions, from offset 0."""
    lengths = {ONE: counts.get("one", 0), OTHER: counts.get("other", 0)}
    return Fetched(
        {
            partition: [
                record(partition, offset)
                for offset in range(count)
                if offset not in (controls or {}).get(partition, frozenset())
            ]
            for partition, count in lengths.items()
        },
        controls,
    )


async def everything(reader: TopicReader, spans: Mapping[TopicPartition, Span]) -> list[tuple[int, int]]:
    return [(given.partition, given.offset) async for given in reader.read(spans)]


def run(work: Any) -> Any:
    return asyncio.run(asyncio.wait_for(work, 10))


def test_reads_all_partitions_to_the_end_of_the_spans() -> None:
    consumer = fetched(one=7, other=2)

    async def scenario() -> list[tuple[int, int]]:
        reader = TopicReader(consumer, PACE)
        spans = await reader.spans("t", 2)
        assert spans == {ONE: Span(0, 7), OTHER: Span(0, 2)}
        return await everything(reader, spans)

    read = run(scenario())
    assert sorted(read) == [*((0, offset) for offset in range(7)), (1, 0), (1, 1)]
    assert set(consumer.asked) == {(7, 3)}
    # `spans` has assigned them already, so fetched records are not dropped.
    assert consumer.assignments == 1


def test_control_records_can_be_the_last_ones() -> None:
    consumer = fetched({ONE: frozenset({1, 3, 4})}, one=5)

    async def scenario() -> list[tuple[int, int]]:
        reader = TopicReader(consumer, PACE)
        return await everything(reader, await reader.spans("t", 1))

    assert run(scenario()) == [(0, 0), (0, 2)]


@pytest.mark.parametrize("poll_records", [None, 1, 3])
def test_returns_nothing_beyond_the_span(poll_records: int | None) -> None:
    async def scenario() -> list[tuple[int, int]]:
        pace = Pace(1, 1, 1, 1, poll_records)
        return await everything(TopicReader(fetched(one=9, other=9), pace), {ONE: Span(2, 4), OTHER: Span(8, 8)})

    assert run(scenario()) == [(0, 2), (0, 3)]


def test_the_same_partition_can_be_read_again() -> None:
    consumer = fetched(one=4)

    async def scenario() -> list[tuple[int, int]]:
        reader = TopicReader(consumer, PACE)
        spans = await reader.spans("t", 1)
        return [*await everything(reader, spans), *await everything(reader, spans)]

    assert run(scenario()) == 2 * [(0, offset) for offset in range(4)]


def test_each_poll_has_the_positions_of_the_partitions() -> None:
    async def scenario() -> list[tuple[int, dict[TopicPartition, int]]]:
        reader = TopicReader(fetched({ONE: frozenset({7})}, one=8), PACE)
        spans = await reader.spans("t", 1)
        return [(len(poll.records), dict(poll.positions)) async for poll in reader.polls(spans)]

    assert run(scenario()) == [(3, {ONE: 3}), (3, {ONE: 6}), (1, {ONE: 8})]


class Silent(Fetched):
    """Returns nothing until `number` polls have passed."""

    def __init__(self, number: int) -> None:
        super().__init__({ONE: [record(ONE, 0), record(ONE, 1)]})
        self._number = number

    async def getmany(self, *, timeout_ms: int, max_records: int | None) -> dict[TopicPartition, list[AnyRecord]]:
        await asyncio.sleep(0.01)
        if len(self.asked) < self._number:
            self.asked.append((timeout_ms, max_records))
            return {}
        return await super().getmany(timeout_ms=timeout_ms, max_records=max_records)


def test_a_stall_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_reader, "STALLED_SECONDS", 0.05)
    with pytest.raises(KafkaConnectionError, match=r"nothing more from t-0 within"):
        run(everything(TopicReader(Silent(1_000_000), PACE), {ONE: Span(0, 2)}))


def test_a_stall_is_reported_once_and_reading_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_reader, "STALLED_SECONDS", 0.05)
    told: list[dict[TopicPartition, int]] = []

    async def scenario() -> int:
        polls = TopicReader(Silent(20), PACE).polls({ONE: Span(0, 2)}, lambda positions: told.append(dict(positions)))
        return sum([len(poll.records) async for poll in polls])

    assert run(scenario()) == 2
    assert told == [{ONE: 0}]


def test_a_slow_caller_is_not_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_reader, "STALLED_SECONDS", 0.05)

    async def scenario() -> int:
        count = 0
        async for _ in TopicReader(fetched(one=6), Pace(1, 1, 1, 1, 1)).read({ONE: Span(0, 6)}):
            count += 1
            await asyncio.sleep(0.06)
        return count

    assert run(scenario()) == 6


@pytest.mark.parametrize("patient", [False, True])
def test_only_a_patient_reader_waits_for_offsets(monkeypatch: pytest.MonkeyPatch, patient: bool) -> None:
    monkeypatch.setattr(topic_reader, "STALLED_SECONDS", 0.05)
    consumer = fetched(one=1)
    at_once = consumer.end_offsets

    async def slow(partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await asyncio.sleep(0.2)
        return await at_once(partitions)

    monkeypatch.setattr(consumer, "end_offsets", slow)
    reader = TopicReader(consumer, Pace(1, 1, 1, 1, patient=patient))
    ask: Callable[[], Any] = lambda: run(reader.spans("t", 1))  # noqa: E731
    if patient:
        assert ask() == {ONE: Span(0, 1)}
    else:
        with pytest.raises(KafkaConnectionError, match=r"Kafka did not say within .* where t ends"):
            ask()
