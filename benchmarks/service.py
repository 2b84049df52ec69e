"""The whole service, exactly once, on one core: activities a second and CPU per activity, against peers.

Each run has an empty broker on the other core and four partitions. The measured process is running already. It is
paused while the topic is filled, and measured from then to its last commit at the broker. The runs take turns.

    .venv/bin/python -m benchmarks.service --rounds 3 --even
    .venv/bin/python -m benchmarks.service --rounds 5 --broker kafka
    .venv/bin/python -m benchmarks.service --large 1000000 --rounds 2
"""

import argparse
import statistics
from collections.abc import Sequence

from benchmarks.kafka import BROKERS, KAFKA, WorkerError
from benchmarks.measuring import Spread, progress, ratio
from benchmarks.results import Figure, Result, Target
from benchmarks.runs import Run, one_run
from benchmarks.traffic import traffic
from benchmarks.worker import IN_STREAMS_PYTHON, STREAMS_PYTHON

CPU, SINGLE = "CPU of the worker", "ours, single activities"
NAMES = {
    "ours": "ours",
    "ours_even": SINGLE,
    "bare_aiokafka": "bare loop, aiokafka",
    "bare_tuned": "bare loop, aiokafka, tuned",
    "bare_confluent": "bare loop, confluent-kafka",
    "quix_same": "Quix Streams, our assess",
    "quix": "Quix Streams, ten weights",
    "faust_app": "Faust, ten weights",
    "streams_tables": "Kafka Streams, our tables in Java",
    "streams_weights": "Kafka Streams, ten weights",
}
Runs = dict[tuple[str, int], list[Run]]
ON_NOIDA = ("ours", "bare_aiokafka", "bare_confluent", "quix_same", "quix", "faust_app")
"""Kafka Streams needs requests that this broker does not know, and the tuned loop is tuned for Apache Kafka."""
ON_KAFKA = ("ours", "bare_aiokafka", "bare_tuned", "quix_same", "streams_tables", "streams_weights")
"""Unless `--only` says otherwise."""
BARE, QUIX, TABLES = "bare_aiokafka", "quix_same", "streams_tables"
TOLERANCE = 1.05
"""On Apache Kafka, figures of the same thing differ by so much."""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activities", type=int, default=60_000)
    parser.add_argument("--leads", type=int, default=5_000)
    parser.add_argument("--even", action="store_true", help="also run ours with single activities instead of visits")
    parser.add_argument("--large", type=int, metavar="LEADS", help="run only ours, also with this many leads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", action="append", choices=[name for name in NAMES if name != "ours_even"], help="repeatable"
    )
    parser.add_argument("--broker", choices=BROKERS, default=BROKERS[0])
    options = parser.parse_args()
    sizes = [options.leads, options.large] if options.large else [options.leads]
    part, title = "service", "The whole service, exactly once, on one core"
    if options.large:
        part, title = "service_large", "The whole service by number of leads"
    elif options.broker == KAFKA:
        part, title = "service_kafka", f"{title}, on Apache Kafka"
    result = Result(
        part,
        title,
        "CPU an activity / ours",
        {"activities": options.activities, "leads": options.leads, "rounds": options.rounds},
    )
    chosen = [name for name in NAMES if name != "ours_even" and (not options.only or name in options.only)]
    if options.large:
        chosen = ["ours"]
    if not options.only or options.broker != KAFKA:
        possible = ON_KAFKA if options.broker == KAFKA else ON_NOIDA
        chosen = [name for name in chosen if name in possible]
    if options.even:
        chosen.insert(1, "ours_even")
    missing = [] if STREAMS_PYTHON.exists() else [name for name in chosen if name in IN_STREAMS_PYTHON]
    if missing:
        chosen = [name for name in chosen if name not in missing]
        result.notes.append(
            f"Left out, because their environment is missing (`make bench` creates it): {', '.join(missing)}."
        )
    runs = take([(name, size) for name in chosen for size in sizes], options, result)
    report(result, runs, options.leads, options.large or 0)
    result.finish()


def take(plan: Sequence[tuple[str, int]], options: argparse.Namespace, result: Result) -> Runs:
    """Run all in turn. A peer that fails is left out and reported."""
    events = {key: list(traffic(options.activities, key[1], even=key[0] == "ours_even")) for key in plan}
    runs: Runs = {key: [] for key in plan}
    if options.broker == KAFKA:
        warm_up(next(iter(events.values())))
    for number in range(options.rounds):
        for name, size in list(runs):
            try:
                run = one_run(name.removesuffix("_even"), events[name, size], size, options.broker)
            except WorkerError as error:
                if name.startswith("ours"):
                    raise SystemExit(f"ours, {size:,} leads: {error}") from None
                result.notes.append(f"{NAMES[name]} failed: {error}")
                del runs[name, size]
                continue
            runs[name, size].append(run)
            progress(
                f"  round {number + 1} of {options.rounds}  {NAMES[name]}, {size:,} leads: {run.rate:,.0f} a second, "
                f"{run.cpu * 1e6:.0f} µs CPU, broker {run.broker * 1e6:.0f} µs, RSS {run.rss / 1e6:,.0f} MB"
            )
    return runs


