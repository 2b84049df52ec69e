"""The committer of a worker: what goes into a transaction together, and what becomes of it when one fails."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, RequestTimedOutError, UnknownError
from structlog.testing import capture_logs

from scorer.kafka.message import Message
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.topic_reader import Span
from scorer.kafka.transaction import (
    AbortedError,
    DoubtfulError,
    FencedError,
    GroupFencedError,
    InstanceFencedError,
    Member,
    Offset,
    Refusal,
    TooLargeError,
    TransactionLimits,
)
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings, load_settings
from scorer.stream import committer as committer_module
from scorer.stream.committer import Committer, OutdatedError, RefusedError, WithdrawnError
from tests import virtual_time
from tests.factory import nothing_denied
from tests.unit.test_metrics import value

PARTITIONS = [TopicPartition("in", number) for number in range(4)]
ONE, TWO, THREE, FOUR = PARTITIONS
MEMBER = Member("lead-scorer", 1, "member")
Offsets = dict[TopicPartition, Offset]
Fault = Callable[["Transaction"], BaseException | None]


class Transaction:
    """One try."""

    def __init__(self, messages: Sequence[Message], offsets: Mapping[TopicPartition, Offset], member: Member) -> None:
        self.messages = list(messages)
        self.offsets = dict(offsets)
        self.member = member
        self.committed = False

    @property
    def partitions(self) -> list[int]:
        return [partition.partition for partition in self.offsets]


class Kafka:
    """Takes the place of all producers.

    `faults`: decide about the next transactions, one each. `hold`: transactions wait until it is set. `commits_all`:
    transactions with a fault are committed nevertheless.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.limits: list[TransactionLimits] = []
        self.running: set[str] = set()
        self.fences = True
        self.tried: list[Transaction] = []
        self.faults: list[Fault] = []
        self.hold: asyncio.Event | None = None
        self.commits_all = False
        self.offsets: Offsets = {}
        self.calls: list[str] = []
        self.failing: dict[str, list[BaseException]] = {}

    @property
    def committed(self) -> list[Transaction]:
        return [one for one in self.tried if one.committed]

    def producer(self, settings: Settings, transactional_id: str, limits: TransactionLimits) -> "Producer":
        self.ids.append(transactional_id)
        self.limits.append(limits)
        return Producer(self, transactional_id)

    def call(self, name: str) -> None:
        self.calls.append(name)
        if self.failing.get(name):
            raise self.failing[name].pop(0)


class Producer:
    """One of them."""

    broker_time = 17
    obstacle = ""

    def __init__(self, kafka: Kafka, transactional_id: str) -> None:
        self._kafka = kafka
        self._id = transactional_id

    async def start(self) -> None:
        self._kafka.call("start")
        self._kafka.running.add(self._id)

    async def stop(self) -> None:
        self._kafka.running.discard(self._id)

    async def settle(self) -> None:
        self._kafka.call("settle")

    async def fence(self, transactional_id: str) -> None:
        self._kafka.call(f"fence {transactional_id}")

    async def fences_groups(self, group: str, partition: TopicPartition) -> bool:
        self._kafka.call("fences_groups")
        return self._kafka.fences

    async def stable_offsets(
        self, group: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Offset | None]:
        await asyncio.sleep(0)
        self._kafka.call("stable_offsets")
        return {partition: self._kafka.offsets.get(partition) for partition in partitions}

    async def log_span(self, partition: TopicPartition) -> Span:
        return Span(3, 8)

    async def commit(self, messages: Sequence[Message], offsets: Offsets, member: Member, *, batch_bytes: int) -> None:
        kafka = self._kafka
        transaction = Transaction(messages, offsets, member)
        kafka.tried.append(transaction)
        kafka.call("commit")
        if kafka.hold is not None:
            await kafka.hold.wait()
        await asyncio.sleep(0)
        error = kafka.faults.pop(0)(transaction) if kafka.faults else None
        if error is None or kafka.commits_all:
            kafka.offsets |= offsets
            transaction.committed = True
        if error is not None:
            raise error


