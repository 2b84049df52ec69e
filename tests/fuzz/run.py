"""Random input through the real service: valid events of every kind, damaged ones, and ones that cannot be valid.

For each seed, the events go through `scorer run` in chunks, each with a broker of its own, because the embedded broker
slows down as it fills. Then decisions, dead letters and states are compared with the offline ones. Exit status 1 if
anything differs, the service ends, a partition pauses too long, or the memory is over the bound.

    python -m tests.fuzz.run --events 20000 --seeds 1
    python -m tests.fuzz.run --first-seed 2 --seeds 1 --first-chunk 3 --chunks 1   # one chunk again
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

from scorer.demo.broker import EmbeddedBroker
from tests.fuzz.check import check
from tests.fuzz.events import UNDECLARED
from tests.fuzz.feed import Fed, Feeder
from tests.fuzz.records import LARGEST, records
from tests.fuzz.rules import rules_in
from tests.fuzz.watch import Watch, memory
from tests.integration.kafka import ANY_TIME, Kafka, Names
from tests.integration.service import Service, service

PARTITIONS: Final = 2
_SLICE: Final = 1_000
_TOLD_EVERY: Final = 5.0
_MB: Final = 1_000_000
_ROOM: Final = 1_000_000

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `now`: seconds since the epoch for the events; `max_pause`: seconds; `max_rss`: bytes."""

    leads: int
    now: int
    max_pause: float
    max_rss: int
    undeclared: int = UNDECLARED


@dataclass(slots=True)
class Result:
    """Figures of one chunk, or of several."""

    events: int = 0
    good: int = 0
    decisions: int = 0
    letters: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    pause: float = 0.0
    rss: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, other: "Result") -> None:
        """Add the figures of another chunk."""
        self.events += other.events
        self.good += other.good
        self.decisions += other.decisions
        self.letters += other.letters
        self.seconds += other.seconds
        self.pause = max(self.pause, other.pause)
        self.rss = max(self.rss, other.rss)
        self.problems += other.problems


