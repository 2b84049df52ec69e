"""How a worker of the kill loops dies: at a step of its transactions, or at a random moment."""

from random import Random
from typing import Final

POINTS: Final = ("begun", "sent", "offsets_sent", "committed", "restoring", "fenced")
_ONCE: Final = ("restoring", "fenced")


def death(random: Random, number: int, batches: tuple[int, ...] = (3, 10, 30)) -> dict[str, str]:
    """Settings of the worker that dies as number `number`. Every third one has no fault point: kill it at random.

    Small batches give many transactions.
    """
    settings = {"max_records": str(random.choice(batches))}
    if number % 3 != 2:
        point = POINTS[(number - number // 3) % len(POINTS)]
        count = 1 if point in _ONCE else random.randint(1, 6)
        settings["fault_point"] = f"{point}:{count}:kill"
    return settings