def aborted(cause: BaseException) -> Fault:
    """An abort with this cause."""

    def fault(transaction: Transaction) -> BaseException:
        error = AbortedError(repr(cause))
        error.__cause__ = cause
        return error

    return fault


def doubtful(transaction: Transaction) -> BaseException:
    return DoubtfulError("no answer")


def fenced(transaction: Transaction) -> BaseException:
    return FencedError()


def message(partition: TopicPartition, text: str = "") -> Message:
    return Message("out", partition.partition, b"k", f"{partition.partition}{text}".encode(), [])


Play = Callable[[Callable[[Committer], Coroutine[Any, Any, None]]], Committer]


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def instance() -> str | None:
    """SCORER_INSTANCE."""
    return None


@pytest.fixture
def settings(tmp_path: Path, instance: str | None) -> Settings:
    return load_settings(None, rules=tmp_path, instance=instance)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, kafka: Kafka, metrics: Metrics, settings: Settings) -> Play:
    """Play a scenario with a committer that is a member of the group and has taken over all partitions."""
    monkeypatch.setattr(committer_module, "TransactionalProducer", kafka.producer)

    def run(scenario: Callable[[Committer], Coroutine[Any, Any, None]]) -> Committer:
        async def main() -> Committer:
            committer = Committer(settings, TopicLimits(settings), metrics, nothing_denied(settings))
            await committer.start()
            committer.join(MEMBER)
            for partition in PARTITIONS:
                await committer.take_over(partition)
            kafka.calls.clear()
            await scenario(committer)
            await committer.stop()
            assert kafka.running == set()
            return committer

        return virtual_time.run(main())

    return run


def begin(committer: Committer, *partitions: TopicPartition, next_offset: int = 5) -> "list[asyncio.Task[int | None]]":
    """Let these partitions have something ready."""
    return [
        asyncio.create_task(committer.commit(partition, [message(partition)], next_offset)) for partition in partitions
    ]


async def outcomes(tasks: "Sequence[asyncio.Task[int | None]]") -> list[object]:
    return list(await asyncio.gather(*tasks, return_exceptions=True))


def test_an_idle_committer_commits_at_once(play: Play, kafka: Kafka, metrics: Metrics) -> None:
    async def scenario(committer: Committer) -> None:
        await asyncio.sleep(1)
        started = asyncio.get_running_loop().time()
        assert await committer.commit(ONE, [message(ONE)], 5) == Producer.broker_time
        assert asyncio.get_running_loop().time() == started

    play(scenario)
    (transaction,) = kafka.tried
    assert transaction.messages == [message(ONE)]
    assert transaction.offsets[ONE].next == 5
    assert transaction.offsets[ONE].metadata
    assert transaction.member == MEMBER
    assert value(metrics, "scorer_transactions_total", outcome="committed") == 1


def test_what_is_ready_goes_into_one_transaction(play: Play, kafka: Kafka) -> None:
    async def scenario(committer: Committer) -> None:
        kafka.hold = asyncio.Event()
        first = begin(committer, ONE)
        await asyncio.sleep(1)
        others = begin(committer, TWO, THREE, FOUR)
        await asyncio.sleep(1)
        kafka.hold.set()
        assert await outcomes([*first, *others]) == [17] * 4

    play(scenario)
    assert [one.partitions for one in kafka.tried] == [[0], [1, 2, 3]]
    assert kafka.tried[1].messages == [message(partition) for partition in (TWO, THREE, FOUR)]
    # The name of a transaction tells it from every other one.
    names = [{offset.metadata for offset in one.offsets.values()} for one in kafka.tried]
    assert [len(name) for name in names] == [1, 1]
    assert names[0] != names[1]


