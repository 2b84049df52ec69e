"""Watches the service's output and its progress."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from scorer.demo.state import DemoState
from scorer.domain.decision import read_decision

ACTIVITY: Final = "lead.activity"
ROUTING: Final = "lead.routing"
DEAD_LETTERS: Final = "lead.activity.dlq"
GROUP: Final = "lead-scorer"
PARTITIONS: Final = 4

_WAIT_MS: Final = 50
_PAUSE: Final = 0.2  # seconds
_CLOSE: Final = 2.0  # seconds


class Watch:
    """Reads the committed decisions and dead letters, and the service's committed offsets.

    An async context manager; it creates the topics.
    """

    def __init__(self, bootstrap: str, state: DemoState) -> None:
        self._state = state
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        self._outputs = [TopicPartition(topic, n) for topic in (ROUTING, DEAD_LETTERS) for n in range(PARTITIONS)]

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            topics = [NewTopic(topic, PARTITIONS, 1) for topic in (ACTIVITY, ROUTING, DEAD_LETTERS)]
            await self._admin.create_topics(topics)
            await self._consumer.start()
            self._consumer.assign(self._outputs)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        # Neither may hang when the broker is gone.
        for close in (self._consumer.stop, self._admin.close):
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE):
                    await close()

    async def committed(self) -> Mapping[TopicPartition, int]:
        """The service's committed offset of each activity partition; sets `processed`."""
        answer = await self._admin.list_consumer_group_offsets(GROUP)
        offsets = {
            partition: max(0, commit.offset) for partition, commit in answer.items() if partition.topic == ACTIVITY
        }
        self._state.processed = sum(offsets.values())
        return offsets

    async def follow(self) -> None:
        """Read new output and committed offsets a few times a second, until cancelled."""
        while True:
            self._consumer.resume(*self._outputs)
            await self._take_in()
            # The embedded broker answers at once even without data. With no pause that means hundreds of requests a
            # second, and the service needs the processor.
            self._consumer.pause(*self._outputs)
            await self.committed()
            await asyncio.sleep(_PAUSE)

    async def _take_in(self) -> None:
        batches = await self._consumer.getmany(timeout_ms=_WAIT_MS, max_records=2_000)
        for partition, records in batches.items():
            if partition.topic == ROUTING:
                self._decisions(records)
            else:
                self._dead_letters(records)

    async def take_in_rest(self) -> None:
        """Read up to the current end. Do not call it while `follow` runs."""
        self._consumer.resume(*self._outputs)
        ends = await self._consumer.end_offsets(self._outputs)
        while any([await self._consumer.position(partition) < end for partition, end in ends.items()]):
            await self._take_in()

    def _decisions(self, records: Sequence[ConsumerRecord]) -> None:
        for record in records:
            self._state.decide(read_decision(record.value))

    def _dead_letters(self, records: Sequence[ConsumerRecord]) -> None:
        for record in records:
            reason = dict(record.headers).get("dlq-reason", b"no reason given")
            self._state.dead_letters[reason.decode(errors="replace")] += 1
