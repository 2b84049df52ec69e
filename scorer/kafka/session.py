"""The requests of one transactional producer, each repeated until the broker has done it or has refused it.

aiokafka's own producer sends them too, but it cannot name the group's generation (KIP-447), it sends no EndTxn after
some errors, so that the next commit would publish what was to be aborted, and after a refused batch it can only be
replaced. Everything here builds on its client, its protocol classes and its record batches.
"""

import asyncio
import contextlib
import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

import aiokafka.errors as kafka_errors
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from scorer.kafka.connection import connection
from scorer.kafka.message import Message
from scorer.kafka.newer_requests import OffsetFetchRequest, TxnOffsetCommitRequest
from scorer.kafka.topic_reader import Span
from scorer.runtime.settings import Settings

_REQUEST_MS: Final = 10_000
"""A broker that is stopped, not dead, answers nothing. The default of 40 s would outlast the transaction four times."""
_FIRST_PAUSE: Final = 0.005
"""A broker needs some milliseconds to complete the transaction before, and refuses the next one until then."""
_LONGEST_PAUSE: Final = 0.25
_LAST_SEQUENCE: Final = 0x7FFFFFFF
_NO_TIMESTAMP: Final = -1

_UNCOMMITTED: Final = 0
_FIRST: Final = -2
_END: Final = -1

_FENCED_INSTANCE_ID: Final = 82
_UNSTABLE: Final = 88
_PRODUCER_FENCED: Final = 90

Answer = TypeVar("Answer")


class GroupFencedError(KafkaError):  # type: ignore[misc]
    """The group has gone on without this member, so the broker refuses its offsets."""


class InstanceFencedError(KafkaError):  # type: ignore[misc]
    """Another member has joined the group with the same instance id, and takes the place of this one."""


class _UnstableError(KafkaError):  # type: ignore[misc]
    """A transaction that has offsets of the partition is open."""

    retriable = True


_BUSY: Final = (
    ConcurrentTransactions,
    _UnstableError,
    kafka_errors.GroupLoadInProgressError,
    kafka_errors.NotEnoughReplicasError,
    kafka_errors.NotEnoughReplicasAfterAppendError,
)
"""The right broker has answered, and will do it soon."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a group in one generation. Without an id, offsets are committed on nobody's behalf, and nothing
    fences them."""

    group: str
    generation: int = -1
    id: str = ""
    instance: str | None = None


class Offset(NamedTuple):
    """A committed offset, from which the group continues, and its metadata."""

    next: int
    metadata: str = ""


@dataclass(slots=True)
class Batch:
    """The records of one partition that are sent together, and where they are from."""

    partition: TopicPartition
    messages: list[Message]
    builder: Any
    size: int = 0

    def seal(self, producer_id: int, epoch: int, sequence: int) -> bytes:
        """The bytes, numbered."""
        self.builder.set_producer_state(producer_id, epoch, sequence)
        data: bytes = self.builder.build()
        return data


