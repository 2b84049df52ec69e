"""What a transactional producer reports for each kind of failure, with a fake client."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
    RequestTimedOutError,
)
from aiokafka.structs import RecordMetadata

from scorer.kafka import transaction
from scorer.kafka.message import Message
from scorer.kafka.transaction import (
    AbortedError,
    DoubtfulError,
    FencedError,
    Refusal,
    TooLargeError,
    TransactionalProducer,
    TransactionLimits,
)
from scorer.runtime.settings import load_settings

OFFSETS = {TopicPartition("in", 0): 5, TopicPartition("in", 1): 6}
MESSAGES = [
    Message("out", None, b"k", b"v", []),
    Message("out", 1, None, None, []),
    Message("out", None, None, b"w", [], 5),
]
LIMITS = TransactionLimits(timeout_ms=20_000, batch_bytes=1 << 16, abort_seconds=0.2)
REPLAY_LIKE = TransactionLimits(20_000, 1 << 16, abort_seconds=0.2, phase_seconds=0.1, abort_on_interrupt=True)
STEPS = ("begin", "send", "offsets", "delivered", "commit")


class Builder:
    """Accepts two records."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes | None]] = []

    def append(self, *, timestamp: None, key: bytes | None, value: bytes | None, headers: object) -> object:
        if len(self.records) == 2:
            return None
        self.records.append((key, value))
        return self

    def size(self) -> int:
        return 1_000 * len(self.records)


class Client:
    """An aiokafka producer that fails or hangs where the test says."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.calls: list[str] = []
        self.sent: list[tuple[int, list[tuple[bytes | None, bytes | None]]]] = []
        self.offsets: object = None
        self.stamp: int | None = None
        self.faults: dict[str, BaseException | None] = {}
        """Errors by step; None: the step hangs."""

    async def _step(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(0)
        if name in self.faults:
            fault = self.faults[name]
            if fault is None:
                await asyncio.Event().wait()
            else:
                raise fault

    async def begin_transaction(self) -> None:
        await self._step("begin")

    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1, 2}

    def create_batch(self) -> Builder:
        return Builder()

    async def send_batch(self, batch: Builder, topic: str, *, partition: int) -> "asyncio.Future[RecordMetadata]":
        await self._step("send")
        self.sent.append((partition, batch.records))
        return asyncio.ensure_future(self._deliver(topic, partition))

    async def _deliver(self, topic: str, partition: int) -> RecordMetadata:
        await self._step("delivered")
        where = TopicPartition(topic, partition)
        return RecordMetadata(topic, partition, where, 0, self.stamp or -1, int(self.stamp is not None), 0)

    async def send_offsets_to_transaction(self, offsets: object, group: str) -> None:
        await self._step("offsets")
        self.offsets = offsets, group

    async def commit_transaction(self) -> None:
        await self._step("commit")

    async def abort_transaction(self) -> None:
        await self._step("abort")


@pytest.fixture
def attempt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Commit once; return the client and the raised error. `cancel_after`: seconds."""
    monkeypatch.setattr(transaction, "AIOKafkaProducer", Client)

    async def scenario(
        faults: dict[str, BaseException | None], limits: TransactionLimits, cancel_after: float | None
    ) -> tuple[Client, BaseException | None]:
        producer = TransactionalProducer(load_settings(None), "id", limits)
        client: Client = producer._producer
        client.faults = faults
        work = asyncio.ensure_future(producer.commit(MESSAGES, OFFSETS, "group"))
        if cancel_after is not None:
            await asyncio.sleep(cancel_after)
            work.cancel()
        (outcome,) = await asyncio.gather(work, return_exceptions=True)
        return client, outcome

    def run(
        limits: TransactionLimits = LIMITS, cancel_after: float | None = None, **faults: BaseException | None
    ) -> tuple[Client, BaseException | None]:
        return asyncio.run(asyncio.wait_for(scenario(faults, limits, cancel_after), 10))

    return run


def test_everything_is_in_one_transaction(attempt: Callable[..., Any]) -> None:
    client, raised = attempt()
    assert raised is None
    assert client.calls[0] == "begin"
    assert client.calls[-1] == "commit"
    assert "abort" not in client.calls
    assert client.offsets == (OFFSETS, "group")
    assert client.calls.index("offsets") > client.calls.index("send")
    assert client.arguments["transactional_id"] == "id"
    assert client.arguments["transaction_timeout_ms"] == 20_000
    assert client.arguments["max_batch_size"] == 1 << 16
    sent = [record for _, records in client.sent for record in records]
    assert set(sent) == {(message.key, message.value) for message in MESSAGES}
    assert len(sent) == len(MESSAGES)


def test_a_partition_is_given_or_chosen_by_key_or_by_spread(attempt: Callable[..., Any]) -> None:
    client, _ = attempt()
    partitions = {record: partition for partition, records in client.sent for record in records}
    assert partitions[None, None] == 1
    assert partitions[None, b"w"] == 5 % 3


def test_full_batches_are_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "AIOKafkaProducer", Client)

    async def work() -> Client:
        producer = TransactionalProducer(load_settings(None), "id", LIMITS)
        await producer.commit(Message("out", 0, b"k", b"%d" % number, []) for number in range(5))
        client: Client = producer._producer
        return client

    client = asyncio.run(work())
    assert [[value for _, value in records] for _, records in client.sent] == [[b"0", b"1"], [b"2", b"3"], [b"4"]]
    # Without offsets, the group is not involved.
    assert "offsets" not in client.calls


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [ProducerFenced, InvalidProducerEpoch])
def test_a_fenced_producer_is_reported(attempt: Callable[..., Any], step: str, error: type[KafkaError]) -> None:
    client, raised = attempt(**{step: error()})
    assert type(raised) is FencedError
    assert isinstance(raised.__cause__, error)
    assert "abort" not in client.calls


