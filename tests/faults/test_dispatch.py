"""A slow partition neither delays the records of another one nor makes them stale."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from scorer.evaluation.results import Assessment
from scorer.kafka.record_limits import TopicLimits
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings, load_settings
from scorer.stream import partitions as rebalance
from scorer.stream.assigned import State
from scorer.stream.batch import BatchProcessor
from scorer.stream.committer import Committer
from scorer.stream.partitions import UnfencedError
from scorer.stream.watch import Watch
from scorer.stream.worker import WorkerContext
from tests.factory import nothing_denied


class SlowWorker:
    """Accepts records, and has room for more only when `free` is set."""

    def __init__(self, partition: TopicPartition, *_: object) -> None:
        self.partition = partition
        self.state = State.RUNNING
        self.offered: list[int] = []
        self.free = asyncio.Event()
        workers.append(self)

    def offer(self, records: "list[ConsumerRecord[bytes, bytes]]") -> None:
        self.offered += [record.offset for record in records]

    async def room(self) -> None:
        await self.free.wait()

    def remaining(self) -> Counter[str]:
        return Counter()


class Consumer:
    """What an assignment uses."""

    class _coordinator:  # noqa: N801 (the name in aiokafka)
        generation = 1
        member_id = "member"

    def pause(self, *partitions: TopicPartition) -> None:
        """Nothing to pause."""

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0, 1}


workers: list[SlowWorker] = []


def record(partition: int, offset: int) -> "ConsumerRecord[bytes, bytes]":
    """An input record."""
    return ConsumerRecord("in", partition, offset, 0, 0, b"k", b"v", None, 1, 1, ())


def made(settings: Settings) -> rebalance.Partitions:
    """The partitions of a worker that judges nothing."""

    def judge(*_: Any) -> Assessment:
        raise NotImplementedError

    processor = BatchProcessor(settings, judge, lambda: 0)
    metrics = Metrics()
    access = nothing_denied(settings)
    committer = Committer(settings, TopicLimits(settings), metrics, access)
    watch = Watch(settings, metrics)
    context = WorkerContext(settings, processor, committer, metrics, lambda *_: (), object, watch, access)
    partitions = rebalance.Partitions(context)
    partitions.attach(Consumer)
    return partitions


def test_every_partition_gets_its_records_before_a_slow_one_blocks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def scenario() -> None:
        partitions = made(load_settings(None, rules=tmp_path))
        await partitions.on_partitions_assigned([TopicPartition("in", 0), TopicPartition("in", 1)])
        dispatching = asyncio.create_task(partitions.dispatch([record(0, 5), record(1, 7), record(1, 8)]))
        await asyncio.sleep(0)
        # No old records wait in between that a restarted worker could take for its next ones.
        assert [worker.offered for worker in workers] == [[5], [7, 8]]
        assert not dispatching.done()
        for worker in workers:
            worker.free.set()
        await dispatching

    workers.clear()
    monkeypatch.setattr(rebalance, "PartitionWorker", SlowWorker)
    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("fences", "unfenced", "share", "refused"),
    [
        (True, "refuse", [0], False),
        (False, "refuse", [0, 1], False),
        (False, "refuse", [0], True),
        (False, "refuse", [], True),
        (False, "allow", [0], False),
    ],
)
def test_on_a_broker_that_does_not_fence_a_second_member_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fences: bool, unfenced: str, share: list[int], refused: bool
) -> None:
    """Each could make the decisions of the other again."""

    async def scenario() -> None:
        partitions = made(load_settings(None, rules=tmp_path, activity_topic="in", unfenced=unfenced))
        partitions._committer.fences = fences
        partitions.failure = asyncio.get_running_loop().create_future()
        await partitions.on_partitions_assigned([TopicPartition("in", number) for number in share])
        assert partitions.failure.done() is refused
        if refused:
            assert isinstance(partitions.failure.result(), UnfencedError)
            assert "SCORER_UNFENCED=allow" in str(partitions.failure.result())
        assert [worker.partition.partition for worker in workers] == ([] if refused else share)

    workers.clear()
    monkeypatch.setattr(rebalance, "PartitionWorker", SlowWorker)
    asyncio.run(scenario())
