"""Sends messages and input offsets in one transaction: all of them or none."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import OffsetAndMetadata

from scorer.kafka.client_internals import close_at_once
from scorer.kafka.connection import connection
from scorer.kafka.fault_points import reached
from scorer.kafka.message import Message
from scorer.runtime.settings import Settings

_STOP_SECONDS: Final = 5.0
_BROKER_STAMP: Final = 1


class FencedError(Exception):
    """Another producer started with our transactional id, or the broker aborted our transaction."""


class AbortedError(Exception):
    """The transaction was aborted cleanly, and nothing of it is visible. It can be tried again.

    `__cause__` is the reason: a `KafkaError` (`TooLargeError` if a topic refused the size of a batch), or the
    `TimeoutError` of `phase_seconds`.
    """


class DoubtfulError(Exception):
    """The state of the transaction at the broker is not known.

    `committing` True: the commit was requested, so the transaction may be committed. False: it is not committed, but it
    may still be open.
    """

    def __init__(self, message: str, *, committing: bool = True) -> None:
        super().__init__(message)
        self.committing = committing


@dataclass(frozen=True, slots=True)
class Refusal:
    """A batch that was too large for its topic. `size`: of the batch, bytes. `lead`: the key of its largest record."""

    topic: str
    lead: str | None
    size: int
    records: int


class TooLargeError(MessageSizeTooLargeError):  # type: ignore[misc]
    """Kafka refused a batch as too large for its topic."""

    def __init__(self, refusal: Refusal) -> None:
        largest = f"{refusal.records} records, the largest of {refusal.lead!r}"
        super().__init__(f"{refusal.topic} refused a batch of {refusal.size:,} bytes ({largest})")
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A batch on its way, and what it contains."""

    acknowledged: "asyncio.Future[Any]"
    batch: Any
    messages: Sequence[Message]

    def refusal(self) -> Refusal:
        largest = max(self.messages, key=lambda message: len(message.value or b"") + len(message.key or b""))
        lead = None if largest.key is None else largest.key[:1024].decode("utf-8", "backslashreplace")
        return Refusal(largest.topic, lead, self.batch.size(), len(self.messages))


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
    """A producer whose sends are transactions. Starting it fences all others with its transactional id."""

    def __init__(self, settings: Settings, transactional_id: str, limits: TransactionLimits) -> None:
        self._limits = limits
        self._partitioner = DefaultPartitioner()
        self._producer = AIOKafkaProducer(
            **connection(settings),
            transactional_id=transactional_id,
            transaction_timeout_ms=limits.timeout_ms,
            max_batch_size=limits.batch_bytes,
        )
        self.broker_time: int | None = None
        """When the broker says that it got the last commit, in milliseconds since the epoch. None if none of its topics
        has LogAppendTime."""

    async def start(self) -> None:
        """Connect, and fence the other producers with our id. Raises `KafkaError`."""
        reached("fencing")
        await self._producer.start()
        reached("fenced")

    async def stop(self) -> None:
        """Close the connections within 10 seconds. The broker aborts a transaction that is still open."""
        # The library waits for undelivered records, and without a broker it would never return.
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._producer.stop()
        except (TimeoutError, KafkaError):
            with contextlib.suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await close_at_once(self._producer)

    async def commit(
        self,
        messages: Iterable[Message],
        offsets: Mapping[TopicPartition, int | OffsetAndMetadata] | None = None,
        group: str | None = None,
    ) -> None:
        """Publish the messages, and commit the offsets of the group, in one transaction.

        `offsets`: for each input partition, the offset to continue from, maybe with metadata. Raises `FencedError`,
        `AbortedError` or `DoubtfulError`.
        """
        try:
            async with asyncio.timeout(self._limits.phase_seconds):
                await self._producer.begin_transaction()
                reached("begun")
                deliveries = await self._send(messages)
                reached("sent")
                if offsets:
                    await self._producer.send_offsets_to_transaction(dict(offsets), group)
                await _delivered(deliveries)
                reached("offsets_sent")
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise FencedError from error
        except (KafkaError, TimeoutError) as error:
            await self._abort(error)
        except BaseException as error:
            if self._limits.abort_on_interrupt:
                with contextlib.suppress(FencedError, AbortedError, DoubtfulError):
                    await self._abort(error)
            if not isinstance(error, AssertionError):
                raise
            # The library asserts its own states. After a failed assertion, nothing is known.
            raise DoubtfulError("the producer is in an unexpected state", committing=False) from error
        try:
            async with asyncio.timeout(self._limits.phase_seconds):
                await self._producer.commit_transaction()
                reached("committed")
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise FencedError from error
        except (KafkaError, TimeoutError, AssertionError) as error:
            raise DoubtfulError(f"the commit failed: {error!r}") from error
        self.broker_time = _broker_time(deliveries)

    async def _abort(self, cause: BaseException) -> NoReturn:
        try:
            async with asyncio.timeout(self._limits.abort_seconds):
                await self._producer.abort_transaction()
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise FencedError from error
        except (KafkaError, TimeoutError, AssertionError) as error:
            raise DoubtfulError(f"the abort failed: {error!r}, after {cause!r}", committing=False) from cause
        raise AbortedError(repr(cause)) from cause

    async def _send(self, messages: Iterable[Message]) -> list[_Delivery]:
        by_partition: dict[tuple[str, int], list[Message]] = defaultdict(list)
        partitions: dict[str, list[int]] = {}
        for message in messages:
            if message.topic not in partitions:
                partitions[message.topic] = await self._partitions(message.topic)
            by_partition[message.topic, self._choose(message, partitions[message.topic])].append(message)
        deliveries: list[_Delivery] = []
        for (topic, partition), group in by_partition.items():
            # We build the batches, because the library's `send` refuses a record that has neither key nor value.
            builder, first = self._producer.create_batch(), 0
            for number, (_, _, key, value, headers, _, timestamp) in enumerate(group):
                if builder.append(timestamp=timestamp, key=key, value=value, headers=headers) is None:
                    sent = await self._producer.send_batch(builder, topic, partition=partition)
                    deliveries.append(_Delivery(sent, builder, group[first:number]))
                    builder, first = self._producer.create_batch(), number
                    builder.append(timestamp=timestamp, key=key, value=value, headers=headers)
            sent = await self._producer.send_batch(builder, topic, partition=partition)
            deliveries.append(_Delivery(sent, builder, group[first:]))
        return deliveries

    async def _partitions(self, topic: str) -> list[int]:
        numbers: set[int] | None = await self._producer.partitions_for(topic)
        if not numbers:
            raise KafkaConnectionError(f"the topic {topic} has no partitions that can be reached")
        return sorted(numbers)

    def _choose(self, message: Message, partitions: list[int]) -> int:
        if message.partition is not None:
            return message.partition
        if message.key is None:
            return partitions[message.spread % len(partitions)]
        return int(self._partitioner(message.key, partitions, partitions))


def _broker_time(deliveries: Iterable[_Delivery]) -> int | None:
    futures = [delivery.acknowledged for delivery in deliveries]
    written = (future.result() for future in futures if future.done() and future.exception() is None)
    return max((one.timestamp for one in written if one.timestamp_type == _BROKER_STAMP), default=None)


async def _delivered(deliveries: Sequence[_Delivery]) -> None:
    results = await asyncio.gather(*(delivery.acknowledged for delivery in deliveries), return_exceptions=True)
    # The batches after a refused one fail for other reasons, so look for it first.
    for delivery, result in zip(deliveries, results, strict=True):
        if isinstance(result, MessageSizeTooLargeError | RecordListTooLargeError):
            raise TooLargeError(delivery.refusal()) from result
    for result in results:
        if isinstance(result, BaseException):
            raise result
