"""The usual load on Apache Kafka: CPU of worker and broker, transactions, and time from event to commit, of ours and of
the bare loop on aiokafka with its one transactional producer, as it is and tuned (`peers/bare_tuned.py`).

Activities are written at a fixed rate over few and many partitions. In the first window nobody observes, and CPU and
transactions are measured. In the second an observer asks for the committed offsets, and the times are measured. So
the observer's requests do not count as CPU of the broker. Worker and broker have a core each; writer and observer are
on the broker's.

    .venv/bin/python -m benchmarks.usual_load --rounds 5
    .venv/bin/python -m benchmarks.usual_load --rounds 1 --seconds 3 --partitions 4    # only checks that it runs
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import psutil

from benchmarks.kafka import KAFKA, SCRATCH, WorkerError, broker, cores, fill_states, stay_with_broker
from benchmarks.measuring import progress, ratio
from benchmarks.results import Figure, Result, Target
from benchmarks.runs import Committed, cpu_of, wait_until_done
from benchmarks.service import warm_up
from benchmarks.steady import Feeder, Observer, places, write
from benchmarks.traffic import traffic
from benchmarks.transactions import Transactions
from benchmarks.worker import Worker, ours, peer, wait_until_shared
from scorer.demo.broker import free_port

OURS, BARE = "ours", "bare_aiokafka"
NAMES = {OURS: "ours", BARE: "bare loop, aiokafka", "bare_tuned": "bare loop, tuned"}
PARTITIONS = (4, 16, 64)
_FIRST = 200
_READY = 60.0
_SETTLE = 30.0
_SEEN = 0.2
TOLERANCE = 1.05
"""Figures of the same thing differ by so much."""


@dataclass(frozen=True, slots=True)
class Load:
    """CPU in shares of a core, transactions a second, and seconds from event to commit."""

    worker: float
    broker: float
    transactions: float
    p50: float
    p99: float


def start(name: str, bootstrap: str, core: set[int], folder: Path, partitions: int, leads: int) -> Worker:
    """A running worker. Ours holds all partitions. Raises `WorkerError`."""
    if name != OURS:
        return peer(name, bootstrap, core, folder)
    fill_states(bootstrap, leads, partitions)
    port = free_port()
    worker = ours(bootstrap, core, http_port=str(port))
    try:
        wait_until_shared([port], [worker], partitions)
    except WorkerError:
        worker.__exit__()
        raise
    return worker


def one_run(name: str, partitions: int, events: Sequence[tuple[str, bytes]], options: argparse.Namespace) -> Load:
    """One run against an empty broker. Raises `WorkerError`."""
    worker_core, broker_core = cores()
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(broker(broker_core, KAFKA, partitions))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=SCRATCH)))
        bootstrap, node = running.bootstrap, psutil.Process(running.pid)
        done = stack.enter_context(contextlib.closing(Committed(bootstrap, partitions)))
        log = stack.enter_context(contextlib.closing(Transactions(bootstrap)))
        worker = stack.enter_context(start(name, bootstrap, {worker_core}, folder, partitions, options.leads))
        write(bootstrap, events[:_FIRST], 1_000, partitions)
        wait_until_done(done, [worker], _FIRST, _READY)
        feeder = Feeder(bootstrap, events[_FIRST:], options.rate, partitions)
        time.sleep(options.warm_up)

        before = log.ends()
        began, spent, taken = time.perf_counter(), worker.cpu(), cpu_of(node)
        time.sleep(options.seconds)
        spent, taken = worker.cpu() - spent, cpu_of(node) - taken
        seconds, after = time.perf_counter() - began, log.ends()

        observer = Observer(bootstrap, partitions, options.pause_ms / 1000)
        try:
            time.sleep(_SEEN)
            observed = time.perf_counter()
            due = feeder.due()
            wait_until_done(done, [worker], len(events), _SETTLE)
            time.sleep(_SEEN)
            worker.check()
        finally:
            observer.stop()
        committed = log.committed(before, after)
    written = zip(places(events, partitions)[_FIRST:], due, strict=True)
    delays = sorted(observer.committed_at(*place) - moment for place, moment in written if moment > observed)
    p99 = delays[int(len(delays) * 0.99)]
    return Load(spent / seconds, taken / seconds, committed / seconds, statistics.median(delays), p99)


def take(partitions: int, options: argparse.Namespace) -> dict[str, list[Load]]:
    """All in turn. Raises `SystemExit` if one fails."""
    seconds = options.warm_up + 2 * options.seconds + 1
    events = list(traffic(_FIRST + int(options.rate * seconds), options.leads))
    loads: dict[str, list[Load]] = {name: [] for name in options.only or NAMES}
    for number, (name, taken) in product(range(options.rounds), loads.items()):
        try:
            last = one_run(name, partitions, events, options)
        except WorkerError as error:
            raise SystemExit(f"{NAMES[name]}, {partitions} partitions: {error}") from None
        taken.append(last)
        progress(
            f"  round {number + 1} of {options.rounds}, {partitions} partitions  {NAMES[name]}: "
            f"worker {last.worker:.1%}, broker {last.broker:.1%}, {last.transactions:.0f} transactions a second, "
            f"p50 {1e3 * last.p50:.1f} ms, p99 {1e3 * last.p99:.1f} ms"
        )
    return loads


def report(result: Result, partitions: int, loads: dict[str, list[Load]]) -> None:
    """The ratios to the bare loop, round by round, and the targets."""
    asked = (
        ("worker", "CPU of the worker", 100.0, "% of a core", 1.5),
        ("broker", "CPU of the broker", 100.0, "% of a core", 1.2),
        ("transactions", "transactions", 1.0, "/s", None),
        ("p50", "event to commit, p50", 1e3, "ms", None),
        ("p99", "event to commit, p99", 1e3, "ms", 0.8),
    )
    for basis, heading, scale, unit, bound in asked:
        values = {name: [getattr(load, basis) for load in taken] for name, taken in loads.items()}
        for name, measured in values.items():
            against = ratio(measured, values[BARE]) if BARE in values else None
            shown = scale * statistics.median(measured)
            group = f"{heading}, {partitions} partitions"
            result.figures.append(Figure.of(NAMES[name], shown, unit, against, group))
        if bound is not None and OURS in values and BARE in values:
            what = f"{heading}, {partitions} partitions: ours / bare loop"
            measured_ratio = ratio(values[OURS], values[BARE]).median
            result.targets.append(Target(what, round(TOLERANCE * bound, 3), measured_ratio, at_least=False))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=500, help="activities a second")
    parser.add_argument("--partitions", type=int, action="append", help="repeatable; default: 4, 16 and 64")
    parser.add_argument("--seconds", type=float, default=6, help="of each of the two windows")
    parser.add_argument("--warm-up", type=float, default=5, help="seconds before the first window")
    parser.add_argument("--leads", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=NAMES, help="repeatable")
    parser.add_argument("--pause-ms", type=float, default=3, help="between two looks of the observer")
    options = parser.parse_args()
    cores()
    stay_with_broker()
    shown = {
        "activities a second": int(options.rate),
        "seconds": f"2 × {options.seconds:g}",
        "leads": options.leads,
        "rounds": options.rounds,
    }
    warm_up(list(traffic(60_000, options.leads)))
    result = Result("usual_load", "The usual load on Apache Kafka", "/ bare loop", shown)
    for partitions in options.partitions or PARTITIONS:
        report(result, partitions, take(partitions, options))
    result.notes.append(
        "The bounds contain a tolerance of 5 %. CPU and transactions are measured while nobody observes. The time "
        "until a commit contains up to 5 ms of the writer's linger, and the observer looks every "
        f"{options.pause_ms:g} ms."
    )
    result.finish()


if __name__ == "__main__":
    main()
