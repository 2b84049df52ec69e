"""Time from event to decision at steady loads: ours, and the bare loop on aiokafka at the same loads.

Activities are written at a fixed rate, and an observer records when each is committed together with its results (see
`steady.py`). The loads are shares,
up to half, of the largest load that `benchmarks.service` found for ours, unless `--rate` is given.

    .venv/bin/python -m benchmarks.latency --seconds 20 --rounds 3
    .venv/bin/python -m benchmarks.latency --rate 500 --broker kafka --pause-ms 20    # an observer that asks less
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from benchmarks.kafka import BROKERS, KAFKA, SCRATCH, WorkerError, broker, cores, fill_states
from benchmarks.measuring import progress, ratio
from benchmarks.results import FOLDER, Figure, Result, Target
from benchmarks.runs import Committed, wait_until_done
from benchmarks.steady import PAUSE, Observer, places, write
from benchmarks.traffic import traffic
from benchmarks.worker import ours, peer

NAMES = {"ours": "ours", "bare_aiokafka": "bare loop, aiokafka"}
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Shares of the largest load."""
_FIRST = 200
_READY = 60.0
_SETTLE = 20.0
_SEEN = 0.1


class Delays(NamedTuple):
    """Seconds from event to decision."""

    p50: float
    p99: float
    decisions: int


def largest_load() -> float:
    """The rate of ours from `benchmarks.service`, activities a second by wall clock. Raises SystemExit without it."""
    path = FOLDER / "service.json"
    if path.exists():
        for figure in Result.load(path).figures:
            if figure.name == "ours" and figure.unit == "/s":
                return figure.absolute
    raise SystemExit("the largest load is not known: run benchmarks.service first, or give --rate")


def measure(name: str, events: Sequence[tuple[str, bytes]], rate: float, options: argparse.Namespace) -> Delays:
    """One run against an empty broker. Raises `WorkerError`."""
    worker_core, broker_core = cores()
    with broker(broker_core, options.broker) as running, tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        bootstrap = running.bootstrap
        if name == "ours":
            fill_states(bootstrap, options.leads)
        made = {worker_core}
        with (
            contextlib.closing(Committed(bootstrap)) as done,
            ours(bootstrap, made) if name == "ours" else peer(name, bootstrap, made, Path(folder)) as worker,
        ):
            observer = Observer(bootstrap, pause=options.pause_ms / 1000)
            try:
                write(bootstrap, events[:_FIRST], 1_000)
                wait_until_done(done, [worker], _FIRST, _READY)
                due = write(bootstrap, events[_FIRST:], rate)
                wait_until_done(done, [worker], len(events), _SETTLE)
                time.sleep(_SEEN)
                worker.check()
            finally:
                observer.stop()
    written = list(zip(places(events)[_FIRST:], due, strict=True))
    # The first tenth is the warm-up.
    delays = sorted(observer.committed_at(*place) - moment for place, moment in written[len(written) // 10 :])
    return Delays(statistics.median(delays), delays[int(len(delays) * 0.99)], len(delays))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, help="activities a second")
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--leads", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--broker", choices=BROKERS, default=BROKERS[0])
    parser.add_argument("--pause-ms", type=float, default=1e3 * PAUSE, help="between two looks of the observer")
    options = parser.parse_args()
    rates = [options.rate] if options.rate else [largest_load() * share for share in SHARES]
    rounds = options.rounds
    shown = {"seconds": options.seconds, "leads": options.leads, "rounds": rounds}
    part, title = "latency", "Event to decision, up to half the largest load"
    if options.broker == KAFKA:
        part, title = "latency_kafka", f"{title}, on Apache Kafka"
    result = Result(part, title, "time / bare loop", shown)
    for rate in rates:
        events = list(traffic(_FIRST + int(rate * options.seconds), options.leads))
        runs: dict[str, list[Delays]] = {name: [] for name in NAMES}
        for number, (name, summaries) in product(range(rounds), runs.items()):
            try:
                last = measure(name, events, rate, options)
            except WorkerError as error:
                raise SystemExit(f"{NAMES[name]}: {error}") from None
            summaries.append(last)
            progress(
                f"  round {number + 1} of {rounds} at {rate:,.0f} a second  {NAMES[name]}: "
                f"p50 {1e3 * last.p50:.1f} ms, p99 {1e3 * last.p99:.1f} ms of {last.decisions:,}"
            )
        for percentile in Delays._fields[:2]:
            values = {name: [getattr(summary, percentile) for summary in summaries] for name, summaries in runs.items()}
            for name, seconds in values.items():
                against = ratio(seconds, values["bare_aiokafka"])
                heading = f"{percentile} at {rate:,.0f} a second"
                result.figures.append(Figure.of(NAMES[name], 1e3 * statistics.median(seconds), "ms", against, heading))
        measured = ratio(values["ours"], values["bare_aiokafka"]).median
        result.targets.append(Target(f"p99 at {rate:,.0f} a second: ours / bare loop", 2, measured, at_least=False))
    result.finish()


if __name__ == "__main__":
    main()
