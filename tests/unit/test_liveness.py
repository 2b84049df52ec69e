"""`/health/live` fails only where a restart helps: a background task of the consumer is dead and stays dead."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from scorer.runtime.settings import load_settings
from scorer.service import run
from scorer.service.compose import Service, build
from tests.factory import ruleset_folder

DEAD = "the consumer's fetch task ended"


class Consumer:
    """A subscription with a background task that is dead for some looks at it, and fine again after them. If it flaps,
    it is fine at every other look."""

    consumer = None

    def __init__(self, looks: int, flaps: bool = False) -> None:
        self._looks = looks
        self._flaps = flaps
        self.fine = asyncio.Event()
        """Set after all looks."""

    @property
    def trouble(self) -> str | None:
        self._looks -= 1
        if self._looks < 0:
            self.fine.set()
            return None
        return None if self._flaps and self._looks % 2 == 0 else DEAD


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(run, "_WATCH_SECONDS", 0.01)
    return build(load_settings(None, rules=ruleset_folder(tmp_path), engine="compiled"))


def watched(service: Service, looks: int, flaps: bool = False) -> BaseException | None:
    """Watch the service until it fails, or until the consumer is fine again; returns the failure."""

    async def work() -> BaseException | None:
        consumer = Consumer(looks, flaps)
        setattr(service, "subscription", consumer)  # noqa: B010 (it is not the class that the service expects)
        failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        watch = asyncio.create_task(run._watch(service, failure))
        fine = asyncio.create_task(consumer.fine.wait())
        either: list[asyncio.Future[Any]] = [failure, fine]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        watch.cancel()
        fine.cancel()
        await asyncio.gather(watch, fine, return_exceptions=True)
        return failure.result() if failure.done() else None

    return asyncio.run(work())


def test_a_dead_task_of_the_consumer_ends_the_service_and_its_liveness(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_TROUBLE_SECONDS", 0.1)
    assert service.live() == (True, {"status": "live"})
    # Many more looks than the watch needs.
    failure = watched(service, 1_000)
    assert str(failure) == DEAD
    assert service.live() == (False, {"status": "dead", "reason": DEAD})
    assert not service.ready()[0]


def test_a_task_that_is_started_again_is_no_trouble(service: Service) -> None:
    assert watched(service, 20) is None
    assert service.live() == (True, {"status": "live"})


def test_short_troubles_do_not_add_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one ends before the next look, however long they go on together."""
    monkeypatch.setattr(run, "_TROUBLE_SECONDS", 0.1)
    assert watched(service, 100, flaps=True) is None
    assert service.live() == (True, {"status": "live"})
