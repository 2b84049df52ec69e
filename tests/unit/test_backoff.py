"""Pauses that double, and an event that ends them."""

import asyncio

from scorer.runtime.backoff import Backoff, pause_unless


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(0.1, 5.0)
    assert [backoff.failed() for _ in range(9)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_success_resets_the_pauses() -> None:
    backoff = Backoff(0.2, 5.0)
    assert [backoff.failed() for _ in range(3)] == [0.2, 0.4, 0.8]
    backoff.reset()
    assert [backoff.failed() for _ in range(3)] == [0.2, 0.4, 0.8]


def test_failures_are_unlimited() -> None:
    backoff = Backoff(0.1, 5.0)
    for _ in range(5_000):
        assert backoff.failed() <= 5.0


def test_an_event_ends_a_pause() -> None:
    async def scenario() -> None:
        event = asyncio.Event()
        pausing = asyncio.create_task(pause_unless(event, 60))
        await asyncio.sleep(0)
        assert not pausing.done()
        event.set()
        await asyncio.wait_for(pausing, 5)
        await asyncio.wait_for(pause_unless(event, 60), 5)
        await asyncio.wait_for(pause_unless(asyncio.Event(), 0.01), 5)

    asyncio.run(scenario())
