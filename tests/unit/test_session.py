"""The requests of a transactional producer: numbers, repetitions and errors, with a fake client."""

import struct
from collections import defaultdict
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    NodeNotReadyError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from scorer.kafka import session as session_module
from scorer.kafka.message import Message
from scorer.kafka.session import (
    GroupFencedError,
    InstanceFencedError,
    Member,
    Offset,
    RefusedBatchError,
    Session,
    batches,
)
from scorer.kafka.topic_reader import Span
from scorer.runtime.settings import load_settings
from tests import virtual_time

OUT, OTHER, INPUT = TopicPartition("out", 0), TopicPartition("out", 1), TopicPartition("in", 3)
MEMBER = Member("group", 7, "member", "instance")
LAST = (1 << 31) - 1
UNKNOWN_PRODUCER_FENCED = 90
NOT_ENOUGH_REPLICAS = 19
NOT_COORDINATOR = 16
CONCURRENT = 51


class Client:
    """An aiokafka client. `codes`: the error codes of the next answers to a kind of request; afterwards 0."""

    def __init__(self) -> None:
        self.codes: defaultdict[str, list[int]] = defaultdict(list)
        self.errors: defaultdict[str, list[BaseException]] = defaultdict(list)
        self.asked: list[tuple[str, Any]] = []
        """Kind and request in each case."""
        self.lookups: list[tuple[Any, str]] = []
        self.offsets: dict[TopicPartition, int] = {}
        self.updates = 0
        self.stamp = -1
        self.epoch = 0
        self.closed = False
        self.cluster = SimpleNamespace(
            partitions_for_topic=lambda topic: {0, 1}, leader_for_partition=lambda partition: partition.partition
        )

    async def bootstrap(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True

    async def force_metadata_update(self) -> None:
        self.updates += 1

    async def coordinator_lookup(self, kind: Any, key: str) -> int:
        self.lookups.append((kind, key))
        return 5

    async def send(self, node: int, request: Any, *, group: object = None) -> Any:
        name = type(request).__name__.removesuffix("Request")
        self.asked.append((name, request))
        if self.errors[name]:
            raise self.errors[name].pop(0)
        code = self.codes[name].pop(0) if self.codes[name] else 0
        made: dict[str, Callable[[], Any]] = {
            "InitProducerId": lambda: SimpleNamespace(error_code=code, producer_id=9, producer_epoch=self.next_epoch()),
            "AddPartitionsToTxn": lambda: SimpleNamespace(errors=[("out", [(0, code)])]),
            "AddOffsetsToTxn": lambda: SimpleNamespace(error_code=code),
            "EndTxn": lambda: SimpleNamespace(error_code=code),
            "TxnOffsetCommit": lambda: SimpleNamespace(errors=[("in", [(3, code, {})], {})]),
            "OffsetFetch": lambda: SimpleNamespace(
                error_code=0, topics=[("in", [(3, self.offsets.get(INPUT, -1), -1, "name", code, {})], {})]
            ),
            "Offset": lambda: SimpleNamespace(topics=[("in", [(3, code, -1, len(self.asked))])]),
            "Produce": lambda: SimpleNamespace(topics=self.produced(request, code)),
        }
        return made[name]()

    def next_epoch(self) -> int:
        self.epoch += 1
        return self.epoch

    def produced(self, request: Any, code: int) -> list[Any]:
        """The code concerns the first partition; the others work."""
        answers, codes = [], [code]
        for topic, partitions in built(request).topics:
            parts = []
            for number, _ in partitions:
                parts.append((number, codes.pop() if codes else 0, 0, self.stamp))
            answers.append((topic, parts))
        return answers

    def requests(self, name: str) -> list[Any]:
        return [request for asked, request in self.asked if asked == name]

    def written(self) -> list[tuple[int, bytes]]:
        """Partition and bytes of each batch, in order."""
        return [
            (number, bytes(data))
            for request in self.requests("Produce")
            for _, partitions in built(request).topics
            for number, data in partitions
        ]


def built(request: Any) -> Any:
    """The newest structure of a request."""
    return request.build(request._CLASSES[-1])


def numbers(batch: bytes) -> tuple[int, int, int, int]:
    """Producer id, epoch, first sequence number and count of records, from the bytes of a batch."""
    producer, epoch, sequence, count = struct.unpack_from(">qhii", batch, 43)
    return producer, epoch, sequence, count


def messages(count: int) -> list[Message]:
    return [Message("out", 0, b"k", b"%d" % number * 10, []) for number in range(count)]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client()
    monkeypatch.setattr(session_module, "AIOKafkaClient", lambda **_: client)
    return client


def play(scenario: Callable[[Session], Coroutine[Any, Any, None]]) -> Session:
    """A scenario with an open session."""

    async def main() -> Session:
        session = Session(load_settings(None), "id", 10_000)
        await session.open()
        await scenario(session)
        return session

    return virtual_time.run(main())


def test_sequence_numbers_go_on_over_transactions_and_begin_again_in_a_new_session(client: Client) -> None:
    async def transactions(session: Session) -> None:
        for count in (3, 1, 2):
            await session.add([OUT], None)
            await session.produce([batches(OUT, messages(count), 1 << 16)])
            await session.end(commit=True)
        await session.produce([batches(OTHER, messages(1), 1 << 16)])

    play(transactions)
    play(transactions)
    found = [numbers(batch) for _, batch in client.written()]
    first = [(9, 1, 0, 3), (9, 1, 3, 1), (9, 1, 4, 2), (9, 1, 0, 1)]
    assert found == [*first, *((producer, 2, sequence, count) for producer, _, sequence, count in first)]


def test_sequence_numbers_wrap(client: Client) -> None:
    async def scenario(session: Session) -> None:
        session._sequences[OUT] = LAST - 1
        for count in (1, 3, 1):
            await session.produce([batches(OUT, messages(count), 1 << 16)])

    play(scenario)
    # The numbers of the second batch are the last one, 0 and 1.
    assert [numbers(batch)[2] for _, batch in client.written()] == [LAST - 1, LAST, 2]


def test_batches_of_a_partition_are_written_in_order(client: Client) -> None:
    async def scenario(session: Session) -> None:
        all_batches = [batches(OUT, messages(6), 110), batches(OTHER, messages(1), 110)]
        assert len(all_batches[0]) > 2
        await session.produce(all_batches)

    play(scenario)
    of_out = [numbers(batch) for number, batch in client.written() if number == 0]
    assert [sequence for _, _, sequence, _ in of_out] == [
        sum(count for *_, count in of_out[:place]) for place in range(len(of_out))
    ]
    assert sum(count for *_, count in of_out) == 6


@pytest.mark.parametrize("code", [NOT_ENOUGH_REPLICAS, CONCURRENT, 6, 5])
def test_a_repeated_batch_has_the_same_bytes(client: Client, code: int) -> None:
    """Kafka knows it by its number. The other partitions are not written again."""
    client.cluster.leader_for_partition = lambda partition: 1
    client.codes["Produce"] = [code, code]

    async def scenario(session: Session) -> None:
        await session.produce([batches(OUT, messages(2), 1 << 16), batches(OTHER, messages(1), 1 << 16)])
        assert session.obstacle == ""

    play(scenario)
    written = client.written()
    assert [number for number, _ in written] == [0, 1, 0, 0]
    assert len({batch for number, batch in written if number == 0}) == 1
    # The right broker has answered, so nobody is looked up; otherwise the leader may be another one.
    assert (client.updates > 0) is (code in (5, 6))


def test_a_batch_that_arrived_without_an_answer_counts_once(client: Client) -> None:
    duplicate = 46
    client.errors["Produce"] = [KafkaConnectionError()]
    client.codes["Produce"] = [duplicate]

    async def scenario(session: Session) -> None:
        await session.produce([batches(OUT, messages(2), 1 << 16)])
        await session.produce([batches(OUT, messages(1), 1 << 16)])

    play(scenario)
    assert [numbers(batch)[2] for _, batch in client.written()] == [0, 0, 2]


@pytest.mark.parametrize("code", [10, 18])
def test_a_batch_that_is_too_large_is_named(client: Client, code: int) -> None:
    client.codes["Produce"] = [0, code]

    async def scenario(session: Session) -> None:
        first, second = batches(OUT, messages(1), 1 << 16), batches(OTHER, messages(4), 1 << 16)
        with pytest.raises(RefusedBatchError) as raised:
            await session.produce([first, second])
        assert raised.value.batch is second[0]
        assert raised.value.batch.size > 0

    play(scenario)


@pytest.mark.parametrize("stamp", [-1, 1_800_000_000_000])
def test_the_time_of_the_broker(client: Client, stamp: int) -> None:
    client.stamp = stamp

    async def scenario(session: Session) -> None:
        found = await session.produce([batches(OUT, messages(1), 1 << 16)])
        assert found == (None if stamp == -1 else stamp)

    play(scenario)


Step = Callable[[Session], Coroutine[Any, Any, Any]]
STEPS: dict[str, Step] = {
    "AddPartitionsToTxn": lambda session: session.add([OUT], None),
    "AddOffsetsToTxn": lambda session: session.add([], "group"),
    "TxnOffsetCommit": lambda session: session.commit_offsets(MEMBER, {INPUT: Offset(5, "name")}),
    "EndTxn": lambda session: session.end(commit=True),
    "InitProducerId": lambda session: session.initialise("another"),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("code", [CONCURRENT, 14])
def test_a_coordinator_that_is_busy_is_waited_for(client: Client, name: str, code: int) -> None:
    """After a transaction it takes some milliseconds until the next one may begin."""

    async def scenario(session: Session) -> None:
        client.codes[name] = [code] * 5
        client.asked.clear()
        await STEPS[name](session)
        assert [asked for asked, _ in client.asked] == [name] * 6

    play(scenario)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("fault", [NOT_COORDINATOR, 15, NodeNotReadyError(), KafkaConnectionError()])
def test_a_coordinator_that_has_moved_is_looked_up_again(client: Client, name: str, fault: int | BaseException) -> None:
    async def scenario(session: Session) -> None:
        if isinstance(fault, int):
            client.codes[name] = [fault]
        else:
            client.errors[name] = [fault]
        before = len(client.lookups)
        await STEPS[name](session)
        looked_up = client.lookups[before:]
        assert len(looked_up) >= 1 + (name == "TxnOffsetCommit")
        kind = CoordinationType.GROUP if name == "TxnOffsetCommit" else CoordinationType.TRANSACTION
        assert looked_up[-1][0] == kind
        assert client.updates > 0

    play(scenario)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (22, GroupFencedError),
        (25, GroupFencedError),
        (27, GroupFencedError),
        (82, InstanceFencedError),
        (UNKNOWN_PRODUCER_FENCED, ProducerFenced),
        (47, ProducerFenced),
        (29, TopicAuthorizationFailedError),
    ],
)
def test_refused_offsets_have_their_reason(client: Client, code: int, expected: type[BaseException]) -> None:
    async def scenario(session: Session) -> None:
        client.codes["TxnOffsetCommit"] = [code]
        with pytest.raises(expected) as raised:
            await STEPS["TxnOffsetCommit"](session)
        assert type(raised.value) is expected
        if expected is GroupFencedError:
            assert "the group group refuses the offsets" in str(raised.value)
        assert len(client.requests("TxnOffsetCommit")) == 1

    play(scenario)


