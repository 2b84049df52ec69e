"""Turns: requests get a share of the time, and nobody waits for strangers."""

import asyncio
import time

import pytest

from scorer.service import turns as turns_module
from scorer.service.turns import SHARE, BusyError, Turns


def test_few_wait_and_the_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "_REFUSAL_SECONDS", 0.01)
    turns = Turns()

    async def storm() -> list[object]:
        return await asyncio.gather(*(turns.take(_nothing) for _ in range(16)), return_exceptions=True)

    done = asyncio.run(storm())
    assert [type(each) for each in done].count(BusyError) == 12
    assert done.count(None) == 4


def test_after_a_turn_there_is_a_pause_that_keeps_the_share() -> None:
    turns = Turns()

    async def twice() -> float:
        began, spent = time.monotonic(), time.process_time()
        await turns.take(_work)
        spent = time.process_time() - spent
        await turns.take(_nothing)
        return (time.monotonic() - began) / spent

    assert asyncio.run(twice()) >= 1 / SHARE


def test_waiting_for_a_disk_or_for_the_processor_costs_no_share() -> None:
    seconds = [0.0]
    turns = Turns(lambda: seconds[0], lambda: 0.0)

    async def starved() -> None:
        seconds[0] += 100.0

    async def both() -> None:
        await turns.take(starved)
        async with asyncio.timeout(5):
            await turns.take(_nothing)

    asyncio.run(both())


def test_whose_turn_does_not_come_in_time_is_refused_and_the_next_one_waits_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns_module, "_LONGEST_WAIT", 0.01)
    turns = Turns()

    async def late() -> list[object]:
        await turns.take(_work)
        first = await asyncio.gather(turns.take(_nothing), return_exceptions=True)
        await asyncio.sleep(0.01 / SHARE)
        monkeypatch.setattr(turns_module, "_LONGEST_WAIT", 60.0)
        return [*first, await turns.take(_nothing)]

    refused, done = asyncio.run(late())
    assert isinstance(refused, BusyError)
    assert done is None


def test_strangers_keep_nobody_waiting() -> None:
    turns = Turns()

    async def both() -> bool:
        strangers = [asyncio.create_task(turns.refuse()) for _ in range(64)]
        await asyncio.sleep(0)
        await turns.take(_nothing)
        left = sum(not each.done() for each in strangers)
        for each in strangers:
            each.cancel()
        return left > 32

    assert asyncio.run(both())


def test_strangers_who_do_not_wait_for_their_refusal_leave_no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("scorer.service.turns.asyncio.sleep", sleep)
    turns = Turns(lambda: 0.0, lambda: 0.0)

    async def flood() -> None:
        for _ in range(10_000):
            await turns.refuse()

    asyncio.run(flood())
    assert slept[0] == 0.0
    assert max(slept) == 5.0


async def _nothing() -> None:
    return None


async def _work() -> None:
    until = time.process_time() + 0.01
    while time.process_time() < until:
        pass
