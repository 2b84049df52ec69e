"""Whatever arrives, the service goes on: a short run of `make fuzz`."""

import sys
import time
from pathlib import Path

import pytest

from tests.faults.sizes import FUZZ_EVENTS, randomness
from tests.fuzz.run import Plan, run_chunk
from tests.integration.kafka import Kafka, Names

HANGS = 90.0
"""Seconds without progress that even a very busy machine does not take."""


@pytest.mark.timeout(600 + FUZZ_EVENTS // 100)
def test_bad_input_costs_itself_alone(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    seed, now = randomness().randrange(1_000_000), int(time.time()) // 3600 * 3600
    plan = Plan(leads=10_000, now=now, max_pause=HANGS, max_rss=600_000_000)

    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")

    tell(f"python -m tests.fuzz.run --seeds 1 --first-seed {seed} --events {FUZZ_EVENTS} --now {now}")
    result = run_chunk(kafka, names, tmp_path, plan, seed, 0, FUZZ_EVENTS, tell)
    assert not result.problems, "\n".join(result.problems)
    assert result.decisions > FUZZ_EVENTS // 10
    assert result.good > FUZZ_EVENTS // 2
    assert set(result.letters) >= {"not_json", "not_utf8", "invalid_data", "key_mismatch", "too_deep", "too_large"}
