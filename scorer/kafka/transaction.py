"""One transaction of one partition: everything in the outbox and the input offset, together or not at all."""

import asyncio
import contextlib
from collections import defaultdict
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    ProducerFenced,
)
from aiokafka.partitioner import DefaultPartitioner

from scorer.kafka.connection import connection
from scorer.kafka.fault_points import reached
from scorer.kafka.message import Message
from scorer.runtime.settings import Settings
from scorer.stream.outbox import Outbox

_ABORT_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 5.0
_BATCH_BYTES: Final = 512 * 1024
_REQUEST_BYTES: Final = 64 * 1024 * 1024


class FencedError(Exception):
    """Another worker took over the partition (or the broker gave up on our transaction): our state is void."""


class AbortedError(Exception):
    """The transaction was aborted cleanly; nothing of it is visible, and it can be tried again."""


class DoubtfulError(Exception):
    """Whether the transaction was committed is not known. Only the broker can tell: begin anew from what it says."""


class PartitionProducer:
    """The transactional producer of one input partition. Its id names the partition, so that starting it on a new
    owner fences the old one."""

    def __init__(self, settings: Settings, partition: TopicPartition) -> None:
        self._group = settings.group
        self._partition = partition
        self._partitioner = DefaultPartitioner()
        self._producer = AIOKafkaProducer(
            **connection(settings),
            transactional_id=transactional_id(settings.group, partition),
            transaction_timeout_ms=settings.transaction_timeout_ms,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_REQUEST_BYTES,
        )

    async def start(self) -> None:
        """Connect, and fence whoever had the partition before. Raises `KafkaError`."""
        reached("fencing")
        await self._producer.start()
        reached("fenced")

    async def stop(self) -> None:
        """Close the connections; a transaction that is still open is left to the broker."""
        # The library waits for undelivered records, and without a broker it would wait for ever.
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._producer.stop()
        except (TimeoutError, KafkaError):
            task = getattr(self._producer._sender, "sender_task", None)
            if task is not None:
                task.cancel()
            with contextlib.suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._producer.client.close()

    async def commit(self, outbox: Outbox) -> None:
        """Publish the outbox and the offset in one transaction.

        Raises `FencedError`, `AbortedError` (caused by the Kafka error) or `DoubtfulError`.
        """
        try:
            await self._producer.begin_transaction()
            reached("begun")
            deliveries = await self._send(outbox)
            reached("sent")
            offsets = {self._partition: outbox.next_offset}
            await self._producer.send_offsets_to_transaction(offsets, self._group)
            await _delivered(deliveries)
            reached("offsets_sent")
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise FencedError from error
        except KafkaError as error:
            await self._abort(error)
        except AssertionError as error:
            # The library asserts its own states; after one that fails, nothing is known.
            raise DoubtfulError("the producer is in an unexpected state") from error
        try:
            await self._producer.commit_transaction()
            reached("committed")
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise FencedError from error
        except (KafkaError, AssertionError) as error:
            raise DoubtfulError(f"the commit failed: {error!r}") from error

    async def _abort(self, cause: KafkaError) -> None:
        try:
            async with asyncio.timeout(_ABORT_SECONDS):
                await self._producer.abort_transaction()
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise FencedError from error
        except (KafkaError, TimeoutError, AssertionError) as error:
            raise DoubtfulError(f"the abort failed: {error!r}, after {cause!r}") from cause
        raise AbortedError(repr(cause)) from cause

    async def _send(self, outbox: Outbox) -> list["asyncio.Future[Any]"]:
        by_partition: dict[tuple[str, int], list[Message]] = defaultdict(list)
        partitions: dict[str, list[int]] = {}
        for message in outbox.messages:
            if message.topic not in partitions:
                partitions[message.topic] = await self._partitions(message.topic)
            by_partition[message.topic, self._choose(message, partitions[message.topic])].append(message)
        deliveries: list[asyncio.Future[Any]] = []
        for (topic, partition), messages in by_partition.items():
            builder = self._producer.create_batch()
            for _, _, key, value, headers in messages:
                if builder.append(timestamp=None, key=key, value=value, headers=headers) is None:
                    deliveries.append(await self._producer.send_batch(builder, topic, partition=partition))
                    builder = self._producer.create_batch()
                    builder.append(timestamp=None, key=key, value=value, headers=headers)
            deliveries.append(await self._producer.send_batch(builder, topic, partition=partition))
        return deliveries

    async def _partitions(self, topic: str) -> list[int]:
        found: set[int] | None = await self._producer.partitions_for(topic)
        if not found:
            raise KafkaConnectionError(f"the topic {topic} has no partitions that can be reached")
        return sorted(found)

    def _choose(self, message: Message, partitions: list[int]) -> int:
        if message.partition is not None:
            return message.partition
        if message.key is None:
            return partitions[int(self._partition.partition) % len(partitions)]
        return int(self._partitioner(message.key, partitions, partitions))


async def _delivered(deliveries: list["asyncio.Future[Any]"]) -> None:
    outcomes = await asyncio.gather(*deliveries, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def transactional_id(group: str, partition: TopicPartition) -> str:
    """One for each input partition of a group."""
    return f"{group}-{partition.topic}-{partition.partition}"
