"""From the result of the criteria to the standing of a lead (score, rating and grade) and to its routing rule.

Results are remembered in two halves, because many leads share each half: one follows from who the lead is, the other
from its points.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from math import floor
from typing import Any, Final

from scorer.domain.score import Rating, Route, Score
from scorer.engines.cache import BoundedCache
from scorer.engines.engine import RuleEngine
from scorer.engines.table import Codes
from scorer.evaluation.criteria import CriteriaTables, picker
from scorer.evaluation.results import CriteriaResult, RoutingMemory, RoutingResult, Standing
from scorer.rules.condition import tests
from scorer.rules.routing_facts import (
    SIGNAL,
    SINCE_RETURN,
    BehaviourFact,
    BehaviourInput,
    CriteriaFact,
    CriteriaInput,
    routing_facts_of,
)
from scorer.rules.ruleset import RoutingRule, Ruleset

ERASED: Final = RoutingRule("erased", None, Route.DISCARD, None, None, "The person asked for their data to be erased")
MERGED: Final = RoutingRule("merged", None, Route.DISCARD, None, None, "Merged into another lead")

_FAR: Final = 1 << 62

Standpoint = tuple[Any, ...]
"""The input of rating and routing besides the criteria: the points of all signals, the last published rating, the
points that are new since sales returned the lead, and the points of each signal that routing uses (None: no counts)."""


class RoutingTable:
    """The routing of a ruleset. Deterministic; it remembers its results."""

    def __init__(self, ruleset: Ruleset, tables: CriteriaTables, engine: RuleEngine) -> None:
        self._ruleset = ruleset
        self._engine = engine
        self._table = table = tables.routing_table
        facts = {fact.name: fact for fact in routing_facts_of(ruleset)}
        names = [column.field for column in table.columns]
        self.asked_signals = tuple(
            dict.fromkeys(name.removeprefix(SIGNAL) for name in names if name.startswith(SIGNAL))
        )
        """Signals whose points the routing rules use."""
        computed = [column for column in range(len(names)) if column not in set(tables.routing_columns)]
        self._of_behaviour = [
            (column, fact) for column in computed if isinstance(fact := facts[names[column]], BehaviourFact)
        ]
        self._of_criteria = [
            (column, fact) for column in computed if isinstance(fact := facts[names[column]], CriteriaFact)
        ]
        places = [*tables.routing_columns, *(c for c, _ in self._of_criteria), *(c for c, _ in self._of_behaviour)]
        self._in_order = picker(sorted(range(len(places)), key=places.__getitem__))
        edges = _edges(ruleset)
        self._total_edges, self._engagement_edges, self._signal_edges, self._since_return_edges = edges
        self._standings = BoundedCache[Standpoint, Standing]()
        self._memories = BoundedCache[Codes, RoutingMemory]()

    def result(self, criteria: CriteriaResult, standpoint: Standpoint) -> RoutingResult:
        """The standing and routing rule of a lead with this result of the criteria."""
        key = criteria.fit, *standpoint
        standing = self._standings.get(key) or self._standings.recall(key)
        if standing is None:
            standing = self._standings.keep(key, self._standing(criteria.fit, standpoint))
        memory = criteria.routing
        if memory is None:
            memory = self._memory_of(criteria)
        rule = memory.get(standing.codes) or memory.recall(standing.codes)
        if rule is None:
            matched = self._engine.match(self._table, self._in_order(memory.codes + standing.codes))
            rule = memory.keep(standing.codes, self._ruleset.routing[matched[0]])
        return RoutingResult(standing, rule)

    def same_route(self, fit: int, engagement: int) -> tuple[int, int]:
        """The least and the most engagement with the rating, grade and routing rule of this one, if the points of the
        signals that routing uses (`signal_moves`), the criteria and the points since a return stay the same."""
        low, high = -_FAR, _FAR
        for edges, offset in ((self._total_edges, fit), (self._engagement_edges, 0)):
            place = bisect_right(edges, engagement + offset)
            if place:
                low = max(low, edges[place - 1] - offset)
            if place < len(edges):
                high = min(high, edges[place] - 1 - offset)
        return low, high

    def signal_moves(self, signal: str, before: int, after: int) -> bool:
        """Whether the routing rules may tell these points of the signal apart, or any between them."""
        edges = self._signal_edges.get(signal, ())
        return bisect_right(edges, before) != bisect_right(edges, after)

    def since_return_moves(self, low: int, high: int) -> bool:
        """Whether the routing rules may tell these points since a return apart, or any between them."""
        edges = self._since_return_edges
        return bisect_right(edges, low) != bisect_right(edges, high)

    def _standing(self, fit: int, standpoint: Standpoint) -> Standing:
        engagement, before, since_return, *asked = standpoint
        signals = {name: points or 0 for name, points in zip(self.asked_signals, asked, strict=True)}
        score = Score(fit, engagement)
        given = behaviour_input(self._ruleset, score, before, since_return, signals)
        encoders = self._table.encoders
        codes = tuple([encoders[column](fact.compute(given)) for column, fact in self._of_behaviour])
        return Standing(score, given.rating, self._ruleset.grades.grade(score), codes)

    def _memory_of(self, result: CriteriaResult) -> RoutingMemory:
        points = {criterion.criterion.name: criterion.points for criterion in result.criteria}
        given = criteria_input(self._ruleset, result.fit, points)
        encoders = self._table.encoders
        codes = result.codes + tuple([encoders[column](fact.compute(given)) for column, fact in self._of_criteria])
        memory = self._memories.look_up(codes)
        if memory is None:
            memory = self._memories.keep(codes, RoutingMemory(codes))
        result.routing = memory
        return memory


def _edges(ruleset: Ruleset) -> tuple[Sequence[int], Sequence[int], Mapping[str, Sequence[int]], Sequence[int]]:
    """The points at which rating, grade or a comparison of a routing rule can change: of the total, of the engagement,
    of each signal, and since a return. Between two edges nothing changes."""
    edges: dict[str, set[int]] = {}
    for rule in ruleset.routing:
        for test in () if rule.condition is None else tests(rule.condition):
            operands = test.operand if isinstance(test.operand, tuple) else (test.operand,)
            for operand in operands:
                if isinstance(operand, (int, float)) and not isinstance(operand, bool):
                    edges.setdefault(test.field, set()).update((floor(operand), floor(operand) + 1))
    ratings = ruleset.ratings
    bounds = (ratings.warm, ratings.hot)
    total = edges.get("score.total", set()).union(bounds, [bound - ratings.hysteresis for bound in bounds])
    engagement = edges.get("score.engagement", set()) | edges.get("criteria.behaviour", set())
    signals = {name.removeprefix(SIGNAL): sorted(found) for name, found in edges.items() if name.startswith(SIGNAL)}
    since_return = sorted(edges.get(SINCE_RETURN, ()))
    return sorted(total), sorted(engagement.union(ruleset.grades.engagement)), signals, since_return


def criteria_input(ruleset: Ruleset, fit: int, points: Mapping[str, int]) -> CriteriaInput:
    """The input of the facts that depend only on who the lead is. `points` by criterion."""
    return CriteriaInput(fit, ruleset.grades.grade(Score(fit, 0)).fit, points)


def behaviour_input(
    ruleset: Ruleset, score: Score, published: Rating | None, since_return: int | None, points: Mapping[str, int]
) -> BehaviourInput:
    """The input of the other facts. `published` is the last published rating. `points` by signal: of each signal that a
    fact asks for."""
    rating, figure = ruleset.ratings.rate(score.total, published), ruleset.grades.grade(score).engagement
    return BehaviourInput(score.fit, score.engagement, rating, figure, since_return, points.__getitem__)
