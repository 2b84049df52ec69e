"""Which signals count an activity, and how many points the counts are worth.

Each day gives min(count, daily_cap) x points x 0.5 ** (age in days / half_life). The sum is limited to max_points, then
rounded half away from zero.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from math import copysign, floor, fsum, isclose, log
from typing import Final, cast

from scorer.domain.activity import LeadActivity
from scorer.domain.counts import Counts, Hit, days_counted
from scorer.engines.cache import BoundedCache
from scorer.rules.condition import fields, predicate
from scorer.rules.ruleset import Signal

_SURE: Final = 1e-6
_LARGE: Final = 1e6
_SMALL: Final = 1e4
"""Below it, a sum to which one event after the other is added stays within the error."""
_LONG: Final = 100_000
"""Days; longer than any window."""
FOREVER: Final = 1 << 29
"""A UTC day after all others. It is a short int, because Python compares those faster."""


SignalWorth = tuple[Counts, int, int, int, float, int]
"""What a signal is worth for one lead: its counts; their points; the first UTC day with these points, and the day after
the last; the sum on that first day, before it was limited and rounded; and the day on which the oldest part of the sum
leaves the window. It is valid for this counts object, because counts are never changed in place."""


class SignalHits:
    """Finds the signals of a ruleset that count an activity. Deterministic; it remembers its results."""

    __slots__ = ("_by_type",)

    def __init__(self, signals: Sequence[Signal]) -> None:
        by_type: dict[str, list[Signal]] = {}
        for signal in signals:
            by_type.setdefault(signal.activity, []).append(signal)
        self._by_type = {activity_type: _HitsOfType(counted) for activity_type, counted in by_type.items()}

    def of(self, activity: LeadActivity) -> Sequence[Hit]:
        """The signals that count the activity."""
        signals = self._by_type.get(activity.type)
        return () if signals is None else signals.of(activity.data)


class _HitsOfType:
    __slots__ = ("_field", "_remembered", "_signals")

    def __init__(self, signals: Sequence[Signal]) -> None:
        self._signals = [
            (Hit(signal.id, signal.daily_cap), None if signal.where is None else predicate(signal.where))
            for signal in signals
        ]
        asked = {fields(signal.where) for signal in signals if signal.where is not None}
        (only,) = asked if len(asked) == 1 else ((),)
        self._field = only[0] if len(only) == 1 else None
        self._remembered = BoundedCache[str, Sequence[Hit]]()

    def of(self, data: Mapping[str, object]) -> Sequence[Hit]:
        """If all signals test the same text field, such as the path of a page, each text is tested only once."""
        text = None if self._field is None else data.get(self._field)
        if type(text) is not str:
            return [hit for hit, counts in self._signals if counts is None or counts(data)]
        known = self._remembered.get(text)
        if known is None:
            known = self._remembered.recall(text)
        if known is None:
            hits = [hit for hit, counts in self._signals if counts is None or counts(data)]
            known = self._remembered.keep(text, hits)
        return known


class SignalPoints:
    """A signal with a table of the points of a day, by its count and age."""

    __slots__ = ("_days", "_lasting", "_limit", "_shares", "signal")

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self._limit = signal.max_points
        self._shares, self._lasting = _decay(signal.weights)
        #: by count: the points of a day, by its age
        self._days: dict[int, list[float]] = {}

    def worth(self, counts: Counts, today: int, known: SignalWorth | None = None) -> SignalWorth:
        """The points as of UTC day `today`, and how long they stay the same.

        `known` is an earlier result, for these counts or others. All days decay by the same share per day, so the sum
        as of another day follows from it, whatever the number of days. So does the day on which the points change.
        """
        if known is not None and known[4] and self._shares and known[2] <= today < known[5]:
            leaves = known[5]
            total = known[4] * self._shares[today - known[2]]
            if known[0] is not counts:
                more = self._more(known[0], counts, today)
                if more is None or not -_SMALL < total < _SMALL:
                    total, leaves = self._sum(counts, today)
                else:
                    total += more
        else:
            total, leaves = self._sum(counts, today)
        size = total if total >= 0 else -total
        limit = self._limit
        if limit is not None and size > limit:
            whole = limit
        else:
            whole = int(size + 0.5)
            # The error of the sum is below 1e-7 (at most 730 terms of one sign, below 1e6); it matters only near .5.
            if size > _LARGE or not _SURE < size + 0.5 - whole < 1 - _SURE:
                return counts, signal_points(self.signal, counts, today), today, today + 1, total, leaves
        until = today + 1
        if self._lasting:
            until = leaves if not whole else today + int(self._lasting * log(size / (whole - 0.5 + _SURE))) + 1
            if until > leaves:
                until = leaves
        return counts, whole if total >= 0 else -whole, today, until, total, leaves

    def _more(self, before: Counts, counts: Counts, today: int) -> float | None:
        """What is added to the sum if the counts differ by one more event of today, the usual case; None otherwise."""
        numbers, old = cast("tuple[int, ...]", counts), cast("tuple[int, ...]", before)
        number = numbers[-1]
        if counts[-2] != today or len(counts[0]) != len(before[0]) + 8:
            return None
        if before[-2] == today:
            if numbers[1:-1] != old[1:-1]:
                return None
            table = self._days.get(number - 1) or self._tabulate(number - 1)
            return (self._days.get(number) or self._tabulate(number))[0] - table[0]
        return None if numbers[1:-2] != old[1:] else (self._days.get(1) or self._tabulate(1))[0]

    def _sum(self, counts: Counts, today: int) -> tuple[float, int]:
        """The sum of all days in the window, and the day on which the oldest of them leaves the window."""
        numbers = cast("tuple[int, ...]", counts)
        tables, total, leaves = self._days, 0.0, FOREVER
        for place in range(1, len(numbers), 2):
            count = numbers[place + 1]
            table = tables.get(count) or self._tabulate(count)
            age = today - numbers[place]
            if 0 <= age < len(table):
                total += table[age]
                if leaves == FOREVER:
                    leaves = numbers[place] + len(table)
        if numbers[-2] > today:  # as of a day before the latest count: more will enter the window
            leaves = today + 1
        return total, leaves

    def _tabulate(self, count: int) -> list[float]:
        signal = self.signal
        value = min(count, signal.daily_cap) * signal.points
        table = self._days[count] = [value * weight for weight in signal.weights]
        return table


def _decay(weights: Sequence[float]) -> tuple[Sequence[float], float]:
    """What is left after each number of days, and the days until 1/e is left; empty if there is no constant share."""
    share = weights[1] if len(weights) > 1 else 1.0
    law = [share**age for age in range(len(weights))]
    if not 0 < share <= 1 or not all(map(partial(isclose, rel_tol=1e-12, abs_tol=1e-300), weights, law)):
        return (), 0.0
    return law, _LONG if share == 1 else min(_LONG, -1 / log(share))


def signal_points(signal: Signal, counts: Counts, today: int, after_day: int | None = None) -> int:
    """Whole points of a signal as of UTC day `today`. With `after_day`, only counts after that day contribute."""
    weights, value = signal.weights, signal.points
    terms = []
    for day, count in days_counted(counts):
        age = today - day
        if 0 <= age < len(weights) and (after_day is None or day > after_day):
            terms.append(min(count, signal.daily_cap) * value * weights[age])
    # fsum rounds once, so that the result is the nearest to that of the formula.
    return _whole(signal, fsum(terms))


def _whole(signal: Signal, total: float) -> int:
    limit = signal.max_points
    if limit is not None:
        total = max(-limit, min(limit, total))
    return int(copysign(floor(abs(total) + 0.5), total))
