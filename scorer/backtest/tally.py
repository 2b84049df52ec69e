"""What a backtest counts. Everything is a count or a bounded, ordered list. Therefore the sum of the tallies does not
depend on their order or on how the leads were divided."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Literal, NamedTuple

from scorer.domain.score import Rating, Route
from scorer.domain.unfitting_keys import UnfittingKeys

MOVERS = 20
"""The number of leads in the list of those that move most."""

DealOutcome = Literal["won", "lost"]
Week = tuple[int, int]
"""ISO year and week, UTC."""


class JudgedLead(NamedTuple):
    """The result of a ruleset for one lead. `points` are (criterion, rule, points)."""

    score: int
    rating: Rating
    route: Route
    grade: str
    queue: str | None
    points: tuple[tuple[str, str, int], ...]


class RulePoints(NamedTuple):
    """The points of a rule under both rulesets; None where the rule does not hold."""

    criterion: str
    rule: str
    old: int | None
    new: int | None


class Mover(NamedTuple):
    """A lead with another result, under both rulesets."""

    lead_id: str
    old: JudgedLead
    new: JudgedLead

    @property
    def steps(self) -> int:
        """The number of ratings by which the lead moves; negative if the new one is lower."""
        ratings = list(Rating)
        return ratings.index(self.new.rating) - ratings.index(self.old.rating)

    @property
    def order(self) -> tuple[int, int, str]:
        """The sort key. The lead that moves most comes first: by rating, then by points, then by id."""
        return -abs(self.steps), -abs(self.new.score - self.old.score), self.lead_id


@dataclass(slots=True)
class SideTally:
    """The counts of one ruleset."""

    decisions: int = 0
    handovers: Counter[Week] = field(default_factory=Counter)
    """Hand-overs to sales by the week of the decision."""
    scores: Counter[int] = field(default_factory=Counter)
    ratings: Counter[Rating] = field(default_factory=Counter)
    routes: Counter[Route] = field(default_factory=Counter)
    outcome_scores: Counter[tuple[DealOutcome, int]] = field(default_factory=Counter)
    outcome_ratings: Counter[tuple[DealOutcome, Rating]] = field(default_factory=Counter)
    outcome_sales: Counter[tuple[DealOutcome, bool]] = field(default_factory=Counter)
    """By (outcome, whether the ruleset handed the lead over before it)."""
    fired: Counter[tuple[str, str, DealOutcome | None]] = field(default_factory=Counter)
    """Leads for which the rule held, by (criterion, rule, outcome)."""


@dataclass(slots=True)
class Tally:
    """The counts of all rulesets. `sides` has the order of the rulesets, the new one first."""

    sides: list[SideTally]
    activities: Counter[str] = field(default_factory=Counter)
    """By type."""
    first: int | None = None
    last: int | None = None
    """Times of the earliest and the latest activity, microseconds since the epoch."""
    weeks: set[Week] = field(default_factory=set)
    """Weeks with activities other than outcomes."""
    leads: int = 0
    outcomes: Counter[DealOutcome] = field(default_factory=Counter)
    unjudged: int = 0
    """Leads of which nothing was known before their outcome. They are counted only here."""
    one_sided: int = 0
    """Leads that only one of two rulesets knows, because the other refuses the sources of all their activities. They
    are in no comparison and no figure of either ruleset."""
    ratings: Counter[tuple[Rating, Rating]] = field(default_factory=Counter)
    routes: Counter[tuple[Route, Route]] = field(default_factory=Counter)
    """By (old, new). Like `differences`, `rules`, `sales` and `movers`, it is empty unless there are two rulesets."""
    grades: Counter[tuple[str, str]] = field(default_factory=Counter)
    queues: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    otherwise: int = 0
    """Leads whose rating, route, queue or grade differs."""
    differences: Counter[int] = field(default_factory=Counter)
    """By new score - old score."""
    rules: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """Leads for which the points of a rule differ, by (criterion, rule, new points - old points)."""
    sales: Counter[tuple[DealOutcome, bool, bool]] = field(default_factory=Counter)
    """By (outcome, handed over by the old ruleset, handed over by the new one)."""
    movers: list[Mover] = field(default_factory=list)
    unfitting: UnfittingKeys = field(default_factory=UnfittingKeys)
    """What the new rules drop from the activities."""

    def add(self, other: "Tally") -> None:
        """Add the counts of other leads."""
        for name in (
            "activities",
            "outcomes",
            "ratings",
            "routes",
            "grades",
            "queues",
            "differences",
            "rules",
            "sales",
        ):
            getattr(self, name).update(getattr(other, name))
        for mine, theirs in zip(self.sides, other.sides, strict=True):
            mine.decisions += theirs.decisions
            for name in ("handovers", "scores", "ratings", "routes"):
                getattr(mine, name).update(getattr(theirs, name))
            for name in ("outcome_scores", "outcome_ratings", "outcome_sales", "fired"):
                getattr(mine, name).update(getattr(theirs, name))
        self.weeks |= other.weeks
        self.leads += other.leads
        self.unjudged += other.unjudged
        self.one_sided += other.one_sided
        self.otherwise += other.otherwise
        self.seen(other.first, other.last)
        self.movers = most(self.movers + other.movers)
        self.unfitting.add(other.unfitting)

    def seen(self, *times: int | None) -> None:
        """Extend the period from the first to the last activity."""
        known = [time for time in (self.first, self.last, *times) if time is not None]
        if known:
            self.first, self.last = min(known), max(known)


def most(movers: Iterable[Mover]) -> list[Mover]:
    """The first `MOVERS` of the leads that move most."""
    return nsmallest(MOVERS, movers, key=lambda mover: mover.order)


def compare(old: JudgedLead, new: JudgedLead) -> list[RulePoints]:
    """The rules whose points differ between two results, sorted by criterion and rule."""
    before, after = _points(old.points), _points(new.points)
    return [
        RulePoints(*rule, before.get(rule), after.get(rule))
        for rule in sorted(before.keys() | after.keys())
        if before.get(rule) != after.get(rule)
    ]


def _points(points: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
    return {(criterion, rule): given for criterion, rule, given in points}
