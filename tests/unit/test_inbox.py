"""Batches out, back-pressure in."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiokafka import ConsumerRecord

from scorer.stream.inbox import Inbox


def records(*offsets: int) -> "list[ConsumerRecord[bytes, bytes]]":
    return [ConsumerRecord("in", 0, offset, 0, 0, b"k", b"v", None, 1, 1, ()) for offset in offsets]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 30))


async def offsets(inbox: Inbox) -> list[int]:
    return [record.offset for record in await inbox.batch()]


def test_batches_are_full_under_load_and_small_when_there_is_little() -> None:
    async def scenario() -> None:
        inbox = Inbox(3, 0)
        inbox.put(records(0, 1, 2, 3, 4))
        assert await offsets(inbox) == [0, 1, 2]
        assert await offsets(inbox) == [3, 4]

    run(scenario())


def test_a_batch_waits_for_records_and_lingers_for_more() -> None:
    async def scenario() -> None:
        inbox = Inbox(10, 0.01)
        waiting = asyncio.create_task(offsets(inbox))
        await asyncio.sleep(0)
        inbox.put(records(0))
        await asyncio.sleep(0)
        inbox.put(records(1))
        assert await waiting == [0, 1]

    run(scenario())


def test_there_is_room_again_once_batches_are_taken() -> None:
    async def scenario() -> None:
        inbox = Inbox(2, 0)
        inbox.put(records(0, 1, 2, 3))
        assert inbox.full
        waiting = asyncio.create_task(inbox.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        await inbox.batch()
        await inbox.batch()
        assert await waiting

    run(scenario())


def test_who_waits_for_room_is_let_go_after_a_moment() -> None:
    async def scenario() -> None:
        inbox = Inbox(1, 0)
        inbox.put(records(0, 1))
        assert not await inbox.room()

    run(scenario())


def test_closing_wakes_everybody() -> None:
    async def scenario() -> None:
        inbox = Inbox(1, 0)
        waiting = asyncio.create_task(inbox.batch())
        await asyncio.sleep(0)
        inbox.close()
        assert await waiting == []
        inbox.put(records(0, 1, 2))
        assert await inbox.batch() == []
        assert await inbox.room()

    run(scenario())
