"""Time from event to decision at steady loads: ours, and the bare loop on aiokafka at the same loads.

Activities are written at a fixed rate, and an observer records when each is committed together with its results. The
time starts when the activity is due to be written, so a slow writer does not improve the result. The loads are shares,
up to half, of the largest load that `benchmarks.service` found for ours, unless `--rate` is given.

    .venv/bin/python -m benchmarks.latency --seconds 20 --rounds 3
"""

import argparse
import contextlib
import statistics
import tempfile
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import count, product
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaException, Producer

from benchmarks.kafka import INPUT, QUIET, SCRATCH, WorkerError, broker, cores, fill_states
from benchmarks.measuring import progress, ratio
from benchmarks.results import FOLDER, Figure, Result, Target
from benchmarks.runs import Committed, wait_until_done
from benchmarks.traffic import HEADERS, PARTITIONS, partition_of, traffic
from benchmarks.worker import ours, peer

NAMES = {"ours": "ours", "bare_aiokafka": "bare loop, aiokafka"}
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Shares of the largest load."""
_TICK = 0.002
_FIRST = 200
_READY = 60.0
_SETTLE = 20.0
_SEEN = 0.1
_PAUSE = 0.003


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


class Observer:
    """Polls the committed input offsets in a thread: a decision is committed together with the offset of its activity.
    (Reading the decisions would keep the broker's core busy, because it answers empty fetches at once.)
    """

    def __init__(self, bootstrap: str) -> None:
        self._committed = Committed(bootstrap)
        self._moments: list[float] = []
        self._offsets: list[list[int]] = [[] for _ in range(PARTITIONS)]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopping.wait(_PAUSE):
            try:
                committed = self._committed.offsets()
            except KafkaException:
                continue
            self._moments.append(time.perf_counter())
            for offsets, offset in zip(self._offsets, committed, strict=True):
                offsets.append(offset)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._committed.close()

    def committed_at(self, partition: int, offset: int) -> float:
        """When the commit of the record was seen. Raises IndexError if it never was."""
        return self._moments[bisect_right(self._offsets[partition], offset)]


def measure(name: str, events: Sequence[tuple[str, bytes]], rate: float, leads: int) -> Delays:
    """One run against a fresh broker. Raises `WorkerError`."""
    worker_core, broker_core = cores()
    with broker(broker_core) as running, tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        bootstrap = running.bootstrap
        if name == "ours":
            fill_states(bootstrap, leads)
        made = {worker_core}
        with (
            contextlib.closing(Committed(bootstrap)) as done,
            ours(bootstrap, made) if name == "ours" else peer(name, bootstrap, made, Path(folder)) as worker,
        ):
            observer = Observer(bootstrap)
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


def places(events: Sequence[tuple[str, bytes]]) -> list[tuple[int, int]]:
    """Partition and offset of each event, in a topic without other records."""
    offsets = [count() for _ in range(PARTITIONS)]
    return [(partition, next(offsets[partition])) for partition in (partition_of(lead) for lead, _ in events)]


def write(bootstrap: str, events: Sequence[tuple[str, bytes]], rate: float) -> list[float]:
    """Write the events at that rate. Returns when each was due."""
    # The default of Kafka's own producers: it saves the broker a request for each record.
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, **QUIET})
    due: list[float] = []
    began = time.perf_counter()
    for number, (lead, value) in enumerate(events):
        moment = began + number / rate
        while (ahead := moment - time.perf_counter()) > 0:
            producer.poll(0)
            time.sleep(min(ahead, _TICK))
        due.append(moment)
        producer.produce(INPUT, value, key=lead, partition=partition_of(lead), headers=HEADERS)
    if producer.flush(30):
        raise WorkerError("the broker did not take the activities")
    return due


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, help="activities a second")
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--leads", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rates = [options.rate] if options.rate else [largest_load() * share for share in SHARES]
    rounds = options.rounds
    shown = {"seconds": options.seconds, "leads": options.leads, "rounds": rounds}
    result = Result("latency", "Event to decision, up to half the largest load", "time / bare loop", shown)
    for rate in rates:
        events = list(traffic(_FIRST + int(rate * options.seconds), options.leads))
        runs: dict[str, list[Delays]] = {name: [] for name in NAMES}
        for number, (name, summaries) in product(range(rounds), runs.items()):
            try:
                last = measure(name, events, rate, options.leads)
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
