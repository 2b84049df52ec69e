"""Everything that relies on internals of aiokafka and FastStream.

No other module touches them. Each function says what the public interface lacks;
tests/contract/test_client_internals.py checks the assumptions against the installed versions.
"""

import asyncio
import logging
import math
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition, client, conn
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import KafkaConnectionError, KafkaError, SaslAuthenticationFailed
from aiokafka.record.default_records import DefaultRecordBatchBuilder, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_BATCH_LENGTH: Final = struct.Struct(">qi")


class Subscriber(Protocol):
    """The parts of a started FastStream subscriber for Kafka that are used here."""

    consumer: Any
    tasks: "list[asyncio.Task[Any]]"


def consumer_of(subscriber: Subscriber) -> Any:
    """The aiokafka consumer of a FastStream subscriber; None before its start.

    The workers seek, pause and resume single partitions, and FastStream offers only the messages.
    """
    return subscriber.consumer


@dataclass(frozen=True, slots=True)
class FetchWait:
    """The broker answers a fetch when it has so many bytes, or after so many milliseconds."""

    ms: int
    bytes: int = 1


def poll_without_pauses(subscriber: Any, wait_ms: int, max_records: int, idle: FetchWait, busy: FetchWait) -> None:
    """Make a batch subscriber return records as soon as there are some, and ask again at once if there are none within
    `wait_ms`.

    FastStream pauses after each poll without records, for as long as the poll has waited. So either a record waits for
    the end of a long pause, or an idle worker polls all the time.

    `busy`: for the fetches after records that came soon after others, within twice its time. aiokafka has one value for
    the life of a consumer. With a long wait, the first record would be late; with none, each fetch brings one or two
    records, and most of the processor time goes into fetches.
    """
    latest = -math.inf

    async def get_msg(consumer: AIOKafkaConsumer) -> "tuple[ConsumerRecord[bytes, bytes], ...]":
        nonlocal latest
        records = await consumer.getmany(timeout_ms=wait_ms, max_records=max_records)
        now = asyncio.get_running_loop().time()
        soon = now - latest <= 2 * busy.ms / 1000
        latest = now if records else latest
        _wait_in_fetches(consumer, busy if records and soon else idle)
        return tuple(chain.from_iterable(records.values()))

    subscriber.get_msg = get_msg


def _wait_in_fetches(consumer: AIOKafkaConsumer, wait: FetchWait) -> None:
    internal = getattr(consumer, "_fetcher", None)
    if internal is not None:
        internal._fetch_max_wait_ms, internal._fetch_min_bytes = wait.ms, wait.bytes


def dead_task(subscriber: Subscriber) -> str | None:
    """A phrase that names a background task of a started subscriber that has ended; None while all run.

    A consumer without it looks alive and reads nothing. FastStream and aiokafka only log the end of a task, and neither
    has a health check that notices it.
    """
    if not any(not task.done() for task in subscriber.tasks):
        return "the consuming task ended"
    consumer = subscriber.consumer
    # A consumer that does not exist or has not joined yet has no such task.
    for task, name in (
        (getattr(getattr(consumer, "_coordinator", None), "_coordination_task", None), "coordination"),
        (getattr(getattr(consumer, "_fetcher", None), "_fetch_task", None), "fetch"),
    ):
        if task is not None and task.done():
            return f"the consumer's {name} task ended"
    return None


def cut_large_records(consumer: AIOKafkaConsumer, limit: int, kept: int) -> None:
    """Make the consumer keep only the first `kept` bytes of a key or a value of more than `limit` bytes.

    `serialized_key_size` and `serialized_value_size` of a record still give the whole length. Each value is cut when
    its batch is read, so that a poll does not hold hundreds of them. The client can bound no more: it counts packed
    bytes (`max_partition_fetch_bytes`), and unpacks a batch in one piece before it looks at the first record. So one
    batch costs what it unpacks to, about a thousand times its size with gzip, until the next one is read, and headers
    are not cut. The limits of the topic and of the producers bound that.

    aiokafka takes such a function when a consumer is created, and FastStream creates ours without one.
    """

    def cut(data: bytes | None) -> bytes | None:
        return data if data is None or len(data) <= limit else data[:kept]

    internal = getattr(consumer, "_fetcher", None)
    if internal is not None:
        internal._key_deserializer = internal._value_deserializer = cut