def test_a_transaction_without_records_of_the_input_has_an_offset_too(play: Play, kafka: Kafka) -> None:
    """Where only jobs ran, the offset stays, and its name shows afterwards whether the transaction was committed."""
    kafka.faults = [doubtful]
    kafka.commits_all = True

    async def scenario(committer: Committer) -> None:
        kafka.offsets[ONE] = Offset(5, "of the transaction before")
        await committer.take_over(ONE)
        assert await committer.commit(ONE, [message(ONE)], 5) is None

    play(scenario)
    (transaction,) = kafka.tried
    assert transaction.partitions == [0]
    assert transaction.offsets[ONE].next == 5


def test_a_batch_that_is_too_large_fails_alone(play: Play, kafka: Kafka) -> None:
    refused = TooLargeError(Refusal("out", "k", 2_000, 1), [message(TWO)])

    def fault(transaction: Transaction) -> BaseException | None:
        (of_two,) = [one for one in transaction.messages if one == message(TWO)]
        cause = TooLargeError(refused.refusal, [of_two])
        return aborted(cause)(transaction)

    kafka.faults = [fault]

    async def scenario(committer: Committer) -> None:
        one, two, three = await outcomes(begin(committer, ONE, TWO, THREE))
        assert (one, three) == (17, 17)
        assert isinstance(two, TooLargeError)
        assert two.refusal == refused.refusal

    play(scenario)
    assert [one.partitions for one in kafka.tried] == [[0, 1, 2], [0, 2]]


def test_a_refusal_that_does_not_pass_is_found_by_trying_each_partition_alone(play: Play, kafka: Kafka) -> None:
    def fault(transaction: Transaction) -> BaseException | None:
        return aborted(UnknownError())(transaction) if TWO in transaction.offsets else None

    kafka.faults = [fault] * 4

    async def scenario(committer: Committer) -> None:
        one, two, three = await outcomes(begin(committer, ONE, TWO, THREE))
        assert (one, three) == (17, 17)
        assert isinstance(two, RefusedError)
        assert "UnknownError" in str(two)
        # Afterwards they go together again.
        assert await outcomes(begin(committer, ONE, THREE, FOUR)) == [17] * 3

    play(scenario)
    assert [one.partitions for one in kafka.tried] == [[0, 1, 2], [0], [1], [2], [0, 2, 3]]


def test_what_passes_is_tried_again_after_a_pause(play: Play, kafka: Kafka, metrics: Metrics) -> None:
    kafka.faults = [aborted(KafkaConnectionError()), aborted(TimeoutError()), aborted(RequestTimedOutError())]

    async def scenario(committer: Committer) -> None:
        started = asyncio.get_running_loop().time()
        work = begin(committer, ONE)
        await asyncio.sleep(0.01)
        assert "KafkaConnectionError" in committer.waits_for
        assert await outcomes(work) == [17]
        assert asyncio.get_running_loop().time() > started
        assert committer.waits_for == ""

    play(scenario)
    assert [one.partitions for one in kafka.tried] == [[0]] * 4
    assert len({one.offsets[ONE].metadata for one in kafka.tried}) == 4
    assert value(metrics, "scorer_transactions_total", outcome="aborted") == 3


def test_when_the_group_has_gone_on_it_waits_for_the_next_assignment(play: Play, kafka: Kafka) -> None:
    kafka.faults = [aborted(GroupFencedError())]

    async def scenario(committer: Committer) -> None:
        asked: list[str] = []
        committer.on_fenced = lambda: asked.append("join")
        work = begin(committer, ONE, TWO)
        await asyncio.sleep(5)
        assert asked == ["join"]
        assert len(kafka.tried) == 1
        # Meanwhile another one has committed for the second partition.
        kafka.offsets[TWO] = Offset(9, "of another one")
        await committer.hold()
        committer.join(Member(MEMBER.group, 2, "another member"))
        await asyncio.sleep(5)
        assert len(kafka.tried) == 1, "it commits without having asked what is committed"
        assert await committer.outdated([ONE, TWO]) == {TWO}
        one, two = await outcomes(work)
        assert one == 17
        assert isinstance(two, OutdatedError)

    play(scenario)
    (transaction,) = kafka.committed
    assert transaction.partitions == [0]
    assert transaction.member == Member(MEMBER.group, 2, "another member")


