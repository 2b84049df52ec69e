"""Measures on noisy machines: contenders take turns, and results are ratios of two of them in the same round."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rich.console import Console

_console = Console(stderr=True)


class Spread(NamedTuple):
    """A median with its quartiles."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """The median and the quartiles; for one or two values, their minimum and maximum."""
    if len(values) < 3:
        return Spread(statistics.median(values), min(values), max(values))
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The ratio round by round: a disturbance of a round affects both."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def progress(text: str) -> None:
    """Print one line of progress on stderr."""
    _console.print(text, style="dim", highlight=False)


def take_turns(
    contenders: Mapping[str, Callable[[int], None]], *, rounds: int, seconds: float = 0.2
) -> dict[str, list[float]]:
    """CPU seconds of one unit of work of each contender, by round: A B C A B C …

    A contender does the given number of units. A first step finds how many units take about `seconds`, so that slow
    and fast ones get equal time. It measures CPU time of this process, because others use the machine too.
    """
    units: dict[str, int] = {}
    for name, run in contenders.items():
        count, took = 1, 0.0
        while True:
            took = _cpu(run, count)
            if took > seconds / 4:
                break
            count *= 4
        units[name] = max(1, round(count * seconds / took))
    by_name: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        progress(f"  round {number + 1} of {rounds}")
        for name, run in contenders.items():
            by_name[name].append(_cpu(run, units[name]) / units[name])
    return by_name


def _cpu(run: Callable[[int], None], count: int) -> float:
    began = time.process_time()
    run(count)
    return time.process_time() - began
