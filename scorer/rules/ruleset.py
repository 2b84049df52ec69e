"""A ruleset, ready to judge leads: signals, criteria, ratings, grades, routing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scorer.domain.activity import LeadActivity
from scorer.domain.lead import Hit
from scorer.domain.score import Grades, Ratings, Route
from scorer.rules.condition import Condition, Predicate
from scorer.rules.engine import RuleEngine
from scorer.rules.table import OrdinalTable

BEHAVIOUR = "behaviour"
"""Criterion under which the points of all signals appear."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Behaviour that gives points. `half_life` in days (None: no fading), `window` in whole days."""

    id: str
    activity: str
    matches: Predicate | None
    points: int
    daily_cap: int
    max_points: int | None
    half_life: float | None
    window: int
    reason: str


@dataclass(frozen=True, slots=True)
class ScoringRule:
    """A rule of a decision table. `fields` are those its condition looks at: the evidence."""

    id: str
    condition: Condition | None
    points: int
    reason: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Criterion:
    """A decision table over who the lead is. The sum of its points is kept between `min` and `max`."""

    name: str
    group: str | None
    min: int | None
    max: int | None
    met_at: int
    rules: Sequence[ScoringRule]
    table: OrdinalTable


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """A routing rule. `respond_within` in microseconds."""

    id: str
    condition: Condition | None
    route: Route
    queue: str | None
    respond_within: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Publishing:
    """When a decision is published: after every effective activity, or on change and every `score_step` points."""

    always: bool
    score_step: int


@dataclass(frozen=True)
class Ruleset:
    """Rules that are checked and compiled, with the engine that decides their tables.

    `revision` is the SHA-256 over the canonical ruleset, hexadecimal: equal rules, equal revision, whatever the files,
    the order of their sections and their comments.
    """

    name: str
    revision: str
    signals: Sequence[Signal]
    criteria: Sequence[Criterion]
    ratings: Ratings
    grades: Grades
    publishing: Publishing
    routing: Sequence[RoutingRule]
    routing_table: OrdinalTable
    routing_fields: frozenset[str]
    engine: RuleEngine
    _signals_by_type: Mapping[str, Sequence[Signal]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_type: defaultdict[str, list[Signal]] = defaultdict(list)
        for signal in self.signals:
            by_type[signal.activity].append(signal)
        object.__setattr__(self, "_signals_by_type", dict(by_type))

    @property
    def engine_name(self) -> str:
        """The engine that decides: `durable` or `compiled`."""
        return self.engine.name

    @property
    def rule_count(self) -> int:
        """Scoring and routing rules together."""
        return sum(len(criterion.rules) for criterion in self.criteria) + len(self.routing)

    def hits(self, activity: LeadActivity) -> list[Hit]:
        """The signals for which the activity counts."""
        signals = self._signals_by_type.get(activity.type)
        if signals is None:
            return []
        data = activity.data
        return [Hit(s.id, s.daily_cap) for s in signals if s.matches is None or s.matches(data)]
