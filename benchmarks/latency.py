"""Event to decision at a steady load: ours, and the bare loop on aiokafka at the same load.

Activities are written at a fixed rate; a reader of committed records notes when each decision arrives. The time runs
from when the activity was due to be written, so that nobody gains by slowing the writer down. The load is half of what
`benchmarks.service` found for ours, unless `--rate` says otherwise.

    .venv/bin/python -m benchmarks.latency --seconds 20 --rounds 3 --broker mock
"""

import argparse
import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from confluent_kafka import Consumer, Producer

from benchmarks.kafka import BROKERS, INPUT, OUTPUT, SCRATCH, WorkerError, broker, cores, fill_states
from benchmarks.measuring import progress, ratio
from benchmarks.results import FOLDER, Figure, Result, Target
from benchmarks.runs import progress_of, wait_until_done
from benchmarks.traffic import HEADERS, partition_of, traffic
from benchmarks.worker import ours, peer

NAMES = {"ours": "ours", "bare_aiokafka": "bare loop, aiokafka"}
_TICK = 0.002
_FIRST = 200
_READY = 60.0
_SETTLE = 20.0
_ARRIVE = 0.5


class _Reference(msgspec.Struct):
    id: str


class _Output(msgspec.Struct):
    """What tells the activity: a decision of ours names it in `reference`, the bare loop in `id`."""

    id: str = ""
    reference: _Reference | None = None


class Delays(NamedTuple):
    """Seconds from event to decision."""

    p50: float
    p99: float
    count: int


def largest_load(kind: str) -> float:
    """What `benchmarks.service` found for ours on that kind of broker, activities a second by wall clock. Raises
    SystemExit without it."""
    path = FOLDER / ("service_mock.json" if kind == "mock" else "service.json")
    if path.exists():
        for figure in Result.load(path).figures:
            if figure.name == "ours" and figure.unit == "/s":
                return figure.absolute
    raise SystemExit(f"the largest load is not known: run benchmarks.service --broker {kind} first, or give --rate")


class Observer:
    """Reads the output in a thread and notes when the decision on each activity arrived."""

    def __init__(self, bootstrap: str) -> None:
        self.arrived: dict[str, float] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "observer",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 5,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self._consumer.subscribe([OUTPUT])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        decode = msgspec.json.Decoder(_Output).decode
        while not self._stopping.is_set():
            for record in self._consumer.consume(500, timeout=0.005):
                now = time.perf_counter()
                if record.error() is None:
                    output = decode(record.value())
                    self.arrived[output.reference.id if output.reference else output.id] = now

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()


def measure(name: str, events: Sequence[tuple[str, bytes]], rate: float, leads: int, kind: str) -> Delays:
    """One run against a fresh broker. Raises `WorkerError`."""
    worker_core, broker_core = cores()
    with broker(broker_core, kind) as running, tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        bootstrap = running.bootstrap
        if name == "ours":
            fill_states(bootstrap, leads)
        made = {worker_core}
        with (
            contextlib.closing(progress_of(name, bootstrap, kind)) as done,
            ours(bootstrap, made) if name == "ours" else peer(name, bootstrap, made, Path(folder)) as worker,
        ):
            observer = Observer(bootstrap)
            try:
                write(bootstrap, events[:_FIRST], 1_000)
                wait_until_done(done, [worker], _FIRST, _READY)
                due = write(bootstrap, events[_FIRST:], rate)
                wait_until_done(done, [worker], len(events), _SETTLE)
                time.sleep(_ARRIVE)
                worker.check()
            finally:
                observer.stop()
    # The first tenth warms up. Everything is committed: what did not arrive led to no decision.
    counted = list(due)[len(due) // 10 :]
    delays = sorted(observer.arrived[each] - due[each] for each in counted if each in observer.arrived)
    if len(delays) < 100:
        raise WorkerError(f"only {len(delays)} decisions of {len(counted)} activities; run for longer")
    return Delays(statistics.median(delays), delays[int(len(delays) * 0.99)], len(delays))


def write(bootstrap: str, events: Sequence[tuple[str, bytes]], rate: float) -> dict[str, float]:
    """Write them at that rate; returns when each was due, by its id."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": 0})
    decode = msgspec.json.Decoder(_Output).decode
    due: dict[str, float] = {}
    began = time.perf_counter()
    for number, (lead, value) in enumerate(events):
        moment = began + number / rate
        while (ahead := moment - time.perf_counter()) > 0:
            producer.poll(0)
            time.sleep(min(ahead, _TICK))
        due[decode(value).id] = moment
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
    parser.add_argument("--broker", choices=BROKERS, default=BROKERS[0], help="mock: see mock_broker.py")
    options = parser.parse_args()
    mock = options.broker == "mock"
    rate = options.rate or largest_load(options.broker) / 2
    events = list(traffic(_FIRST + int(rate * options.seconds), options.leads))
    runs: dict[str, list[Delays]] = {name: [] for name in NAMES}
    for number in range(options.rounds):
        for name, found in runs.items():
            try:
                found.append(measure(name, events, rate, options.leads, options.broker))
            except WorkerError as error:
                raise SystemExit(f"{NAMES[name]}: {error}") from None
            last = found[-1]
            progress(
                f"  round {number + 1} of {options.rounds}  {NAMES[name]}: p50 {1e3 * last.p50:.1f} ms, "
                f"p99 {1e3 * last.p99:.1f} ms of {last.count:,} decisions"
            )
    shown = {"rate": f"{rate:,.0f}/s", "seconds": options.seconds, "leads": options.leads, "rounds": options.rounds}
    part, title = "latency", "Event to decision at half the largest load"
    if mock:
        part, title = "latency_mock", f"{title}, with the mock broker"
    result = Result(part, title, "time / bare loop", shown)
    for percentile in ("p50", "p99"):
        values = {name: [getattr(each, percentile) for each in found] for name, found in runs.items()}
        for name, found in values.items():
            against = ratio(found, values["bare_aiokafka"])
            figure = Figure.of(NAMES[name], 1e3 * statistics.median(found), "ms", against, percentile)
            result.figures.append(figure)
        if percentile == "p99":
            measured = ratio(values["ours"], values["bare_aiokafka"]).median
            result.targets.append(Target("p99: ours / bare loop", 2, measured, at_least=False))
    result.finish()


if __name__ == "__main__":
    main()
