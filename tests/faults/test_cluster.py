"""A cluster of three nodes misbehaves under load, and workers are killed meanwhile. Once it is well again, what is
committed is what `scorer score` computes, no process has ended by itself, and nobody had to do anything.

SCORER_FAULT_CLUSTER=full runs all cases (`make cluster`), otherwise only the most telling one.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.cluster import NODES, Cluster
from tests.faults.cooling import TICKING, check_cooled, create_topics, finish
from tests.faults.crew import Crew
from tests.faults.load import Load
from tests.faults.oracle import wait_until_closed
from tests.faults.sizes import FULL_CLUSTER, OUTAGE_SECONDS, randomness
from tests.faults.writer import Writer
from tests.integration.kafka import Names
from tests.integration.service import Service

pytestmark = [pytest.mark.apache, pytest.mark.timeout(600)]

PARTITIONS: Final = 4
PER_SECOND: Final = 100
COMMITTED: Final = 'scorer_transactions_total{outcome="committed"}'
HANG_SECONDS: Final = 180.0
DONE: Final = "nothing"
REJOINING: Final = "rejoining"
STOPPED_SECONDS: Final = 8.0
"""Longer than the session time-outs of brokers and workers."""

Find = Callable[[Cluster, Names], int]


def numbered(node: int) -> Find:
    return lambda cluster, names: node


def coordinator(cluster: Cluster, names: Names) -> int:
    return cluster.coordinator(names.group)


def controller(cluster: Cluster, names: Names) -> int:
    return cluster.controller()


@contextmanager
def under_load(cluster: Cluster, names: Names, folder: Path) -> Iterator[Crew]:
    """Two workers that process a steady load. On leaving, the cluster is healed, the input is processed to its end, and
    what is committed is checked."""
    create_topics(cluster, names, PARTITIONS)
    settings = {
        **TICKING,
        "topic_partitions": str(PARTITIONS),
        "transaction_timeout_ms": "10000",
        "stalled_after_s": "2",
        "max_records": "50",
    }
    with (
        Crew(cluster, names, folder, 2, **settings) as crew,
        Writer(cluster, names.activity, Load(randomness(), live=True), PER_SECOND) as writer,
    ):
        await_progress(crew)
        writer.await_more(2 * PER_SECOND)
        yield crew
        cluster.heal()
        writer.await_more(2 * PER_SECOND)
        await_progress(crew)
        written = writer.stop()
        reached = finish(cluster, names, crew.workers, seconds=HANG_SECONDS)
    wait_until_closed(cluster, names)
    print(f"{written} records")  # noqa: T201
    check_cooled(cluster, names, reached)


def await_progress(crew: Crew) -> float:
    """The seconds until the workers have committed more than now. Fails if one ends, or if nothing goes on."""
    started = time.monotonic()
    before = committed(crew)
    while committed(crew) <= before:
        crew.check()
        logs = "\n".join(worker.text()[-5_000:] for worker in crew.workers)
        assert time.monotonic() - started < HANG_SECONDS, f"nothing processed for {HANG_SECONDS} s:\n{logs}"
        time.sleep(0.1)
    return time.monotonic() - started


def committed(crew: Crew) -> float:
    """Transactions of the workers since their start."""
    return sum(worker.metric(COMMITTED) for worker in crew.workers)


FAULTS: Final[dict[str, Callable[[Cluster, int], None]]] = {
    "kill": Cluster.kill,
    "terminate": Cluster.terminate,
    "stop": Cluster.stop,
}
TARGETS: Final[dict[str, Find]] = {
    **{f"node{number}": numbered(number) for number in NODES},
    "coordinator": coordinator,
    "controller": controller,
}
ALL = [(fault, target, False) for fault in FAULTS for target in TARGETS]
ALL += [(fault, target, True) for fault in FAULTS for target in ("coordinator", "controller")]
TELLING: Final = [("kill", "coordinator", True)]


@pytest.mark.parametrize(
    ("fault", "target", "killing"),
    [
        pytest.param(*case, id="-".join([case[0], case[1], *(["worker-killed"] if case[2] else [])]))
        for case in (ALL if FULL_CLUSTER else TELLING)
    ],
)
def test_one_node_of_three(
    cluster: Cluster, names: Names, tmp_path: Path, fault: str, target: str, killing: bool
) -> None:
    with under_load(cluster, names, tmp_path) as crew:
        node = TARGETS[target](cluster, names)
        FAULTS[fault](cluster, node)
        started = time.monotonic()
        if killing:
            crew.kill()
        # Two of three nodes are a whole cluster: the service goes on before the third is back.
        seconds = await_progress(crew)
        time.sleep(max(0.0, started + STOPPED_SECONDS - time.monotonic()))
        print(f"{fault} of node {node} ({target}): the first commit after {seconds:.1f} s")  # noqa: T201


@pytest.mark.skipif(not FULL_CLUSTER, reason="only with SCORER_FAULT_CLUSTER=full")
@pytest.mark.parametrize("killing", [False, True], ids=["", "workers-killed"])
def test_each_node_restarts_in_turn(cluster: Cluster, names: Names, tmp_path: Path, killing: bool) -> None:
    """As an upgrade of Kafka does it."""
    with under_load(cluster, names, tmp_path) as crew:
        for number, node in enumerate(NODES):
            cluster.terminate(node)
            if killing:
                crew.kill(number % 2)
            cluster.heal()
        await_progress(crew)


@pytest.mark.skipif(not FULL_CLUSTER, reason="only with SCORER_FAULT_CLUSTER=full")
@pytest.mark.parametrize("fault", FAULTS)
def test_two_nodes_of_three(cluster: Cluster, names: Names, tmp_path: Path, fault: str) -> None:
    """Nothing can be written, because there are too few replicas in sync. The workers wait, and say for what.

    A worker whose partitions are all led by the node that stays sees an input without news: it has nothing to wait for
    but its group. Nodes that end in good order hand over what they lead, so then all of the input may be committed.
    """
    with under_load(cluster, names, tmp_path) as crew:
        # The one that stays has as little as possible to do with the transactions.
        coordinators = cluster.coordinators(names.group)
        gone = sorted(NODES, key=lambda node: coordinators[node])[1:]
        started = time.monotonic()
        for node in gone:
            FAULTS[fault](cluster, node)
        if fault != "terminate":
            first = crew.workers[0]
            first.wait(lambda: any(waiting(worker) for worker in crew.workers))
        time.sleep(max(0.0, started + OUTAGE_SECONDS - time.monotonic()))
        crew.check()
        for worker in crew.workers:
            detail = worker.wait(partial(standing, worker))
            print(detail)  # noqa: T201
            assert worker.get("/health/live")[0] == 200
            if detail not in (DONE, REJOINING):
                assert all(stalled["waits_for"] for stalled in detail.values())
                assert any(line["event"] == "partition_stalled" and line["waits_for"] for line in worker.log())


def waiting(worker: Service) -> Any:
    """What a worker that is not ready waits for, by partition; None while it does not say."""
    return worker.unready().get("stalled")


def standing(worker: Service) -> Any:
    """The same; or `REJOINING`; or `DONE` if it is ready and has committed all that it can read; else None."""
    if worker.get("/health/ready")[0] != 200:
        return waiting(worker) or (worker.unready().get("status") == REJOINING and REJOINING)
    lags = [line for line in worker.get("/metrics")[1].splitlines() if line.startswith("scorer_consumer_lag_records{")]
    return DONE if all(float(line.rpartition(" ")[2]) == 0 for line in lags) else None


@pytest.mark.skipif(not FULL_CLUSTER, reason="only with SCORER_FAULT_CLUSTER=full")
@pytest.mark.parametrize("killing", [False, True])
def test_all_partitions_move_to_other_nodes(cluster: Cluster, names: Names, tmp_path: Path, killing: bool) -> None:
    topics = [names.activity, names.state, names.routing, names.dead_letters]

    def turned(by: int, count: int) -> Callable[[int], list[int]]:
        return lambda partition: [NODES[(partition + by + place) % len(NODES)] for place in range(count)]

    with under_load(cluster, names, tmp_path) as crew:
        # With two replicas of three nodes there is a node to move to. Leaders move too.
        for by, count in ((0, 2), (1, 2), (2, 2), (1, 3)):
            cluster.reassign(topics, turned(by, count))
            if killing:
                crew.kill(by % 2)
        await_progress(crew)
