"""The results of the rules as values, from the points of one criterion to the whole assessment."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from scorer.domain.decision import RoutingDecision
from scorer.domain.effects import Decided, Effect, HandedOver
from scorer.domain.facts import Fact, Facts
from scorer.domain.instant import days_between
from scorer.domain.lead import Lead
from scorer.domain.lifecycle import STATUS
from scorer.domain.score import Grade, Rating, Score
from scorer.engines.cache import BoundedCache
from scorer.engines.table import Codes
from scorer.rules.catalogue import LAST_ACTIVITY, is_timed, milestone_of
from scorer.rules.ruleset import BEHAVIOUR, Criterion, RoutingRule, Ruleset, ScoringRule, Signal


class CriterionResult(NamedTuple):
    """A criterion with its matching rules and its points within its limits."""

    criterion: Criterion
    rules: tuple[ScoringRule, ...]
    points: int


class Reason(NamedTuple):
    """The points of a criterion's rule or limit, and the fields that are the evidence."""

    criterion: str
    rule: str
    points: int
    text: str
    fields: tuple[str, ...]


class CriterionShare(NamedTuple):
    """What one criterion contributes. `hits` is (criterion, rule) of each matching rule."""

    result: CriterionResult
    points: int
    hits: tuple[tuple[str, str], ...]
    reasons: tuple[Reason, ...]


class RoutingMemory(BoundedCache[Codes, RoutingRule]):
    """Routing rules of leads with the same codes of who they are, by the codes of what they do."""

    def __init__(self, codes: Codes) -> None:
        super().__init__()
        self.codes = codes
        """The codes of who the leads are."""


