"""Where a lead stands once its criteria are judged: its score, rating and grade, and the routing rule that applies.

The columns of the routing table are worked out in groups, each from one small number (the total, the points of the
signals …), so that what was seen of one lead serves the next: a tenth of the service's time less than one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scorer.domain.score import Grade, Rating, Score
from scorer.rules.judged import Judged
from scorer.rules.signal_points import BEHAVIOUR
from scorer.rules.table import Codes

if TYPE_CHECKING:
    from scorer.rules.ruleset import RoutingRule, Ruleset

SINCE_RETURN: Final = "score.since_return"
_ENGAGEMENT: Final = "score.engagement"
_SIGNAL: Final = "signals."
_SOURCES: Final = {
    "rating": "total",
    "score.total": "total",
    _ENGAGEMENT: _ENGAGEMENT,
    f"criteria.{BEHAVIOUR}": _ENGAGEMENT,
    "grade.engagement": _ENGAGEMENT,
    SINCE_RETURN: SINCE_RETURN,
}
"""What fields of the routing table follow from, beside who the lead is."""
_ROOM: Final = 4_096

Standpoint = tuple[Any, ...]
"""What rating and routing depend on beside the criteria: points of all signals, the rating last published, points that
are new since sales returned the lead, points of the signals that routing asks for (None: not counted)."""


class Routes(dict[Codes, "RoutingRule"]):
    """The routing rules for leads of whom routing knows the same, by the codes of what they do."""

    def __init__(self, codes: Codes) -> None:
        super().__init__()
        self.codes = codes
        """Of who they are."""


class Standing(NamedTuple):
    """The score with its rating and grade, and the codes of what routing asks about what the lead does."""

    score: Score
    rating: Rating
    grade: Grade
    codes: Codes


class Outcome(NamedTuple):
    """Where a lead stands, and the routing rule that applies, merged and erased leads apart."""

    standing: Standing
    routing: RoutingRule


class Outcomes:
    """Outcomes by one ruleset. Pure, but for what it remembers of its own answers."""

    def __init__(self, ruleset: Ruleset, factual: Sequence[int]) -> None:
        """`factual`: the columns of the routing table whose codes are `Judged.codes`, in that order."""
        self._ruleset = ruleset
        self._table = table = ruleset.routing_table
        self._fields = [column.field for column in table.columns]
        #: signals whose points the routing rules ask for
        self.asked_signals = tuple(
            dict.fromkeys(name.removeprefix(_SIGNAL) for name in self._fields if name.startswith(_SIGNAL))
        )
        others = [column for column in range(len(self._fields)) if column not in set(factual)]
        by_source: dict[str, list[int]] = {"": []}
        for column in others:
            name = self._fields[column]
            source = _SOURCES.get(name, name if name.startswith(_SIGNAL) else "")
            by_source.setdefault(source, []).append(column)
        signals = [f"{_SIGNAL}{name}" for name in self.asked_signals]
        sources = ["", "total", _ENGAGEMENT, SINCE_RETURN, *signals]
        self._fit, self._total, self._engagement, since, *asked = [by_source.get(source, ()) for source in sources]
        self._of_total = lru_cache(_ROOM)(self._rated)
        self._of_engagement = lru_cache(_ROOM)(self._engaged)
        self._of_since = self._of_number(since)
        self._of_signals = [self._of_number(columns) for columns in asked]
        self._standings: dict[Standpoint, Standing] = {}
        self._routes: dict[Codes, Routes] = {}
        places = [*factual, *[column for source in sources for column in by_source.get(source, ())]]
        self._in_order = picker(sorted(range(len(places)), key=places.__getitem__))

    def outcome(self, judged: Judged, standpoint: Standpoint) -> Outcome:
        """What follows for a lead that was judged so."""
        key = judged.fit, *standpoint
        standing = self._standings.get(key)
        if standing is None:
            if len(self._standings) >= _ROOM:
                self._standings.clear()
            standing = self._standings[key] = self._standing(judged.fit, standpoint)
        routes = judged.routes
        if routes is None:
            routes = self._routes_of(judged)
        routing = routes.get(standing.codes)
        if routing is None:
            if len(routes) >= _ROOM:
                routes.clear()
            matched = self._ruleset.engine.match(self._table, self._in_order(routes.codes + standing.codes))
            routing = routes[standing.codes] = self._ruleset.routing[matched[0]]
        return Outcome(standing, routing)

    def _standing(self, fit: int, standpoint: Standpoint) -> Standing:
        engagement, before, since, *asked = standpoint
        score = Score(fit, engagement)
        rating, codes = self._of_total(fit + engagement, before)
        codes += self._of_engagement(engagement) + self._of_since(since)
        for points, encoded in zip(asked, self._of_signals, strict=True):
            codes += encoded(points or 0)
        return Standing(score, rating, self._ruleset.grades.grade(score), codes)

    def _routes_of(self, judged: Judged) -> Routes:
        fit = judged.fit
        letter = self._ruleset.grades.grade(Score(fit, 0)).fit
        facts: dict[str, object] = {"score.fit": fit, "grade.fit": letter}
        met: dict[str, int] = {}
        for rated in judged.rated:
            criterion, points = rated.criterion, rated.points
            facts[f"criteria.{criterion.name}"] = points
            if criterion.group is not None:
                met[criterion.group] = met.get(criterion.group, 0) + (points >= criterion.met_at)
        for group, count in met.items():
            facts[f"groups.{group}.met"] = count
        codes = judged.codes + tuple([self._encoded(column, facts.get(self._fields[column])) for column in self._fit])
        if len(self._routes) >= _ROOM:
            self._routes.clear()
        judged.routes = routes = self._routes.setdefault(codes, Routes(codes))
        return routes

    def _rated(self, total: int, before: Rating | None) -> tuple[Rating, Codes]:
        rating = self._ruleset.ratings.rate(total, before)
        values = [rating.value if self._fields[column] == "rating" else total for column in self._total]
        return rating, tuple(map(self._encoded, self._total, values))

    def _engaged(self, points: int) -> Codes:
        figure = self._ruleset.grades.grade(Score(0, points)).engagement
        values = [figure if self._fields[column] == "grade.engagement" else points for column in self._engagement]
        return tuple(map(self._encoded, self._engagement, values))

    def _of_number(self, columns: Sequence[int]) -> Callable[[int | None], Codes]:
        return lru_cache(_ROOM)(lambda points: tuple([self._encoded(column, points) for column in columns]))

    def _encoded(self, column: int, value: object) -> int:
        return self._table.encoders[column](value)


def picker(places: Sequence[int]) -> Callable[[Sequence[int]], Codes]:
    """What takes these places out of codes, always as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda codes: tuple([codes[place] for place in places])
