"""A million leads at midnight: all of them may be due, and one in a hundred really is.

Three parts, each in its own process:

- `rest`: the memory (RSS) of the leads of a partition and of their schedule, and the time that building the schedule
  takes.
- `wave`: four partition workers with their jobs in one process, without a broker. Midnight passes while activities
  arrive. How long do activities wait, at which rate are leads reviewed, and does the memory stay flat?
- `kafka` (with `--broker kafka`): the same with the service on Apache Kafka. The states come from the changelog.

    .venv/bin/python -m benchmarks.reviews --leads 1000000
    .venv/bin/python -m benchmarks.reviews --leads 1000000 --broker kafka --seconds 300
    .venv/bin/python -m benchmarks.reviews --leads 20000 --seconds 10    # only checks that it runs
"""

import argparse
import asyncio
import contextlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.kafka import BROKERS, KAFKA, ROOT, SCRATCH, broker, cores, fill_changelog, stay_with_broker
from benchmarks.measuring import progress
from benchmarks.midnight import (
    CACHED,
    RATE,
    Load,
    evaluator,
    live,
    of_delays,
    of_memory,
    of_reviews,
    pool,
    read,
    rest,
    states,
    wave,
)
from benchmarks.results import Figure, Result, Target
from benchmarks.steady import Feeder, Observer, places
from benchmarks.traffic import PARTITIONS, RULES
from benchmarks.worker import ours, wait_until_shared
from scorer.demo.broker import free_port
from scorer.domain.instant import DAY, SECOND
from scorer.state.codec import decode_lead, encode_lead

LONGEST_WAIT: Final = 2.0
_LOOK_AT_OFFSETS: Final = 0.02
_START: Final = 10.0
_FILLED: Final = 10_000
"""Leads a second that are written and restored, at least."""


@contextlib.contextmanager
def rules_at(per_second: int | None) -> Iterator[Path]:
    """The rules of all parts, which review so many leads a second; None: as many as by default."""
    if per_second is None:
        yield RULES
        return
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        copied = Path(shutil.copytree(RULES, Path(folder) / RULES.name))
        (copied / "rate.yaml").write_text(f"rescore: {{per_second: {per_second}}}\n")
        yield copied


