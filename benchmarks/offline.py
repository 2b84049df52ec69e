"""`scorer score` of a file of activities, beside Polars that only parses the same file's JSON; and on two cores.

Each run is a process; CPU seconds count, so that what Polars does on several threads is not had for nothing.

    .venv/bin/python -m benchmarks.offline --activities 100000 --rounds 5
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

from benchmarks.kafka import ROOT, SCRATCH
from benchmarks.measuring import progress, ratio
from benchmarks.results import Figure, Result, Target
from benchmarks.traffic import traffic

OURS, PARSE, TWO = "scorer score", "Polars, read_ndjson", "scorer score --workers 2"


class Spent(NamedTuple):
    """What a process took: seconds by the clock, and of CPU."""

    wall: float
    cpu: float


def spend(command: list[str], cores: int | None = None) -> Spent:
    """Run it to its end, on so many cores. Raises `CalledProcessError`."""
    allowed = set(sorted(os.sched_getaffinity(0))[-cores:]) if cores else None
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        command,
        cwd=ROOT,
        check=True,
        capture_output=True,
        env={**os.environ, "POLARS_MAX_THREADS": "1"} if cores == 1 else None,
        preexec_fn=(lambda: os.sched_setaffinity(0, allowed)) if allowed else None,
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activities", type=int, default=100_000)
    parser.add_argument("--leads", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    count = options.activities
    SCRATCH.mkdir(parents=True, exist_ok=True)
    path, out = SCRATCH / "offline.jsonl", SCRATCH / "offline.out"
    progress(f"writing {count:,} activities")
    with path.open("wb") as file:
        for _, value in traffic(count, options.leads):
            file.write(value + b"\n")
    score = [sys.executable, "-m", "scorer", "score", "--input", str(path), "--output", str(out)]
    parse = [sys.executable, "-m", "benchmarks.offline_polars", str(path)]
    contenders: dict[str, tuple[list[str], int]] = {OURS: (score, 1), PARSE: (parse, 1)}
    workers = supports_workers()
    if workers:
        contenders[TWO] = ([*score, "--workers", "2"], 2)
    runs: dict[str, list[Spent]] = {name: [] for name in contenders}
    try:
        for number in range(options.rounds):
            for name, (command, cores) in contenders.items():
                spent = spend(command, cores)
                runs[name].append(spent)
                progress(f"  round {number + 1} of {options.rounds}  {name}: {spent.wall:.2f} s, {spent.cpu:.2f} s CPU")
    finally:
        for each in (path, out):
            each.unlink(missing_ok=True)
    report(runs, count, vars(options), workers=workers)


def report(runs: dict[str, list[Spent]], count: int, options: dict[str, int], *, workers: bool) -> None:
    """The ratios, and what was aimed at."""
    result = Result("offline", "Offline: a file of activities", f"CPU / {PARSE}", options)
    for name, found in runs.items():
        against = ratio([each.cpu for each in found], [each.cpu for each in runs[PARSE]])
        median = statistics.median(each.cpu for each in found)
        result.figures.append(Figure.of(name, 1e6 * median / count, "µs an activity", against, "CPU"))
    scaling = None
    if workers:
        gain = ratio([each.wall for each in runs[OURS]], [each.wall for each in runs[TWO]])
        scaling = gain.median
        result.figures.append(
            Figure.of(f"{OURS} / {TWO}", count / statistics.median(each.wall for each in runs[TWO]), "/s", gain, "wall")
        )
    else:
        result.notes.append("Two cores: n/a, `scorer score` has no `--workers` yet.")
    per_core = ratio([each.cpu for each in runs[OURS]], [each.cpu for each in runs[PARSE]])
    result.targets.append(Target(f"{OURS} / {PARSE}, one core each", 6, per_core.median, at_least=False))
    result.targets.append(Target("two cores / one core, wall clock", 1.6, scaling))
    result.notes.append("Both processes from start to end, so starting Python and reading the rules is in it.")
    result.finish()


def supports_workers() -> bool:
    """Whether `scorer score` can use several cores."""
    shown = subprocess.run(
        [sys.executable, "-m", "scorer", "score", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    return "--workers" in shown.stdout


if __name__ == "__main__":
    main()
