"""Samples of all platforms, changed at random, through their sources: activities or a reason, and never for long.

    python -m tests.senders.fuzz --inputs 100000 --seed 1
    python -m tests.senders.fuzz --first 4711 --inputs 1 --seed 1   # one input again

Exit status 1 if a source raises anything but `Rejected`, says nothing about an event, makes an activity that our own
parser refuses, or needs more than 50 ms of the processor for an input. One with more than 100 events has half a
millisecond for each.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from time import thread_time
from typing import Final

from scorer.sources.cloudevents import parse_event
from scorer.sources.rejected import Rejected
from scorer.sources.source import Outcome
from tests.senders.mutations import mutated
from tests.senders.samples import NOW, outcomes, samples

MOST_SECONDS: Final = 0.05
SECONDS_PER_EVENT: Final = 0.0005
_ATTEMPTS: Final = 3
"""How often a slow input is measured: a collection of garbage in between is not its fault."""
_MOST_PROBLEMS: Final = 20


@dataclass(slots=True)
class Result:
    """What came of the inputs. `slowest`: seconds of the processor."""

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    problems: list[str] = field(default_factory=list)


def run(count: int, seed: int, first: int = 0) -> Result:
    """Put `count` inputs through the sources, from the number `first` on."""
    known = samples()
    result = Result()
    for number in range(first, first + count):
        random = Random(f"{seed} {number}")
        sample = known[number % len(known)]
        value = mutated(sample, known, random)
        result.inputs += 1
        problems = _tried(sample.platform, value, result)
        result.problems += [f"input {number}, {sample.name}: {problem}" for problem in dict.fromkeys(problems)]
        if len(result.problems) >= _MOST_PROBLEMS:
            break
    return result


def _tried(platform: str, value: bytes, result: Result) -> list[str]:
    """Counts what came of the input. Returns what is wrong with it."""
    try:
        seconds, told = _measured(platform, value)
    except Rejected as rejected:
        result.outcomes[f"rejected: {rejected.reason}"] += 1
        return []
    except Exception as error:  # noqa: BLE001 (whatever it is, the input is the finding)
        return [f"{type(error).__name__}: {error}"]
    result.slowest = max(result.slowest, seconds)
    problems = [] if seconds <= _most_seconds(told) else [f"{seconds * 1_000:.0f} ms for {len(told)} events"]
    for outcome in told:
        result.outcomes[_kind_of(outcome)] += 1
        for activity in (*outcome.activities, *outcome.held):
            try:
                parse_event(activity.value, NOW)
            except Rejected as rejected:
                problems.append(f"{activity.type} is refused: {rejected.detail}")
        if not (outcome.activities or outcome.held or outcome.ignored or outcome.rejected):
            problems.append(f"no reason for event {outcome.index}")
    return problems if told else ["no outcome"]


def _measured(platform: str, value: bytes) -> tuple[float, Sequence[Outcome]]:
    """The seconds of the processor that the input takes, and what comes of it. Raises what the source raises."""
    fastest = float("inf")
    for _ in range(_ATTEMPTS):
        start = thread_time()
        told = outcomes(platform, value)
        fastest = min(fastest, thread_time() - start)
        if fastest <= _most_seconds(told):
            break
    return fastest, told


def _most_seconds(told: Sequence[Outcome]) -> float:
    return max(MOST_SECONDS, len(told) * SECONDS_PER_EVENT)


def _kind_of(outcome: Outcome) -> str:
    if outcome.rejected is not None:
        return f"event rejected: {outcome.rejected.reason}"
    if outcome.ignored is not None:
        return "ignored"
    return "activities, keys dropped" if outcome.dropped else "activities"


def main() -> int:
    """Run from the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    arguments = parser.parse_args()
    result = run(arguments.inputs, arguments.seed, arguments.first)
    for kind, count in result.outcomes.most_common():
        sys.stdout.write(f"{count:9,}  {kind}\n")
    sys.stdout.write(f"{result.inputs:9,}  inputs; the slowest took {result.slowest * 1_000:.1f} ms\n")
    for problem in result.problems:
        sys.stdout.write(f"{problem}\n")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
