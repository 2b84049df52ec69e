"""Charts of a backtest: score distributions, hand-overs per week, and how often rules applied to won and lost leads."""

from collections.abc import Mapping, Sequence
from math import ceil, floor

from markupsafe import Markup

from scorer.backtest.impact import WeekCount
from scorer.report.charts import Scale, Series, Tone, histogram, lines, track

_CLASSES = 24
_INTERVALS = 4
_BARS = 30
"""Up to this many weeks are drawn as bars, more as lines."""

Named = tuple[str, Tone, Mapping[int, int]]
"""A name, a colour, and leads by score."""


def classes(counts: Sequence[Mapping[int, int]]) -> tuple[int, int, list[list[int]]]:
    """Leads by score in equal classes: (lowest score, width of a class, leads by class for each of the counts). Every
    score belongs to a class. The number of classes is a multiple of four, which leaves room for round labels."""
    scores = [score for leads_by_score in counts for score in leads_by_score] or [0]
    low, high = min(scores), max(scores)
    width = next(w for w in _widths() if ceil((high + 1) / w) - floor(low / w) <= _CLASSES)
    start = floor(low / width)
    number = ceil((high + 1) / width) - start
    number += -number % _INTERVALS
    distributions = []
    for leads_by_score in counts:
        filled = [0] * number
        for score, leads in leads_by_score.items():
            filled[score // width - start] += leads
        distributions.append(filled)
    return start * width, width, distributions


def score_chart(series: Sequence[Named], describe: str) -> Markup:
    """The number of leads by score."""
    low, width, distributions = classes([counts for _, _, counts in series])
    step = width * len(distributions[0]) // _INTERVALS
    labels = [str(low + index * step).replace("-", "\N{MINUS SIGN}") for index in range(_INTERVALS + 1)]
    drawn = [Series(name, tone, values=values) for (name, tone, _), values in zip(series, distributions, strict=True)]
    return histogram(drawn, x_labels=labels, describe=describe)


def week_chart(series: Sequence[tuple[str, Tone, Sequence[WeekCount]]], describe: str) -> Markup:
    """Hand-overs per week. All series cover the same weeks."""
    weeks = series[0][2]
    ends = [weeks[0].starts, weeks[-1].starts] if len(weeks) > 1 else [week.starts for week in weeks]
    if len(weeks) <= _BARS:
        drawn = [Series(name, tone, values=[week.leads for week in counted]) for name, tone, counted in series]
        return histogram(drawn, x_labels=ends, describe=describe)
    curves = [
        Series(name, tone, points=[(index, week.leads) for index, week in enumerate(counted)])
        for name, tone, counted in series
    ]
    return lines(curves, x_labels=ends, describe=describe, steps=True)


def shares(won: float | None, lost: float | None) -> Markup:
    """Two bars, one below the other: a share of the won leads and one of the lost leads, both from 0 to 1."""
    scale = Scale(0, 1)
    return track(scale, 0, won or 0.0, "plus") + track(scale, 0, lost or 0.0, "minus")


def _widths() -> Sequence[int]:
    return [factor * 10**power for power in range(19) for factor in (1, 2, 5)]
