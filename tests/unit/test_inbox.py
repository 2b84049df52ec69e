"""The inbox: batches and back-pressure."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from scorer.stream import inbox as inbox_module
from scorer.stream.inbox import Inbox


def records(*offsets: int) -> "list[ConsumerRecord[bytes, bytes]]":
    return [ConsumerRecord("in", 0, offset, 0, 0, b"k", b"v", None, 1, 1, ()) for offset in offsets]


def sized(*sizes: int) -> "list[ConsumerRecord[bytes, bytes]]":
    return [ConsumerRecord("in", 0, n, 0, 0, b"k", b"v" * size, None, 1, size, ()) for n, size in enumerate(sizes)]


def at_once(inbox: Inbox) -> list[int]:
    """The offsets of a batch that is available at once."""
    taking = inbox.batch()
    with pytest.raises(StopIteration) as done:
        taking.send(None)
    return [record.offset for record in done.value.value]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 30))


async def offsets(inbox: Inbox) -> list[int]:
    return [record.offset for record in await inbox.batch()]


def test_batches_are_full_under_load_and_small_otherwise() -> None:
    async def scenario() -> None:
        inbox = Inbox(3)
        inbox.put(records(0, 1, 2, 3, 4))
        assert await offsets(inbox) == [0, 1, 2]
        assert await offsets(inbox) == [3, 4]

    run(scenario())


def test_records_with_several_events_count_by_their_size() -> None:
    async def scenario() -> None:
        inbox = Inbox(10)
        values = [b"{}", b"[" + b"x" * 1_000, b" [" + b"x" * 1_000, b"[" + b"x" * 9_000, b"{" + b"x" * 9_000, b"{}"]
        inbox.put([ConsumerRecord("in", 0, n, 0, 0, b"k", value, None, 1, 1, ()) for n, value in enumerate(values)])
        assert await offsets(inbox) == [0, 1]
        assert await offsets(inbox) == [2]
        assert await offsets(inbox) == [3]
        assert await offsets(inbox) == [4, 5]

    run(scenario())


def test_a_batch_waits_for_records() -> None:
    async def scenario() -> None:
        inbox = Inbox(10)
        waiting = asyncio.create_task(offsets(inbox))
        await asyncio.sleep(0)
        inbox.put(records(0))
        inbox.put(records(1))
        assert await waiting == [0, 1]

    run(scenario())


def test_a_batch_and_the_inbox_are_bounded_by_bytes_too() -> None:
    async def scenario() -> None:
        inbox = Inbox(100, max_bytes=10)
        inbox.put(sized(4, 4, 4, 25, 1, 0))
        assert inbox.full
        waiting = asyncio.create_task(inbox.room())
        await asyncio.sleep(0)
        assert at_once(inbox) == [0, 1]
        assert at_once(inbox) == [2]
        assert not waiting.done()
        # A batch has at least one record; otherwise this one would stay for ever.
        assert at_once(inbox) == [3]
        assert await waiting
        assert at_once(inbox) == [4, 5]
        inbox.put(sized(9))
        assert inbox.low
        inbox.put(sized(1))
        assert not inbox.low
        inbox.clear()
        assert inbox.low

    run(scenario())


def test_waiting_for_room_continues_while_the_current_batch_makes_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four busy partitions take longer for a large batch than the time limit for one that hangs."""
    patience = 0.02
    monkeypatch.setattr(inbox_module, "_STALLED_SECONDS", patience)

    async def scenario() -> None:
        inbox, clock = Inbox(1), asyncio.get_running_loop().time
        inbox.put(records(0, 1))
        waiting = asyncio.create_task(inbox.room())
        began = clock()
        while clock() < began + 3 * patience:
            inbox.step()
            await asyncio.sleep(0)
        assert not waiting.done()
        assert not await waiting

    run(scenario())


def test_there_is_room_again_once_batches_are_taken() -> None:
    async def scenario() -> None:
        inbox = Inbox(2)
        inbox.put(records(0, 1, 2, 3))
        assert inbox.full
        waiting = asyncio.create_task(inbox.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        await inbox.batch()
        await inbox.batch()
        assert await waiting

    run(scenario())


def test_waiting_for_room_ends_after_a_moment() -> None:
    async def scenario() -> None:
        inbox = Inbox(1)
        inbox.put(records(0, 1))
        assert not await inbox.room()

    run(scenario())


def test_closing_wakes_all_waiting_tasks() -> None:
    async def scenario() -> None:
        inbox = Inbox(1)
        waiting = asyncio.create_task(inbox.batch())
        await asyncio.sleep(0)
        inbox.close()
        assert await waiting == []
        inbox.put(records(0, 1, 2))
        assert await inbox.batch() == []
        assert await inbox.room()

    run(scenario())