@pytest.mark.parametrize("step", STEPS[:-1])
@pytest.mark.parametrize("error", [RequestTimedOutError, MessageSizeTooLargeError])
def test_an_abort_has_its_cause(attempt: Callable[..., Any], step: str, error: type[KafkaError]) -> None:
    client, raised = attempt(**{step: error("why")})
    assert type(raised) is AbortedError
    assert isinstance(raised.__cause__, error)
    assert client.calls[-1] == "abort"
    assert "commit" not in client.calls


@pytest.mark.parametrize("error", [MessageSizeTooLargeError, RecordListTooLargeError])
def test_a_batch_that_is_too_large_is_named(monkeypatch: pytest.MonkeyPatch, error: type[KafkaError]) -> None:
    monkeypatch.setattr(transaction, "AIOKafkaProducer", Client)

    async def work() -> BaseException | None:
        producer = TransactionalProducer(load_settings(None), "id", LIMITS)
        client: Client = producer._producer
        client.faults = {"delivered": error()}
        messages = [Message("out", 0, b"k%d" % number, b"v" * (number % 3), []) for number in range(3)]
        with pytest.raises(AbortedError) as raised:
            await producer.commit(messages)
        return raised.value.__cause__

    cause = asyncio.run(work())
    assert isinstance(cause, TooLargeError)
    assert cause.refusal == Refusal("out", "k1", size=2_000, records=2)
    assert "out refused a batch of 2,000 bytes (2 records, the largest of 'k1')" in str(cause)


@pytest.mark.parametrize("fault", [RequestTimedOutError("no"), AssertionError("no"), None])
def test_an_abort_that_fails_is_doubtful(attempt: Callable[..., Any], fault: BaseException | None) -> None:
    _, raised = attempt(offsets=RequestTimedOutError("why"), abort=fault)
    assert type(raised) is DoubtfulError
    assert not raised.committing
    assert str(raised.__cause__).endswith("why")


def test_an_abort_can_be_fenced(attempt: Callable[..., Any]) -> None:
    _, raised = attempt(offsets=RequestTimedOutError("why"), abort=ProducerFenced())
    assert type(raised) is FencedError


@pytest.mark.parametrize("fault", [RequestTimedOutError("no"), AssertionError("no")])
def test_a_commit_that_fails_is_doubtful(attempt: Callable[..., Any], fault: BaseException) -> None:
    client, raised = attempt(commit=fault)
    assert type(raised) is DoubtfulError
    assert raised.committing
    assert raised.__cause__ is fault
    assert "abort" not in client.calls


def test_an_unexpected_state_is_doubtful(attempt: Callable[..., Any]) -> None:
    client, raised = attempt(begin=AssertionError("state"))
    assert type(raised) is DoubtfulError
    assert not raised.committing
    assert "abort" not in client.calls
    client, raised = attempt(REPLAY_LIKE, begin=AssertionError("state"))
    assert type(raised) is DoubtfulError
    assert not raised.committing
    assert client.calls[-1] == "abort"


@pytest.mark.parametrize("step", STEPS[:-1])
def test_sending_that_hangs_is_aborted_at_the_limit(attempt: Callable[..., Any], step: str) -> None:
    client, raised = attempt(REPLAY_LIKE, **{step: None})
    assert type(raised) is AbortedError
    assert isinstance(raised.__cause__, TimeoutError)
    assert client.calls[-1] == "abort"


def test_a_commit_that_hangs_is_doubtful_at_the_limit(attempt: Callable[..., Any]) -> None:
    client, raised = attempt(REPLAY_LIKE, commit=None)
    assert type(raised) is DoubtfulError
    assert raised.committing
    assert "abort" not in client.calls


@pytest.mark.parametrize("limits", [LIMITS, REPLAY_LIKE])
@pytest.mark.parametrize("abort", [{}, {"abort": RequestTimedOutError("no")}, {"abort": None}])
def test_cancelling_while_it_sends(
    attempt: Callable[..., Any], limits: TransactionLimits, abort: dict[str, BaseException | None]
) -> None:
    client, raised = attempt(limits, 0.03, send=None, **abort)
    assert isinstance(raised, asyncio.CancelledError)
    assert ("abort" in client.calls) is limits.abort_on_interrupt


def test_cancelling_while_it_commits_never_aborts(attempt: Callable[..., Any]) -> None:
    client, raised = attempt(REPLAY_LIKE, 0.03, commit=None)
    assert isinstance(raised, asyncio.CancelledError)
    assert "abort" not in client.calls


def test_a_topic_without_partitions_aborts(attempt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(self: Client, topic: str) -> set[int]:
        return set()

    monkeypatch.setattr(Client, "partitions_for", none)
    _, raised = attempt()
    assert type(raised) is AbortedError
    assert "the topic out has no partitions" in str(raised)


@pytest.mark.parametrize("stamp", [None, 1_800_000_000_000])
def test_it_keeps_the_time_that_the_broker_gave(monkeypatch: pytest.MonkeyPatch, stamp: int | None) -> None:
    monkeypatch.setattr(transaction, "AIOKafkaProducer", Client)

    async def scenario() -> int | None:
        producer = TransactionalProducer(load_settings(None), "id", LIMITS)
        client: Client = producer._producer
        client.stamp = stamp
        await producer.commit(MESSAGES, OFFSETS, "group")
        return producer.broker_time

    assert asyncio.run(scenario()) == stamp
