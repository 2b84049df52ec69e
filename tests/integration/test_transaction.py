"""A partition's transactions over a real broker: all or nothing, and never from two owners."""

import asyncio

import pytest
from aiokafka import TopicPartition

from scorer.kafka.message import Message
from scorer.kafka.transaction import FencedError, PartitionProducer
from scorer.runtime.settings import Settings
from scorer.state.store import LeadStore
from scorer.stream.outbox import Outbox, state_message
from scorer.stream.recovery import Progress, restore
from tests.integration.kafka import Kafka, Names
from tests.integration.service import settings_for


@pytest.fixture
def settings(kafka: Kafka, names: Names) -> Settings:
    """For topics of one partition that exist."""
    kafka.create(dict.fromkeys((names.activity, names.routing, names.dead_letters, names.state), 1))
    return settings_for(kafka, names)


def outbox(names: Names, value: bytes, next_offset: int) -> Outbox:
    """One decision."""
    return Outbox(next_offset, [Message(names.routing, None, b"a", value, [])])


def test_the_former_owner_is_fenced(kafka: Kafka, names: Names, settings: Settings) -> None:
    async def work() -> None:
        partition = TopicPartition(names.activity, 0)
        former, latter = PartitionProducer(settings, partition), PartitionProducer(settings, partition)
        try:
            await former.start()
            await former.commit(outbox(names, b"before", 1))
            await latter.start()
            with pytest.raises(FencedError):
                await former.commit(outbox(names, b"zombie", 2))
            await latter.commit(outbox(names, b"after", 2))
        finally:
            await former.stop()
            await latter.stop()

    asyncio.run(work())
    assert [record.value for record in kafka.read(names.routing)] == [b"before", b"after"]


def test_a_batch_of_many_large_messages_is_one_transaction(kafka: Kafka, names: Names, settings: Settings) -> None:
    values = [bytes([65 + number]) * 200_000 for number in range(12)]

    async def work() -> None:
        producer = PartitionProducer(settings, TopicPartition(names.activity, 0))
        try:
            await producer.start()
            await producer.commit(Outbox(1, [Message(names.routing, None, b"a", value, []) for value in values]))
        finally:
            await producer.stop()

    asyncio.run(work())
    assert [record.value for record in kafka.read(names.routing)] == values


def test_restore_reads_past_control_records_to_the_end(names: Names, settings: Settings) -> None:
    async def work() -> tuple[int | None, Progress]:
        producer = PartitionProducer(settings, TopicPartition(names.activity, 0))
        try:
            await producer.start()
            for offset, state in enumerate((b"\x01one", b"\x01two")):
                message = state_message("lead", state, names.state, 0, offset)
                await producer.commit(Outbox(offset + 1, [message]))
            await producer.commit(Outbox(7, [Message(names.state, 0, b"gone", None, [])]))
        finally:
            await producer.stop()
        store.restore("gone", b"\x01old")
        progress = Progress()
        return await restore(settings, 0, store, progress, seen.append), progress

    store = LeadStore()
    seen: list[int] = []
    in_state, progress = asyncio.run(work())
    assert store._states == {"lead": b"\x01two"}
    assert in_state == 2
    assert sum(seen) == 3
    # Each commit leaves a control record behind: the end is reached by position, not by counting.
    assert progress.done == progress.total >= 3


def test_restore_of_an_empty_changelog(settings: Settings) -> None:
    assert asyncio.run(restore(settings, 0, LeadStore(), Progress(), lambda count: None)) is None
