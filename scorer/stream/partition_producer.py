"""The transactional producer of one input partition."""

from typing import Final

from aiokafka import TopicPartition

from scorer.kafka.transaction import TransactionalProducer, TransactionLimits
from scorer.runtime.settings import Settings

_BATCH_BYTES: Final = 512 * 1024
_ABORT_SECONDS: Final = 30.0


def partition_producer(settings: Settings, partition: TopicPartition) -> TransactionalProducer:
    """A producer that is not started. Its id names the partition, so that the start on a new owner fences the old one.

    The worker limits the time of a whole commit itself.
    """
    limits = TransactionLimits(settings.transaction_timeout_ms, _BATCH_BYTES, _ABORT_SECONDS)
    return TransactionalProducer(settings, transactional_id(settings.group, partition), limits)


def transactional_id(group: str, partition: TopicPartition) -> str:
    """One for each input partition of a group."""
    return f"{group}-{partition.topic}-{partition.partition}"
