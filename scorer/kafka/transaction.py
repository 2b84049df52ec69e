"""Sends messages and input offsets in one transaction: all of them or none."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerFenced
from aiokafka.partitioner import murmur2

from scorer.domain.printable import counted
from scorer.kafka.fault_points import reached
from scorer.kafka.message import Message
from scorer.kafka.session import (
    Batch,
    GroupFencedError,
    InstanceFencedError,
    Member,
    Offset,
    RefusedBatchError,
    Session,
    batches,
    together,
)
from scorer.kafka.topic_reader import Span
from scorer.runtime.settings import Settings

__all__ = [
    "AbortedError",
    "DoubtfulError",
    "FencedError",
    "GroupFencedError",
    "InstanceFencedError",
    "Member",
    "Offset",
    "Refusal",
    "TooLargeError",
    "TransactionLimits",
    "TransactionalProducer",
]

_CLOSE_SECONDS: Final = 5.0
_PROBE_GENERATION: Final = 0x7FFFFFF0


class FencedError(Exception):
    """Another producer started with our transactional id, or the broker aborted our transaction."""


class AbortedError(Exception):
    """The transaction was aborted, and nothing of it is visible. It can be tried again.

    `__cause__` is the reason: a `KafkaError` (`TooLargeError` if a topic refused the size of a batch,
    `GroupFencedError` if the group refused the offsets), or the `TimeoutError` of `phase_seconds`.
    """


class DoubtfulError(Exception):
    """The state of the transaction at the broker is not known. The next `commit`, or `settle`, ends it.

    `committing` True: the commit was requested, so the transaction may be committed. False: it is not committed, but it
    may still be open.
    """

    def __init__(self, message: str, *, committing: bool = True) -> None:
        super().__init__(message)
        self.committing = committing


@dataclass(frozen=True, slots=True)
class Refusal:
    """A batch that was too large for its topic. `size`: of the batch, bytes. `lead`: the key of its largest record;
    `event_id`: the id of that record if it is a CloudEvent."""

    topic: str
    lead: str | None
    size: int
    records: int
    event_id: str | None = None


class TooLargeError(MessageSizeTooLargeError):  # type: ignore[misc]
    """Kafka refused a batch as too large for its topic. `messages`: those in the batch."""

    def __init__(self, refusal: Refusal, messages: Sequence[Message] = ()) -> None:
        largest = f"{counted(refusal.records, 'record')}, the largest of {refusal.lead!r}"
        super().__init__(f"{refusal.topic} refused a batch of {refusal.size:,} bytes ({largest})")
        self.refusal = refusal
        self.messages = messages


@dataclass(frozen=True, slots=True)
class TransactionLimits:
    """The limits of a transactional producer.

    `timeout_ms`: the broker aborts a transaction that is open for longer. `batch_bytes`: the largest record batch; a
    larger message gets a batch of its own. `abort_seconds`: the limit of an abort. `phase_seconds`: the limit of
    sending, and again of the commit; None if the caller has its own. `abort_on_interrupt`: abort also if `commit` is
    cancelled while it sends. It is for an id with which no other producer will start soon and end the transaction.
    """

    timeout_ms: int
    batch_bytes: int
    abort_seconds: float
    phase_seconds: float | None = None
    abort_on_interrupt: bool = False


class TransactionalProducer:
    """A producer whose sends are transactions. Starting it fences all others with its transactional id.

    After a failed transaction it starts a new session with the same id, because that certainly ends the transaction:
    the broker aborts it, or completes it if its commit was requested. One commit at a time.
    """

    def __init__(self, settings: Settings, transactional_id: str, limits: TransactionLimits) -> None:
        self.transactional_id = transactional_id
        self._settings = settings
        self._limits = limits
        self._session: Session | None = None
        self.broker_time: int | None = None
        """When the broker says that it got the last commit, in milliseconds since the epoch. None if none of its topics
        has LogAppendTime."""

    async def start(self) -> None:
        """Connect, end what a former producer with our id left open, and fence it. Raises `KafkaError`."""
        reached("fencing")
        await self.settle()
        reached("fenced")

    async def stop(self) -> None:
        """Close the connections. The broker aborts a transaction that is still open."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await session.close()

    @property
    def obstacle(self) -> str:
        """Why the broker has not done the current request yet; empty if it has not refused it."""
        return "" if self._session is None else self._session.obstacle

    async def settle(self) -> None:
        """End a transaction that is in doubt: afterwards it is committed or aborted. Raises `KafkaError`."""
        await self.stop()
        self._session = session = Session(self._settings, self.transactional_id, self._limits.timeout_ms)
        try:
            await session.open()
        except BaseException:
            await self.stop()
            raise

    async def fence(self, transactional_id: str) -> None:
        """Abort what a producer with another id left open, and fence it. Raises `KafkaError`."""
        await (await self._opened()).initialise(transactional_id)

    async def stable_offsets(
        self, group: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Offset | None]:
        """The committed offsets of the group; None where there is none. Waits while a transaction is open that would
        change one. Raises `KafkaError`."""
        return await (await self._opened()).stable_offsets(group, partitions)

    async def log_span(self, partition: TopicPartition) -> Span:
        """Where the log of a partition begins and ends now. Records of open and aborted transactions are in it. Raises
        `KafkaError`."""
        return await (await self._opened()).log_span(partition)

    async def fences_groups(self, group: str, partition: TopicPartition) -> bool:
        """Whether the broker refuses offsets of a wrong generation of the group. It asks with a transaction, which it
        aborts. Raises `KafkaError`."""
        session = await self._opened()
        await session.add((), group)
        try:
            await session.commit_offsets(Member(group, _PROBE_GENERATION, "probe"), {partition: Offset(0)})
        except GroupFencedError:
            return True
        else:
            return False
        finally:
            await session.end(commit=False)

    async def commit(
        self,
        messages: Iterable[Message],
        offsets: Mapping[TopicPartition, Offset] | None = None,
        member: Member | None = None,
        *,
        batch_bytes: int | None = None,
    ) -> None:
        """Publish the messages, and commit the offsets on behalf of a member of its group, in one transaction.

        `offsets`: for each input partition, the offset to continue from. `batch_bytes`: the largest record batch, where
        it is not that of the limits. Raises `FencedError`, `AbortedError` or `DoubtfulError`.
        """
        session: Session | None = None
        try:
            async with asyncio.timeout(self._limits.phase_seconds):
                session = await self._opened()
                everything = await self._batches(session, messages, batch_bytes or self._limits.batch_bytes)
                group = member.group if offsets and member is not None else None
                await session.add([part[0].partition for part in everything], group)
                reached("begun")
                stamp = await self._fill(session, everything, offsets or {}, member)
                reached("offsets_sent")
        except ProducerFenced as error:
            await self.stop()
            raise FencedError from error
        except RefusedBatchError as error:
            await self._abort(_too_large(error.batch))
        except (KafkaError, TimeoutError) as error:
            await self._abort(error)
        except BaseException as error:
            if self._limits.abort_on_interrupt:
                with contextlib.suppress(AbortedError, DoubtfulError):
                    await self._abort(error)
            await self.stop()
            raise
        try:
            async with asyncio.timeout(self._limits.phase_seconds):
                await session.end(commit=True)
                reached("committed")
        except ProducerFenced as error:
            await self.stop()
            raise FencedError from error
        except (KafkaError, TimeoutError) as error:
            await self.stop()
            raise DoubtfulError(f"the commit failed: {error!r}") from error
        except BaseException:
            await self.stop()
            raise
        self.broker_time = stamp

    async def _opened(self) -> Session:
        if self._session is None:
            await self.settle()
        assert self._session is not None
        return self._session

    async def _fill(
        self,
        session: Session,
        everything: Sequence[Sequence[Batch]],
        offsets: Mapping[TopicPartition, Offset],
        member: Member | None,
    ) -> int | None:
        async def produce() -> int | None:
            stamp = await session.produce(everything)
            reached("sent")
            return stamp

        if not offsets or member is None:
            return await produce()
        stamp, _ = await together(produce(), session.commit_offsets(member, offsets))
        return stamp  # type: ignore[no-any-return]

    async def _abort(self, cause: BaseException) -> NoReturn:
        try:
            async with asyncio.timeout(self._limits.abort_seconds):
                await self.settle()
        except (KafkaError, TimeoutError) as error:
            raise DoubtfulError(f"the abort failed: {error!r}, after {cause!r}", committing=False) from cause
        raise AbortedError(repr(cause)) from cause

    async def _batches(self, session: Session, messages: Iterable[Message], limit: int) -> list[list[Batch]]:
        by_partition: dict[tuple[str, int], list[Message]] = defaultdict(list)
        partitions: dict[str, list[int]] = {}
        for message in messages:
            topic = message.topic
            if topic not in partitions:
                partitions[topic] = await session.partitions_of(topic)
            by_partition[topic, _choose(message, partitions[topic])].append(message)
        return [batches(TopicPartition(*place), group, limit) for place, group in by_partition.items()]


def _choose(message: Message, partitions: list[int]) -> int:
    if message.partition is not None:
        return message.partition
    spread = message.spread if message.key is None else _hash(message.key)
    return partitions[spread % len(partitions)]


# Cached because the hash is computed in Python, and a lead has several activities in a visit.
@lru_cache(16_384)
def _hash(key: bytes) -> int:
    """The positive hash by which clients of Kafka choose the partition of a key."""
    return int(murmur2(key)) & 0x7FFFFFFF


def _too_large(batch: Batch) -> TooLargeError:
    largest = max(batch.messages, key=lambda message: len(message.value or b"") + len(message.key or b""))
    lead = None if largest.key is None else largest.key[:1024].decode("utf-8", "backslashreplace")
    event_id = next(
        (value.decode("utf-8", "backslashreplace") for name, value in largest.headers if name == "ce_id"), None
    )
    return TooLargeError(Refusal(largest.topic, lead, batch.size, len(batch.messages), event_id), batch.messages)
