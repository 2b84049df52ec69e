"""Where a lead stands once its criteria are judged: its score, rating and grade, and the routing rule that applies.

Both halves are remembered: what follows from who the lead is, and what follows from its points, which many leads share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scorer.domain.score import Grade, Rating, Score
from scorer.engines.cache import keep
from scorer.engines.table import Codes
from scorer.evaluation.criteria import Judged
from scorer.evaluation.signal_points import BEHAVIOUR

if TYPE_CHECKING:
    from scorer.rules.ruleset import RoutingRule, Ruleset

SINCE_RETURN: Final = "score.since_return"
_SIGNAL: Final = "signals."
_OPEN: Final = frozenset(
    {"rating", "score.total", "score.engagement", SINCE_RETURN, f"criteria.{BEHAVIOUR}", "grade.engagement"}
)
"""What depends on what the lead does, not only on who it is; so do all signals."""

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
        self._open = [c for c in others if self._fields[c] in _OPEN or self._fields[c].startswith(_SIGNAL)]
        self._fit = [column for column in others if column not in self._open]
        places = [*factual, *self._fit, *self._open]
        self._in_order = picker(sorted(range(len(places)), key=places.__getitem__))
        self._standings: dict[Standpoint, Standing] = {}
        self._routes: dict[Codes, Routes] = {}

    def outcome(self, judged: Judged, standpoint: Standpoint) -> Outcome:
        """What follows for a lead that was judged so."""
        key = judged.fit, *standpoint
        standing = self._standings.get(key)
        if standing is None:
            standing = keep(self._standings, key, self._standing(judged.fit, standpoint))
        routes = judged.routes
        if routes is None:
            routes = self._routes_of(judged)
        routing = routes.get(standing.codes)
        if routing is None:
            matched = self._ruleset.engine.match(self._table, self._in_order(routes.codes + standing.codes))
            routing = keep(routes, standing.codes, self._ruleset.routing[matched[0]])
        return Outcome(standing, routing)

    def _standing(self, fit: int, standpoint: Standpoint) -> Standing:
        engagement, before, since, *asked = standpoint
        score = Score(fit, engagement)
        rating, grade = self._ruleset.ratings.rate(score.total, before), self._ruleset.grades.grade(score)
        facts: dict[str, object] = {
            "rating": rating.value,
            "score.total": score.total,
            "score.engagement": engagement,
            f"criteria.{BEHAVIOUR}": engagement,
            "grade.engagement": grade.engagement,
            SINCE_RETURN: since,
        }
        for name, points in zip(self.asked_signals, asked, strict=True):
            facts[f"{_SIGNAL}{name}"] = points or 0
        return Standing(score, rating, grade, self._codes(self._open, facts))

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
        codes = judged.codes + self._codes(self._fit, facts)
        routes = self._routes.get(codes)
        if routes is None:
            routes = keep(self._routes, codes, Routes(codes))
        judged.routes = routes
        return routes

    def _codes(self, columns: Sequence[int], facts: Mapping[str, object]) -> Codes:
        encoders, fields = self._table.encoders, self._fields
        return tuple([encoders[column](facts.get(fields[column])) for column in columns])


def picker(places: Sequence[int]) -> Callable[[Sequence[int]], Codes]:
    """What takes these places out of codes, always as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda codes: tuple([codes[place] for place in places])