def position_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """The offset from which the consumer reads on; None before it has one, or without the partition.

    It is after the markers of transactions. The public `position` is a coroutine that waits until there is one, and the
    lag is measured between two steps of a worker, without waiting.
    """
    assignment = getattr(getattr(getattr(consumer, "_subscription", None), "subscription", None), "assignment", None)
    state = None if assignment is None else assignment.state_value(partition)
    return int(state.position) if state is not None and state.has_valid_position else None


def on_out_of_range(consumer: AIOKafkaConsumer, partition: TopicPartition, report: Callable[[], None]) -> None:
    """Call `report` if the broker does not have the offset of an assigned partition any more. The offset stays.

    Otherwise the consumer moves to another offset and says nothing (`auto_offset_reset` earliest or latest), or
    `getmany` raises (none): FastStream then waits five seconds, for all partitions, and reports nothing either.
    `report` should pause the partition. A new assignment needs a new call.
    """
    assignment = getattr(getattr(getattr(consumer, "_subscription", None), "subscription", None), "assignment", None)
    state = None if assignment is None else assignment.state_value(partition)
    if state is not None:
        state.await_reset = lambda strategy: report()


def generation_of(consumer: AIOKafkaConsumer) -> tuple[int, str]:
    """The generation of the group and the member id in it. To be called from `on_partitions_assigned` only: at other
    times the client may have a newer generation than the assignment.

    The broker refuses the offsets of a member that names another generation. Nothing public gives it.
    """
    coordinator = consumer._coordinator
    return int(coordinator.generation), str(coordinator.member_id)


def report_errors(consumer: AIOKafkaConsumer, report: Callable[[KafkaError], object]) -> None:
    """Call `report` with each error that a poll of the consumer raises: of fetches, of its heartbeats and of its group.

    FastStream catches them, waits five seconds, tries again, and only logs them.
    """
    poll = consumer.getmany

    async def getmany(*partitions: TopicPartition, **limits: Any) -> Any:
        try:
            return await poll(*partitions, **limits)
        except KafkaError as error:
            report(error)
            raise

    consumer.getmany = getmany


def request_rejoin(consumer: AIOKafkaConsumer) -> None:
    """Make the consumer rejoin its group after another worker has fenced ours, to learn who owns which partition.

    Nothing public starts a rebalance: `subscribe` does nothing here, because the topics stay the same.
    """
    coordinator = getattr(consumer, "_coordinator", None)
    if coordinator is not None and hasattr(coordinator, "request_rejoin"):
        coordinator.request_rejoin()


def tolerate_former_topics() -> None:
    """Make all consumers of this process leave out what they are assigned of topics that they do not read, and join
    their group again.

    Kafka gives a member with a fixed name its former partitions back when it comes again, also if it reads other topics
    now. aiokafka's coordination then fails on an assertion. The metadata of the second join differs, so Kafka lets the
    group assign again.
    """
    GroupCoordinator._on_join_complete = _without_former_topics


_join_complete: Final = GroupCoordinator._on_join_complete


async def _without_former_topics(
    coordinator: GroupCoordinator, generation: int, member_id: str, protocol: str, data: bytes
) -> None:
    found = ConsumerProtocol.ASSIGNMENT.decode(data)
    known = [(topic, numbers) for topic, numbers in found.assignment if topic in coordinator._subscription.topics]
    if len(known) == len(found.assignment):
        await _join_complete(coordinator, generation, member_id, protocol, data)
        return
    data = ConsumerProtocol.ASSIGNMENT(found.version, known, found.user_data).encode()
    await _join_complete(coordinator, generation, member_id, protocol, data)
    coordinator.request_rejoin()


def record_size(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> int:
    """The bytes of a record batch with this one record, at most.

    An idempotent producer sends nothing more after the broker has refused one batch, so we need the size before we send
    the record. The producer computes it and does not expose it.
    """
    return int(DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, headers))


class RenewedText(str):
    """A user name or a password that is read again for each new connection.

    aiokafka takes a text when a client is created and keeps it; only a token has a provider.
    """

    __slots__ = ("read",)

    def __new__(cls, read: Callable[[], str]) -> "RenewedText":
        """`read`: gives the text of now. It must not raise after the first time."""
        text = super().__new__(cls, read())
        text.read = read
        return text

    read: Callable[[], str]


