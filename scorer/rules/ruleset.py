"""A ruleset as plain data: the checked content of the rule files. `scorer.evaluation` judges leads by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from scorer.domain.lead import TOLERANCE
from scorer.domain.score import Grades, Ratings, Route
from scorer.rules.calendar import BusinessCalendar
from scorer.rules.catalogue import Catalogue
from scorer.rules.condition import Condition, fields

BEHAVIOUR: Final = "behaviour"
"""The criterion under which decisions list the points of all signals."""

CAP: Final = "cap"
"""The rule under which decisions list the points that the limits of a criterion take or add."""


ACTION: Final = "action:"
"""How the names begin under which leads count sales actions. No id of a signal contains a colon."""

ACTION_DAYS: Final = 400
"""For how many days sales actions are counted."""

ACTIONS_A_DAY: Final = 100
"""The most sales actions of a kind that count per lead and day."""


class HitPolicy(StrEnum):
    """Which rules count if several hold."""

    FIRST = "first"
    """The first rule that holds, in table order."""
    SUM = "sum"
    """Every rule that holds."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Behaviour that gives points. `where` says which activities of the type count; None means all. `weights` are the
    share of the points that a count is worth, by its age in whole days, from 0 on; older counts are worth nothing."""

    id: str
    activity: str
    where: Condition | None
    points: int
    daily_cap: int
    max_points: int | None
    weights: tuple[float, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class ScoringRule:
    """A rule of a decision table. `fields` are the fields that its condition reads: the evidence."""

    id: str
    condition: Condition | None
    points: int
    reason: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Criterion:
    """A decision table about who the lead is. `min` and `max` limit its points."""

    name: str
    group: str | None
    hit_policy: HitPolicy
    min: int | None
    max: int | None
    met_at: int
    rules: Sequence[ScoringRule]

    @property
    def fields(self) -> frozenset[str]:
        """The fields that its rules read."""
        return frozenset(name for rule in self.rules for name in rule.fields)


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """A routing rule. `respond_within` is in microseconds: of business time if the ruleset has a calendar.

    `escalate`: what follows when this promise is broken, as pairs of the time since then (in the same measure,
    ascending) and the queue (None: the rule's own). Empty: the break itself is published. None: nothing is.
    """

    id: str
    condition: Condition | None
    route: Route
    queue: str | None
    respond_within: int | None
    reason: str
    escalate: tuple[tuple[int, str | None], ...] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that its condition reads."""
        return () if self.condition is None else fields(self.condition)


@dataclass(frozen=True, slots=True)
class Publishing:
    """When a decision is published: after every effective activity, or on a change and every `score_step` points."""

    always: bool
    score_step: int


@dataclass(frozen=True, slots=True)
class Rescoring:
    """Whether known leads are re-scored when these rules take effect, and how many per second."""

    wanted: bool = True
    per_second: int = 500


@dataclass(frozen=True, slots=True)
class Retention:
    """How long after the arrival of its latest activity a lead is deleted, and one that was erased then, in
    microseconds. `inactive` None: never. `after_erasure` None: as others."""

    inactive: int | None = None
    after_erasure: int | None = None

    @property
    def shortest(self) -> int | None:
        """The shorter of both; None if no lead is ever deleted."""
        return min((span for span in (self.inactive, self.after_erasure) if span is not None), default=None)


@dataclass(frozen=True, slots=True)
class AllowedSources:
    """Who may send activities of a type, or, if `keys` is not empty, those whose `data` has a value at this path.
    `name`: the type or field as written. A pattern is a `source`, or its beginning if it ends with `*`."""

    name: str
    activity: str
    keys: tuple[str, ...]
    patterns: tuple[str, ...]


class Phase(StrEnum):
    """The phases of the funnel."""

    ACQUISITION = "acquisition"
    CONTACT = "contact"
    OFFER = "offer"
    NEGOTIATION = "negotiation"
    CLOSE = "close"


class Period(StrEnum):
    """The period for which a target is set."""

    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Targets:
    """What sales must bring in a period. `revenue` and `average_deal` in the same currency; `closing_rate` is the share
    of opportunities that are won. `zone`: the time zone in which periods and days begin."""

    revenue: Fraction
    average_deal: Fraction
    closing_rate: Fraction
    period: Period
    zone: str

    @property
    def needed(self) -> Fraction:
        """The opportunities needed in a period: revenue / average deal / closing rate."""
        return self.revenue / self.average_deal / self.closing_rate


@dataclass(frozen=True, slots=True)
class Category:
    """A category of the base. A lead belongs to the first one whose condition holds."""

    id: str
    condition: Condition | None


@dataclass(frozen=True, slots=True)
class LifecycleRules:
    """How stages, leads and activities are named for the figures. `phases`: the phase of a stage, by its name.
    `actions` are signals without points, by the names under which leads count them: `action:` and the id.
    `is_written`: whether the rules have a section `lifecycle`; decisions then tell the status."""

    phases: Mapping[str, Phase] = field(default_factory=lambda: MappingProxyType({}))
    categories: Sequence[Category] = ()
    actions: Mapping[str, Signal] = field(default_factory=lambda: MappingProxyType({}))
    is_written: bool = False


NO_LIFECYCLE: Final = LifecycleRules()


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Checked rules.

    `revision` is the SHA-256 of the canonical ruleset, hexadecimal. Equal rules have equal revisions, whatever their
    files, order of sections and comments. `tolerance`: how far the clock of a sender may be ahead, in microseconds.
    `calendar`: how the times of promises count; None: as elapsed time. `sets_unfitting_aside`: whether an activity with
    a key that does not fit is a dead letter, instead of losing the key.
    """

    name: str
    revision: str
    signals: Mapping[str, Signal]
    criteria: Sequence[Criterion]
    ratings: Ratings
    grades: Grades
    publishing: Publishing
    routing: Sequence[RoutingRule]
    own_fields: Catalogue
    rescoring: Rescoring = Rescoring()
    tolerance: int = TOLERANCE
    retention: Retention = Retention()
    allowed_sources: Sequence[AllowedSources] = ()
    lifecycle: LifecycleRules = NO_LIFECYCLE
    targets: Targets | None = None
    calendar: BusinessCalendar | None = None
    sets_unfitting_aside: bool = False

    @property
    def rule_count(self) -> int:
        """The number of scoring and routing rules."""
        return sum(len(criterion.rules) for criterion in self.criteria) + len(self.routing)
