"""The sizes of the fault tests. The defaults are small but find the intended faults; docs/guarantees.md names the full
sizes."""

import time
from random import Random
from typing import Final

from tests.variables import given


def _size(name: str, default: int) -> int:
    return int(given(f"SCORER_FAULT_{name}", str(default)))


EVENTS: Final = _size("EVENTS", 3_000)
"""Activities of the kill loop; the other suites take a share."""
ROUNDS: Final = _size("ROUNDS", 9)
"""How often the kill loop kills."""
STORM_SECONDS: Final = _size("STORM_SECONDS", 20)
FUZZ_EVENTS: Final = _size("FUZZ_EVENTS", 20_000)
"""Records of the short run of `make fuzz`."""
CUT_SECONDS: Final = _size("CUT_SECONDS", 8)
FULL_CLUSTER: Final = given("SCORER_FAULT_CLUSTER") == "full"
"""Whether all cases of a cluster that misbehaves run, or only the most telling ones."""
OUTAGE_SECONDS: Final = _size("OUTAGE_SECONDS", 30 if FULL_CLUSTER else 10)
"""How long two of three nodes are gone."""
OPEN_SECONDS: Final = _size("OPEN_SECONDS", 4)
"""How long a transaction of others stays open in the input."""
DRAIN_SECONDS: Final = _size("DRAIN_SECONDS", 60)
"""How long a suite waits until the input is processed, before it fails."""


def randomness() -> Random:
    """A generator with the seed SCORER_FAULT_SEED, else from the clock. It is printed, so a failure can be repeated."""
    seed = _size("SEED", time.time_ns() % 1_000_000)
    print(f"SCORER_FAULT_SEED={seed}")  # noqa: T201
    return Random(seed)
