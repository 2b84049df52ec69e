"""Scoring while lead data is read as fast as it is answered, against scoring while nobody reads.

A worker has a backlog. Readers ask for the stories of known leads, which are the most expensive answers, and for the
rest of the OpenAPI document, with errors. They read and rest in turn. Activities for each second of the worker's
processor count, because others use the machine too.

    .venv/bin/python -m benchmarks.lead_reads
    .venv/bin/python -m benchmarks.lead_reads --rounds 1 --seconds 2 --activities 20000    # only checks that it runs
"""

import argparse
import contextlib
import http.client
import statistics
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from benchmarks.kafka import SCRATCH, WorkerError, broker, cores, fill_input, fill_states, stay_with_broker
from benchmarks.measuring import progress, ratio
from benchmarks.results import Figure, Result, Target
from benchmarks.traffic import lead_name, traffic
from benchmarks.worker import Worker, ours, wait_until_shared
from scorer.demo.broker import free_port

TARGET = 0.9
_READERS = 8
"""More than the service lets wait at a time, so that some are refused."""
_STARTS = 60.0
"""Seconds for the first transaction after the worker was stopped."""
_RESTS = 6.0
"""Seconds after which no answer of before is on its way any more: a reader waits five at most."""


class Window(NamedTuple):
    """What a worker did in some seconds."""

    activities: float
    cpu: float
    wall: float
    answers: Counter[int]
    """By status."""


class Readers:
    """Threads that read lead data from a port while they are let. Each asks again as soon as it has its answer."""

    def __init__(self, port: int, leads: int) -> None:
        self._port = port
        self._leads = leads
        self._reading = threading.Event()
        self.answers: Counter[int] = Counter()
        for number in range(_READERS):
            threading.Thread(target=self._read, args=[number], daemon=True).start()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """They read until the end."""
        self._reading.set()
        try:
            yield
        finally:
            self._reading.clear()

    def _paths(self, number: int) -> Iterator[str]:
        for turn in cycle(range(self._leads)):
            lead = lead_name((turn * _READERS + number) % self._leads)
            yield from (f"/leads/{lead}", f"/leads/{lead}?at=2040-01-01", f"/leads/{lead}?at=now", f"/leads/{lead}")
            yield from (f"/leads/{lead}", "/leads/nobody", "/ruleset", "/asyncapi", "/openapi.json", "/nowhere")

    def _read(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for path in self._paths(number):
            self._reading.wait()
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                self.answers[answer.status] += 1
            except (OSError, http.client.HTTPException):  # it was idle for too long
                connection.close()


def activities(port: int) -> float:
    """How many activities a worker has assessed."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("scorer_activities_total{"))


def window(worker: Worker, port: int, readers: Readers, seconds: float) -> Window:
    """What a worker does within so many seconds. Raises `WorkerError` if its backlog ends before."""
    answers, cpu, began, done = Counter(readers.answers), worker.cpu(), time.perf_counter(), activities(port)
    time.sleep(seconds)
    spent, passed, assessed = worker.cpu() - cpu, time.perf_counter() - began, activities(port) - done
    if not assessed:
        raise WorkerError("nothing was assessed: give more --activities, or more --seconds if the machine is busy")
    return Window(assessed, spent, passed, readers.answers - answers)


def _wait_for_work(port: int) -> None:
    """Until a worker assesses. Raises `WorkerError`."""
    deadline = time.monotonic() + _STARTS
    while not activities(port):
        if time.monotonic() > deadline:
            raise WorkerError(f"nothing was assessed within {_STARTS:.0f} s")
        time.sleep(0.1)


def measure(options: argparse.Namespace) -> tuple[list[Window], list[Window]]:
    """The windows while nobody reads, and those while readers do. Raises `WorkerError`."""
    worker_core, broker_core = cores()
    quiet: list[Window] = []
    read: list[Window] = []
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(broker(broker_core))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=SCRATCH)))
        port, api_port = free_port(), free_port()
        fill_states(running.bootstrap, options.leads)
        settings = {"http_port": str(port), "api_port": str(api_port), "audit_file": str(folder / "audit.log")}
        settings["session_timeout_ms"] = "600000"  # it is stopped while the input is written
        worker = stack.enter_context(ours(running.bootstrap, {worker_core}, **settings))
        wait_until_shared([port], [worker])
        readers = Readers(api_port, options.leads)
        worker.pause()
        fill_input(running.bootstrap, traffic(options.activities, options.leads))
        worker.resume()
        _wait_for_work(port)
        for number in range(options.rounds):
            quiet.append(window(worker, port, readers, options.seconds))
            with readers.reading():
                time.sleep(options.seconds / 4)
                read.append(window(worker, port, readers, options.seconds))
            time.sleep(_RESTS)
            a, b = quiet[-1], read[-1]
            progress(
                f"  round {number + 1} of {options.rounds}: {a.activities / a.cpu:,.0f} activities for each second of "
                f"the processor, {b.activities / b.cpu:,.0f} with {b.answers.total() / b.wall:.1f} answers a second"
            )
    return quiet, read


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activities", type=int, default=1_200_000, help="of the backlog")
    parser.add_argument("--leads", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=4, help="of a window")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cores()
    stay_with_broker()
    try:
        quiet, read = measure(options)
    except WorkerError as error:
        raise SystemExit(str(error)) from None
    rates = [[window.activities / window.cpu for window in windows] for windows in (quiet, read)]
    walls = [[window.activities / window.wall for window in windows] for windows in (quiet, read)]
    shown = {"activities": options.activities, "leads": options.leads, "rounds": options.rounds}
    result = Result("lead_reads", "Scoring while lead data is read", "/ nobody reads", shown)
    unit = "activities/s"
    for group, (alone, beside) in (("of the processor", rates), ("of the clock", walls)):
        result.figures.append(Figure.of("nobody reads", statistics.median(alone), unit, None, group))
        result.figures.append(Figure.of("readers ask", statistics.median(beside), unit, ratio(beside, alone), group))
    result.targets.append(
        Target("scoring while lead data is read / while nobody reads", TARGET, ratio(rates[1], rates[0]).median)
    )
    seconds = sum(each.wall for each in read)
    by_status = sum((each.answers for each in read), Counter[int]())
    answered = ", ".join(f"{count / seconds:.1f} with {status}" for status, count in sorted(by_status.items()))
    result.notes.append(f"{_READERS} readers ask again at once. Answers a second: {answered}.")
    result.finish()


if __name__ == "__main__":
    main()