def warm_up(events: Sequence[tuple[str, bytes]]) -> None:
    """A run that does not count: it warms up the broker's virtual machine."""
    progress("  a run to warm up the broker")
    try:
        one_run("bare_tuned", events, 0, KAFKA)
    except WorkerError as error:
        raise SystemExit(f"the run to warm up the broker: {error}") from None


def report(result: Result, runs: Runs, leads: int, large: int) -> None:
    """The ratios, round by round, and the targets."""
    reference = runs.get(("ours", leads))
    cpu, wall = CPU, "activities a second, wall clock (ratio: peer / ours)"
    group: dict[str, list[Figure]] = {cpu: [], wall: [], "CPU of the broker": []}
    for (name, size), size_runs in runs.items():
        label = NAMES[name] if size == leads else f"{NAMES[name]}, {size:,} leads"
        against = speed = None
        if reference:
            against = ratio([run.cpu for run in size_runs], [run.cpu for run in reference])
            speed = ratio([run.rate for run in size_runs], [run.rate for run in reference])
        group[cpu].append(figure(label, 1e6 * statistics.median(run.cpu for run in size_runs), "µs", against))
        group[wall].append(figure(label, statistics.median(run.rate for run in size_runs), "/s", speed))
        group["CPU of the broker"].append(
            figure(label, 1e6 * statistics.median(run.broker for run in size_runs), "µs", None)
        )
    for heading, figures in group.items():
        for row in figures:
            row.group = heading
        result.figures += figures
    if reference is None:
        return
    if result.part == "service_kafka":
        result.targets += kafka_targets(reference, {name: runs.get((name, leads)) for name in (BARE, QUIX, TABLES)})
        result.notes.append(
            "The bounds against the bare loop contain a tolerance of 5 %. The tables in Java give the same scores, "
            "ratings and routes (`benchmarks.kafka_streams` compares them), without reasons and dead letters."
        )
        return
    for name, bound in ((BARE, 1.0), (QUIX, 2.0)) if not large else ():
        for basis in ("cpu", "rate"):
            theirs = runs.get((name, leads))
            measured = None if theirs is None else ours_against(reference, theirs, basis).median
            by = "by CPU" if basis == "cpu" else "by wall clock"
            result.targets.append(Target(f"throughput: ours / {NAMES[name]}, {by}", bound, measured))
    if large:
        for basis, by in (("cpu", "by CPU"), ("rate", "by wall clock")):
            measured = ours_against(runs["ours", large], reference, basis).median
            result.targets.append(Target(f"throughput: {large:,} leads / {leads:,} leads, {by}", 0.85, measured))


def kafka_targets(ours: list[Run], peers: dict[str, list[Run] | None]) -> list[Target]:
    """What must hold at full load on Apache Kafka, and what is aimed at."""
    measured = {
        (name, basis): None if runs is None else ours_against(ours, runs, basis).median
        for name, runs in peers.items()
        for basis in ("cpu", "rate")
    }
    times = measured[BARE, "cpu"]
    return [
        Target("activities a second: ours / bare loop, aiokafka", round(1 / TOLERANCE, 3), measured[BARE, "rate"]),
        Target("CPU: ours / bare loop, aiokafka", 2 * TOLERANCE, None if times is None else 1 / times, at_least=False),
        Target("activities a second: ours / Quix Streams, our assess", 2.5, measured[QUIX, "rate"]),
        Target("aim, activities a second: ours / Kafka Streams, our tables in Java", 1.0, measured[TABLES, "rate"]),
        Target("aim, by CPU: ours / Kafka Streams, our tables in Java", 1.0, measured[TABLES, "cpu"]),
    ]


def ours_against(ours: list[Run], other: list[Run], basis: str) -> Spread:
    """How many times the throughput of the other."""
    if basis == "cpu":
        return ratio([run.cpu for run in other], [run.cpu for run in ours])
    return ratio([run.rate for run in ours], [run.rate for run in other])


def figure(name: str, absolute: float, unit: str, against: Spread | None) -> Figure:
    """A line of the table."""
    return Figure.of(name, absolute, unit, against)


if __name__ == "__main__":
    main()