class RefusedBatchError(KafkaError):  # type: ignore[misc]
    """The broker refused a batch as too large for its topic."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(f"{batch.partition.topic} refused a batch of {batch.size:,} bytes")
        self.batch = batch


def batches(partition: TopicPartition, messages: Iterable[Message], limit: int) -> list[Batch]:
    """The messages in order, in batches of at most `limit` bytes. A larger message gets a batch of its own."""
    made: list[Batch] = []
    builder, number = None, 0
    for message in messages:
        _, _, key, value, headers, _, timestamp = message
        if builder is None or builder.append(number, timestamp, key=key, value=value, headers=headers) is None:
            builder, number = DefaultRecordBatchBuilder(2, 0, 1, -1, -1, 0, limit), 0
            builder.append(number, timestamp, key=key, value=value, headers=headers)
            made.append(Batch(partition, [], builder))
        made[-1].messages.append(message)
        number += 1
    for batch in made:
        batch.size = batch.builder.size()
    return made


@dataclass(slots=True)
class Session:
    """The requests of a transactional id in one epoch. Not usable after an error other than a refusal of the group."""

    settings: Settings
    transactional_id: str
    timeout_ms: int
    obstacle: str = ""
    """Why the broker has not done the current request yet; empty if it has not refused it."""
    _client: AIOKafkaClient = field(init=False)
    _producer_id: int = -1
    _epoch: int = -1
    _sequences: dict[TopicPartition, int] = field(default_factory=dict)
    _coordinators: dict[CoordinationType, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._client = AIOKafkaClient(**connection(self.settings), request_timeout_ms=_REQUEST_MS)

    async def open(self) -> None:
        """Connect and start a new epoch. That aborts an open transaction of the id, waits until one that is being
        committed is complete, and fences all other sessions with the id. Raises `KafkaError`."""
        await self._client.bootstrap()
        await self._persist(self._init)

    async def initialise(self, transactional_id: str) -> None:
        """Abort an open transaction of another id, and fence its producers. Raises `KafkaError`."""

        async def step() -> None:
            node = await self._client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
            request = InitProducerIdRequest(transactional_id, self.timeout_ms)
            _check((await self._ask(node, request)).error_code, transactional_id)

        await self._persist(step)

    async def close(self) -> None:
        """Close the connections. The broker aborts a transaction that is still open."""
        await self._client.close()

    async def partitions_of(self, topic: str) -> list[int]:
        """The partition numbers of a topic, in order. Raises `KafkaError` if it has none that can be reached."""
        numbers: set[int] | None = self._client.cluster.partitions_for_topic(topic)
        if not numbers:
            numbers = await self._client._wait_on_metadata(topic)
        if not numbers:
            raise KafkaConnectionError(f"the topic {topic} has no partitions that can be reached")
        return sorted(numbers)

    async def add(self, partitions: Collection[TopicPartition], group: str | None) -> None:
        """Make the partitions and the offsets of the group part of the transaction, which begins with that."""
        steps: list[Callable[[], Awaitable[None]]] = []
        if partitions:
            topics: defaultdict[str, list[int]] = defaultdict(list)
            for partition in partitions:
                topics[partition.topic].append(partition.partition)
            steps.append(lambda: self._add_partitions(list(topics.items())))
        if group is not None:
            steps.append(lambda: self._add_group(group))
        await together(*(self._persist(step) for step in steps))

    async def produce(self, all_batches: Sequence[Sequence[Batch]]) -> int | None:
        """Write batches, for each partition in order. Returns when the broker got the last ones, in milliseconds since
        the epoch; None if no topic has LogAppendTime. Raises `RefusedBatchError`."""
        stamps = []
        for turn in itertools.zip_longest(*all_batches):
            sealed = {batch.partition: (batch, self._seal(batch)) for batch in turn if batch is not None}
            stamps.append(await self._write(sealed))
        return max((stamp for stamp in stamps if stamp is not None), default=None)

    async def commit_offsets(self, member: Member, offsets: Mapping[TopicPartition, Offset]) -> None:
        """Make the offsets of the member's group part of the transaction. Raises `GroupFencedError`."""

        async def step() -> None:
            node = await self._coordinator(CoordinationType.GROUP, member.group)
            request = TxnOffsetCommitRequest(
                self.transactional_id,
                member.group,
                self._producer_id,
                self._epoch,
                member.generation,
                member.id,
                member.instance,
                {partition: (offset.next, offset.metadata) for partition, offset in offsets.items()},
            )
            answer = await self._ask(node, request)
            for _, partitions, _ in answer.errors:
                for _, code, _ in partitions:
                    _check(code, member.group)

        await self._persist(step, CoordinationType.GROUP)

    async def end(self, *, commit: bool) -> None:
        """Commit or abort the transaction."""

        async def step() -> None:
            node = await self._coordinator(CoordinationType.TRANSACTION, self.transactional_id)
            request = EndTxnRequest(self.transactional_id, self._producer_id, self._epoch, commit)
            _check((await self._ask(node, request)).error_code, self.transactional_id)

        await self._persist(step)

    async def stable_offsets(
        self, group: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Offset | None]:
        """The committed offsets of the group; None where there is none. Waits while a transaction is open that would
        change one."""
        found: dict[TopicPartition, Offset | None] = {}

        async def step() -> None:
            topics: defaultdict[str, list[int]] = defaultdict(list)
            for partition in partitions:
                if partition not in found:
                    topics[partition.topic].append(partition.partition)
            node = await self._coordinator(CoordinationType.GROUP, group)
            answer = await self._ask(node, OffsetFetchRequest(group, topics, require_stable=True))
            _check(answer.error_code, group)
            unstable = False
            for topic, parts, _ in answer.topics:
                for number, offset, _, metadata, code, _ in parts:
                    if code == _UNSTABLE:
                        unstable = True
                        continue
                    _check(code, topic)
                    found[TopicPartition(topic, number)] = None if offset < 0 else Offset(offset, metadata or "")
            if unstable:
                raise _UnstableError

        if partitions:
            await self._persist(step, CoordinationType.GROUP)
        return found

    async def log_span(self, partition: TopicPartition) -> Span:
        """Where the log of a partition begins and ends now. Records of open and aborted transactions are in it."""

        async def step(timestamp: int) -> int:
            await self.partitions_of(partition.topic)
            topics = [(partition.topic, [(partition.partition, timestamp)])]
            answer = await self._client.send(self._leader(partition), OffsetRequest(-1, _UNCOMMITTED, topics))
            ((_, ((_, code, *_, offset),)),) = answer.topics
            _check(code, partition.topic)
            return int(offset)

        return Span(await self._persist(lambda: step(_FIRST)), await self._persist(lambda: step(_END)))

    async def _init(self) -> None:
        node = await self._coordinator(CoordinationType.TRANSACTION, self.transactional_id)
        answer = await self._ask(node, InitProducerIdRequest(self.transactional_id, self.timeout_ms))
        _check(answer.error_code, self.transactional_id)
        self._producer_id, self._epoch = answer.producer_id, answer.producer_epoch
        self._sequences.clear()

    async def _add_partitions(self, topics: list[tuple[str, list[int]]]) -> None:
        node = await self._coordinator(CoordinationType.TRANSACTION, self.transactional_id)
        request = AddPartitionsToTxnRequest(self.transactional_id, self._producer_id, self._epoch, topics)
        answer = await self._ask(node, request)
        errors = [(topic, code) for topic, partitions in answer.errors for _, code in partitions]
        # Where one partition fails, the others are only "not attempted", which says nothing.
        for topic, code in sorted(errors, key=lambda error: error[1] == kafka_errors.OperationNotAttempted.errno):
            _check(code, topic)

    async def _add_group(self, group: str) -> None:
        node = await self._coordinator(CoordinationType.TRANSACTION, self.transactional_id)
        request = AddOffsetsToTxnRequest(self.transactional_id, self._producer_id, self._epoch, group)
        _check((await self._ask(node, request)).error_code, group)

    def _seal(self, batch: Batch) -> bytes:
        sequence = self._sequences.get(batch.partition, 0)
        self._sequences[batch.partition] = (sequence + len(batch.messages)) & _LAST_SEQUENCE
        return batch.seal(self._producer_id, self._epoch, sequence)

    async def _write(self, sealed: dict[TopicPartition, tuple[Batch, bytes]]) -> int | None:
        """Write one batch for each partition. A repeated batch has the same number, so the broker keeps one."""
        last: int | None = None

        async def step() -> None:
            nonlocal last
            by_leader: defaultdict[int, dict[TopicPartition, bytes]] = defaultdict(dict)
            for partition, (_, data) in sealed.items():
                by_leader[self._leader(partition)][partition] = data
            answers = await asyncio.gather(
                *(self._write_to(node, part) for node, part in by_leader.items()), return_exceptions=True
            )
            errors: list[BaseException] = []
            for answer in answers:
                if isinstance(answer, BaseException):
                    errors.append(answer)
                    continue
                for partition, error, stamp in answer:
                    if error is None:
                        del sealed[partition]
                        last = max(last or 0, stamp) if stamp != _NO_TIMESTAMP else last
                    elif isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
                        errors.append(RefusedBatchError(sealed[partition][0]))
                    else:
                        errors.append(error)
            if errors:
                raise min(errors, key=_severity)

        await self._persist(step)
        return last

    def _leader(self, partition: TopicPartition) -> int:
        node = self._client.cluster.leader_for_partition(partition)
        if node is None or node < 0:
            raise kafka_errors.LeaderNotAvailableError(f"{partition.topic}-{partition.partition} has no leader")
        return int(node)

    async def _write_to(
        self, node: int, data: Mapping[TopicPartition, bytes]
    ) -> list[tuple[TopicPartition, KafkaError | None, int]]:
        topics: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
        for partition, batch in data.items():
            topics[partition.topic].append((partition.partition, batch))
        request = ProduceRequest(
            transactional_id=self.transactional_id,
            required_acks=-1,
            timeout=_REQUEST_MS,
            topics=list(topics.items()),
        )
        answer = await self._client.send(node, request)
        outcomes = []
        for topic, partitions in answer.topics:
            for number, code, _, stamp, *_ in partitions:
                error = None
                # The broker has this batch already, so the first try did arrive.
                if code != kafka_errors.DuplicateSequenceNumber.errno:
                    error = _error(code, topic)
                outcomes.append((TopicPartition(topic, number), error, stamp))
        return outcomes

    async def _coordinator(self, kind: CoordinationType, key: str) -> int:
        if kind not in self._coordinators:
            self._coordinators[kind] = await self._client.coordinator_lookup(kind, key)
        return self._coordinators[kind]

    async def _ask(self, node: int, request: Any) -> Any:
        try:
            return await self._client.send(node, request, group=ConnectionGroup.COORDINATION)
        except NotImplementedError:
            name = type(request).__name__
            raise IncompatibleBrokerVersion(f"the broker knows no {name} of KIP-447; Kafka 2.5 or later does") from None

    async def _persist(
        self, step: Callable[[], Awaitable[Answer]], kind: CoordinationType = CoordinationType.TRANSACTION
    ) -> Answer:
        """Repeat a step while its errors pass by themselves. The caller limits the time."""
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = await step()
                self.obstacle = ""
                return answer
            except KafkaError as error:
                if not _passes(error):
                    raise
                self.obstacle = str(error)
                if not isinstance(error, _BUSY):
                    self._coordinators.pop(kind, None)
                    await self._refresh()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _refresh(self) -> None:
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_REQUEST_MS / 1000):
                await self._client.force_metadata_update()


