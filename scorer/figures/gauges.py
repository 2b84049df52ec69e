"""Key figures as numbers that may be added up over workers. Pure.

Ratios are formed after adding. What is the same for all workers is not added up: `scorer_opportunities_needed` and
`scorer_period_elapsed_ratio`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from scorer.domain.instant import DAY
from scorer.domain.lifecycle import STATUSES
from scorer.domain.score import Rating
from scorer.figures.contributions import NONE, OTHER
from scorer.figures.figures import Figures
from scorer.figures.summary import Summary

Gauges = Mapping[str, Mapping[tuple[str, ...], float]]
"""Values by the name of the metric and the values of its labels."""

_OUTCOMES: Final = ("handed_over", "accepted", "returned", "won", "lost")


def gauges(parts: Sequence[Figures], now: int) -> Gauges:
    """The gauges of the parts together, at `now` in microseconds since the epoch; there is at least one part. What the
    rules name starts at 0. Days that are too old are forgotten."""
    for part in parts:
        part.forget(now)
    names = parts[0].names
    of = [part.summary(now) for part in parts]
    first = of[0].period
    values: dict[str, Mapping[tuple[str, ...], float]] = {
        "scorer_figures_partitions": {(): len(parts)},
        "scorer_period_elapsed_ratio": {(): first.elapsed},
        **{
            f"scorer_opportunities_{name}": {(): sum(getattr(each.period.handed_over, name) for each in of)}
            for name in _OUTCOMES
        },
        "scorer_leads": _sums((each.by_status for each in of), STATUSES),
        "scorer_leads_by_rating": _sums((each.by_rating for each in of), (*Rating, NONE)),
        "scorer_promises_open": _sums((each.open_promises for each in of), names.queues),
        "scorer_promises_overdue": _sums((each.overdue for each in of), names.queues),
        "scorer_hot_leads_untouched": {(): sum(sum(each.hot_untouched.values()) for each in of)},
        "scorer_hot_leads_overdue": {(): sum(sum(each.hot_overdue.values()) for each in of)},
    }
    if first.needed is not None:
        values["scorer_opportunities_needed"] = {(): first.needed}
    if first.forecast is not None:
        values["scorer_opportunities_forecast"] = {(): sum(each.period.forecast or 0.0 for each in of)}
    if names.phases:
        for name in ("reached", "went_on"):
            values[f"scorer_phase_{name}"] = _phases(of, name)
    if names.categories:
        values["scorer_leads_by_category"] = _sums((each.by_category for each in of), (*names.categories, OTHER, NONE))
    if names.actions:
        values["scorer_sales_actions"] = _actions(parts, names.actions, now // DAY)
    return values


def _sums(parts: Iterable[Mapping[str, int]], known: Iterable[str]) -> Mapping[tuple[str, ...], float]:
    total: Counter[str] = Counter(dict.fromkeys(known, 0))
    for part in parts:
        total.update(part)
    return {(str(name),): times for name, times in total.items()}


def _phases(of: Sequence[Summary], name: str) -> Mapping[tuple[str, ...], float]:
    total: Counter[str] = Counter()
    for each in of:
        for phase in each.period.phases:
            total[phase.phase] += getattr(phase, name)
    return {(phase,): times for phase, times in total.items()}


def _actions(parts: Sequence[Figures], actions: Iterable[str], day: int) -> Mapping[tuple[str, ...], float]:
    return {(action,): sum(part.actions_on(day)[action] for part in parts) for action in actions}
