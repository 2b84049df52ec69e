"""A worker that starts on Apache Kafka with many partitions and without states: how long until it is ready, and its CPU
while it has nothing to do.

A new group waits for more members before it shares out its partitions: 3 s with Kafka's defaults
(`group.initial.rebalance.delay.ms`). Both are measured, with and without.

    .venv/bin/python -m benchmarks.ready --partitions 64 --rounds 3
"""

import argparse
import statistics
import time

from benchmarks.apache import empty, fresh_kafka
from benchmarks.kafka import KAFKA, SCRATCH, WorkerError, broker, cores, create_topics, stay_with_broker
from benchmarks.measuring import progress
from benchmarks.results import Figure, Result, Target
from benchmarks.worker import Worker, ours, partitions
from scorer.demo.broker import free_port

DELAY_MS = 3_000
"""Kafka's default."""
_LOOK = 0.1
_LONGEST = 120.0
_SETTLED = 3.0


def started(bootstrap: str, core: int, count: int) -> tuple[Worker, float]:
    """A worker that holds all partitions, and the seconds since its start. Raises `WorkerError`."""
    port = free_port()
    began = time.monotonic()
    worker = ours(bootstrap, {core}, http_port=str(port))
    try:
        while partitions(port) < count:
            worker.check()
            if time.monotonic() - began > _LONGEST:
                raise WorkerError(f"not ready after {_LONGEST:.0f} s: {worker.last_words()}")
            time.sleep(_LOOK)
    except WorkerError:
        worker.__exit__()
        raise
    return worker, time.monotonic() - began


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10, help="of the measurement when idle")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    core, broker_core = cores()
    stay_with_broker()
    ready: list[float] = []
    delayed: list[float] = []
    idle: list[float] = []
    try:
        with fresh_kafka(SCRATCH, group_initial_rebalance_delay_ms=str(DELAY_MS)) as node:
            for number in range(options.rounds):
                empty(node.bootstrap)
                create_topics(node.bootstrap, options.partitions)
                worker, seconds = started(node.bootstrap, core, options.partitions)
                worker.__exit__()
                delayed.append(seconds)
                progress(f"  round {number + 1} of {options.rounds}  with the delay: ready after {seconds:.1f} s")
        for number in range(options.rounds):
            with broker(broker_core, KAFKA, options.partitions) as running:
                worker, seconds = started(running.bootstrap, core, options.partitions)
                with worker:
                    time.sleep(_SETTLED)
                    began, spent = time.perf_counter(), worker.cpu()
                    time.sleep(options.seconds)
                    spent, passed = worker.cpu() - spent, time.perf_counter() - began
                ready.append(seconds)
                idle.append(spent / passed)
                progress(
                    f"  round {number + 1} of {options.rounds}  ready after {seconds:.1f} s, idle {spent / passed:.1%}"
                )
    except WorkerError as error:
        raise SystemExit(f"ours: {error}") from None
    shown = {"partitions": options.partitions, "rounds": options.rounds}
    result = Result("ready", "A worker without states on Apache Kafka", "", shown)
    result.figures += [
        Figure("ready", statistics.median(ready), "s"),
        Figure(f"ready, if a new group waits {DELAY_MS / 1e3:.0f} s", statistics.median(delayed), "s"),
        Figure("CPU when idle", 100 * statistics.median(idle), "% of a core"),
    ]
    result.targets += [
        Target(f"seconds until {options.partitions} partitions are ready", 5.0, statistics.median(ready), False),
        Target("CPU when idle, % of a core", 3.0, 100 * statistics.median(idle), at_least=False),
    ]
    result.notes.append("The time starts with the process, so it contains the start of Python.")
    result.finish()


if __name__ == "__main__":
    main()
