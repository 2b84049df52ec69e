"""What a transactional producer reports for each kind of failure, with a fake session."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RequestTimedOutError,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.partitioner import DefaultPartitioner

from scorer.kafka import transaction
from scorer.kafka.message import Message
from scorer.kafka.session import Batch, RefusedBatchError
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
    TransactionalProducer,
    TransactionLimits,
)
from scorer.runtime.settings import Settings, load_settings
from tests import virtual_time

OFFSETS = {TopicPartition("in", 0): Offset(5, "name"), TopicPartition("in", 1): Offset(6, "name")}
MEMBER = Member("group", 7, "member", "instance")
MESSAGES = [
    Message("out", None, b"k", b"v", []),
    Message("out", 1, None, None, []),
    Message("out", None, None, b"w", [], 5),
]
LIMITS = TransactionLimits(timeout_ms=20_000, batch_bytes=1 << 16, abort_seconds=0.2)
REPLAY_LIKE = TransactionLimits(20_000, 1 << 16, abort_seconds=0.2, phase_seconds=0.1, abort_on_interrupt=True)
SENDING = ("add", "produce", "commit_offsets")


@dataclass
class Broker:
    """What sessions ask for, and where one fails or hangs."""

    calls: list[str] = field(default_factory=list)
    """Steps in order; `open` ends the transaction before."""
    sent: list[Batch] = field(default_factory=list)
    given: dict[str, object] = field(default_factory=dict)
    faults: dict[str, BaseException | None] = field(default_factory=dict)
    """Errors by step, each for one time; None: the step hangs."""
    partitions: list[int] = field(default_factory=lambda: [0, 1, 2])
    stamp: int | None = None
    open_connections: int = 0

    def session(self, settings: Settings, transactional_id: str, timeout_ms: int) -> "Session":
        return Session(self, transactional_id, timeout_ms)

    async def step(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(0)
        if name in self.faults:
            fault = self.faults.pop(name)
            if fault is None:
                await asyncio.Event().wait()
            else:
                raise fault
        self.calls.append(f"{name} done")


class Session:
    """Takes the place of `scorer.kafka.session.Session`."""

    obstacle = ""

    def __init__(self, broker: Broker, transactional_id: str, timeout_ms: int) -> None:
        self._broker = broker
        broker.given |= {"id": transactional_id, "timeout_ms": timeout_ms}

    async def open(self) -> None:
        self._broker.open_connections += 1
        await self._broker.step("open")

    async def close(self) -> None:
        self._broker.open_connections -= 1
        self._broker.calls.append("close")

    async def initialise(self, transactional_id: str) -> None:
        await self._broker.step(f"initialise {transactional_id}")

    async def partitions_of(self, topic: str) -> list[int]:
        if not self._broker.partitions:
            raise KafkaConnectionError(f"the topic {topic} has no partitions that can be reached")
        return self._broker.partitions

    async def add(self, partitions: Collection[TopicPartition], group: str | None) -> None:
        self._broker.given |= {"partitions": set(partitions), "group": group}
        await self._broker.step("add")

    async def produce(self, all_batches: Sequence[Sequence[Batch]]) -> int | None:
        await self._broker.step("produce")
        self._broker.sent += [batch for part in all_batches for batch in part]
        return self._broker.stamp

    async def commit_offsets(self, member: Member, offsets: Mapping[TopicPartition, Offset]) -> None:
        self._broker.given |= {"member": member, "offsets": dict(offsets)}
        await self._broker.step("commit_offsets")

    async def end(self, *, commit: bool) -> None:
        await self._broker.step("commit" if commit else "abort")

    async def stable_offsets(
        self, group: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Offset | None]:
        await self._broker.step("stable_offsets")
        return dict.fromkeys(partitions)

    async def log_span(self, partition: TopicPartition) -> Span:
        await self._broker.step("log_span")
        return Span(0, 1)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(transaction, "Session", broker.session)
    return broker


Attempt = Callable[..., tuple[TransactionalProducer, BaseException | None]]


@pytest.fixture
def attempt(broker: Broker) -> Attempt:
    """Commit once with a producer that is started; return the producer and the raised error. `cancel_after`:
    seconds."""

    async def scenario(
        faults: dict[str, BaseException | None], limits: TransactionLimits, cancel_after: float | None
    ) -> tuple[TransactionalProducer, BaseException | None]:
        producer = TransactionalProducer(load_settings(None), "id", limits)
        await producer.start()
        broker.calls.clear()
        broker.faults = faults
        work = asyncio.ensure_future(producer.commit(MESSAGES, OFFSETS, MEMBER))
        if cancel_after is not None:
            await asyncio.sleep(cancel_after)
            work.cancel()
        (outcome,) = await asyncio.gather(work, return_exceptions=True)
        return producer, outcome

    def run(
        limits: TransactionLimits = LIMITS, cancel_after: float | None = None, **faults: BaseException | None
    ) -> tuple[TransactionalProducer, BaseException | None]:
        return virtual_time.run(scenario(faults, limits, cancel_after))

    return run


def values(batch: Batch) -> list[bytes | None]:
    return [message.value for message in batch.messages]


def test_everything_is_in_one_transaction(broker: Broker, attempt: Attempt) -> None:
    producer, raised = attempt()
    assert raised is None
    steps = broker.calls
    assert steps[:2] == ["add", "add done"]
    assert steps[-2:] == ["commit", "commit done"]
    # Both are acknowledged before the commit is requested.
    assert {"produce done", "commit_offsets done"} <= set(steps)
    assert steps.index("commit") > steps.index("produce done")
    assert steps.index("commit") > steps.index("commit_offsets done")
    assert "abort" not in steps
    assert "open" not in steps
    assert broker.given["partitions"] == {batch.partition for batch in broker.sent}
    assert broker.given["group"] == "group"
    assert broker.given["offsets"] == OFFSETS
    assert broker.given["member"] == MEMBER
    assert broker.given["id"] == producer.transactional_id == "id"
    assert broker.given["timeout_ms"] == 20_000
    sent = [message for batch in broker.sent for message in batch.messages]
    assert len(sent) == len(MESSAGES)
    assert all(message in sent for message in MESSAGES)


def test_a_partition_is_given_or_chosen_by_key_or_by_spread(broker: Broker, attempt: Attempt) -> None:
    attempt()
    partitions = {
        (message.key, message.value): batch.partition.partition for batch in broker.sent for message in batch.messages
    }
    assert partitions[None, None] == 1
    assert partitions[None, b"w"] == 5 % 3


def committing(messages: Sequence[Message], **arguments: Any) -> TransactionalProducer:
    """A producer that has committed the messages without offsets."""

    async def work() -> TransactionalProducer:
        producer = TransactionalProducer(load_settings(None), "id", LIMITS)
        await producer.commit(messages, **arguments)
        return producer

    return virtual_time.run(work())


def test_a_key_chooses_the_partition_that_it_chooses_in_every_client(broker: Broker) -> None:
    keys = [f"lead-{number}".encode() for number in range(200)]
    # Twice, because a key that was seen is remembered.
    committing([Message("out", None, key, b"v", []) for key in (*keys, *keys)])
    chosen = {message.key: batch.partition.partition for batch in broker.sent for message in batch.messages}
    assert chosen == {key: DefaultPartitioner()(key, broker.partitions, broker.partitions) for key in keys}


def test_full_batches_are_followed_by_another(broker: Broker) -> None:
    messages = [Message("out", 0, b"k", b"%d" % number * 1000, []) for number in range(5)]
    committing(messages, batch_bytes=2_400)
    assert [[value[:1] for value in values(batch) if value] for batch in broker.sent] == [
        [b"0", b"1"],
        [b"2", b"3"],
        [b"4"],
    ]
    assert all(batch.size <= 2_400 for batch in broker.sent)
    # Without offsets, the group is not involved.
    assert "commit_offsets" not in broker.calls
    assert broker.given["group"] is None


def test_a_message_that_is_larger_than_a_batch_gets_one_of_its_own(broker: Broker) -> None:
    committing([Message("out", 0, b"k", value, []) for value in (b"a", b"b" * 5_000, b"c")], batch_bytes=1_000)
    assert [[value[:1] for value in values(batch) if value] for batch in broker.sent] == [[b"a"], [b"b"], [b"c"]]


@pytest.mark.parametrize("step", [*SENDING, "commit"])
@pytest.mark.parametrize("error", [ProducerFenced, InvalidProducerEpoch])
def test_a_fenced_producer_is_reported(broker: Broker, attempt: Attempt, step: str, error: type[KafkaError]) -> None:
    # Brokers call it by two names, and the session by one.
    _, raised = attempt(**{step: ProducerFenced(error.__name__)})
    assert type(raised) is FencedError
    assert isinstance(raised.__cause__, ProducerFenced)
    assert "abort" not in broker.calls
    assert "open" not in broker.calls, "it fenced the one that had fenced it"
    assert broker.open_connections == 0


@pytest.mark.parametrize("step", SENDING)
@pytest.mark.parametrize(
    "error", [RequestTimedOutError, TransactionalIdAuthorizationFailed, GroupFencedError, InstanceFencedError]
)
def test_an_abort_has_its_cause(broker: Broker, attempt: Attempt, step: str, error: type[KafkaError]) -> None:
    _, raised = attempt(**{step: error("why")})
    assert type(raised) is AbortedError
    assert isinstance(raised.__cause__, error)
    assert "why" in str(raised)
    assert "commit" not in broker.calls
    # A new session is what certainly ends the transaction at the broker.
    assert broker.calls[-2:] == ["open", "open done"]
    assert broker.open_connections == 1


@pytest.mark.parametrize("failed", ["aborted", "doubtful", "fenced"])
def test_after_a_failed_transaction_the_next_one_begins_in_a_new_session(broker: Broker, failed: str) -> None:
    faults: dict[str, dict[str, BaseException | None]] = {
        "aborted": {"produce": RequestTimedOutError()},
        "doubtful": {"commit": RequestTimedOutError()},
        "fenced": {"add": ProducerFenced()},
    }

    async def work() -> None:
        producer = TransactionalProducer(load_settings(None), "id", LIMITS)
        await producer.start()
        broker.faults = faults[failed]
        with pytest.raises((AbortedError, DoubtfulError, FencedError)):
            await producer.commit(MESSAGES)
        opened = broker.calls.count("open done")
        await producer.commit(MESSAGES)
        if failed == "aborted":
            assert opened == 2, "the transaction that failed stays open"
        assert broker.calls.count("open done") == 2
        assert broker.calls.index("commit done") > max(
            place for place, call in enumerate(broker.calls) if call == "open done"
        )
        assert broker.calls[-1] == "commit done"
        assert broker.open_connections == 1
        await producer.stop()
        assert broker.open_connections == 0

    virtual_time.run(work())


def test_a_batch_that_is_too_large_is_named(broker: Broker) -> None:
    messages = [Message("out", 0, b"k%d" % number, b"v" * (number % 3), []) for number in range(3)]
    refused = Batch(TopicPartition("out", 0), messages[:2], None, 2_000)
    broker.faults = {"produce": RefusedBatchError(refused)}
    with pytest.raises(AbortedError) as raised:
        committing(messages)
    cause = raised.value.__cause__
    assert isinstance(cause, TooLargeError)
    assert isinstance(cause, MessageSizeTooLargeError)
    assert cause.refusal == Refusal("out", "k1", size=2_000, records=2)
    assert list(cause.messages) == messages[:2]
    assert "out refused a batch of 2,000 bytes (2 records, the largest of 'k1')" in str(cause)
    assert broker.calls[-1] == "open done"


@pytest.mark.parametrize("fault", [RequestTimedOutError("no"), ProducerFenced("no"), None])
def test_an_abort_that_fails_is_doubtful(broker: Broker, attempt: Attempt, fault: BaseException | None) -> None:
    _, raised = attempt(commit_offsets=RequestTimedOutError("why"), open=fault)
    assert type(raised) is DoubtfulError
    assert not raised.committing
    assert str(raised.__cause__).endswith("why")
    assert broker.open_connections == 0


def test_a_commit_that_fails_is_doubtful(broker: Broker, attempt: Attempt) -> None:
    fault = RequestTimedOutError("no")
    _, raised = attempt(commit=fault)
    assert type(raised) is DoubtfulError
    assert raised.committing
    assert raised.__cause__ is fault
    assert "abort" not in broker.calls
    assert "open" not in broker.calls
    assert broker.open_connections == 0


def test_an_error_that_nobody_expected_ends_the_session(broker: Broker, attempt: Attempt) -> None:
    for step in (*SENDING, "commit"):
        for limits in (LIMITS, REPLAY_LIKE):
            fault = AssertionError("state")
            _, raised = attempt(limits, **{step: fault})
            assert raised is fault
            assert ("open done" in broker.calls) is (limits.abort_on_interrupt and step != "commit")
            assert "abort" not in broker.calls
            assert broker.open_connections == 0


@pytest.mark.parametrize("step", SENDING)
def test_sending_that_hangs_is_aborted_at_the_limit(broker: Broker, attempt: Attempt, step: str) -> None:
    _, raised = attempt(REPLAY_LIKE, **{step: None})
    assert type(raised) is AbortedError
    assert isinstance(raised.__cause__, TimeoutError)
    assert broker.calls[-1] == "open done"


def test_a_commit_that_hangs_is_doubtful_at_the_limit(broker: Broker, attempt: Attempt) -> None:
    _, raised = attempt(REPLAY_LIKE, commit=None)
    assert type(raised) is DoubtfulError
    assert raised.committing
    assert "open" not in broker.calls


@pytest.mark.parametrize("limits", [LIMITS, REPLAY_LIKE])
@pytest.mark.parametrize("abort", [{}, {"open": RequestTimedOutError("no")}, {"open": None}])
def test_cancelling_while_it_sends(
    broker: Broker, attempt: Attempt, limits: TransactionLimits, abort: dict[str, BaseException | None]
) -> None:
    _, raised = attempt(limits, 0.03, produce=None, **abort)
    assert isinstance(raised, asyncio.CancelledError)
    assert ("open" in broker.calls) is limits.abort_on_interrupt
    assert broker.open_connections == 0


def test_cancelling_while_it_commits_never_aborts(broker: Broker, attempt: Attempt) -> None:
    _, raised = attempt(REPLAY_LIKE, 0.03, commit=None)
    assert isinstance(raised, asyncio.CancelledError)
    assert "open" not in broker.calls
    assert "abort" not in broker.calls


def test_a_topic_without_partitions_aborts(broker: Broker, attempt: Attempt) -> None:
    broker.partitions = []
    _, raised = attempt()
    assert type(raised) is AbortedError
    assert "the topic out has no partitions" in str(raised)


@pytest.mark.parametrize("stamp", [None, 1_800_000_000_000])
def test_it_keeps_the_time_that_the_broker_gave(broker: Broker, attempt: Attempt, stamp: int | None) -> None:
    broker.stamp = stamp
    producer, _ = attempt()
    assert producer.broker_time == stamp


def test_the_time_of_a_failed_transaction_is_not_kept(broker: Broker, attempt: Attempt) -> None:
    broker.stamp = 1_800_000_000_000
    producer, _ = attempt(commit=RequestTimedOutError())
    assert producer.broker_time is None


@pytest.mark.parametrize(("answer", "fences"), [(GroupFencedError(), True), (None, False)])
def test_the_probe_asks_with_a_wrong_generation_and_aborts(
    broker: Broker, answer: BaseException | None, fences: bool
) -> None:
    async def work() -> bool:
        producer = TransactionalProducer(load_settings(None), "id", LIMITS)
        await producer.start()
        if answer is not None:
            broker.faults = {"commit_offsets": answer}
        return await producer.fences_groups("group", TopicPartition("in", 0))

    assert virtual_time.run(work()) is fences
    asked = broker.given["member"]
    assert isinstance(asked, Member)
    assert asked.generation > 1_000_000
    assert asked.id
    assert broker.calls[-2:] == ["abort", "abort done"]
    assert "commit" not in broker.calls


def test_a_broker_that_cannot_be_asked_is_an_error(broker: Broker) -> None:
    broker.faults = {"open": KafkaConnectionError("no")}
    with pytest.raises(KafkaConnectionError):
        virtual_time.run(TransactionalProducer(load_settings(None), "id", LIMITS).start())
    assert broker.open_connections == 0