async def together(*work: Awaitable[Any]) -> list[Any]:
    """The results of all. After a failure the rest is cancelled, and awaited."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        if tasks:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            failed = [task for task in tasks if task.done() and task.exception() is not None]
            if failed:
                failed[0].result()
        return [task.result() for task in tasks]
    finally:
        unfinished = [task for task in tasks if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)


def _check(code: int, about: str = "") -> None:
    error = _error(code, about)
    if error is not None:
        raise error


def _error(code: int, about: str) -> KafkaError | None:
    """The error of a code; None if it is none. aiokafka does not know those of the newer requests.

    `about`: the topic, group or transactional id.
    """
    if code == 0:
        return None
    if code in (kafka_errors.InvalidProducerEpoch.errno, _PRODUCER_FENCED):
        return ProducerFenced()
    if code in (
        kafka_errors.IllegalGenerationError.errno,
        kafka_errors.UnknownMemberIdError.errno,
        kafka_errors.RebalanceInProgressError.errno,
    ):
        return GroupFencedError(f"the group {about} refuses the offsets: {kafka_errors.for_code(code).__name__}")
    if code == _FENCED_INSTANCE_ID:
        return InstanceFencedError(about)
    error = kafka_errors.for_code(code)
    return error(about if error is not kafka_errors.UnknownError else f"{about}: error {code} of the broker")


def _passes(error: KafkaError) -> bool:
    return bool(error.retriable) or isinstance(
        error, ConcurrentTransactions | kafka_errors.OperationNotAttempted | kafka_errors.StaleMetadata
    )


def _severity(error: BaseException) -> int:
    """A refusal comes first, because it is the reason for others; what passes by itself comes last."""
    if isinstance(error, RefusedBatchError):
        return 0
    if isinstance(error, ProducerFenced):
        return 1
    return 3 if isinstance(error, KafkaError) and _passes(error) else 2