def test_an_answer_from_before_the_assignment_confirms_nothing(play: Play, kafka: Kafka) -> None:
    async def scenario(committer: Committer) -> None:
        await committer.hold()
        work = begin(committer, ONE)
        committer.join(MEMBER)
        asking = asyncio.create_task(committer.outdated([ONE]))
        await asyncio.sleep(0)
        await committer.hold()
        assert await asking == set()
        committer.join(MEMBER)
        await asyncio.sleep(5)
        assert kafka.tried == []
        await committer.outdated([ONE])
        assert await outcomes(work) == [17]

    play(scenario)


def test_a_partition_that_is_not_taken_over_yet_does_not_hold_up_the_others(play: Play, kafka: Kafka) -> None:
    async def scenario(committer: Committer) -> None:
        await committer.hold()
        committer.join(MEMBER)
        await committer.take_over(ONE)
        work = begin(committer, TWO, ONE)
        await asyncio.sleep(5)
        assert [transaction.partitions for transaction in kafka.committed] == [[ONE.partition]]
        await committer.take_over(TWO)
        assert await outcomes(work) == [17, 17]

    play(scenario)


def test_a_refusal_after_the_next_assignment_does_not_end_it(play: Play, kafka: Kafka) -> None:
    """The transaction outlasted the rebalance."""
    kafka.faults = [aborted(GroupFencedError())]

    async def scenario(committer: Committer) -> None:
        asked: list[str] = []
        committer.on_fenced = lambda: asked.append("join")
        kafka.hold = asyncio.Event()
        work = begin(committer, ONE)
        await asyncio.sleep(1)
        await committer.hold()
        committer.join(Member(MEMBER.group, 2, "member"))
        kafka.hold.set()
        await asyncio.sleep(1)
        await committer.outdated([ONE])
        assert await outcomes(work) == [17]
        assert asked == []

    play(scenario)
    assert [one.member.generation for one in kafka.tried] == [1, 2]


@pytest.mark.parametrize("fault", [doubtful, fenced])
def test_a_result_in_doubt_is_asked_for(play: Play, kafka: Kafka, fault: Fault) -> None:
    """Ours is done, ours that is not there is tried again, and what another one has committed is not ours any more."""

    def partly(transaction: Transaction) -> BaseException | None:
        kafka.offsets[ONE] = transaction.offsets[ONE]
        kafka.offsets[THREE] = Offset(5, "of another one")
        return fault(transaction)

    kafka.faults = [partly]

    async def scenario(committer: Committer) -> None:
        one, two, three = await outcomes(begin(committer, ONE, TWO, THREE))
        assert (one, two) == (None, 17)
        assert isinstance(three, OutdatedError)

    play(scenario)
    assert [one.partitions for one in kafka.tried] == [[0, 1, 2], [1]]
    # The transaction is ended before the question.
    assert kafka.calls[:3] == ["commit", "settle", "stable_offsets"]


def test_the_offset_that_it_knows_is_its_own_last_one(play: Play, kafka: Kafka) -> None:
    kafka.faults = [lambda transaction: None, doubtful]

    async def scenario(committer: Committer) -> None:
        for next_offset in (5, 6):
            await committer.commit(ONE, [message(ONE)], next_offset)
        assert await committer.outdated(PARTITIONS) == set()
        kafka.offsets[ONE] = Offset(6, "of another one")
        assert await committer.outdated(PARTITIONS) == {ONE}

    play(scenario)
    assert [one.offsets[ONE].next for one in kafka.committed] == [5, 6]
    assert len(kafka.tried) == 3


