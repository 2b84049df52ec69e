"""Scoring while Schemathesis reads lead data as fast as it is answered, against scoring while nobody reads.

A worker has a backlog. Schemathesis asks for the story of a known lead, the most expensive answer there is, and for
whatever else the OpenAPI document allows. It is stopped and continued in turn. Activities for each second of the
worker's processor count, because others use the machine too.

    .venv/bin/python -m benchmarks.lead_reads
    .venv/bin/python -m benchmarks.lead_reads --rounds 1 --seconds 2 --activities 20000    # only checks that it runs
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.kafka import SCRATCH, WorkerError, broker, cores, fill_input, fill_states, stay_with_broker
from benchmarks.measuring import progress, ratio
from benchmarks.results import Figure, Result, Target
from benchmarks.traffic import lead_name, traffic
from benchmarks.worker import Worker, ours, wait_until_shared
from scorer.demo.broker import free_port

TARGET = 0.9
_READERS = 4
_STARTS = 120.0
_CONFIGURATION = """
[[operations]]
include-path = "/leads/{{id}}"
parameters = {{ id = "{lead}" }}
"""


class Window(NamedTuple):
    """What a worker did in some seconds."""

    activities: float
    cpu: float
    wall: float
    reads: int


class Running(NamedTuple):
    """A worker with a backlog, and where it tells what it has done."""

    worker: Worker
    port: int
    audit: Path

    def activities(self) -> float:
        """How many it has assessed."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("scorer_activities_total{"))

    def reads(self) -> int:
        """How many answers about leads it has recorded."""
        return self.audit.read_bytes().count(b'"lead_read"')

    def window(self, seconds: float) -> Window:
        """What it does within so many seconds. Raises `WorkerError` if the backlog ends before."""
        reads, cpu, began, done = self.reads(), self.worker.cpu(), time.perf_counter(), self.activities()
        time.sleep(seconds)
        spent, passed, assessed = self.worker.cpu() - cpu, time.perf_counter() - began, self.activities() - done
        if not assessed:
            raise WorkerError("the backlog ended; give more --activities")
        return Window(assessed, spent, passed, self.reads() - reads)


def _gives_way(core: int) -> None:
    """For a process that shares the broker's core: a broker that waits for it would make the worker slower."""
    os.sched_setaffinity(0, {core})
    os.nice(19)


@contextlib.contextmanager
def schemathesis(url: str, folder: Path, core: int) -> Iterator[psutil.Process]:
    """It asks until the end."""
    document = folder / "openapi.json"
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=60) as answer:
        document.write_bytes(answer.read())
    (folder / "schemathesis.toml").write_text(_CONFIGURATION.format(lead=lead_name(1)))
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml"), "fuzz"),
                *(str(document), "--url", url, "--workers", str(_READERS), "--checks", "not_a_server_error"),
                *("--continue-on-failure", "--generation-database", "none", "--request-timeout", "60"),
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: _gives_way(core),
        )
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait()


def measure(options: argparse.Namespace) -> tuple[list[Window], list[Window]]:
    """The windows while nobody reads, and those while Schemathesis does. Raises `WorkerError`."""
    worker_core, broker_core = cores()
    quiet: list[Window] = []
    read: list[Window] = []
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(broker(broker_core))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=SCRATCH)))
        port, api_port = free_port(), free_port()
        fill_states(running.bootstrap, options.leads)
        audit = folder / "audit.log"
        settings = {"http_port": str(port), "api_port": str(api_port), "audit_file": str(audit)}
        settings["session_timeout_ms"] = "60000"  # it is stopped while the input is written
        worker = stack.enter_context(ours(running.bootstrap, {worker_core}, **settings))
        wait_until_shared([port], [worker])
        seen = Running(worker, port, audit)
        storm = stack.enter_context(schemathesis(f"http://127.0.0.1:{api_port}", folder, broker_core))
        deadline = time.monotonic() + _STARTS
        while seen.reads() < 1:
            if time.monotonic() > deadline:
                raise WorkerError(f"Schemathesis asked nothing within {_STARTS:.0f} s")
            time.sleep(0.1)
        storm.suspend()
        worker.pause()
        fill_input(running.bootstrap, traffic(options.activities, options.leads))
        worker.resume()
        time.sleep(options.seconds / 2)
        for number in range(options.rounds):
            quiet.append(seen.window(options.seconds))
            storm.resume()
            time.sleep(options.seconds / 4)
            read.append(seen.window(options.seconds))
            storm.suspend()
            time.sleep(options.seconds / 4)
            a, b = quiet[-1], read[-1]
            progress(
                f"  round {number + 1} of {options.rounds}: {a.activities / a.cpu:,.0f} activities for each second of "
                f"the processor, {b.activities / b.cpu:,.0f} with {b.reads / b.wall:.0f} stories a second"
            )
    return quiet, read


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activities", type=int, default=400_000, help="of the backlog")
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
        result.figures.append(
            Figure.of("Schemathesis reads", statistics.median(beside), unit, ratio(beside, alone), group)
        )
    result.targets.append(
        Target("scoring while lead data is read / while nobody reads", TARGET, ratio(rates[1], rates[0]).median)
    )
    answered = statistics.median(window.reads / window.wall for window in read)
    result.notes.append(f"{answered:.1f} stories a second were answered meanwhile.")
    result.finish()


if __name__ == "__main__":
    main()
