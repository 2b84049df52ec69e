"""`scorer score` on a file of activities, with one worker and with two, against Polars, which only parses the JSON.

Each run has as many cores as workers, Polars has one, and the result is CPU seconds. Wall time compares two workers
with one: leads are spread over them, so the cores should add up.

    .venv/bin/python -m benchmarks.offline --activities 1000000 --rounds 3
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
from benchmarks.measuring import Spread, progress, ratio
from benchmarks.results import Figure, Result, Target
from benchmarks.traffic import traffic

OURS, TWO, PARSE = "scorer score", "scorer score --workers 2", "Polars, read_ndjson"


class Spent(NamedTuple):
    """What a process took: seconds of wall time and of CPU."""

    wall: float
    cpu: float


def spend(command: list[str], cores: int | None = None) -> Spent:
    """Run it to its end, on that many cores. Raises `CalledProcessError`."""
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
    parser.add_argument("--activities", type=int, default=200_000)
    parser.add_argument("--leads", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
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
    contenders = {OURS: (score, 1), TWO: ([*score, "--workers", "2"], 2), PARSE: (parse, 1)}
    if len(os.sched_getaffinity(0)) < 2:
        del contenders[TWO]
    runs: dict[str, list[Spent]] = {name: [] for name in contenders}
    try:
        for number in range(options.rounds):
            for name, (command, cores) in contenders.items():
                spent = spend(command, cores)
                runs[name].append(spent)
                progress(f"  round {number + 1} of {options.rounds}  {name}: {spent.wall:.2f} s, {spent.cpu:.2f} s CPU")
    finally:
        for written in (path, out):
            written.unlink(missing_ok=True)
    report(runs, count, vars(options))


def report(runs: dict[str, list[Spent]], count: int, options: dict[str, int]) -> None:
    """The ratios and the targets."""
    result = Result("offline", "Offline: a file of activities", f"CPU / {PARSE}", options)
    for name, usages in runs.items():
        against = cpu_ratio(usages, runs[PARSE])
        median = statistics.median(usage.cpu for usage in usages)
        result.figures.append(Figure.of(name, 1e6 * median / count, "µs an activity", against, "CPU"))
    clock = "activities a second, wall clock (ratio: to one worker)"
    for name, usages in runs.items():
        gain = ratio([usage.wall for usage in runs[OURS]], [usage.wall for usage in usages])
        rate = count / statistics.median(usage.wall for usage in usages)
        result.figures.append(Figure.of(name, rate, "/s", gain, clock))
    for name in (OURS, TWO):
        measured = cpu_ratio(runs[name], runs[PARSE]).median if name in runs else None
        result.targets.append(Target(f"CPU: {name} / {PARSE}", 6, measured, at_least=False))
    faster = (
        ratio([usage.wall for usage in runs[OURS]], [usage.wall for usage in runs[TWO]]).median if TWO in runs else None
    )
    dearer = cpu_ratio(runs[TWO], runs[OURS]).median if TWO in runs else None
    result.targets.append(Target("wall clock: two workers / one", 1.6, faster))
    result.targets.append(Target("CPU: two workers / one", 1.1, dearer, at_least=False))
    result.notes.append(
        "Every process is measured from start to end. This includes starting Python and reading the rules, three times "
        "with two workers."
    )
    result.finish()


def cpu_ratio(above: list[Spent], below: list[Spent]) -> Spread:
    """The ratio of CPU seconds, round by round."""
    return ratio([usage.cpu for usage in above], [usage.cpu for usage in below])


if __name__ == "__main__":
    main()
