"""A partition worker processes a large batch: other tasks run meanwhile, and one revision judges all of it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from structlog.testing import capture_logs

from scorer.domain.activity import LeadActivity
from scorer.domain.facts import Fact, Stamp
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.kafka.message import Message
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import load_settings
from scorer.runtime.token_bucket import TokenBucket
from scorer.state.codec import decode_lead
from scorer.state.input_position import POSITION_KEY, decode_position
from scorer.state.marker import MARKER_KEY, decode_marker
from scorer.state.store import LeadStore
from scorer.stream import inbox as inbox_module
from scorer.stream import worker as worker_module
from scorer.stream.batch import BatchProcessor
from scorer.stream.jobs.job import Job
from scorer.stream.jobs.rescore import Rescorer, Sweep
from scorer.stream.watch import Watch
from scorer.stream.worker import PartitionWorker, WorkerContext
from tests.factory import SMALL_RULES, evaluator, nothing_denied
from tests.unit.stand_ins import Committed, Committer, Consumer, Owner
from tests.unit.test_batch import NOW, record

COUNT = 1_000
CACHED = 17
STEP = 100
"""Records: about ten milliseconds of work."""
PARTITION = TopicPartition("in", 3)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[Committed]]:
    """Let a worker process COUNT records of different leads; returns what it committed."""

    async def nothing(*_: object) -> int:
        return 0

    monkeypatch.setattr(worker_module, "restore", nothing)
    monkeypatch.setattr(worker_module, "starting_offset", nothing)

    async def scenario(judge: Any, rules: Callable[[], Evaluator], beside: Callable[[], None]) -> list[Committed]:
        consumer, committer = Consumer(), Committer(PARTITION)
        settings = load_settings(None, rules=tmp_path, max_records=COUNT, cache_leads=CACHED)
        rescorer = Rescorer(settings, rules, lambda: NOW, TokenBucket(time.monotonic), time.monotonic)

        def jobs(store: LeadStore, partition: int) -> list[Job]:
            return [Sweep(rescorer, store, partition)]

        metrics = Metrics()
        anything: Any = committer
        processor = BatchProcessor(settings, judge, lambda: NOW)
        context = WorkerContext(
            settings, processor, anything, metrics, jobs, rules, Watch(settings, metrics), nothing_denied(settings)
        )
        worker = PartitionWorker(PARTITION, consumer, Owner(), context)
        await consumer.opened.wait()
        records: list[ConsumerRecord[bytes, bytes]] = [record(offset, f"lead-{offset}") for offset in range(COUNT)]
        worker.offer(records)
        while not committer.transactions:
            beside()
            await asyncio.sleep(0)
        worker.close()
        await worker.task
        return committer.transactions

    def run(judge: Any, rules: Callable[[], Evaluator], beside: Callable[[], None]) -> list[Committed]:
        return asyncio.run(asyncio.wait_for(scenario(judge, rules, beside), 30))

    return run


def test_other_tasks_run_within_a_batch(process: Callable[..., list[Committed]]) -> None:
    judged, seen, rules = 0, [0], evaluator()

    def judge(lead: Lead, activity: LeadActivity, *_: object) -> Assessment:
        nonlocal judged
        judged += 1
        return Assessment(lead)

    (outbox,) = process(judge, lambda: rules, lambda: seen.append(judged))
    assert outbox.next_offset == COUNT
    assert judged == COUNT
    assert max(after - before for before, after in zip(seen, [*seen[1:], COUNT], strict=True)) <= STEP


def test_a_worker_keeps_as_many_leads_decoded_as_the_settings_say(
    process: Callable[..., list[Committed]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zero once it is closed."""
    sizes: list[int] = []

    def made(cache_size: int) -> LeadStore:
        sizes.append(cache_size)
        return LeadStore(cache_size)

    monkeypatch.setattr(worker_module, "LeadStore", made)
    rules = evaluator()
    process(rules.assess, lambda: rules, lambda: None)
    assert set(sizes[:-1]) == {CACHED}
    assert sizes[-1] == 0


