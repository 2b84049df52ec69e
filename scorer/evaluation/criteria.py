"""What the criteria make of a lead: points, with the rules and limits that they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from scorer.engines.table import Codes
from scorer.evaluation.signal_points import BEHAVIOUR

if TYPE_CHECKING:
    from scorer.evaluation.routing import Routes
    from scorer.rules.ruleset import Criterion, ScoringRule

CAP: Final = "cap"


class Rated(NamedTuple):
    """A criterion with the rules that matched and its points, limits applied."""

    criterion: Criterion
    rules: tuple[ScoringRule, ...]
    points: int


class Reason(NamedTuple):
    """Points of a criterion's rule or limit, and the fields that are the evidence."""

    criterion: str
    rule: str
    points: int
    text: str
    fields: tuple[str, ...]


class Part(NamedTuple):
    """One criterion's share."""

    rated: Rated
    points: int
    hits: tuple[tuple[str, str], ...]
    reasons: tuple[Reason, ...]


class Judged:
    """What the criteria make of a vector. Most of it is only asked for where a decision is published."""

    __slots__ = ("_hits", "_parts", "_points", "_reasons", "codes", "fit", "merged", "routes")

    def __init__(self, parts: Sequence[Part], codes: Codes, *, merged: bool) -> None:
        self._parts = parts
        self.fit = sum([part.points for part in parts])
        self.codes = codes
        """Of the lead's facts in the routing table."""
        self.merged = merged
        self.routes: Routes | None = None
        """Where they lead, for `scorer.evaluation.routing`."""
        self._hits: tuple[tuple[str, str], ...] | None = None
        self._reasons: tuple[Reason, ...] | None = None
        self._points: Mapping[str, int] | None = None

    @property
    def rated(self) -> tuple[Rated, ...]:
        """The criteria."""
        return tuple([part.rated for part in self._parts])

    @property
    def hits(self) -> tuple[tuple[str, str], ...]:
        """(criterion, rule) of the rules that hold."""
        if self._hits is None:
            self._hits = tuple([hit for part in self._parts for hit in part.hits])
        return self._hits

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The points of all rules and limits."""
        if self._reasons is None:
            self._reasons = tuple([reason for part in self._parts for reason in part.reasons])
        return self._reasons

    @property
    def by_criterion(self) -> Mapping[str, int]:
        """Points by criterion, in order of name; 0 for behaviour."""
        if self._points is None:
            named = {part.rated.criterion.name: part.points for part in self._parts} | {BEHAVIOUR: 0}
            self._points = dict(sorted(named.items()))
        return self._points


def part(criterion: Criterion, matched: Sequence[int]) -> Part:
    """A criterion of which the rules with these numbers hold."""
    name = criterion.name
    rules = tuple([criterion.rules[index] for index in matched])
    total = points = sum([rule.points for rule in rules])
    low, high = criterion.min, criterion.max
    if high is not None and points > high:
        points = high
    elif low is not None and points < low:
        points = low
    reasons = [Reason(name, rule.id, rule.points, rule.reason, rule.fields) for rule in rules]
    if points != total:
        text = f"{name} gives at {'most' if points < total else 'least'} {points} points"
        reasons.append(Reason(name, CAP, points - total, text, ()))
    hits = tuple((name, rule.id) for rule in rules)
    return Part(Rated(criterion, rules, points), points, hits, tuple(reasons))
