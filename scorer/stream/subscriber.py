"""FastStream's part: it consumes raw batches and passes them to the partition workers.

We do not use its parsing, because it drops a whole batch on one bad record, or its publishing, because it has no
transactions. The handler must deal with all errors itself: FastStream swallows exceptions and continues.
"""

from collections.abc import Callable
from typing import Any, Final

import structlog
from aiokafka import ConsumerRecord
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.message import StreamMessage

from scorer.kafka.client_internals import FetchWait, consumer_of, dead_task, poll_without_pauses, report_errors
from scorer.kafka.connection import faststream_connection
from scorer.runtime.settings import Settings
from scorer.stream.partitions import Partitions

# Sorting them by partition blocks everything else in the process; this number takes some milliseconds.
_POLL_RECORDS: Final = 500
# How soon a stop is noticed while nothing arrives.
_WAIT_MS: Final = 500
# An idle worker gets a record at once, and asks four times a second.
_IDLE: Final = FetchWait(250)
# Measured at 500 activities a second over 16 partitions: with fetches that return at once, the worker took 39 % of a
# core, and the 99th percentile from activity to commit was 107 ms. With 25, 40 and 60 ms: 29, 25 and 23 %; 87, 105 and
# 128 ms. The bytes end the wait under a high load.
_BUSY: Final = FetchWait(50, 64 * 1024)
# While the input does not exist, nobody has its partitions. This limits how long a recreated one stays unnoticed.
_METADATA_MS: Final = 15_000

log = structlog.get_logger()

Records = tuple["ConsumerRecord[bytes, bytes]", ...]


class Subscription:
    """The FastStream broker with its one subscriber. It needs no Kafka until `start`.

    `on_error`: called with each error of fetches and of the group, after which FastStream tries again.
    """

    def __init__(
        self, settings: Settings, partitions: Partitions, on_error: Callable[[KafkaError], object] = lambda error: None
    ) -> None:
        self._partitions = partitions
        self._max_records = min(settings.max_records, _POLL_RECORDS)
        self._on_error = on_error
        self.broker = KafkaBroker(
            **faststream_connection(settings),
            consumer_only=True,
            allow_auto_create_topics=False,
            apply_types=False,
            graceful_timeout=1.0,
            metadata_max_age_ms=_METADATA_MS,
            logger=None,
        )
        self._subscriber = self.broker.subscriber(
            settings.activity_topic,
            *settings.source_topics,
            group_id=settings.group,
            group_instance_id=settings.instance,
            batch=True,
            max_records=self._max_records,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            isolation_level="read_committed",
            partition_assignment_strategy=(StickyPartitionAssignor,),
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=max(1, settings.session_timeout_ms // 3),
            max_partition_fetch_bytes=4 * settings.max_value_bytes,
            fetch_max_wait_ms=_IDLE.ms,
            listener=partitions,
            parser=_raw_message,
            decoder=_raw_records,
            no_reply=True,
        )
        poll_without_pauses(self._subscriber, _WAIT_MS, self._max_records, _IDLE, _BUSY)
        self._subscriber(self._consume)

    async def start(self) -> None:
        """Connect and join the group. Raises `KafkaError`."""
        await self.broker.start()
        report_errors(self.consumer, self._on_error)

    async def stop(self) -> None:
        """Leave the group and disconnect. Errors of a consumer that is already dead are only logged."""
        try:
            await self.broker.stop()
        except* KafkaError as errors:
            log.warning("stopped_uncleanly", error=repr(errors.exceptions))

    @property
    def consumer(self) -> Any:
        """The aiokafka consumer; None before the start."""
        return consumer_of(self._subscriber)

    @property
    def trouble(self) -> str | None:
        """A dead background task of the consumer, which only a restart fixes; None while all run."""
        return dead_task(self._subscriber)

    async def _consume(self, records: Records) -> None:
        await self._partitions.dispatch(records)


async def _raw_message(records: Records) -> StreamMessage[Any]:
    return StreamMessage(raw_message=records, body=b"")


async def _raw_records(message: StreamMessage[Any]) -> Records:
    records: Records = message.raw_message
    return records
