"""The pace of the open listener: who asks too often waits, and nobody else does."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from scorer.service.pace import Paced, Shared
from scorer.service.turns import SHARE


class Clock:
    """A clock that only moves when it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    pass


def test_health_checks_and_scrapes_never_wait() -> None:
    clock = Clock()
    paced = Paced(nothing, clock)
    waits = []
    for clock.now in range(100):
        waits += [paced.wait("10.0.0.1") for _ in range(20)]
    assert set(waits) == {0.0}


def test_who_asks_too_often_waits_and_all_others_are_answered_at_once() -> None:
    paced = Paced(nothing, Clock())
    flood = [paced.wait("10.0.0.1") for _ in range(1_000)]
    assert flood[0] == 0.0
    assert flood == sorted(flood)
    # However many there are, none is kept for longer, because each takes memory.
    assert flood[-1] == 0.5
    assert paced.wait("10.0.0.2") == 0.0


def test_a_flood_is_over_soon_after_its_end() -> None:
    clock = Clock()
    paced = Paced(nothing, clock)
    for _ in range(1_000):
        paced.wait("10.0.0.1")
    clock.now = 1.0
    assert paced.wait("10.0.0.1") == 0.0


def test_addresses_take_little_memory_however_many_there_are() -> None:
    paced = Paced(nothing, Clock())
    for number in range(10_000):
        paced.wait(f"10.0.{number // 256}.{number % 256}")
    assert len(paced._by_address) <= 256


def test_an_answer_comes_after_its_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("scorer.service.pace.asyncio.sleep", sleep)
    answered: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answered.append(scope)

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nobody reads the request")

    async def send(message: MutableMapping[str, Any]) -> None:
        raise AssertionError("nobody answers")

    paced = Paced(app, Clock())

    async def flood() -> None:
        for _ in range(200):
            await paced({"type": "http", "client": ("10.0.0.1", 1)}, receive, send)

    asyncio.run(flood())
    assert len(answered) == 200
    assert 0.0 < slept[0] < slept[-1] <= 0.5


def test_those_who_wait_get_the_same_answer_and_it_is_never_older_than_their_request() -> None:
    made: list[int] = []

    def work() -> int:
        made.append(len(made))
        return made[-1]

    shared = Shared(work)

    async def ask() -> list[int]:
        together = await asyncio.gather(*(shared.get() for _ in range(50)))
        return [*together, await shared.get()]

    assert asyncio.run(ask()) == [0] * 50 + [1]


def test_an_answer_takes_its_share_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monotonic, processor = Clock(), Clock()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        monotonic.now += seconds

    monkeypatch.setattr("scorer.service.pace.asyncio.sleep", sleep)

    def work() -> None:
        processor.now += 0.01
        monotonic.now += 0.01

    shared = Shared(work, monotonic, processor)

    async def ask() -> None:
        for _ in range(10):
            await shared.get()

    asyncio.run(ask())
    assert slept[0] == 0.0
    assert 10 * 0.01 / monotonic.now <= 1.2 * SHARE


def test_an_answer_that_fails_fails_for_all_who_wait_and_the_next_one_is_made_anew() -> None:
    answers = iter([ValueError("broken"), None])

    def work() -> str:
        error = next(answers)
        if error is not None:
            raise error
        return "well"

    shared = Shared(work)

    async def ask() -> list[object]:
        failed = await asyncio.gather(shared.get(), shared.get(), return_exceptions=True)
        return [*map(type, failed), await shared.get()]

    assert asyncio.run(ask()) == [ValueError, ValueError, "well"]


def test_who_goes_away_takes_the_answer_from_nobody() -> None:
    shared = Shared(lambda: "well")

    async def ask() -> str:
        gone, stays = asyncio.create_task(shared.get()), asyncio.create_task(shared.get())
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(ask()) == "well"