def test_settling_is_repeated_until_the_broker_answers(play: Play, kafka: Kafka) -> None:
    kafka.faults = [doubtful]
    kafka.commits_all = True

    async def scenario(committer: Committer) -> None:
        kafka.failing = {"settle": [KafkaConnectionError()], "stable_offsets": [RequestTimedOutError()]}
        assert await outcomes(begin(committer, ONE)) == [None]

    play(scenario)
    assert kafka.calls == ["commit", "settle", "settle", "stable_offsets", "settle", "stable_offsets"]


def test_holding_waits_for_the_transaction_in_flight_and_begins_no_other(play: Play, kafka: Kafka) -> None:
    async def scenario(committer: Committer) -> None:
        kafka.hold = asyncio.Event()
        first = begin(committer, ONE)
        await asyncio.sleep(0.1)
        second = begin(committer, TWO)
        holding = asyncio.create_task(committer.hold())
        await asyncio.sleep(1)
        assert not holding.done()
        kafka.hold.set()
        await holding
        assert await outcomes(first) == [17]
        await asyncio.sleep(5)
        assert len(kafka.tried) == 1
        committer.join(MEMBER)
        await committer.outdated([TWO])
        assert await outcomes(second) == [17]

    play(scenario)


def test_holding_has_a_limit(play: Play, kafka: Kafka, settings: Settings) -> None:
    """The group would go on without a member that takes longer than its session."""

    async def scenario(committer: Committer) -> None:
        kafka.hold = asyncio.Event()
        work = begin(committer, ONE)
        await asyncio.sleep(0.1)
        started = asyncio.get_running_loop().time()
        await committer.hold()
        assert asyncio.get_running_loop().time() - started < settings.session_timeout_ms / 1000
        kafka.hold.set()
        await outcomes(work)

    play(scenario)


def test_withdrawing_drops_what_is_ready(play: Play, kafka: Kafka) -> None:
    async def scenario(committer: Committer) -> None:
        await committer.hold()
        one, two = begin(committer, ONE, TWO)
        await asyncio.sleep(0)
        committer.withdraw([ONE, THREE])
        (raised,) = await outcomes([one])
        assert isinstance(raised, WithdrawnError)
        committer.join(MEMBER)
        await committer.outdated([TWO])
        assert await outcomes([two]) == [17]

    play(scenario)
    assert [transaction.partitions for transaction in kafka.tried] == [[1]]


def test_after_giving_up_nothing_waits(play: Play, kafka: Kafka) -> None:
    async def scenario(committer: Committer) -> None:
        await committer.hold()
        work = begin(committer, ONE)
        await asyncio.sleep(0)
        committer.give_up()
        results = await outcomes([*work, *begin(committer, TWO)])
        assert [type(result) for result in results] == [WithdrawnError] * 2

    play(scenario)
    assert kafka.tried == []


def test_a_cancelled_contribution_is_not_committed_later(play: Play, kafka: Kafka) -> None:
    async def scenario(committer: Committer) -> None:
        await committer.hold()
        one, two = begin(committer, ONE, TWO)
        await asyncio.sleep(0)
        one.cancel()
        await asyncio.sleep(0)
        committer.join(MEMBER)
        await committer.outdated([ONE, TWO])
        assert await outcomes([two]) == [17]

    play(scenario)
    assert [transaction.partitions for transaction in kafka.tried] == [[1]]


@pytest.mark.parametrize("instance", ["scorer-0"])
def test_another_member_with_our_instance_is_named(play: Play, kafka: Kafka) -> None:
    kafka.faults = [aborted(InstanceFencedError())]

    async def scenario(committer: Committer) -> None:
        results = await outcomes(begin(committer, ONE, TWO))
        assert [type(result) for result in results] == [RefusedError] * 2
        assert "SCORER_INSTANCE=scorer-0" in str(results[0])

    play(scenario)


