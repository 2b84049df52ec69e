"""How a worker of the kill loops dies: at a step of its transactions, or at a random moment."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Final

from tests.faults.group import evict
from tests.integration.kafka import DEADLINE, Kafka, Names
from tests.integration.service import Service, service

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


def die(kafka: Kafka, names: Names, folder: Path, random: Random, **settings: str) -> None:
    """A worker with these settings dies by its fault point, or without one at any moment soon after it began. The group
    forgets it."""
    with service(kafka, names, folder, ready=False, **settings) as worker:
        if "fault_point" not in settings:
            worker.wait(lambda: "partition_running" in worker.text())
            sleep(random.uniform(0, 0.4))
            worker.process.kill()
        assert worker.process.wait(DEADLINE) == -9, worker.text()
    evict(kafka, names)


def die_in_a_group(join: Callable[..., Service], random: Random, number: int, feed: Callable[[], None]) -> None:
    """A worker dies as number `number` by its fault point, while others of its group live. `join` starts it with the
    settings that it gets. `feed` writes a little input: it needs some once it has partitions, and a backlog would only
    take time."""
    point = POINTS[number % len(POINTS)]
    count = 1 if point in _ONCE else random.randint(1, 6)
    victim = join(fault_point=f"{point}:{count}:kill")
    deadline = monotonic() + DEADLINE
    while victim.process.poll() is None:
        assert monotonic() < deadline, f"it does not reach {point}:\n{victim.text()}"
        feed()
        sleep(0.3)
    assert victim.process.returncode == -9, victim.text()
