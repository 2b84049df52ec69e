"""Kafka for tests, without the event loop: create topics, write records, read committed ones."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError

T = TypeVar("T")
DEADLINE = 90.0
"""Seconds that even a very busy machine does not take."""
ANY_TIME = {"message.timestamp.after.max.ms": str(2**63 - 1)}
"""The settings of a topic that takes records of any time. By default Kafka refuses those of more than an hour ahead."""


class Record(NamedTuple):
    """A record to write. `timestamp`: milliseconds since the epoch; None: now."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp: int | None = None


class Names(NamedTuple):
    """Names that no other test uses."""

    prefix: str

    @property
    def activity(self) -> str:
        return f"{self.prefix}.activity"

    @property
    def routing(self) -> str:
        return f"{self.prefix}.routing"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}.dlq"

    @property
    def state(self) -> str:
        return f"{self.prefix}.state"

    @property
    def group(self) -> str:
        return f"{self.prefix}-group"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SCORER_ACTIVITY_TOPIC": self.activity,
            "SCORER_ROUTING_TOPIC": self.routing,
            "SCORER_DEAD_LETTER_TOPIC": self.dead_letters,
            "SCORER_STATE_TOPIC": self.state,
            "SCORER_GROUP": self.group,
        }


async def partitions_of(bootstrap: str, *topics: str) -> list[TopicPartition]:
    """The partitions of these topics, in order. A topic that does not exist has none."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics(list(topics))
    finally:
        await admin.close()
    return sorted(
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    )


async def create_and_see(bootstrap: str, topics: Sequence[NewTopic]) -> None:
    """Create topics, and return when the metadata shows all their partitions with a leader. Fails if it does not."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    wanted = {topic.name: topic.num_partitions for topic in topics}
    shown: dict[str, int] = {}
    try:
        made = (await admin.create_topics(list(topics))).topic_errors
        assert {code for _, code, *_ in made} <= {0, TopicAlreadyExistsError.errno}, made
        async with asyncio.timeout(DEADLINE):
            while any(shown.get(name, 0) < count for name, count in wanted.items()):
                shown = {
                    topic["topic"]: sum(partition["leader"] >= 0 for partition in topic["partitions"])
                    for topic in await admin.describe_topics(list(wanted))
                }
                await asyncio.sleep(0 if shown == wanted else 0.02)
    except TimeoutError:
        raise AssertionError(f"of the partitions {wanted} only {shown} are shown within {DEADLINE} s") from None
    finally:
        await admin.close()


class Kafka:
    """A broker, as tests use it."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def create(self, topics: Mapping[str, int], config: Mapping[str, str] | None = None) -> None:
        """Create topics with these numbers of partitions, all with these settings, and return when they are shown."""
        settings = dict(config or {})
        new = [NewTopic(name, count, 1, topic_configs=settings) for name, count in topics.items()]
        asyncio.run(create_and_see(self.bootstrap, new))

    def configure(self, topic: str, name: str, value: str) -> None:
        """Give a topic this setting and no others, as `kafka-configs.sh --alter` does."""

        async def work() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
            await admin.start()
            try:
                change = ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})
                (answer,) = await admin.alter_configs([change])
                assert answer.to_object()["resources"][0]["error_code"] == 0
            finally:
                await admin.close()

        asyncio.run(work())

    def write(self, topic: str, records: Iterable[Record]) -> None:
        """Write records in order, and return when all have arrived."""

        async def work() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, max_request_size=1 << 24)
            await producer.start()
            try:
                sent = [
                    await producer.send(
                        topic,
                        record.value,
                        key=record.key,
                        headers=list(record.headers),
                        timestamp_ms=record.timestamp,
                    )
                    for record in records
                ]
                await asyncio.gather(*sent)
            finally:
                await producer.stop()

        asyncio.run(work())

    def read(self, topic: str, at_least: int = 0) -> "list[ConsumerRecord[bytes, bytes]]":
        """All committed records of a topic, once there are `at_least` that many; in order within a partition."""
        return _run(self._read(topic, at_least))

    async def _read(self, topic: str, at_least: int) -> "list[ConsumerRecord[bytes, bytes]]":
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=50,
            max_partition_fetch_bytes=1 << 24,
        )
        await consumer.start()
        committed: list[ConsumerRecord[bytes, bytes]] = []
        found = 0
        try:
            partitions = await partitions_of(self.bootstrap, topic)
            consumer.assign(partitions)
            await consumer.seek_to_beginning()
            async with asyncio.timeout(DEADLINE):
                while True:
                    ends = await consumer.end_offsets(partitions)
                    while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
                        for records in (await consumer.getmany(timeout_ms=100)).values():
                            committed += records
                    if len(committed) >= at_least:
                        return committed
                    # Read from the start again: the local broker lists an aborted transaction also for a reader that is
                    # behind its marker, and such a reader skips later commits of the same producer.
                    found = len(committed)
                    committed.clear()
                    await consumer.seek_to_beginning()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{topic}: {found} records within {DEADLINE} s, expected {at_least}") from None
        finally:
            await consumer.stop()


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)
