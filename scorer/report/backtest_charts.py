"""The charts of a backtest: score distributions, hand-overs a week, and how often a rule met won and lost leads."""

from collections.abc import Mapping, Sequence
from math import ceil, floor

from markupsafe import Markup

from scorer.backtest.impact import WeekCount
from scorer.report.charts import Scale, Series, Tone, histogram, lines, track

_CLASSES = 24
_INTERVALS = 4
_BARS = 30
"""Up to so many weeks are drawn as bars, more as lines."""

Named = tuple[str, Tone, Mapping[int, int]]
"""A name, a colour, and leads by score."""


def classes(counts: Sequence[Mapping[int, int]]) -> tuple[int, int, list[list[int]]]:
    """Leads by score in equal classes: (lowest score, width of a class, leads of each class for each of the counts).
    All scores are in one of the classes; their number is a multiple of four, so that round labels fit below."""
    held = [score for each in counts for score in each] or [0]
    low, high = min(held), max(held)
    width = next(w for w in _widths() if ceil((high + 1) / w) - floor(low / w) <= _CLASSES)
    start = floor(low / width)
    number = ceil((high + 1) / width) - start
    number += -number % _INTERVALS
    found = []
    for each in counts:
        filled = [0] * number
        for score, leads in each.items():
            filled[score // width - start] += leads
        found.append(filled)
    return start * width, width, found


def score_chart(series: Sequence[Named], describe: str) -> Markup:
    """How many leads have which score."""
    low, width, found = classes([counts for _, _, counts in series])
    step = width * len(found[0]) // _INTERVALS
    labels = [str(low + index * step).replace("-", "\N{MINUS SIGN}") for index in range(_INTERVALS + 1)]
    drawn = [Series(name, tone, values=values) for (name, tone, _), values in zip(series, found, strict=True)]
    return histogram(drawn, x_labels=labels, describe=describe)


def week_chart(series: Sequence[tuple[str, Tone, Sequence[WeekCount]]], describe: str) -> Markup:
    """Hand-overs a week. All series are over the same weeks."""
    weeks = series[0][2]
    ends = [weeks[0].starts, weeks[-1].starts] if len(weeks) > 1 else [each.starts for each in weeks]
    if len(weeks) <= _BARS:
        drawn = [Series(name, tone, values=[each.leads for each in counted]) for name, tone, counted in series]
        return histogram(drawn, x_labels=ends, describe=describe)
    curves = [
        Series(name, tone, points=[(index, each.leads) for index, each in enumerate(counted)])
        for name, tone, counted in series
    ]
    return lines(curves, x_labels=ends, describe=describe, steps=True)


def shares(won: float | None, lost: float | None) -> Markup:
    """Two bars, one below the other: the share of won leads and of lost leads, 0 to 1."""
    scale = Scale(0, 1)
    return track(scale, 0, won or 0.0, "plus") + track(scale, 0, lost or 0.0, "minus")


def _widths() -> Sequence[int]:
    return [factor * 10**power for power in range(19) for factor in (1, 2, 5)]
