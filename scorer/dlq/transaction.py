"""Records in one transaction of a transactional producer, and one clear word on what became of it."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from aiokafka.errors import InvalidProducerEpoch, KafkaError, MessageSizeTooLargeError, ProducerFenced

from scorer.kafka.message import Message

_COMMIT_SECONDS: Final = 60.0
_ABORT_SECONDS: Final = 5.0


class ReplayError(Exception):
    """The replay ended early; the message says why and what to do. What was committed stays so."""


async def transact(producer: Any, messages: Iterable[Message]) -> None:
    """All of it in one transaction. Raises `ReplayError`, and what says that it is too large or fenced."""
    try:
        async with asyncio.timeout(_COMMIT_SECONDS):
            await producer.begin_transaction()
            await _send(producer, messages)
    except (ProducerFenced, InvalidProducerEpoch):
        raise
    except BaseException as error:
        # Also when it is interrupted: readers of the input would wait for the transaction to time out.
        with contextlib.suppress(KafkaError, TimeoutError, AssertionError):
            async with asyncio.timeout(_ABORT_SECONDS):
                await producer.abort_transaction()
        if isinstance(error, MessageSizeTooLargeError) or not isinstance(
            error, KafkaError | TimeoutError | AssertionError
        ):
            raise
        raise ReplayError(
            f"the last transaction was given up ({error!r}), nothing of it went back; run it again"
        ) from error
    try:
        async with asyncio.timeout(_COMMIT_SECONDS):
            await producer.commit_transaction()
    except (ProducerFenced, InvalidProducerEpoch):
        raise
    except (KafkaError, TimeoutError, AssertionError) as error:
        raise ReplayError(
            f"whether the last transaction was committed is not known ({error!r}); run it again, nothing goes twice"
        ) from error


async def _send(producer: Any, messages: Iterable[Message]) -> None:
    by_partition: dict[tuple[str, int | None], list[Message]] = defaultdict(list)
    for message in messages:
        by_partition[message.topic, message.partition].append(message)
    deliveries = []
    for (topic, partition), group in by_partition.items():
        # In batches of our own: `send` takes no record that has neither key nor value.
        builder = producer.create_batch()
        for _, _, key, value, headers in group:
            if builder.append(timestamp=None, key=key, value=value, headers=headers) is None:
                deliveries.append(await producer.send_batch(builder, topic, partition=partition))
                builder = producer.create_batch()
                builder.append(timestamp=None, key=key, value=value, headers=headers)
        deliveries.append(await producer.send_batch(builder, topic, partition=partition))
    outcomes = await asyncio.gather(*deliveries, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
