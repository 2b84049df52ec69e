"""The transactional producers of commands. They run beside the service, and a person may end them at any moment."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from scorer.kafka.topic_admin import connecting
from scorer.kafka.transaction import TransactionalProducer, TransactionLimits
from scorer.runtime.settings import Settings

TOOL_LIMITS: Final = TransactionLimits(
    # Short, because readers of the topics wait behind an open transaction, also behind that of a killed command.
    timeout_ms=20_000,
    batch_bytes=256 * 1024,
    abort_seconds=5.0,
    phase_seconds=60.0,
    # Otherwise readers would wait for the time-out of the transaction.
    abort_on_interrupt=True,
)


@contextlib.asynccontextmanager
async def tool_producer(
    settings: Settings, transactional_id: str, limits: TransactionLimits = TOOL_LIMITS
) -> AsyncIterator[TransactionalProducer]:
    """A started producer, which has fenced the others with its id. Raises `KafkaError` if Kafka does not answer in
    time."""
    producer = TransactionalProducer(settings, transactional_id, limits)
    try:
        async with connecting(settings):
            await producer.start()
        yield producer
    finally:
        await producer.stop()
