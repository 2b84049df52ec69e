"""The sizes of the fault tests. The defaults are small but find the intended faults; docs/guarantees.md names the full
sizes."""

import time
from random import Random
from typing import Final

from tests.variables import given


def _size(name: str, default: int) -> int:
    return int(given(f"SCORER_FAULT_{name}", str(default)))


EVENTS: Final = _size("EVENTS", 1_500)
"""Activities of the kill loop; the other suites take a share."""
ROUNDS: Final = _size("ROUNDS", 8)
"""How often the kill loop kills. With eight, a worker dies at each point once, and twice at a random moment."""
STORM_SECONDS: Final = _size("STORM_SECONDS", 10)
FUZZ_EVENTS: Final = _size("FUZZ_EVENTS", 6_000)
"""Records of the short run of `make fuzz`."""
CUT_SECONDS: Final = _size("CUT_SECONDS", 6)
FULL_CLUSTER: Final = given("SCORER_FAULT_CLUSTER") == "full"
"""Whether all cases of a cluster that misbehaves run, or only the most telling ones."""
OUTAGE_SECONDS: Final = _size("OUTAGE_SECONDS", 30 if FULL_CLUSTER else 8)
"""How long two of three nodes are gone."""
OPEN_SECONDS: Final = _size("OPEN_SECONDS", 3)
"""How long a transaction of others stays open in the input."""
EVERY_POINT: Final = given("SCORER_FAULT_POINTS") == "all"
"""Whether workers die at each point also in their re-scoring and in their reviews, or at three of the points there."""
DRAIN_SECONDS: Final = _size("DRAIN_SECONDS", 60)
"""How long a suite waits until the input is processed, before it fails."""


def randomness() -> Random:
    """A generator with the seed SCORER_FAULT_SEED, else from the clock. It is printed, so a failure can be repeated."""
    seed = _size("SEED", time.time_ns() % 1_000_000)
    print(f"SCORER_FAULT_SEED={seed}")  # noqa: T201
    return Random(seed)
