"""The benchmark of many leads at midnight, with few leads: all are looked at, and the schedule needs no judgement."""

import asyncio
import time

import msgspec
import pytest

from benchmarks.midnight import REALLY_DUE, Load, evaluator, pool, rest, wave
from benchmarks.traffic import RULES
from scorer.domain.instant import DAY, SECOND

LEADS = 400


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    midnight = int(time.time()) * SECOND // DAY * DAY
    samples = tmp_path_factory.mktemp("midnight") / "states"
    samples.write_bytes(msgspec.msgpack.encode(pool(evaluator(RULES), midnight, midnight + DAY, sample=300)))
    return Load(LEADS, samples, midnight, rate=20, seconds=600, before=0.2, partitions=2)


def test_the_schedule_is_built_without_a_judgement(load: Load) -> None:
    found = rest(load)
    assert (found["judged"], found["scheduled"]) == (0, LEADS)


def test_all_leads_are_looked_at_and_those_that_are_due_are_published(load: Load) -> None:
    found = asyncio.run(wave(load))
    assert (found["left"], found["others"]) == (0, 0)
    # An activity reviews its lead, so the job meets fewer.
    assert 0 < found["published"] <= LEADS / REALLY_DUE
    assert LEADS / 2 < found["published"] + found["unchanged"] <= LEADS
