"""The transactions of a partition with a real broker: all or nothing, and never from two owners."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from scorer.domain.lead import Lead
from scorer.kafka.message import Message
from scorer.kafka.tool_producer import TOOL_LIMITS
from scorer.kafka.transaction import (
    AbortedError,
    FencedError,
    Member,
    Offset,
    TransactionalProducer,
    TransactionLimits,
)
from scorer.runtime.settings import Settings
from scorer.state.store import LeadStore
from scorer.stream.outbox import state_message, state_messages
from scorer.stream.recovery import Progress
from tests.brokers.marks import both
from tests.integration.changelog import read_changelog
from tests.integration.kafka import Kafka, Names
from tests.integration.service import settings_for

pytestmark = both


@pytest.fixture
def settings(kafka: Kafka, names: Names) -> Settings:
    """Settings for existing topics of one partition."""
    kafka.create(dict.fromkeys((names.activity, names.routing, names.dead_letters, names.state), 1))
    return settings_for(kafka, names)


async def commit(producer: TransactionalProducer, settings: Settings, next_offset: int, *messages: Message) -> None:
    """Commit as a worker of partition 0 does."""
    offsets = {TopicPartition(settings.activity_topic, 0): Offset(next_offset)}
    await producer.commit(messages, offsets, Member(settings.group))


def worker_producer(settings: Settings) -> TransactionalProducer:
    """The producer of a worker."""
    return TransactionalProducer(settings, f"{settings.group}-worker-one", TOOL_LIMITS)


def decision(names: Names, value: bytes) -> Message:
    """One decision."""
    return Message(names.routing, None, b"a", value, [])


def test_the_former_owner_is_fenced(kafka: Kafka, names: Names, settings: Settings) -> None:
    async def work() -> None:
        former, latter = worker_producer(settings), worker_producer(settings)
        try:
            await former.start()
            await commit(former, settings, 1, decision(names, b"before"))
            await latter.start()
            with pytest.raises(FencedError):
                await commit(former, settings, 2, decision(names, b"zombie"))
            await commit(latter, settings, 2, decision(names, b"after"))
        finally:
            await former.stop()
            await latter.stop()

    asyncio.run(work())
    assert [record.value for record in kafka.read(names.routing)] == [b"before", b"after"]


def test_a_batch_of_many_large_messages_is_one_transaction(kafka: Kafka, names: Names, settings: Settings) -> None:
    values = [bytes([65 + number]) * 200_000 for number in range(12)]

    async def work() -> None:
        producer = worker_producer(settings)
        try:
            await producer.start()
            await commit(producer, settings, 1, *(decision(names, value) for value in values))
        finally:
            await producer.stop()

    asyncio.run(work())
    assert [record.value for record in kafka.read(names.routing)] == values


def test_offsets_of_several_partitions_are_in_one_transaction(kafka: Kafka, names: Names) -> None:
    kafka.create({names.activity: 3, names.dead_letters: 2})
    settings = settings_for(kafka, names)
    partitions = [TopicPartition(names.activity, number) for number in range(3)]
    limits = TransactionLimits(timeout_ms=10_000, batch_bytes=1 << 16, abort_seconds=5.0, phase_seconds=1.0)

    async def offsets() -> list[int | None]:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=settings.group)
        await consumer.start()
        try:
            consumer.assign(partitions)
            return [await consumer.committed(partition) for partition in partitions]
        finally:
            await consumer.stop()

    async def work() -> tuple[list[int | None], list[int | None]]:
        producer = TransactionalProducer(settings, f"{settings.group}-worker", limits)
        # Without a key, the number in the message chooses the partition.
        messages = [Message(names.dead_letters, None, None, b"%d" % number, [], number) for number in range(5)]
        member = Member(settings.group)
        unknown = Message(names.dead_letters, 9, b"a", b"never", [])
        try:
            await producer.start()
            await producer.commit(messages, {partitions[0]: Offset(4), partitions[2]: Offset(7)}, member)
            before = await offsets()
            with pytest.raises(AbortedError):
                await producer.commit([unknown], {partitions[0]: Offset(5), partitions[1]: Offset(5)}, member)
            return before, await offsets()
        finally:
            await producer.stop()

    before, after = asyncio.run(work())
    assert before == after == [4, None, 7]
    records = kafka.read(names.dead_letters, at_least=5)
    assert sorted((record.partition, record.value) for record in records) == [
        (0, b"0"),
        (0, b"2"),
        (0, b"4"),
        (1, b"1"),
        (1, b"3"),
    ]


def test_restore_reads_past_control_records_to_the_end(names: Names, settings: Settings) -> None:
    async def work() -> tuple[int | None, Progress]:
        producer = worker_producer(settings)
        try:
            await producer.start()
            for offset, state in enumerate((b"\x01one", b"\x01two")):
                message = state_message("lead", state, names.state, 0, offset)
                await commit(producer, settings, offset + 1, message)
            await commit(producer, settings, 7, Message(names.state, 0, b"gone", None, []))
        finally:
            await producer.stop()
        store.restore("gone", b"\x01old")
        progress = Progress()
        return await read_changelog(settings, 0, store, progress, seen.append), progress

    store = LeadStore()
    seen: list[int] = []
    in_state, progress = asyncio.run(work())
    assert store._states == {"lead": b"\x01two"}
    assert in_state == 2
    assert sum(seen) == 3
    # Each commit leaves a control record, so positions and not counts show the end.
    assert progress.done == progress.total >= 3


def test_restore_of_an_empty_changelog(settings: Settings) -> None:
    assert asyncio.run(read_changelog(settings, 0, LeadStore())) is None


def test_a_lead_that_was_removed_stays_away_after_a_restore(kafka: Kafka, names: Names, settings: Settings) -> None:
    store = LeadStore()

    async def transact(producer: TransactionalProducer, offset: int) -> None:
        messages = state_messages(store.encode_staged(), settings.state_topic, 0, offset)
        await commit(producer, settings, offset + 1, *messages)
        store.commit()

    async def work() -> tuple[LeadStore, int | None]:
        producer = worker_producer(settings)
        try:
            await producer.start()
            for lead_id in ("a", "b"):
                store.stage(Lead(lead_id, clock=1))
            await transact(producer, 0)
            store.stage_removal("a")
            await transact(producer, 1)
        finally:
            await producer.stop()
        restored = LeadStore()
        return restored, await read_changelog(settings, 0, restored)

    restored, next_offset = asyncio.run(work())
    assert next_offset == 2
    assert {lead.id: lead for lead in restored.leads()} == {"b": Lead("b", clock=1)}
    assert restored.get("a") == Lead("a")
    assert [(record.key, record.value is None) for record in kafka.read(names.state)] == [
        (b"a", False),
        (b"b", False),
        (b"a", True),
    ]
