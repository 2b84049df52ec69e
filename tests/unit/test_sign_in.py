"""Which brokers are asked why nobody accepts us. tests/integration/test_logins.py has the reasons themselves."""

import asyncio
from pathlib import Path

import pytest

from scorer.kafka import sign_in
from scorer.kafka.sign_in import refused_because
from scorer.runtime.settings import Settings, load_settings

Brokers = dict[str, str | list[str]]


@pytest.mark.parametrize(
    ("brokers", "asked", "reason"),
    [
        ({"a:1": "it refuses us"}, ["a:1"], "it refuses us"),
        ({}, ["a:1"], None),
        ({"a:1": ["a:1"]}, ["a:1"], None),
        # The clients connect to the addresses that a broker tells.
        ({"a:1": ["b:2"], "b:2": "it is for another host"}, ["a:1", "b:2"], "it is for another host"),
        ({"a:1": ["b:2"], "b:2": ["b:2"]}, ["a:1", "b:2"], None),
        ({"a:1": ["b:2"]}, ["a:1", "b:2"], None),
        # One that accepts us may be enough, and the others may be in the middle of a change.
        ({"a:1": ["a:1", "b:2"], "b:2": "it refuses us"}, ["a:1", "b:2"], None),
    ],
)
def test_the_addresses_that_a_broker_tells_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, brokers: Brokers, asked: list[str], reason: str | None
) -> None:
    seen = []

    async def answer(settings: Settings, where: str, host: str, port: int) -> sign_in._Answer:
        address = f"{host}:{port}"
        seen.append(address)
        found = brokers.get(address)
        if found is None:
            raise ConnectionRefusedError
        return sign_in._Answer(found) if isinstance(found, str) else sign_in._Answer(told=found)

    monkeypatch.setattr(sign_in, "_problem", answer)
    settings = load_settings(None, rules=Path(), bootstrap_servers="a:1")
    assert asyncio.run(refused_because(settings)) == reason
    assert seen == asked