def renew_credentials() -> None:
    """Make all clients of this process make their connections with `connect`, and keep secrets out of their log."""
    client.create_conn = connect
    conn.OAuthAuthenticator = _TokenAuthenticator
    conn.log.addFilter(_without_secrets)


def _without_secrets(record: logging.LogRecord) -> bool:
    """Whether a line of the client may be logged. At DEBUG it logs all requests, and those of a login have the password
    or the token in them."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(type(each).__name__.startswith("SaslAuthenticate") for each in arguments)


_connect: Final = conn.create_conn
_on_refused_login: list[Callable[[], object]] = []


def report_refused_logins(report: Callable[[], object]) -> None:
    """Call `report` each time a broker does not accept us, or we do not accept it: the login, the certificates.

    The clients log it, try again and say nothing. It replaces the function that was set before.
    """
    _on_refused_login[:] = [report]


async def connect(host: str, port: int, **arguments: Any) -> Any:
    """aiokafka's function that makes a connection and logs in, with each `RenewedText` as it is now.

    Raises `KafkaError` or `OSError`. A broker that does not prove to know the password, or that breaks the rules of
    SASL, is a failed login. The client raises `ValueError`, `KeyError` or `AssertionError` for it, and nobody catches
    them.
    """
    for name in ("sasl_plain_username", "sasl_plain_password"):
        value = arguments.get(name)
        if isinstance(value, RenewedText):
            arguments[name] = value.read()
    try:
        return await _logged_in(host, port, arguments)
    except (KafkaError, OSError) as error:
        away = isinstance(error, KafkaConnectionError | OSError)
        if not away or isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
            for report in _on_refused_login:
                report()
        raise


async def _logged_in(host: str, port: int, arguments: dict[str, Any]) -> Any:
    mechanism = arguments.get("sasl_mechanism")
    try:
        return await _connect(host, port, **arguments)
    except OSError:
        # A certificate that is not trusted is a `ValueError`, too.
        raise
    except (ValueError, KeyError, AssertionError) as error:
        if mechanism is None:
            raise
        raise SaslAuthenticationFailed(f"the broker does not log in as {mechanism} demands") from error


class _TokenAuthenticator(conn.OAuthAuthenticator):  # type: ignore[misc]
    """The client takes every answer to its token for a yes. A broker that refuses it says why, and fails the login when
    it has an answer to that (RFC 7628)."""

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if payload:
            return b"\x01", True
        step: tuple[bytes, bool] | None = await super().step(payload)
        return step


def tolerate_header_names() -> None:
    """Make all consumers of this process read records with a header name that is not UTF-8.

    Kafka forbids such names, but its brokers accept them. aiokafka fails on such a record at every fetch and loses the
    good records that it read before, so one record would stop all partitions of a worker. It has no setting and no hook
    for this. The name is read with a backslash escape for each wrong byte, and the record is processed like any other.
    """
    fetcher.MemoryRecords = _Records


class _Records:
    """aiokafka's MemoryRecords, which remembers where in the bytes each batch is."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = data
        self._position = 0

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> "_Batch | None":
        batch = self._records.next_batch()
        if batch is None:
            return None
        begin = self._position
        _, length = _BATCH_LENGTH.unpack_from(self._data, begin)
        self._position = begin + _BATCH_LENGTH.size + length
        return _Batch(batch, self._data, begin, self._position)


class _Batch:
    """A record batch that is read again, in Python, if the fast reader fails on a header name.

    The second reading starts at its first record; the fetcher skips the records that it already has.
    """

    def __init__(self, batch: Any, data: bytes, begin: int, end: int) -> None:
        self._batch = batch
        self._where = data, begin, end
        # Read once: the fetcher reads them several times, and under a low load a batch has only a record or two.
        self.producer_id = batch.producer_id
        self.base_offset = batch.base_offset
        self.next_offset = batch.next_offset
        self.is_control_batch = batch.is_control_batch
        self.is_transactional = batch.is_transactional
        self.validate_crc = batch.validate_crc

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            data, begin, end = self._where
            yield from _LenientBatch(memoryview(data)[begin:end])


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBytes(self._buffer)


class _LenientBytes(bytearray):
    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return _LenientBytes(part) if isinstance(index, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")
