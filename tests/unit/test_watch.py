"""What the log, the metrics and `/health/ready` say of partitions that do not advance and of a wrong clock."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from scorer.kafka.record_limits import TopicLimits
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import load_settings
from scorer.stream import partitions as partitions_module
from scorer.stream.assigned import State
from scorer.stream.batch import BatchProcessor
from scorer.stream.committer import Committer
from scorer.stream.partitions import Partitions
from scorer.stream.stall import Standing
from scorer.stream.watch import Watch
from scorer.stream.worker import WorkerContext
from tests.factory import nothing_denied
from tests.unit.test_batch import record
from tests.unit.test_metrics import value

EPOCH = 1_800_000_000.0
BUSY = Standing(5, 0, "the end of its transaction", 9)
DONE = Standing(9, 0, None, 9)


class Clock:
    """Both clocks of a watch; `off`: how far the wall clock is ahead."""

    now = 0.0
    off = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return EPOCH + self.now + self.off


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def watch(clock: Clock, metrics: Metrics, tmp_path: Path) -> Watch:
    return Watch(load_settings(None, rules=tmp_path), metrics, clock.monotonic, clock.wall)


@pytest.fixture
def look(watch: Watch, clock: Clock) -> Callable[..., list[str]]:
    """Look at the partitions once a second; returns the logged events."""

    def run(standings: dict[int | str, Standing], seconds: int, missing: Collection[str] = ()) -> list[str]:
        with capture_logs() as lines:
            for _ in range(seconds):
                clock.now += 1.0
                watch.look(standings, missing)
        return [line["event"] for line in lines]

    return run


def test_one_line_at_the_beginning_one_a_minute_and_one_at_the_end(
    watch: Watch, look: Callable[..., list[str]], metrics: Metrics
) -> None:
    assert look({3: BUSY, 4: DONE}, 120) == []
    assert watch.trouble() == {}
    assert look({3: BUSY, 4: DONE}, 1) == ["partition_stalled"]
    assert value(metrics, "scorer_partition_stalled_seconds", partition="3") == 120
    assert value(metrics, "scorer_partition_stalled_seconds", partition="4") == 0
    assert watch.trouble() == {
        "stalled": {
            "3": {
                "offset": 5,
                "log_end": 9,
                "seconds": 120,
                "since": "2027-01-15T08:00:01Z",
                "waits_for": "the end of its transaction",
            }
        }
    }
    assert look({3: BUSY, 4: DONE}, 180) == ["partition_stalled"] * 3
    assert look({3: DONE, 4: DONE}, 100) == ["partition_stall_ended"]
    assert watch.trouble() == {}


def test_a_rebalance_does_not_make_a_stall_younger(watch: Watch, look: Callable[..., list[str]]) -> None:
    for _ in range(3):
        assert look({3: BUSY}, 20) == []
        assert look({}, 20) == [], "revoked"
        watch.assigned([3])
    assert look({3: BUSY}, 20) == ["partition_stalled"]


def test_a_partition_that_is_not_assigned_any_more_is_forgotten(
    watch: Watch, look: Callable[..., list[str]], metrics: Metrics
) -> None:
    look({3: BUSY}, 130)
    with capture_logs() as lines:
        watch.assigned([4])
    assert [(line["event"], line["partition"]) for line in lines] == [("partition_stall_ended", 3)]
    assert watch.trouble() == {}
    assert b"stalled_seconds{" not in metrics.render()
    assert look({}, 200) == []


def test_a_topic_that_kafka_does_not_show_is_a_stall_of_its_own_until_it_is_there_again(
    watch: Watch, look: Callable[..., list[str]], metrics: Metrics
) -> None:
    assert look({3: DONE}, 120, ["crm"]) == []
    watch.assigned([3])
    assert look({3: DONE}, 1, ["crm"]) == ["partition_stalled"], "a rebalance makes it no younger"
    assert value(metrics, "scorer_partition_stalled_seconds", partition="crm") == 120
    assert watch.trouble()["stalled"].keys() == {"crm"}  # type: ignore[attr-defined]
    assert look({3: DONE}, 1) == ["partition_stall_ended"]
    assert watch.trouble() == {}
    assert b'partition="crm"' not in metrics.render()


def test_a_wrong_clock_is_reported_until_it_is_set(
    watch: Watch, look: Callable[..., list[str]], clock: Clock, metrics: Metrics
) -> None:
    clock.off = -172_800.0
    watch.committed([record(0, "lead")], {}, round((EPOCH + clock.now) * 1000))
    assert look({}, 1) == ["clock_off"]
    assert value(metrics, "scorer_clock_offset_seconds") == 172_800
    assert watch.trouble() == {
        "clock": {"offset_seconds": 172_800, "evidence": "the time that the broker gave our own records"}
    }
    assert watch.is_clock_off
    assert look({}, 120) == ["clock_off"] * 2
    clock.off = 0.0
    assert look({}, 5) == ["clock_off_ended"]
    assert value(metrics, "scorer_clock_offset_seconds") == 0
    assert watch.trouble() == {}
    assert not watch.is_clock_off


def test_the_worker_is_unready_while_a_partition_stalls_and_while_it_rejoins(
    monkeypatch: pytest.MonkeyPatch, watch: Watch, metrics: Metrics, clock: Clock, tmp_path: Path
) -> None:
    class Worker:
        """Runs, and shows what the test says."""

        standing_now = BUSY
        state = State.RUNNING

        def __init__(self, partition: TopicPartition, *_: object) -> None:
            self.partition = partition
            self.task: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def standing(self) -> Standing:
            return self.standing_now

        def measure_lag(self) -> None:
            pass

        def suspend(self) -> None:
            pass

        def remaining(self) -> Counter[str]:
            return Counter()

        def close(self) -> None:
            self.task.set_result(None)

    class Consumer:
        generation = 1
        member_id = "member"

        @property
        def _coordinator(self) -> "Consumer":
            return self

        def pause(self, *partitions: TopicPartition) -> None:
            pass

        def partitions_for_topic(self, topic: str) -> set[int]:
            return {0}

    def judge(*_: Any) -> Any:
        raise NotImplementedError

    async def scenario() -> None:
        settings = load_settings(None, rules=tmp_path)
        processor = BatchProcessor(settings, judge, lambda: 0)
        committer = Committer(settings, TopicLimits(settings), metrics, nothing_denied(settings))
        access = nothing_denied(settings)
        partitions = Partitions(
            WorkerContext(settings, processor, committer, metrics, lambda *_: (), object, watch, access)
        )
        consumer = Consumer()
        partitions.attach(lambda: consumer)
        ours = [TopicPartition("in", 3)]

        def status() -> tuple[bool, object]:
            ready, details = partitions.ready()
            return ready, details["status"]

        assert status() == (False, "waiting for an assignment")
        await partitions.on_partitions_revoked([])
        await partitions.on_partitions_assigned(ours)
        assert status() == (True, "ready")
        for _ in range(130):
            clock.now += 1.0
            partitions.measure()
        assert status() == (False, "stalled")
        Worker.standing_now = DONE
        clock.now += 1.0
        partitions.measure()
        assert status() == (True, "ready")
        await partitions.on_partitions_revoked(ours)
        assert status() == (False, "rejoining")
        await partitions.on_partitions_assigned([])
        assert status() == (True, "ready"), "a spare"

    monkeypatch.setattr(partitions_module, "PartitionWorker", Worker)
    asyncio.run(scenario())