def test_a_batch_has_one_line_about_keys_that_do_not_fit_and_it_quotes_nothing(
    process: Callable[..., list[Committed]], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = record

    def unfitting(offset: int, lead: str) -> "ConsumerRecord[bytes, bytes]":
        value = usual(offset, lead).value or b""
        bad = b', "seconds": "secret"' if offset % 2 else b', "secret": 1'
        return usual(offset, lead, value.replace(b'"url": "/"', b'"url": "/"' + bad))

    monkeypatch.setattr("tests.unit.test_worker.record", unfitting)
    rules = evaluator()
    with capture_logs() as lines:
        process(rules.assess, lambda: rules, lambda: None)
    (line,) = [line for line in lines if line["event"] == "activities_unfitting"]
    assert line["keys"] == {"other undeclared": COUNT // 2, "page_viewed.seconds wrong_type": COUNT // 2}
    assert line["others"] == 0
    assert "secret" not in repr(lines)


def test_rules_that_change_within_a_batch_judge_the_whole_batch(process: Callable[..., list[Committed]]) -> None:
    """The marker in the changelog says that they judged everything in the transaction."""
    old = evaluator()
    new = evaluator(SMALL_RULES.replace("warm: 20", "warm: 21"))
    judged = 0
    current = old

    def judge(lead: Lead, activity: LeadActivity, *_: object) -> Assessment:
        nonlocal judged
        judged += 1
        fact = Fact(current.ruleset.revision, Stamp(activity.time, activity.id, activity.source))
        return Assessment(Lead(lead.id, activity.time, {"by": fact}))

    def change() -> None:
        nonlocal current
        if judged >= COUNT // 2:
            current = new

    (outbox,) = process(judge, lambda: current, change)
    states = {message.key: message.value for message in outbox.messages}
    marker, position = states.pop(MARKER_KEY), states.pop(POSITION_KEY)
    assert position is not None
    assert decode_position(position).next_offset == outbox.next_offset
    assert marker is not None
    assert decode_marker(marker).revision == new.ruleset.revision
    assert len(states) == COUNT
    for key, state in states.items():
        assert key is not None
        assert state is not None
        assert decode_lead(key.decode(), state).facts["by"].value == new.ruleset.revision
    assert judged > COUNT


def test_a_partition_that_hangs_is_not_fetched_until_there_is_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise its records would fill the memory."""
    monkeypatch.setattr(inbox_module, "_STALLED_SECONDS", 0.01)
    calls: list[str] = []

    class Noting(Consumer):
        def pause(self, *partitions: TopicPartition) -> None:
            assert partitions == (PARTITION,)
            calls.append("pause")

        def resume(self, *partitions: TopicPartition) -> None:
            assert partitions == (PARTITION,)
            calls.append("resume")
            super().resume(*partitions)

    async def nothing(*_: object) -> int:
        return 0

    monkeypatch.setattr(worker_module, "restore", nothing)
    monkeypatch.setattr(worker_module, "starting_offset", nothing)

    async def scenario() -> None:
        gate = asyncio.Event()

        class Hanging(Committer):
            async def commit(
                self, partition: TopicPartition, messages: Sequence[Message], next_offset: int, note: str = ""
            ) -> int | None:
                await gate.wait()
                return await super().commit(partition, messages, next_offset, note)

        consumer = Noting()
        settings = load_settings(None, rules=tmp_path, max_records=10)
        metrics = Metrics()
        committer = Hanging(PARTITION)
        anything: Any = committer
        rules = evaluator()
        processor = BatchProcessor(settings, rules.assess, lambda: NOW)
        context = WorkerContext(
            settings,
            processor,
            anything,
            metrics,
            lambda *_: (),
            lambda: rules,
            Watch(settings, metrics),
            nothing_denied(settings),
        )
        worker = PartitionWorker(PARTITION, consumer, Owner(), context)
        await consumer.opened.wait()
        calls.clear()
        worker.offer([record(offset, f"lead-{offset}") for offset in range(15)])
        await worker.room()
        assert calls == []
        worker.offer([record(offset, f"lead-{offset}") for offset in range(15, 40)])
        await worker.room()
        assert calls == ["pause"]
        gate.set()
        while not committer.transactions or committer.transactions[-1].next_offset < 40:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert calls == ["pause", "resume"]
        worker.close()
        await worker.task

    asyncio.run(asyncio.wait_for(scenario(), 30))


WAITS = {
    "joined": "the group, which must assign partitions again",
    "take_over": "the committed offset, which an open transaction of a former owner may still change",
    "restore": "its changelog",
    "starting_offset": "the log of the input",
    "commit": "the end of its transaction",
}
"""What hangs, and what the worker then waits for."""


@pytest.mark.parametrize("hanging", WAITS)
@pytest.mark.parametrize("obstacle", ["", "NotEnoughReplicasError"])
def test_a_worker_says_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hanging: str, obstacle: str
) -> None:
    async def scenario() -> None:
        reached, gate = asyncio.Event(), asyncio.Event()

        def step(name: str, result: Any) -> Callable[..., Any]:
            async def work(*_: object) -> Any:
                if name == hanging:
                    reached.set()
                    await gate.wait()
                return result

            return work

        class Assigned(Consumer):
            def assignment(self) -> set[TopicPartition]:
                return {PARTITION}

            def highwater(self, partition: TopicPartition) -> int:
                return 1

            def last_poll_timestamp(self, partition: TopicPartition) -> None:
                return None

        committer: Any = Committer(PARTITION)
        committer.waits_for = obstacle
        for name, result in (("joined", None), ("take_over", None), ("commit", None)):
            setattr(committer, name, step(name, result))
        for name in ("restore", "starting_offset"):
            monkeypatch.setattr(worker_module, name, step(name, 0))
        consumer = Assigned()
        settings = load_settings(None, rules=tmp_path)
        metrics = Metrics()
        rules = evaluator()
        processor = BatchProcessor(settings, rules.assess, lambda: NOW)
        watch, access = Watch(settings, metrics), nothing_denied(settings)
        context = WorkerContext(settings, processor, committer, metrics, lambda *_: (), lambda: rules, watch, access)
        worker = PartitionWorker(PARTITION, consumer, Owner(), context)
        if hanging == "commit":
            await consumer.opened.wait()
            worker.offer([record(0, "lead-0")])
        await reached.wait()
        wanted = WAITS[hanging]
        assert worker.standing().waits_for == (f"{wanted}; the last error: {obstacle}" if obstacle else wanted)
        worker.suspend()
        if hanging == "commit":
            assert worker.standing().waits_for == "the group, which must assign partitions again"
        gate.set()
        worker.close()
        await worker.task

    asyncio.run(asyncio.wait_for(scenario(), 30))