def on_kafka(load: Load) -> dict[str, float]:
    """The service on Apache Kafka. The leads of last midnight are in its changelog."""
    worker_core, broker_core = cores()
    rules = evaluator(load.rules)
    now = int(time.time()) * SECOND
    passes = now + round((_START + load.leads / _FILLED + load.before) * SECOND)
    # The true midnight is hours away or hours ago. This bound is right for the leads that are not due at that one.
    samples = [due_at(state, passes) for state in read(load.samples)]
    stay_with_broker()
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(broker(broker_core, KAFKA, load.partitions))
        bootstrap, port = running.bootstrap, free_port()
        given = states(samples, load.leads)
        fill_changelog(bootstrap, given, rules.ruleset.revision, load.partitions, now - DAY // 24)
        progress("  the changelog is full")
        began = time.perf_counter()
        worker = stack.enter_context(
            ours(bootstrap, {worker_core}, http_port=str(port), rules=str(load.rules), cache_leads=str(CACHED))
        )
        wait_until_shared([port], [worker], load.partitions)
        restored = time.perf_counter() - began
        progress(f"  restored after {restored:.0f} s")
        before = of_reviews(scraped(port), 1.0)
        observer = Observer(bootstrap, load.partitions, _LOOK_AT_OFFSETS)
        memory: list[int] = []
        total = max(load.before, passes / SECOND - time.time()) + load.seconds
        events = [(lead_id, make(now)) for lead_id, make in islice(live(load), int(load.rate * total))]
        began, spent = time.perf_counter(), worker.cpu()
        feeder = Feeder(bootstrap, events, load.rate, load.partitions)
        midnight = began + passes / SECOND - time.time()
        if midnight < began:
            progress(f"  the leads were due {began - midnight:.0f} s before they were restored")
        try:
            while time.perf_counter() < began + total:
                time.sleep(1)
                worker.check()
                if time.perf_counter() > midnight:
                    memory.append(worker.rss())
            due = feeder.due()
            seconds, cpu = time.perf_counter() - midnight, worker.cpu() - spent
            after = scraped(port)
            time.sleep(2)
        finally:
            observer.stop()
        metrics = of_reviews(after, seconds)
        left = remaining(after)
    written = zip(places(events, load.partitions), due, strict=True)
    delays = [(moment, observer.committed_at(*place) - moment) for place, moment in written]
    return {
        "restored": restored,
        "seconds": seconds,
        "cpu": cpu / total,
        **of_delays(delays, midnight),
        **of_memory(memory),
        **metrics,
        "before": before["published"] + before["unchanged"],
        "left": left,
    }


def due_at(state: bytes, instant: int) -> bytes:
    """The state, with another bound."""
    return encode_lead(replace(decode_lead("", state), due=instant))


def scraped(port: int) -> str:
    """The metrics of the service."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def remaining(metrics: str) -> float:
    """How many leads are still due, at most."""
    for line in metrics.splitlines():
        if line.startswith("scorer_review_remaining "):
            return float(line.rpartition(" ")[2])
    return math.nan


PARTS: Final[dict[str, Callable[[Load], dict[str, float]]]] = {
    "rest": rest,
    "wave": lambda load: asyncio.run(wave(load)),
    "kafka": on_kafka,
}


def measured(part: str, load: Load) -> dict[str, float]:
    """Run a part in its own process, so that the memory of one does not affect the next."""
    command = [sys.executable, "-m", "benchmarks.reviews", "--part", part]
    for field in fields(Load):
        command += [f"--{field.name}", str(getattr(load, field.name))]
    progress(f"{part}, {load.leads:,} leads")
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE)
    if ran.returncode:
        raise SystemExit(f"{part} failed")
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    progress(", ".join(f"{name} {value:,.6g}" for name, value in found.items()))
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leads", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=RATE, help="activities a second")
    parser.add_argument("--seconds", type=float, default=3600, help="of a wave, at most")
    parser.add_argument("--before", type=float, default=30, help="seconds before midnight")
    parser.add_argument("--partitions", type=int, default=PARTITIONS)
    parser.add_argument("--per-second", type=int, help="`rescore: {per_second: …}`; default: that of the rules")
    parser.add_argument("--broker", choices=BROKERS[1:], help="also with the service on Apache Kafka")
    parser.add_argument("--only", choices=PARTS, action="append", help="repeatable; default: all")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--rules", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--samples", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--midnight", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    given = {field.name: getattr(options, field.name) for field in fields(Load)}
    if options.part:
        sys.stdout.write(json.dumps(PARTS[options.part](Load(**given))))
        return
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with rules_at(options.per_second) as folder, tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        rules = evaluator(folder)
        bound = rules.ruleset.rescoring.per_second
        midnight, samples = int(time.time()) * SECOND // DAY * DAY, Path(scratch) / "states"
        # The service meets these leads at another time of the day, at most a day later.
        samples.write_bytes(msgspec.msgpack.encode(pool(rules, midnight, midnight + 2 * DAY - 1)))
        load = Load(**{**given, "rules": folder, "samples": samples, "midnight": midnight})
        asked = options.only or [part for part in PARTS if part != KAFKA or options.broker]
        found = {part: measured(part, load) for part in asked}
    shown = {
        "leads": options.leads,
        "partitions": options.partitions,
        "activities a second": int(options.rate),
        "leads reviewed a second, at most": bound,
    }
    part, title = "reviews", "Many leads at midnight"
    if options.broker:
        part, title = "reviews_kafka", f"{title}, also on Apache Kafka"
    result = Result(part, title, "", shown)
    if "rest" in found:
        report_rest(result, found["rest"])
    for name in ("wave", KAFKA):
        if name in found:
            report_wave(result, name, found[name], bound)
    result.finish()


def report_rest(result: Result, rest: dict[str, float]) -> None:
    """Memory at rest and the start."""
    memory = rest["leads"] + rest["schedule"]
    group = "at rest"
    result.figures += [
        Figure("state of a lead", rest["state"], "bytes", group=group),
        Figure("memory (RSS) of a lead, with its id", rest["leads"], "bytes", group=group),
        Figure("memory (RSS) of its place in the schedule", rest["schedule"], "bytes", group=group),
        Figure("the schedule is built (CPU)", rest["seconds"], "s", group=group),
        Figure("longest step of that (CPU)", 1e3 * rest["longest"], "ms", group=group),
    ]
    result.targets += [
        Target("memory of a lead at rest, bytes", 1024, memory, at_least=False),
        Target("judgements while the schedule is built", 0, rest["judged"], at_least=False),
    ]


def report_wave(result: Result, name: str, wave: dict[str, float], bound: int) -> None:
    """Activities and reviews after midnight."""
    group = "in one process, without a broker" if name == "wave" else "the service on Apache Kafka"
    if "restored" in wave:
        result.figures.append(Figure("started and restored", wave["restored"], "s", group=group))
    result.figures += [
        Figure("seconds", wave["seconds"], "s", group=group),
        Figure("leads looked at", wave["published"] + wave["unchanged"] + wave["others"], "", group=group),
        Figure("decisions by time", wave["published"], "", group=group),
        Figure("leads still to look at", wave["left"], "", group=group),
        Figure("leads a second", wave["a second"], "/s", group=group),
        Figure("activity to commit, p50", 1e3 * wave["p50"], "ms", group=group),
        Figure("activity to commit, p99", 1e3 * wave["p99"], "ms", group=group),
        Figure("before midnight: p50", 1e3 * wave["p50 before"], "ms", group=group),
        Figure("before midnight: p99", 1e3 * wave["p99 before"], "ms", group=group),
        Figure("activity to commit, longest", 1e3 * wave["most"], "ms", group=group),
        Figure("CPU", 100 * wave["cpu"], "% of a core", group=group),
        Figure("memory (RSS)", wave["rss"] / 1e6, "MB", group=group),
        Figure("growth of memory during the wave", wave["grown"] / 1e6, "MB", group=group),
    ]
    if "longest" in wave:
        result.figures.append(Figure("longest pause of the event loop (CPU)", 1e3 * wave["longest"], "ms", group=group))
    result.targets += [
        Target(f"{group}: p99 of an activity, s", LONGEST_WAIT, wave["p99"], at_least=False),
        Target(f"{group}: leads a second", 1.05 * bound, wave["a second"], at_least=False),
        Target(f"{group}: growth of memory, % of it", 5, 100 * wave["grown"] / wave["rss"], at_least=False),
    ]


if __name__ == "__main__":
    main()
