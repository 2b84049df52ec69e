"""What a backtest counts. Everything is a count or a bounded list with an order of its own, so tallies of different
leads add up to the same whatever the order and however the leads were divided."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Literal, NamedTuple

from scorer.domain.score import Rating, Route

MOVERS = 20
"""So many of the leads that move most are named."""

DealOutcome = Literal["won", "lost"]
Week = tuple[int, int]
"""ISO year and week, UTC."""


class JudgedLead(NamedTuple):
    """What a ruleset says of a lead at the moment at which it is judged. `points` are (criterion, rule, points)."""

    score: int
    rating: Rating
    route: Route
    grade: str
    queue: str | None
    points: tuple[tuple[str, str, int], ...]


class RulePoints(NamedTuple):
    """What a rule gives a lead under either ruleset; None where it does not apply."""

    criterion: str
    rule: str
    old: int | None
    new: int | None


class Mover(NamedTuple):
    """A lead that is judged differently, and the rules that make the difference."""

    lead_id: str
    old: JudgedLead
    new: JudgedLead

    @property
    def steps(self) -> int:
        """How many ratings it moves."""
        ratings = list(Rating)
        return ratings.index(self.new.rating) - ratings.index(self.old.rating)

    @property
    def order(self) -> tuple[int, int, str]:
        """The one that moves most comes first: by rating, then by points, then by id."""
        return -abs(self.steps), -abs(self.new.score - self.old.score), self.lead_id


@dataclass(slots=True)
class SideTally:
    """What one ruleset makes of the leads."""

    decisions: int = 0
    handovers: Counter[Week] = field(default_factory=Counter)
    """Hand-overs to sales by the week of the decision."""
    scores: Counter[int] = field(default_factory=Counter)
    ratings: Counter[Rating] = field(default_factory=Counter)
    routes: Counter[Route] = field(default_factory=Counter)
    outcome_scores: Counter[tuple[DealOutcome, int]] = field(default_factory=Counter)
    outcome_ratings: Counter[tuple[DealOutcome, Rating]] = field(default_factory=Counter)
    outcome_sales: Counter[tuple[DealOutcome, bool]] = field(default_factory=Counter)
    """(outcome, whether the ruleset handed the lead over before it)."""
    fired: Counter[tuple[str, str, DealOutcome | None]] = field(default_factory=Counter)
    """(criterion, rule, outcome): leads at whose judging the rule applied."""


@dataclass(slots=True)
class Tally:
    """What all rulesets make of the leads; `sides` in the order of the rulesets, the new one first."""

    sides: list[SideTally]
    activities: Counter[str] = field(default_factory=Counter)
    """By type."""
    first: int | None = None
    last: int | None = None
    """Times of the earliest and the latest activity, microseconds since the epoch."""
    weeks: set[Week] = field(default_factory=set)
    """Weeks in which leads did something, outcomes aside."""
    leads: int = 0
    outcomes: Counter[DealOutcome] = field(default_factory=Counter)
    unjudged: int = 0
    """Leads of which nothing was known before their outcome: they are counted here and nowhere else."""
    ratings: Counter[tuple[Rating, Rating]] = field(default_factory=Counter)
    routes: Counter[tuple[Route, Route]] = field(default_factory=Counter)
    """(old, new) of every lead; as `differences`, `rules`, `sales` and `movers` only where there are two rulesets."""
    grades: Counter[tuple[str, str]] = field(default_factory=Counter)
    queues: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    otherwise: int = 0
    """Leads of which rating, route, queue or grade differ."""
    differences: Counter[int] = field(default_factory=Counter)
    """New score less the old one."""
    rules: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """(criterion, rule, points more): leads for which the rule gives other points."""
    sales: Counter[tuple[DealOutcome, bool, bool]] = field(default_factory=Counter)
    """(outcome, handed over by the old ruleset, by the new one)."""
    movers: list[Mover] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count in what was found about other leads."""
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
        self.otherwise += other.otherwise
        self.seen(other.first, other.last)
        self.movers = most(self.movers + other.movers)

    def seen(self, *times: int | None) -> None:
        """Widen the time from the first to the last activity."""
        known = [each for each in (self.first, self.last, *times) if each is not None]
        if known:
            self.first, self.last = min(known), max(known)


def most(movers: Iterable[Mover]) -> list[Mover]:
    """Those that move most, the first `MOVERS` of them."""
    return nsmallest(MOVERS, movers, key=lambda mover: mover.order)


def compare(old: JudgedLead, new: JudgedLead) -> list[RulePoints]:
    """The rules that make the difference between two verdicts, by criterion and rule."""
    before, after = _points(old.points), _points(new.points)
    return [
        RulePoints(*rule, before.get(rule), after.get(rule))
        for rule in sorted(before.keys() | after.keys())
        if before.get(rule) != after.get(rule)
    ]


def _points(points: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
    return {(criterion, rule): given for criterion, rule, given in points}
