"""More workers on the same topic: the gain from two and four, as far as the available cores show it.

The workers get their partitions first and then find all activities at once. The broker is Apache Kafka, because no
other one here keeps two workers apart, and it needs its share of the cores. So the wall time of four workers on two
cores says little. CPU per activity shows the cost of dividing the work.

    .venv/bin/python -m benchmarks.scale --activities 40000 --rounds 3
"""

import argparse
import contextlib
import os
import statistics
from collections.abc import Sequence

from benchmarks.kafka import BROKERS, KAFKA, WorkerError, broker, fill_states
from benchmarks.measuring import progress, ratio
from benchmarks.results import Figure, Result, Target
from benchmarks.runs import Run, measure
from benchmarks.traffic import traffic
from benchmarks.worker import ours, wait_until_shared
from scorer.demo.broker import free_port

WORKERS = (1, 2, 4)


def one_run(count: int, events: Sequence[tuple[str, bytes]], leads: int, kind: str) -> Run:
    """That many workers, started together, on all cores. Raises `WorkerError`."""
    allowed = os.sched_getaffinity(0)
    with broker(None, kind) as running, contextlib.ExitStack() as stack:
        fill_states(running.bootstrap, leads)
        ports = [free_port() for _ in range(count)]
        # Only Apache Kafka keeps two workers apart, but here nobody takes over from a worker that goes on.
        settings = {"session_timeout_ms": "30000", "unfenced": "refuse" if kind == KAFKA else "allow"}
        workers = [
            stack.enter_context(ours(running.bootstrap, allowed, http_port=str(port), **settings)) for port in ports
        ]
        wait_until_shared(ports, workers)
        return measure(running, workers, events)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activities", type=int, default=40_000)
    parser.add_argument("--leads", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--broker", choices=BROKERS, default=KAFKA)
    options = parser.parse_args()
    events = list(traffic(options.activities, options.leads))
    runs: dict[int, list[Run]] = {count: [] for count in WORKERS}
    left_out = 0
    for number in range(options.rounds):
        taken: dict[int, Run] = {}
        try:
            for count in WORKERS:
                taken[count] = last = one_run(count, events, options.leads, options.broker)
                progress(
                    f"  round {number + 1} of {options.rounds}  {count} workers: {last.rate:,.0f} a second, "
                    f"{last.cpu * 1e6:.0f} µs CPU"
                )
        except WorkerError as error:
            left_out += 1
            progress(f"  round {number + 1} of {options.rounds} is left out: {error}")
            continue
        for count, run in taken.items():
            runs[count].append(run)
    if left_out == options.rounds:
        raise SystemExit("no round was completed")
    result = Result("scale", "More workers, two cores for all", "/ one worker", vars(options))
    for heading, basis, unit in (("activities a second", "rate", "/s"), ("CPU an activity", "cpu", "µs")):
        for count, measured in runs.items():
            values = [getattr(run, basis) for run in measured]
            against = ratio(values, [getattr(run, basis) for run in runs[1]])
            scaled = 1e6 if unit == "µs" else 1.0
            name = f"{count} worker{'s' if count > 1 else ''}"
            result.figures.append(Figure.of(name, scaled * statistics.median(values), unit, against, heading))
    dearer = ratio([run.cpu for run in runs[4]], [run.cpu for run in runs[1]]).median
    result.targets.append(Target("CPU an activity: 4 workers / 1", 1.1, dearer, at_least=False))
    result.notes.append(
        "Each worker owns its partitions and exchanges nothing with others: with a core for each, their rates add up."
    )
    if left_out:
        result.notes.append(f"{left_out} rounds are left out, because a worker could not join its group.")
    result.finish()


if __name__ == "__main__":
    main()