@pytest.mark.parametrize("name", ["AddPartitionsToTxn", "AddOffsetsToTxn", "EndTxn"])
@pytest.mark.parametrize(
    ("code", "expected"),
    [(UNKNOWN_PRODUCER_FENCED, ProducerFenced), (47, ProducerFenced), (53, TransactionalIdAuthorizationFailed)],
)
def test_a_producer_that_is_fenced_or_not_allowed_ends(
    client: Client, name: str, code: int, expected: type[BaseException]
) -> None:
    async def scenario(session: Session) -> None:
        client.codes[name] = [code]
        with pytest.raises(expected):
            await STEPS[name](session)

    play(scenario)


def test_offsets_are_committed_on_behalf_of_the_member(client: Client) -> None:
    async def scenario(session: Session) -> None:
        await STEPS["TxnOffsetCommit"](session)

    play(scenario)
    (request,) = client.requests("TxnOffsetCommit")
    made = built(request)
    assert (made.transactional_id, made.group_id, made.producer_id, made.producer_epoch) == ("id", "group", 9, 1)
    assert (made.generation_id, made.member_id, made.group_instance_id) == (7, "member", "instance")
    assert made.topics == [("in", [(3, 5, -1, "name", {})], {})]


def test_offsets_are_stable_ones(client: Client) -> None:
    unstable = 88
    client.offsets[INPUT] = 12

    async def scenario(session: Session) -> None:
        client.codes["OffsetFetch"] = [unstable] * 3
        assert await session.stable_offsets("group", [INPUT]) == {INPUT: Offset(12, "name")}
        client.offsets.clear()
        assert await session.stable_offsets("group", [INPUT]) == {INPUT: None}
        assert await session.stable_offsets("group", []) == {}

    play(scenario)
    made = [built(request) for request in client.requests("OffsetFetch")]
    assert len(made) == 5
    assert all(one.require_stable for one in made)
    assert all(one.topics == [("in", [3], {})] for one in made)


