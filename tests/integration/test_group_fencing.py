"""What KIP-447 needs of a broker: it refuses offsets of former members, and says when an offset is stable.

The embedded broker accepts the requests and does neither, so most of this is shown on Apache Kafka only.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from scorer.kafka.client_internals import generation_of
from scorer.kafka.message import Message
from scorer.kafka.session import GroupFencedError, Member, Offset, Session, batches
from scorer.kafka.tool_producer import TOOL_LIMITS
from scorer.kafka.topic_reader import Span
from scorer.kafka.transaction import AbortedError, TransactionalProducer
from scorer.runtime.settings import Settings
from tests.integration.kafka import DEADLINE, Kafka, Names
from tests.integration.service import settings_for


def settings_of(kafka: Kafka, names: Names) -> Settings:
    """Settings for existing topics of one partition."""
    kafka.create(dict.fromkeys((names.activity, names.routing), 1))
    return settings_for(kafka, names)


@asynccontextmanager
async def member_of(settings: Settings) -> AsyncIterator[Member]:
    """A member of the group that has the input."""
    consumer = AIOKafkaConsumer(
        settings.activity_topic,
        bootstrap_servers=settings.bootstrap_servers,
        group_id=settings.group,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        while not consumer.assignment():  # noqa: ASYNC110 (aiokafka has no event for it)
            await asyncio.sleep(0.05)
        yield Member(settings.group, *generation_of(consumer))
    finally:
        await consumer.stop()


@asynccontextmanager
async def producer_of(settings: Settings) -> AsyncIterator[TransactionalProducer]:
    producer = TransactionalProducer(settings, f"{settings.group}-worker-one", TOOL_LIMITS)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def session_of(settings: Settings) -> AsyncIterator[Session]:
    """A session of another producer, for transactions that stay open."""
    session = Session(settings, f"{settings.group}-worker-two", 60_000)
    await session.open()
    try:
        yield session
    finally:
        await session.close()


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), DEADLINE))


@pytest.mark.apache
def test_offsets_of_the_right_member_in_the_right_generation_only(apache_kafka: Kafka, names: Names) -> None:
    settings = settings_of(apache_kafka, names)
    where = TopicPartition(names.activity, 0)

    async def work() -> None:
        async with member_of(settings) as member, producer_of(settings) as producer:
            for wrong in (
                Member(member.group, member.generation + 1, member.id),
                Member(member.group, member.generation - 1, member.id),
                Member(member.group, member.generation, "nobody"),
                Member(member.group, member.generation),
            ):
                with pytest.raises(AbortedError) as raised:
                    await producer.commit(
                        [Message(names.routing, 0, b"k", b"never", [])], {where: Offset(1, "wrong")}, wrong
                    )
                assert isinstance(raised.value.__cause__, GroupFencedError)
            assert await producer.stable_offsets(settings.group, [where]) == {where: None}
            right = Message(names.routing, 0, b"k", b"right", [])
            await producer.commit([right], {where: Offset(1, "name")}, member)
            assert await producer.stable_offsets(settings.group, [where]) == {where: Offset(1, "name")}

    run(work)
    assert [record.value for record in apache_kafka.read(names.routing)] == [b"right"]


@pytest.mark.apache
@pytest.mark.parametrize("commit", [True, False], ids=["committed", "aborted"])
def test_an_offset_is_stable_after_the_end_of_its_transaction(apache_kafka: Kafka, names: Names, commit: bool) -> None:
    settings = settings_of(apache_kafka, names)
    where = TopicPartition(names.activity, 0)

    async def work() -> None:
        async with member_of(settings) as member, session_of(settings) as session, producer_of(settings) as producer:
            await producer.commit([], {where: Offset(1, "before")}, member)
            await session.add([], settings.group)
            await session.commit_offsets(member, {where: Offset(2, "open")})
            asking = asyncio.create_task(producer.stable_offsets(settings.group, [where]))
            # It has been refused at least once by then.
            while not producer.obstacle:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert not asking.done()
            await session.end(commit=commit)
            assert await asking == {where: Offset(2, "open") if commit else Offset(1, "before")}

    run(work)


def test_the_probe_tells_the_brokers_apart(kafka: Kafka, names: Names, request: pytest.FixtureRequest) -> None:
    settings = settings_of(kafka, names)
    where = TopicPartition(names.activity, 0)

    async def work() -> None:
        async with producer_of(settings) as producer:
            fences = await producer.fences_groups(settings.group, where)
            assert fences is (request.node.callspec.params["kafka"] == "apache")
            # Nothing of the probe is committed, and the producer goes on.
            assert await producer.stable_offsets(settings.group, [where]) == {where: None}
            await producer.commit([Message(names.routing, 0, b"k", b"v", [])])

    run(work)
    assert [record.value for record in kafka.read(names.routing)] == [b"v"]


def test_the_log_ends_behind_the_records_of_an_open_transaction(kafka: Kafka, names: Names) -> None:
    settings = settings_of(kafka, names)
    where = TopicPartition(names.routing, 0)

    async def work() -> None:
        async with session_of(settings) as session, producer_of(settings) as producer:
            assert await producer.log_span(where) == Span(0, 0)
            messages = [Message(names.routing, 0, b"k", b"%d" % number, []) for number in range(3)]
            await session.add([where], None)
            await session.produce([batches(where, messages, 1 << 16)])
            assert await producer.log_span(where) == Span(0, 3)
            await session.end(commit=False)

    run(work)