def run_chunk(
    kafka: Kafka, names: Names, folder: Path, plan: Plan, seed: int, chunk: int, count: int, tell: Tell
) -> Result:
    """Send `count` records through the service and check what comes out."""
    result = Result(count)
    # Some records say that they are from 1970, and retention would delete them before they are read.
    config = {**ANY_TIME, "max.message.bytes": str(LARGEST + _ROOM), "retention.ms": "-1"}
    kafka.create({names.activity: PARTITIONS}, config)
    began = time.time_ns() // 1000
    with service(kafka, names, folder, rules=str(rules_in(folder))) as running:
        started = time.monotonic()
        fed = asyncio.run(_feed(kafka, names, running, plan, (seed, chunk, count), result, tell))
        result.seconds = time.monotonic() - started
        result.rss = memory(running.process.pid, "VmHWM")
        status = running.terminate()
        if status != 0:
            result.problems.append(f"the service ended with {status}: {running.text()[-2000:]}")
        result.problems += [
            f"an internal error: {line}" for line in running.log() if line["event"] == "internal_error"
        ][:5]
    if result.rss > plan.max_rss:
        result.problems.append(f"the worker took {result.rss // _MB} MB; at most {plan.max_rss // _MB} MB are allowed")
    warnings = Counter(line["event"] for line in running.log() if line["level"] in ("warning", "error"))
    if warnings:
        tell(f"seed {seed}, chunk {chunk}: the service logged {dict(warnings)}")
    checked = check(kafka, names, fed, folder, began, time.time_ns() // 1000)
    result.good, result.decisions, result.letters = checked.good, checked.decisions, checked.reasons
    result.problems += checked.problems
    return result


async def _feed(
    kafka: Kafka,
    names: Names,
    running: Service,
    plan: Plan,
    which: tuple[int, int, int],
    result: Result,
    tell: Tell,
) -> list[Fed]:
    """Write everything, and wait until all of it is committed. Fails if the service ends or stands still."""
    seed, chunk, count = which
    source = records(seed, chunk, count, plan.leads, plan.now, undeclared=plan.undeclared)
    async with Feeder(kafka.bootstrap, names.activity, PARTITIONS, Random(f"{seed}:{chunk}:batches")) as feeder:
        with Watch(kafka, names, running, feeder.ends) as watch:
            told = _Teller(tell, running, watch, f"seed {seed}, chunk {chunk}: ", feeder.fed)
            while part := list(islice(source, _SLICE)):
                await feeder.write(part)
                _must_advance(watch, plan, running)
                told.now_and_then()
            while not watch.done:
                await asyncio.sleep(0.05)
                _must_advance(watch, plan, running)
                told.now_and_then()
            result.pause = watch.longest_pause
            told.now()
        return feeder.fed


def _must_advance(watch: Watch, plan: Plan, running: Service) -> None:
    pause = watch.pause()
    where = f"committed {watch.committed}"
    assert pause <= plan.max_pause, f"no progress for {pause:.1f} s, {where}:\n{running.text()[-4000:]}"


class _Teller:
    """Says now and then how far it is."""

    def __init__(self, tell: Tell, running: Service, watch: Watch, prefix: str, fed: Sequence[Fed]) -> None:
        self._tell, self._running, self._watch, self._prefix, self._fed = tell, running, watch, prefix, fed
        self._started = self._last = time.monotonic()

    def now_and_then(self) -> None:
        """Say it if it was not said for a while."""
        if time.monotonic() - self._last > _TOLD_EVERY:
            self.now()

    def now(self) -> None:
        """Say it."""
        self._last = time.monotonic()
        metrics = self._running.get("/metrics")[1].splitlines()
        letters = sum(float(line.rpartition(" ")[2]) for line in metrics if line.startswith("scorer_dead_letters_tot"))
        rate = len(self._fed) / (self._last - self._started)
        rss = memory(self._running.process.pid, "VmRSS") // _MB
        self._tell(
            f"{self._prefix}{len(self._fed):,} written, offsets {sum(self._watch.committed.values()):,}, "
            f"{rate:,.0f}/s, {letters:,.0f} dead letters, {rss} MB, longest pause {self._watch.longest_pause:.1f} s"
        )


def run_all(
    plan: Plan, seeds: Sequence[int], chunks: Sequence[tuple[int, int]], tell: Tell
) -> Iterator[tuple[int, Result]]:
    """The result of each seed. `chunks`: number and events."""
    for seed in seeds:
        total = Result()
        for chunk, count in chunks:
            with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
                folder = Path(name)
                with EmbeddedBroker(folder / "broker") as broker:
                    names = Names(f"fuzz{seed}x{chunk}")
                    try:
                        result = run_chunk(Kafka(broker.bootstrap), names, folder, plan, seed, chunk, count, tell)
                    except AssertionError as error:
                        result = Result(count, problems=[str(error)])
            for problem in result.problems:
                tell(f"seed {seed}, chunk {chunk}: PROBLEM: {problem}")
            tell(_summary(f"seed {seed}, chunk {chunk}", result))
            total.add(result)
        yield seed, total


def _summary(name: str, result: Result) -> str:
    rate = result.events / result.seconds if result.seconds else 0
    return (
        f"{name:<20} {result.events:>10,} events {result.good:>10,} good {result.letters.total():>9,} dead letters "
        f"{result.decisions:>9,} decisions {rate:>7,.0f}/s  longest pause {result.pause:>5.1f} s  "
        f"{result.rss // _MB:>4} MB  {len(result.problems)} problems"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _number(parser, "--events", 1_000_000, "in all")
    _number(parser, "--seeds", 3, "how many seeds share them")
    _number(parser, "--first-seed", 1, "the others follow")
    _number(parser, "--chunk", 50_000, "events per broker")
    _number(parser, "--first-chunk", 0, "begin with this chunk of each seed")
    _number(parser, "--chunks", 0, "run only so many chunks of each seed; 0: all")
    _number(parser, "--leads", 10_000, "different leads")
    _number(parser, "--undeclared", UNDECLARED, "names of custom facts that no ruleset declares")
    _number(parser, "--max-rss-mb", 600, "most memory of the worker")
    _number(parser, "--now", int(time.time()) // 3600 * 3600, "seconds since the epoch for the times of events")
    parser.add_argument("--max-pause", type=float, default=5.0, help="most seconds without progress (default: 5)")
    given = parser.parse_args(arguments)
    plan = Plan(given.leads, given.now, given.max_pause, given.max_rss_mb * _MB, given.undeclared)
    of_seed = -(-given.events // given.seeds)
    chunks = [
        (number, min(given.chunk, of_seed - begin)) for number, begin in enumerate(range(0, of_seed, given.chunk))
    ][given.first_chunk :]
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    _say(f"events as of --now {given.now}")
    started = time.monotonic()
    total = Result()
    lines = []
    for seed, result in run_all(plan, seeds, chunks[: given.chunks or None], _say):
        lines.append(_summary(f"seed {seed}", result))
        total.add(result)
    for line in (*lines, _summary("all", total)):
        _say(line)
    _say("dead letters: " + ", ".join(f"{reason} {count:,}" for reason, count in total.letters.most_common()))
    _say(f"{time.monotonic() - started:,.0f} s in all, with the comparison")
    return 1 if total.problems else 0


def _number(parser: argparse.ArgumentParser, name: str, default: int, what: str) -> None:
    parser.add_argument(name, type=int, default=default, help=f"{what} (default: {default})")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