def test_the_end_of_a_log_is_behind_open_transactions(client: Client) -> None:
    """Otherwise the open transaction of a former owner hides what was committed after it."""
    client.cluster.partitions_for_topic = lambda topic: {3}

    async def scenario(session: Session) -> None:
        client.asked.clear()
        assert await session.log_span(INPUT) == Span(1, 2)

    play(scenario)
    first, end = (built(request) for request in client.requests("Offset"))
    assert first.isolation_level == end.isolation_level == 0
    assert (first.topics, end.topics) == ([("in", [(3, -2)])], [("in", [(3, -1)])])


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("TxnOffsetCommit", STEPS["TxnOffsetCommit"]),
        ("OffsetFetch", lambda session: session.stable_offsets("group", [INPUT])),
    ],
)
def test_an_old_broker_is_named(client: Client, name: str, step: Step) -> None:
    async def scenario(session: Session) -> None:
        client.errors[name] = [NotImplementedError()]
        with pytest.raises(IncompatibleBrokerVersion, match=r"Kafka 2\.5"):
            await step(session)

    play(scenario)


def test_what_it_waits_for_is_shown(client: Client) -> None:
    seen: list[str] = []

    async def scenario(session: Session) -> None:
        real = client.send

        async def send(node: int, request: Any, **arguments: Any) -> Any:
            seen.append(session.obstacle)
            return await real(node, request, **arguments)

        client.send = send  # type: ignore[method-assign]
        client.codes["EndTxn"] = [CONCURRENT]
        await session.end(commit=True)
        assert session.obstacle == ""

    play(scenario)
    assert seen[0] == ""
    assert ConcurrentTransactions.__name__ in seen[1]


def test_closing(client: Client) -> None:
    play(lambda session: session.close())
    assert client.closed
