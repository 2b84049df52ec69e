"""The transactional producer of one input partition."""

from typing import Final

from aiokafka import TopicPartition

from scorer.kafka.transaction import TransactionalProducer, TransactionLimits
from scorer.runtime.settings import Settings

BATCH_BYTES: Final = 512 * 1024
_ABORT_SECONDS: Final = 30.0


def partition_producer(
    settings: Settings, partition: TopicPartition, batch_bytes: int = BATCH_BYTES
) -> TransactionalProducer:
    """A producer that is not started. Its id names the partition, so starting it fences the former owner.

    `batch_bytes`: the largest batch that all topics accept. It has no time limit for a commit, because the worker
    limits the whole commit.
    """
    limits = TransactionLimits(settings.transaction_timeout_ms, min(BATCH_BYTES, batch_bytes), _ABORT_SECONDS)
    return TransactionalProducer(settings, transactional_id(settings.group, partition), limits)


def transactional_id(group: str, partition: TopicPartition) -> str:
    """The transactional id of an input partition in a group."""
    return f"{group}-{partition.topic}-{partition.partition}"
