"""The values that the fields of a ruleset can have: from the contract, or from the rules for computed facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import copysign, floor, fsum, inf
from typing import Final

from scorer.domain.lifecycle import STATUS
from scorer.domain.score import Rating, Score
from scorer.lint.atoms import Domain
from scorer.rules.catalogue import LAST_ACTIVITY, LEAD_FIELDS, Catalogue, Field, is_timed
from scorer.rules.routing_facts import (
    SIGNAL,
    BehaviourInput,
    CriteriaInput,
    RoutingFact,
    RoutingInput,
    routing_facts_of,
    value_of,
)
from scorer.rules.ruleset import Ruleset, Signal

_NO_POINT: Final = 0.499
"""Less than what is rounded to a point."""

Range = tuple[int, int]
"""Lowest and highest points, inclusive."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The points that leads can get. The bounds are safe, but not every value between them need be possible."""

    criteria: Mapping[str, Range]
    signals: Mapping[str, Range]

    @property
    def fit(self) -> Range:
        """Points of all criteria."""
        return _sum(self.criteria.values())

    @property
    def engagement(self) -> Range:
        """Points of all signals."""
        return _sum(self.signals.values())

    @property
    def total(self) -> Range:
        """All points."""
        return _sum((self.fit, self.engagement))


def signal_range(signal: Signal) -> Range:
    """Points of a signal, from no activity at all to the daily cap on every day of its window."""
    most: float = fsum(signal.daily_cap * signal.points * weight for weight in signal.weights)
    if signal.max_points is not None:
        most = max(-signal.max_points, min(signal.max_points, most))
    whole = int(copysign(floor(abs(most) + 0.5), most))
    return min(0, whole), max(0, whole)


def silent_after(ruleset: Ruleset) -> Mapping[str, int]:
    """The facts that count points of signals, each with the days after a lead's latest activity from which it is 0."""
    days = {name: _days_of_points(signal) for name, signal in ruleset.signals.items()}
    longest = max(days.values(), default=0)
    return {**{f"{SIGNAL}{name}": last for name, last in days.items()}, "score.engagement": longest}


def _days_of_points(signal: Signal) -> int:
    """Days after the latest count from which even the daily cap on every day before gives no whole point."""
    most = 0.0
    for age in range(len(signal.weights) - 1, -1, -1):
        most += signal.daily_cap * abs(signal.points) * signal.weights[age]
        if most > _NO_POINT:
            return age + 1
    return 0


def lead_domain(name: str, own_fields: Catalogue) -> Domain:
    """The domain of a field of the lead."""
    own = own_fields.get(name)
    if own is not None:
        # Nothing checks the values that are sent, so others than the declared ones can arrive.
        return replace(field_domain(own), closed=False)
    domain = field_domain(LEAD_FIELDS[name])
    if is_timed(name):
        return replace(domain, low=0, always_known=name == LAST_ACTIVITY)
    if name == STATUS:
        return replace(domain, always_known=True)
    return domain


def field_domain(field: Field) -> Domain:
    """What the payload's contract says about the field."""
    low = -inf if field.minimum is None else field.minimum
    high = inf if field.maximum is None else field.maximum
    return Domain(field.type, field.choices, low=low, high=high)


def computed_domains(ruleset: Ruleset, reach: Reach) -> Mapping[str, Domain]:
    """The domains of the facts that scoring computes for routing."""
    ends = (_routing_input(ruleset, reach, 0), _routing_input(ruleset, reach, 1))
    return {fact.name: _routing_domain(fact, ruleset, *ends) for fact in routing_facts_of(ruleset)}


def _routing_input(ruleset: Ruleset, reach: Reach, end: int) -> RoutingInput:
    """The least points that a lead can get (`end` 0), or the most (1)."""
    score = Score(reach.fit[end], reach.engagement[end])
    grade = ruleset.grades.grade(score)
    signals = {name: points[end] for name, points in reach.signals.items()}
    return RoutingInput(
        CriteriaInput(score.fit, grade.fit, {name: points[end] for name, points in reach.criteria.items()}),
        BehaviourInput(
            fit=score.fit,
            engagement=score.engagement,
            rating=ruleset.ratings.rate(score.total),
            figure=grade.engagement,
            since_return=None,
            signal_points=signals.__getitem__,
        ),
    )


def _routing_domain(fact: RoutingFact, ruleset: Ruleset, lowest: RoutingInput, highest: RoutingInput) -> Domain:
    if not fact.always_known:
        return Domain(fact.type)
    ends = value_of(fact, lowest), value_of(fact, highest)
    if fact.choices:
        first, last = sorted(fact.choices.index(str(value)) for value in ends)
        return Domain(fact.type, fact.choices[first : last + 1], always_known=True, apart=True)
    low, high = sorted(value for value in ends if isinstance(value, int))
    cuts = tuple(fact.cuts(ruleset.ratings, ruleset.grades))
    return Domain(fact.type, low=low, high=high, always_known=True, cuts=cuts)


def ratings_reached(ruleset: Ruleset, total: Range) -> list[Rating]:
    """The ratings that a score within the range can give."""
    low, high = total
    ratings = ruleset.ratings
    reached = []
    if low < ratings.warm:
        reached.append(Rating.COLD)
    if high >= ratings.warm and low < ratings.hot:
        reached.append(Rating.WARM)
    if high >= ratings.hot:
        reached.append(Rating.HOT)
    return reached


def figures_reached(bounds: Sequence[int], points: Range) -> list[int]:
    """The grades, from 1 (best) to 4, that points within the range can give."""
    lows = [*bounds, -inf]
    highs = [inf, *(bound - 1 for bound in bounds)]
    low, high = points
    return [i for i, (a, b) in enumerate(zip(lows, highs, strict=True), start=1) if low <= b and a <= high]


def _sum(ranges: Iterable[Range]) -> Range:
    pairs = list(ranges)
    return sum(low for low, _ in pairs), sum(high for _, high in pairs)
