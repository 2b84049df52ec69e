"""Background jobs of a partition: after the activities, in turns, inside the transactions."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownError

from scorer.domain.activity import LeadActivity
from scorer.domain.facts import Fact, Stamp
from scorer.domain.instant import DAY, SECOND
from scorer.domain.lead import Lead
from scorer.evaluation.results import Assessment
from scorer.kafka.message import Message
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.topic_reader import Span
from scorer.kafka.transaction import AbortedError, DoubtfulError, Member, Offset
from scorer.runtime.metrics import BatchFigures, Metrics
from scorer.runtime.settings import load_settings
from scorer.runtime.token_bucket import TokenBucket
from scorer.state.codec import encode_lead
from scorer.state.input_position import POSITION_KEY, decode_position
from scorer.state.store import LeadStore
from scorer.stream import committer as committer_module
from scorer.stream import worker as worker_module
from scorer.stream.assigned import FatalError
from scorer.stream.batch import BatchProcessor
from scorer.stream.committer import Committer
from scorer.stream.jobs.job import Job
from scorer.stream.jobs.turns import Turns
from scorer.stream.outbox import Outbox
from scorer.stream.watch import Watch
from scorer.stream.worker import PartitionWorker, WorkerContext
from tests import virtual_time
from tests.factory import nothing_denied
from tests.unit.stand_ins import Consumer, Owner
from tests.unit.test_batch import NOW, record, touch
from tests.unit.test_metrics import value
from tests.unit.test_worker import PARTITION

BATCH = 2
"""In records."""


class Steps:
    """A job with a number of steps, one per transaction. It waits for activities and for the bucket."""

    def __init__(self, name: str, steps: int, pace: TokenBucket | None = None) -> None:
        self.name = name
        self.pace = pace or TokenBucket(lambda: 0.0)
        self.cost = 0.0 if pace is None else 1.0
        self.remaining = steps
        self.number = 0
        self.limit: float | None = None
        self.asked = 0
        self.busy: list[bool] = []
        self.store: LeadStore | None = None
        self._staged = False

    def patience(self) -> float | None:
        if self.remaining == 0 or self.limit is not None:
            return self.limit
        return self.pace.wait()

    def ready(self) -> bool:
        self.asked += 1
        return self.remaining > 0 and (self._staged or self.pace.wait() == 0)

    def stage(self, outbox: Outbox, figures: BatchFigures, *, busy: bool) -> bool:
        self.busy.append(busy)
        if not self._staged and not busy and self.ready():
            self._staged = True
            self.pace.spend(self.cost)
        if self._staged:
            outbox.messages.append(Message(self.name, 0, b"", str(self.number).encode(), []))
            if self.store is not None:
                self.store.stage(marked(f"of-{self.name}"))
        return self._staged

    def committed(self) -> None:
        if self._staged:
            self._staged = False
            self.number += 1
            self.remaining -= 1


def marked(lead_id: str) -> Lead:
    """A lead that a job changed."""
    return Lead(lead_id, NOW, {"job": Fact("done", Stamp(NOW - DAY, "e", "s"))})


@dataclass
class Kafka:
    """Accepts transactions; `errors` end the first ones, in order. `found`: the committed offset after these."""

    errors: list[Exception] = field(default_factory=list)
    tried: list[Outbox] = field(default_factory=list)
    committed: list[Outbox] = field(default_factory=list)
    found: Offset | None = None
    offset: Offset | None = None
    broker_time: int | None = None
    obstacle = ""

    def producer(self, *_: object) -> "Kafka":
        return self

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def settle(self) -> None:
        pass

    async def fence(self, transactional_id: str) -> None:
        pass

    async def fences_groups(self, group: str, partition: TopicPartition) -> bool:
        return True

    async def stable_offsets(
        self, group: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Offset | None]:
        return dict.fromkeys(partitions, self.offset)

    async def log_span(self, partition: TopicPartition) -> Span:
        return Span(0, 0)

    async def commit(
        self, messages: list[Message], offsets: dict[TopicPartition, Offset], member: Member, *, batch_bytes: int
    ) -> None:
        ((next_offset, _),) = offsets.values()
        outbox = Outbox(next_offset, messages)
        self.tried.append(outbox)
        if self.errors:
            self.offset = self.found
            raise self.errors.pop(0)
        self.committed.append(outbox)


def aborted(cause: KafkaError) -> AbortedError:
    error = AbortedError(repr(cause))
    error.__cause__ = cause
    return error


Made = list[tuple[LeadStore, int]]
Scenario = Callable[[PartitionWorker], Coroutine[Any, Any, None]]
Run = Callable[..., tuple[Made, Metrics]]


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kafka: Kafka) -> Run:
    """A worker with these jobs, from its restore (of one lead) to its end."""

    async def restore(_: object, __: object, ___: object, store: LeadStore, *____: object) -> int:
        store.restore("known", encode_lead(marked("known")))
        return 0

    async def nothing(*_: object) -> int:
        return 0

    monkeypatch.setattr(committer_module, "TransactionalProducer", kafka.producer)
    monkeypatch.setattr(worker_module, "restore", restore)
    monkeypatch.setattr(worker_module, "starting_offset", nothing)

    def run(jobs: list[Steps], scenario: Scenario) -> tuple[Made, Metrics]:
        made: Made = []
        settings, metrics = load_settings(None, rules=tmp_path, max_records=BATCH, linger_ms=0), Metrics()
        rules = object()

        def make(store: LeadStore, partition: int) -> list[Job]:
            made.append((store, partition))
            for job in jobs:
                job.store = store
            return list(jobs)

        async def main() -> None:
            processor = BatchProcessor(settings, judge, lambda: NOW)
            committer = Committer(settings, TopicLimits(settings), metrics, nothing_denied(settings))
            await committer.start()
            committer.join(Member(settings.group, 1, "member"))
            watch = Watch(settings, metrics)
            context = WorkerContext(
                settings, processor, committer, metrics, make, lambda: rules, watch, nothing_denied(settings)
            )
            consumer = Consumer()
            worker = PartitionWorker(PARTITION, consumer, Owner(), context)
            await consumer.opened.wait()
            # A worker that fails ends the test, even while the scenario waits.
            playing = asyncio.ensure_future(scenario(worker))
            await asyncio.wait([playing, worker.task], return_when=asyncio.FIRST_COMPLETED)
            worker.close()
            await worker.task
            await playing
            await committer.stop()

        virtual_time.run(main(), 30)
        return made, metrics

    return run


def judge(lead: Lead, activity: LeadActivity, *_: object) -> Assessment:
    return touch(lead, activity, None)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (a condition on what fakes record, not on an event)
        await asyncio.sleep(0.001)


def staged(outbox: Outbox, *names: str) -> list[str]:
    """The messages of these jobs, in order."""
    messages = (message for message in outbox.messages if message.topic in names)
    return [f"{message.topic}{(message.value or b'').decode()}" for message in messages]


def test_activities_come_first(run: Run, kafka: Kafka) -> None:
    """A job learns that more activities wait. In a transaction with both, their messages come first."""
    job = Steps("a", 2)
    job.limit = 60.0

    async def scenario(worker: PartitionWorker) -> None:
        worker.offer([record(number, f"lead-{number}") for number in range(3 * BATCH)])
        await until(lambda: len(kafka.committed) == 3)
        assert worker.remaining() == {"a": 1}

    run([job], scenario)
    assert job.busy == [True, True, False]
    assert [staged(outbox, "a") for outbox in kafka.committed] == [[], [], ["a0"]]
    assert [outbox.next_offset for outbox in kafka.committed] == [2, 4, 6]
    last = kafka.committed[-1]
    assert [message.key for message in last.messages] == [b"lead-4", b"lead-5", POSITION_KEY, b""]


def test_all_jobs_work_without_activities_and_the_offset_stays(run: Run, kafka: Kafka) -> None:
    jobs = [Steps("a", 2), Steps("b", 3)]

    async def scenario(worker: PartitionWorker) -> None:
        await until(lambda: len(kafka.committed) == 3)
        assert worker.lead("of-a") == marked("of-a")

    _, metrics = run(jobs, scenario)
    assert [staged(outbox, "a", "b") for outbox in kafka.committed] == [["a0", "b0"], ["a1", "b1"], ["b2"]]
    assert {outbox.next_offset for outbox in kafka.committed} == {0}
    assert value(metrics, "scorer_transactions_total", outcome="committed") == 3


def test_the_jobs_are_made_from_the_restored_leads(run: Run) -> None:
    known: list[Lead | None] = []

    class Curious(Steps):
        def patience(self) -> float | None:
            assert self.store is not None
            known.append(self.store.committed("known"))
            return super().patience()

    async def scenario(worker: PartitionWorker) -> None:
        await until(lambda: bool(known))

    made, _ = run([Curious("a", 0)], scenario)
    assert known[0] == marked("known")
    assert [number for _, number in made] == [PARTITION.partition]


def test_a_job_that_is_not_ready_costs_no_transaction(run: Run, kafka: Kafka) -> None:
    job = Steps("a", 0)
    job.limit = 0.001

    async def scenario(worker: PartitionWorker) -> None:
        await until(lambda: job.asked > 5)

    run([job], scenario)
    assert kafka.tried == []
    assert job.busy == []


def test_jobs_without_patience_are_asked_again_when_rules_change(run: Run, kafka: Kafka) -> None:
    job = Steps("a", 0)

    async def scenario(worker: PartitionWorker) -> None:
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert job.asked == 0
        job.remaining = 1
        worker.rules_changed()
        await until(lambda: bool(kafka.committed))

    run([job], scenario)
    assert staged(kafka.committed[0], "a") == ["a0"]


def test_staged_work_that_was_not_committed_is_staged_again(run: Run, kafka: Kafka) -> None:
    kafka.errors = [aborted(KafkaConnectionError()), aborted(KafkaConnectionError())]
    jobs = [Steps("a", 1), Steps("b", 2)]

    async def scenario(worker: PartitionWorker) -> None:
        await until(lambda: len(kafka.tried) == 1)
        assert worker.lead("of-a") is None
        await until(lambda: len(kafka.committed) == 2)

    _, metrics = run(jobs, scenario)
    assert [staged(outbox, "a", "b") for outbox in kafka.tried] == [*[["a0", "b0"]] * 3, ["b1"]]
    assert value(metrics, "scorer_transactions_total", outcome="aborted") == 2


def test_after_a_doubtful_commit_that_was_none_the_work_is_committed_again(run: Run, kafka: Kafka) -> None:
    kafka.errors = [DoubtfulError("no answer")]

    async def scenario(worker: PartitionWorker) -> None:
        await until(lambda: bool(kafka.committed))

    made, metrics = run([Steps("a", 1)], scenario)
    assert [staged(outbox, "a") for outbox in kafka.tried] == [["a0"]] * 2
    assert len(made) == 1
    assert value(metrics, "scorer_transactions_total", outcome="doubtful") == 1


def test_when_somebody_else_has_committed_the_jobs_are_made_again(run: Run, kafka: Kafka) -> None:
    kafka.errors = [DoubtfulError("no answer")]
    kafka.found = Offset(0, "of another one")

    async def scenario(worker: PartitionWorker) -> None:
        await until(lambda: bool(kafka.committed))

    made, _ = run([Steps("a", 1)], scenario)
    assert [number for _, number in made] == [PARTITION.partition] * 2
    assert made[0][0] is not made[1][0]


def test_an_error_that_is_not_retriable_ends_the_worker(run: Run, kafka: Kafka) -> None:
    kafka.errors = [aborted(UnknownError())]

    async def scenario(worker: PartitionWorker) -> None:
        await worker.task

    with pytest.raises(FatalError, match="Kafka refused the transaction"):
        run([Steps("a", 1)], scenario)
    assert kafka.committed == []


def transact(turns: Turns, *, commit: bool = True) -> list[str]:
    """The messages of the jobs in one transaction."""
    outbox = Outbox(0)
    turns.stage(outbox, BatchFigures(), busy=False)
    if commit:
        turns.committed()
    return staged(outbox, "a", "b", "c")


def test_jobs_that_share_a_rate_take_turns() -> None:
    now = 0.0
    pace = TokenBucket(lambda: now)
    turns = Turns([Steps("a", 10, pace), Steps("b", 10, pace), Steps("c", 2, pace)])
    done: list[str] = []
    for _ in range(9):
        # Transactions in between, in which no job may work, change nothing.
        assert turns.ready()
        done += transact(turns)
        assert not turns.ready()
        assert transact(turns) == []
        assert turns.patience() == 1.0
        now += 1.0
    assert done == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "a3"]


def test_an_abort_costs_no_job_its_turn() -> None:
    now = 0.0
    pace = TokenBucket(lambda: now)
    turns = Turns([Steps("a", 10, pace), Steps("b", 10, pace)])
    assert transact(turns, commit=False) == ["a0"]
    assert transact(turns) == ["a0"]
    now += 1.0
    assert transact(turns, commit=False) == ["b0"]
    now += 1.0
    # The next job may work too by now.
    assert transact(turns) == ["b0", "a1"]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [((), None), ((None, None), None), ((None, 2.0, 5.0), 2.0), ((3.0, 0.0), 0.0)],
)
def test_patience_is_the_least_of_all_jobs(limits: tuple[float | None, ...], expected: float | None) -> None:
    jobs = [Steps("a", 0) for _ in limits]
    for job, limit in zip(jobs, limits, strict=True):
        job.limit = limit
    assert Turns(jobs).patience() == expected


def test_every_job_is_asked_because_it_may_need_preparation() -> None:
    jobs = [Steps("a", 1), Steps("b", 1)]
    assert Turns(jobs).ready()
    assert [job.asked for job in jobs] == [1, 1]


def test_remaining_work_is_counted_by_job_and_shown_as_a_metric() -> None:
    remaining = Turns([Steps("rescore", 3), Steps("a", 2), Steps("rescore", 4)]).remaining()
    assert remaining == {"rescore": 7, "a": 2}
    metrics = Metrics()
    metrics.remaining(remaining)
    assert value(metrics, "scorer_rescore_remaining") == 7
    metrics.remaining({})
    assert value(metrics, "scorer_rescore_remaining") == 0


def test_the_position_keeps_the_time_of_the_log(run: Run, kafka: Kafka) -> None:
    """Jobs that work without records see it, too."""
    job = Steps("a", 1)
    job.limit = 60.0

    async def scenario(worker: PartitionWorker) -> None:
        worker.offer([replace(record(0, "lead-0"), timestamp=7_000, timestamp_type=1)])
        await until(lambda: len(kafka.committed) == 1)
        assert job.store is not None
        await until(lambda: job.store is not None and job.store.log_time == 7 * SECOND)

    _, metrics = run([job], scenario)
    (position,) = [message for message in kafka.committed[0].messages if message.key == POSITION_KEY]
    assert decode_position(position.value or b"", position.headers).log_time == 7 * SECOND
    assert "scorer_log_time_timestamp_seconds{" not in metrics.render().decode()
