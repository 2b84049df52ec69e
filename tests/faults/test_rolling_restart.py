"""Workers with fixed names are restarted one after the other under load, as a StatefulSet does it: each one comes
back under its name within the session time-out, so no partition moves, and nothing is lost or doubled. The longest
pauses are printed. With SCORER_FAULT_CLUSTER=full they are three instead of two, and the session time-out
is the default one."""

import time
from collections import defaultdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from tests.brokers.marks import fencing
from tests.faults.cooling import TICKING, check_cooled, finish
from tests.faults.crew import Crew
from tests.faults.load import Load
from tests.faults.oracle import wait_until_closed
from tests.faults.sizes import FULL_CLUSTER, randomness
from tests.faults.writer import Writer
from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service

pytestmark = pytest.mark.timeout(600)

WORKERS: Final = 3 if FULL_CLUSTER else 2
PARTITIONS: Final = 6
PER_SECOND: Final = 150
SESSION_TIMEOUT_MS: Final = 10_000 if FULL_CLUSTER else 60_000
"""The default of the service. A machine that runs other tests too may take longer than that to start a process."""


def owned(worker: Service) -> set[str]:
    """The partitions of a worker that is ready."""
    return set(worker.wait(worker.ready)["partitions"])


def has_its_share(worker: Service) -> bool:
    return len(owned(worker)) == PARTITIONS // WORKERS


def longest_pauses(kafka: Kafka, names: Names, since: float) -> dict[int, float]:
    """The longest time in seconds between two records of the changelog, by partition. The broker stamps them. `since`:
    seconds since the epoch."""
    stamps: dict[int, list[int]] = defaultdict(list)
    for record in kafka.read(names.state):
        if record.timestamp >= since * 1e3:
            stamps[record.partition].append(record.timestamp)
    return {
        partition: max(later - earlier for earlier, later in pairwise(sorted(times))) / 1e3
        for partition, times in stamps.items()
    }


@fencing
def test_a_rolling_restart_moves_no_partition_and_pauses_none_for_longer_than_a_session(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    stamped = {"message.timestamp.type": "LogAppendTime"}
    kafka.create({names.routing: PARTITIONS, names.dead_letters: 1})
    kafka.create({names.activity: PARTITIONS}, stamped)
    kafka.create({names.state: PARTITIONS}, {"cleanup.policy": "compact", **stamped})
    settings = {**TICKING, "topic_partitions": str(PARTITIONS), "session_timeout_ms": str(SESSION_TIMEOUT_MS)}
    with (
        Crew(kafka, names, tmp_path, 0, **settings) as crew,
        Writer(kafka, names.activity, Load(randomness(), live=True), PER_SECOND) as writer,
    ):
        crew.workers += [crew.start(instance=f"scorer-{number}") for number in range(WORKERS)]
        # Until the last one has joined, the first ones have more partitions.
        for worker in crew.workers:
            worker.wait(partial(has_its_share, worker))
        before = [owned(worker) for worker in crew.workers]
        writer.await_more(2 * PER_SECOND)
        began = time.time()
        writer.await_more(PER_SECOND)
        # The highest number first, as Kubernetes does it.
        for number in reversed(range(WORKERS)):
            crew.check()
            assert crew.workers[number].terminate() == 0, crew.workers[number].text()
            crew.workers[number] = crew.start(instance=f"scorer-{number}")
            assert owned(crew.workers[number]) == before[number]
            writer.await_more(PER_SECOND)
        assert [owned(worker) for worker in crew.workers] == before
        writer.stop()
        reached = finish(kafka, names, crew.workers)
    wait_until_closed(kafka, names)
    check_cooled(kafka, names, reached)
    pauses = longest_pauses(kafka, names, began)
    assert len(pauses) == PARTITIONS
    shown = ", ".join(f"{partition}: {seconds:.1f} s" for partition, seconds in sorted(pauses.items()))
    print(f"longest pause by partition: {shown}")  # noqa: T201
    # No figure of speed: after this time the partitions would have moved.
    assert max(pauses.values()) < SESSION_TIMEOUT_MS / 1e3
