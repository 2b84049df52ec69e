"""What the counts of a signal are worth.

Each day gives min(count, daily_cap) x points x 0.5 ** (age in days / half_life); the sum, limited to max_points, is
rounded half away from zero.
"""

from __future__ import annotations

from math import copysign, floor, fsum
from typing import TYPE_CHECKING, Final, cast

from scorer.domain.lead import Counts

if TYPE_CHECKING:
    from scorer.rules.ruleset import Signal

BEHAVIOUR: Final = "behaviour"
"""Criterion under which the points of all signals appear."""

_SURE: Final = 1e-6
_LARGE: Final = 1e6


class SignalPoints:
    """A signal with a table of what a day is worth, by its count and age.

    Signals fade, so each must be worked out again on every day: three quarters of a microsecond instead of three.
    """

    __slots__ = ("_days", "label", "signal", "single")

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.label = (BEHAVIOUR, signal.id)
        #: by count: points of a day by its age
        self._days: dict[int, list[float]] = {}
        self.single: dict[int, list[int]] = {}
        """By count: whole points by age, where that day is the only one."""

    def at(self, counts: Counts, today: int) -> int:
        """Whole points as of UTC day `today`."""
        tables, total = self._days, 0.0
        numbers = cast("tuple[int, ...]", counts)
        for place in range(1, len(numbers), 2):
            count = numbers[place + 1]
            table = tables.get(count)
            if table is None:
                self.tabulate(count)
                table = tables[count]
            age = today - numbers[place]
            if 0 <= age < len(table):
                total += table[age]
        size, limit = abs(total), self.signal.max_points
        if limit is not None and size > limit:
            size = limit
        whole = int(size + 0.5)
        # A plain sum is off by less than 1e-7 (at most 730 terms of one sign, below 1e6): it only matters next to .5.
        if size > _LARGE or not _SURE < size + 0.5 - whole < 1 - _SURE:
            return signal_points(self.signal, counts, today)
        return whole if total >= 0 else -whole

    def tabulate(self, count: int) -> list[int]:
        """Fill the tables for a count, and give that of `single`."""
        signal = self.signal
        value = min(count, signal.daily_cap) * signal.points
        self._days[count] = [value * weight for weight in signal.weights]
        single = self.single[count] = [_whole(signal, points) for points in self._days[count]]
        return single


def signal_points(signal: Signal, counts: Counts, today: int, after_day: int | None = None) -> int:
    """Whole points of a signal as of UTC day `today`; with `after_day` only of what was counted after that day."""
    weights, value = signal.weights, signal.points
    terms = []
    for day, count in days_counted(counts):
        age = today - day
        if 0 <= age < len(weights) and (after_day is None or day > after_day):
            terms.append(min(count, signal.daily_cap) * value * weights[age])
    # fsum: rounded once, so that the result is the nearest to the formula's.
    return _whole(signal, fsum(terms))


def days_counted(counts: Counts) -> list[tuple[int, int]]:
    """(UTC day, events counted on it), ascending."""
    numbers = cast("tuple[int, ...]", counts[1:])
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _whole(signal: Signal, total: float) -> int:
    limit = signal.max_points
    if limit is not None:
        total = max(-limit, min(limit, total))
    return int(copysign(floor(abs(total) + 0.5), total))
