"""Turns: a share of the time for whoever asks, and nobody waits for strangers."""

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
        began = time.monotonic()
        await turns.take(_work)
        took = time.monotonic() - began
        await turns.take(_nothing)
        return (time.monotonic() - began) / took

    assert asyncio.run(twice()) >= 1 / SHARE


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


async def _nothing() -> None:
    return None


async def _work() -> None:
    await asyncio.sleep(0.01)