def test_taking_over_ends_the_transactions_of_earlier_releases_first(play: Play, kafka: Kafka) -> None:
    kafka.offsets[ONE] = Offset(7, "of a former owner")

    async def scenario(committer: Committer) -> None:
        assert await committer.take_over(ONE) == Offset(7, "of a former owner")
        assert await committer.take_over(TWO) is None
        assert await committer.outdated([ONE, TWO]) == set()

    play(scenario)
    assert kafka.calls[:2] == ["fence lead-scorer-in-0", "stable_offsets"]


def start(settings: Settings) -> Committer:
    """A committer that was started and stopped."""

    async def main() -> Committer:
        committer = Committer(settings, TopicLimits(settings), Metrics(), nothing_denied(settings))
        await committer.start()
        await committer.start()
        await committer.stop()
        return committer

    return virtual_time.run(main())


def test_without_an_instance_each_process_has_an_id_of_its_own(play: Play, kafka: Kafka, settings: Settings) -> None:
    assert all(start(settings).fences for _ in range(3))
    assert len(set(kafka.ids)) == 3
    assert all(name.startswith("lead-scorer-worker-") for name in kafka.ids)
    assert kafka.limits[0].timeout_ms == settings.transaction_timeout_ms


@pytest.mark.parametrize("instance", ["scorer-0"])
@pytest.mark.parametrize("fences", [True, False])
def test_with_an_instance_the_id_stays_the_same(play: Play, kafka: Kafka, settings: Settings, fences: bool) -> None:
    kafka.fences = fences
    assert start(settings).fences is fences
    assert kafka.ids == ["lead-scorer-worker-scorer-0"]


def test_on_a_broker_that_does_not_fence_the_next_worker_has_the_same_id(
    play: Play, kafka: Kafka, settings: Settings
) -> None:
    """Such a broker may keep the transaction of a killed worker open until somebody starts with its id."""
    kafka.fences = False
    assert not start(settings).fences
    assert not start(settings).fences
    assert kafka.ids[1] == kafka.ids[3] == "lead-scorer-worker"
    assert kafka.running == set()


@pytest.mark.parametrize("fences", [True, False])
def test_whether_the_broker_fences_is_shown(
    play: Play, kafka: Kafka, settings: Settings, metrics: Metrics, fences: bool
) -> None:
    kafka.fences = fences

    async def nothing(committer: Committer) -> None:
        pass

    with capture_logs() as logs:
        play(nothing)
    assert value(metrics, "scorer_broker_fences") == fences
    warned = [line["group"] for line in logs if line["event"] == "broker_does_not_fence"]
    assert warned == ([] if fences else ["lead-scorer"])
    assert all(line["log_level"] == "warning" for line in logs if line["event"] == "broker_does_not_fence")


def test_with_several_workers_on_such_a_broker_each_has_its_own_id(
    play: Play, kafka: Kafka, settings: Settings
) -> None:
    kafka.fences = False
    for _ in range(2):
        start(settings.model_copy(update={"unfenced": "allow"}))
    assert len(set(kafka.ids)) == 2
    assert "lead-scorer-worker" not in kafka.ids


@pytest.mark.parametrize("step", ["start", "fences_groups"])
def test_a_start_that_fails_leaves_no_connection(play: Play, kafka: Kafka, settings: Settings, step: str) -> None:
    kafka.failing = {step: [KafkaConnectionError("no")]}
    with pytest.raises(KafkaError):
        start(settings)
    assert kafka.running == set()


def test_an_error_that_nobody_expected_is_reported(play: Play, kafka: Kafka) -> None:
    error = ZeroDivisionError()
    kafka.failing = {"commit": [error]}

    async def scenario(committer: Committer) -> None:
        reported: list[BaseException] = []
        committer.on_failure = reported.append
        work = begin(committer, ONE)
        await asyncio.sleep(1)
        assert reported == [error]
        committer.withdraw([ONE])
        await outcomes(work)

    play(scenario)