class CriteriaResult:
    """The result of the criteria for a fact vector. Most of it is used only if a decision is published."""

    __slots__ = ("_hits", "_points", "_reasons", "_shares", "codes", "fit", "is_merged", "routing")

    def __init__(self, shares: Sequence[CriterionShare], codes: Codes, *, is_merged: bool) -> None:
        self._shares = shares
        self.fit = sum([share.points for share in shares])
        self.codes = codes
        """The codes of the lead's facts in the routing table."""
        self.is_merged = is_merged
        self.routing: RoutingMemory | None = None
        """Belongs to `scorer.evaluation.routing`."""
        self._hits: tuple[tuple[str, str], ...] | None = None
        self._reasons: tuple[Reason, ...] | None = None
        self._points: Mapping[str, int] | None = None

    @property
    def criteria(self) -> tuple[CriterionResult, ...]:
        """The result of each criterion."""
        return tuple([share.result for share in self._shares])

    @property
    def hits(self) -> tuple[tuple[str, str], ...]:
        """(criterion, rule) of each matching rule."""
        if self._hits is None:
            self._hits = tuple([hit for share in self._shares for hit in share.hits])
        return self._hits

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The points of all rules and limits."""
        if self._reasons is None:
            self._reasons = tuple([reason for share in self._shares for reason in share.reasons])
        return self._reasons

    @property
    def by_criterion(self) -> Mapping[str, int]:
        """Points by criterion, in order of name, with 0 for behaviour."""
        if self._points is None:
            named = {share.result.criterion.name: share.points for share in self._shares} | {BEHAVIOUR: 0}
            self._points = dict(sorted(named.items()))
        return self._points


class Standing(NamedTuple):
    """The score with its rating and grade, and the codes of the routing facts that depend on behaviour."""

    score: Score
    rating: Rating
    grade: Grade
    codes: Codes


class RoutingResult(NamedTuple):
    """The standing of a lead, and the routing rule that applies unless the lead is merged or erased."""

    standing: Standing
    rule: RoutingRule


# A msgspec struct for speed, because each activity creates one: see benchmarks/README.md.
class Evaluation(msgspec.Struct, gc=False):
    """The score, rating, grade and routing rule of a lead as of an instant.

    `now` is in microseconds since the epoch. `signal_points` are the points of the signals that give any. Before
    `until` time alone changes none of the results.
    """

    lead: Lead
    ruleset: Ruleset
    now: int
    criteria_result: CriteriaResult
    signal_points: Mapping[str, int]
    standing: Standing
    routing: RoutingRule
    until: int

    @property
    def score(self) -> Score:
        """The points of fit and engagement."""
        return self.standing.score

    @property
    def rating(self) -> Rating:
        """Cold, warm or hot."""
        return self.standing.rating

    @property
    def grade(self) -> Grade:
        """Fit as a letter and engagement as a figure."""
        return self.standing.grade

    @property
    def criteria(self) -> tuple[CriterionResult, ...]:
        """The result of each criterion."""
        return self.criteria_result.criteria

    @property
    def signals(self) -> Sequence[tuple[Signal, int]]:
        """The signals that give points, with these points."""
        signals = self.ruleset.signals
        return [(signals[name], points) for name, points in self.signal_points.items()]

    @property
    def hits(self) -> list[tuple[str, str]]:
        """(criterion, rule) of every matching rule and every signal that gives points."""
        return [*self.criteria_result.hits, *[(BEHAVIOUR, name) for name in self.signal_points]]

    @property
    def points(self) -> list[tuple[str, str, int]]:
        """(criterion, rule, points) of every matching rule, also with 0 points, of every limit that was applied and of
        every signal that gives points. The points add up to the total score."""
        reasons = [(reason.criterion, reason.rule, reason.points) for reason in self.criteria_result.reasons]
        return [*reasons, *[(BEHAVIOUR, name, points) for name, points in self.signal_points.items()]]

    @property
    def outcome(self) -> dict[str, object]:
        """Rating, grade, route, queue, routing rule and total score, as texts and numbers for people to compare."""
        return {
            "rating": self.rating.value,
            "grade": str(self.grade),
            "route": self.routing.route.value,
            "queue": self.routing.queue,
            "routing": self.routing.id,
            "score": self.score.total,
        }

    @property
    def known_facts(self) -> Mapping[str, Fact]:
        """The facts of the evaluated lead."""
        facts = self.lead.facts
        return facts.known if isinstance(facts, Facts) else facts

    @property
    def facts(self) -> Mapping[str, object]:
        """All known field values of the lead, by name, as the rules saw them."""
        values: dict[str, object] = {name: fact.value for name, fact in self.lead.facts.items()}
        asked = {field for criterion in self.ruleset.criteria for field in criterion.fields}
        asked |= {field for rule in self.ruleset.routing for field in rule.fields}
        for field in sorted(asked):
            if (is_timed(field) or field == STATUS) and (value := self.value(field)) is not None:
                values[field] = value
        return values

    def value(self, field: str) -> object:
        """The value of one field as the rules saw it; None if it is unknown."""
        if not is_timed(field):
            return self.lead.status if field == STATUS else self.lead.value(field)
        if field == LAST_ACTIVITY:
            return days_between(self.lead.clock, self.now)
        milestone = self.lead.facts.get(milestone_of(field) or "")
        return None if milestone is None else days_between(milestone.stamp.time, self.now)


class Assessment(msgspec.Struct, gc=False):
    """The lead after an activity, and what follows from it.

    If the activity changed nothing, there is no `evaluation`; without `effects`, `lead` is then the same object as
    before, or differs only in what it remembers of activities. `effects` are in the order in which they take effect.
    The first `earlier` of them are not those of the activity: they belong to reviews before it, and to a re-scoring.
    `reviewed` are the evaluations of these reviews.
    """

    lead: Lead
    evaluation: Evaluation | None = None
    effects: tuple[Effect, ...] = ()
    earlier: int = 0
    reviewed: tuple[Evaluation, ...] = ()

    @property
    def decision(self) -> RoutingDecision | None:
        """The decision to publish, or None. Not one of those before it."""
        for effect in self.effects[self.earlier :]:
            if isinstance(effect, Decided):
                return effect.decision
        return None

    @property
    def decisions(self) -> list[RoutingDecision]:
        """All decisions to publish, in order."""
        return [effect.decision for effect in self.effects if isinstance(effect, Decided)]

    @property
    def handed_over(self) -> HandedOver | None:
        """The hand-over to sales, or None. Not one of those before it."""
        for effect in self.effects[self.earlier :]:
            if isinstance(effect, HandedOver):
                return effect
        return None

    @property
    def hits(self) -> tuple[tuple[str, str], ...]:
        """(criterion, rule) of every matching rule and every signal that gives points."""
        return () if self.evaluation is None else tuple(self.evaluation.hits)
