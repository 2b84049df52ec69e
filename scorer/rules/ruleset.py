"""A ruleset, ready to judge leads: signals, criteria, ratings, grades, routing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from scorer.domain.activity import LeadActivity
from scorer.domain.lead import Hit
from scorer.domain.score import Grades, Ratings, Route
from scorer.engines.cache import keep
from scorer.engines.engine import RuleEngine
from scorer.engines.table import OrdinalTable
from scorer.evaluation.contribution_templates import Phrases
from scorer.evaluation.fact_vector import DAYS_SINCE, Plan
from scorer.evaluation.signal_points import BEHAVIOUR
from scorer.rules.catalogue import Catalogue
from scorer.rules.condition import Condition, Predicate

__all__ = ["BEHAVIOUR", "Criterion", "Publishing", "RoutingRule", "Ruleset", "ScoringRule", "Signal"]


@dataclass(frozen=True, slots=True)
class Signal:
    """Behaviour that gives points. `weights` are what a count is worth by its age in whole days, from 0 on; older
    counts are worth nothing."""

    id: str
    activity: str
    matches: Predicate | None
    points: int
    daily_cap: int
    max_points: int | None
    weights: tuple[float, ...]
    reason: str
    fields: tuple[str, ...] | None = None
    """Of the activity, those that `matches` looks at; None: not known."""


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

    @property
    def fields(self) -> frozenset[str]:
        """The fields that its rules look at."""
        return frozenset(name for rule in self.rules for name in rule.fields)


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


@dataclass(frozen=True, slots=True)
class Rescoring:
    """Whether the leads that are known already are judged anew when these rules take over, and how many a second."""

    wanted: bool = True
    per_second: int = 500


class _Signals:
    """The signals of one type of activity."""

    __slots__ = ("_field", "_remembered", "_signals")

    def __init__(self, signals: Sequence[Signal]) -> None:
        self._signals = [(Hit(signal.id, signal.daily_cap), signal.matches) for signal in signals]
        asked = {signal.fields for signal in signals if signal.matches is not None}
        (fields,) = asked if len(asked) == 1 else (None,)
        self._field = fields[0] if fields is not None and len(fields) == 1 else None
        self._remembered: dict[str, Sequence[Hit]] = {}

    def hits(self, data: Mapping[str, object]) -> Sequence[Hit]:
        """Those that count an activity with such data. Where all ask for the same text, the path of a page say, each
        text is only looked at once: a fifth of the time."""
        text = None if self._field is None else data.get(self._field)
        if type(text) is not str:
            return [hit for hit, matches in self._signals if matches is None or matches(data)]
        known = self._remembered.get(text)
        if known is None:
            found = [hit for hit, matches in self._signals if matches is None or matches(data)]
            known = keep(self._remembered, text, found)
        return known


@dataclass(frozen=True)
class Ruleset:
    """Rules that are checked and compiled, with the engine that decides their tables.

    `revision` is the SHA-256 over the canonical ruleset, hexadecimal: equal rules, equal revision, whatever the files,
    the order of their sections and their comments.
    """

    name: str
    revision: str
    signals: Mapping[str, Signal]
    criteria: Sequence[Criterion]
    ratings: Ratings
    grades: Grades
    publishing: Publishing
    routing: Sequence[RoutingRule]
    routing_table: OrdinalTable
    routing_fields: frozenset[str]
    own_fields: Catalogue
    engine: RuleEngine
    rescoring: Rescoring = Rescoring()
    lasting_criteria: Sequence[Criterion] = field(init=False, repr=False)
    """Criteria that depend on the lead's facts alone."""
    timed_criteria: Sequence[Criterion] = field(init=False, repr=False)
    """Criteria that also depend on the time: some rule asks for days since something."""
    days_since: Sequence[tuple[str, str | None]] = field(init=False, repr=False)
    """Fields `days_since.*` that some rule asks for, with the fact whose time it is (None: the latest activity)."""
    _signals_by_type: Mapping[str, _Signals] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_type: defaultdict[str, list[Signal]] = defaultdict(list)
        for signal in self.signals.values():
            by_type[signal.activity].append(signal)
        timed = [criterion for criterion in self.criteria if any(map(_is_timed, criterion.fields))]
        asked = self.routing_fields.union(*(criterion.fields for criterion in self.criteria))
        last = f"{DAYS_SINCE}last_activity"
        derived = {
            "lasting_criteria": tuple(criterion for criterion in self.criteria if criterion not in timed),
            "timed_criteria": tuple(timed),
            "days_since": tuple(
                (name, None if name == last else f"at.{name.removeprefix(DAYS_SINCE)}")
                for name in sorted(filter(_is_timed, asked))
            ),
            "_signals_by_type": {kind: _Signals(signals) for kind, signals in by_type.items()},
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @property
    def engine_name(self) -> str:
        """The engine that decides: `durable` or `compiled`."""
        return self.engine.name

    @property
    def rule_count(self) -> int:
        """Scoring and routing rules together."""
        return sum(len(criterion.rules) for criterion in self.criteria) + len(self.routing)

    @cached_property
    def plan(self) -> Plan:
        """How the rules are evaluated; made when it is first needed."""
        return Plan(self)

    @cached_property
    def phrases(self) -> Phrases:
        """What decisions say of the rules; made when it is first needed."""
        return Phrases(self)

    def hits(self, activity: LeadActivity) -> Sequence[Hit]:
        """The signals for which the activity counts."""
        signals = self._signals_by_type.get(activity.type)
        return () if signals is None else signals.hits(activity.data)


def _is_timed(name: str) -> bool:
    return name.startswith(DAYS_SINCE)
