"""The values that the fields of a ruleset can have: from the contract, or from the rules for computed facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import copysign, floor, fsum, inf

from scorer.domain.score import Rating
from scorer.lint.atoms import Domain
from scorer.rules.catalogue import LEAD_FIELDS, Catalogue, Field
from scorer.rules.condition import FieldType
from scorer.rules.ruleset import Criterion, Ruleset, Signal

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


def lead_domain(name: str, own_fields: Catalogue) -> Domain:
    """The domain of a field of the lead."""
    own = own_fields.get(name)
    if own is not None:
        # Nothing checks the values that are sent, so others than the declared ones can arrive.
        return replace(field_domain(own), closed=False)
    domain = field_domain(LEAD_FIELDS[name])
    if name.startswith("days_since."):
        return replace(domain, low=0, always_known=name == "days_since.last_activity")
    return domain


def field_domain(field: Field) -> Domain:
    """What the payload's contract says about the field."""
    low = -inf if field.minimum is None else field.minimum
    high = inf if field.maximum is None else field.maximum
    return Domain(field.type, field.choices, low=low, high=high)


def computed_domains(ruleset: Ruleset, reach: Reach) -> Mapping[str, Domain]:
    """The domains of the facts that scoring computes for routing."""
    ratings, grades = ruleset.ratings, ruleset.grades
    cuts = {ratings.warm, ratings.hot, ratings.warm - ratings.hysteresis, ratings.hot - ratings.hysteresis}
    figures = figures_reached(grades.engagement, reach.engagement)
    domains = {
        "rating": Domain(FieldType.STRING, tuple(ratings_reached(ruleset, reach.total)), always_known=True, apart=True),
        "score.total": _points(reach.total, tuple(cuts)),
        "score.fit": _points(reach.fit, grades.fit),
        "score.engagement": _points(reach.engagement, grades.engagement),
        "score.since_return": Domain(FieldType.INTEGER),
        "grade.fit": Domain(
            FieldType.STRING,
            tuple("ABCD"[i - 1] for i in figures_reached(grades.fit, reach.fit)),
            always_known=True,
            apart=True,
        ),
        "grade.engagement": _points((figures[0], figures[-1]), (1, 2, 3, 4)),
    }
    domains["criteria.behaviour"] = domains["score.engagement"]
    domains |= {f"criteria.{name}": _points(points) for name, points in reach.criteria.items()}
    domains |= {f"signals.{name}": _points(points) for name, points in reach.signals.items()}
    domains |= {f"groups.{name}.met": _points(count) for name, count in _met(ruleset.criteria, reach).items()}
    return domains


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


def _met(criteria: Sequence[Criterion], reach: Reach) -> Mapping[str, Range]:
    met: dict[str, Range] = {}
    for criterion in criteria:
        if criterion.group is not None:
            low, high = reach.criteria[criterion.name]
            least, most = met.get(criterion.group, (0, 0))
            met[criterion.group] = least + (low >= criterion.met_at), most + (high >= criterion.met_at)
    return met


def _points(limits: Range, cuts: tuple[int, ...] = ()) -> Domain:
    return Domain(FieldType.INTEGER, low=limits[0], high=limits[1], always_known=True, cuts=cuts)


def _sum(ranges: Iterable[Range]) -> Range:
    pairs = list(ranges)
    return sum(low for low, _ in pairs), sum(high for _, high in pairs)
