"""What the consumer of the service asks the brokers for."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from scorer.runtime.settings import load_settings
from scorer.service.compose import build
from scorer.stream import subscriber as subscriber_module
from tests.factory import ruleset_folder

FETCH_OF_ALL = 52_428_800
"""Bytes: what the client takes for all partitions of a broker in one fetch, if nothing else is given."""


def test_a_fetch_is_bounded_by_the_largest_activity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    create = AIOKafkaConsumer.__init__

    def noted(self: Any, *topics: str, **wishes: Any) -> None:
        asked.append(wishes)
        create(self, *topics, **wishes)

    async def nothing(self: Any) -> None:
        pass

    async def never(self: Any, *_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(AIOKafkaConsumer, "__init__", noted)
    monkeypatch.setattr(AIOKafkaConsumer, "start", nothing)
    monkeypatch.setattr(AIOKafkaConsumer, "getmany", never)
    settings = load_settings(None, rules=ruleset_folder(tmp_path), engine="compiled", max_value_bytes=100_000)

    async def work() -> None:
        subscription = build(settings).subscription
        await subscription.start()
        await subscription.stop()

    asyncio.run(work())
    (wishes,) = asked
    # Several activities, so that a large one does not make many fetches, and never more than a few.
    assert settings.max_value_bytes <= wishes["max_partition_fetch_bytes"] <= 8 * settings.max_value_bytes
    assert wishes.get("fetch_max_bytes", FETCH_OF_ALL) <= FETCH_OF_ALL
    # The first fetch waits like those of an idle worker.
    assert wishes["fetch_max_wait_ms"] == subscriber_module._IDLE.ms


def test_a_fetch_of_an_idle_worker_is_answered_with_the_first_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load, fetches wait for more, and for less long than an idle worker's."""
    settings = load_settings(None, rules=ruleset_folder(tmp_path), engine="compiled")
    answers: list[dict[str, list[str]]] = []
    waits: list[tuple[int, int]] = []

    class Consumer:
        def __init__(self) -> None:
            self._fetcher = SimpleNamespace(_fetch_max_wait_ms=0, _fetch_min_bytes=0)

        async def getmany(self, **_: object) -> dict[str, list[str]]:
            return answers.pop(0)

    async def work() -> None:
        consumer = Consumer()
        get = build(settings).subscription._subscriber.get_msg
        for records in ([], ["one"], ["two"], ["three"], []):
            answers.append({"in": records} if records else {})
            assert list(await get(consumer)) == records
            waits.append((consumer._fetcher._fetch_max_wait_ms, consumer._fetcher._fetch_min_bytes))

    asyncio.run(work())
    idle, first, busy, still_busy, idle_again = waits
    assert idle == first == idle_again
    assert busy == still_busy
    assert idle[1] == 1
    assert busy[1] > 1
    assert busy[0] < idle[0]
