"""The escalations of a lead, from what was published about it and from its activities alone, without its state."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from scorer.domain.decision import RoutingDecision
from scorer.domain.instant import from_datetime
from scorer.domain.score import Route
from tests.plain_time import OfficeHours, plainly_after

_ANSWERS: Final = {"lead.sales_accepted", "lead.call_logged", "lead.meeting_held", "lead.stage_changed"}
_ENDINGS: Final = {"lead.sales_returned", "lead.opportunity_won", "lead.opportunity_lost"}
_ORDER: Final = ("lead.sales_accepted", "lead.sales_returned", "lead.opportunity_won", "lead.opportunity_lost")
_LONG_AGO: Final = -(1 << 62)


class Told(NamedTuple):
    """An activity: when it arrived, its effective time, its type, and its source and id."""

    arrival: int
    time: int
    kind: str
    key: tuple[str, str]


@dataclass(frozen=True)
class Plan:
    """What a rule promises: the time to answer, and for each further level the time after the break and the queue."""

    within: int
    after: Sequence[tuple[int, str]]
    queue: str
    office: OfficeHours | None = None

    def levels(self, made_at: int) -> list[tuple[int, str]]:
        broken = plainly_after(made_at, self.within, self.office)
        later = [(plainly_after(broken, span, self.office), queue) for span, queue in self.after]
        return [(broken, self.queue), *later]


class Escalation(NamedTuple):
    """`decided_at` in microseconds since the epoch."""

    decided_at: int
    level: int
    queue: str | None


@dataclass
class _Story:
    plans: Mapping[str, Plan]
    found: list[Escalation] = field(default_factory=list)
    clock: int = _LONG_AGO
    arrival: int = _LONG_AGO
    touched: list[int] = field(default_factory=list)
    erased: int = _LONG_AGO
    known: set[tuple[str, str]] = field(default_factory=set)
    moves: list[tuple[int, int]] = field(default_factory=list)
    route: Route | None = None
    since: int = 0
    levels: list[tuple[int, str]] = field(default_factory=list)
    level: int = 0
    judged: int = _LONG_AGO

    def pass_time(self, until: int) -> None:
        """Escalate at each instant up to `until`; right after the lead was judged, if a sender that is ahead made that
        later."""
        while self.level < len(self.levels):
            instant, queue = self.levels[self.level]
            if instant < self.judged:
                instant = self.judged + 1
            if instant > until:
                break
            self.level, self.judged = self.level + 1, instant
            self.found.append(Escalation(instant, self.level, queue))

    def see(self, told: Told) -> None:
        """The lead was active."""
        self.clock, self.arrival = max(self.clock, told.time), told.arrival
        self.judged = max(self.judged, self.clock)

    def hear(self, told: Told) -> None:
        self.pass_time(told.arrival)
        if told.time <= self.erased or told.key in self.known:
            return
        self.known.add(told.key)
        self.see(told)
        if told.kind in _ANSWERS | _ENDINGS:
            self.touched.append(told.time)
        if told.kind == "lead.erased":
            self.erased = told.time
            self.moves = [move for move in self.moves if move[0] > told.time]
            self.touched = [time for time in self.touched if time > told.time]
            if self.since <= told.time:
                self.levels, self.level = [], 0
        if told.kind in _ORDER:
            self.moves.append((told.time, 1 + _ORDER.index(told.kind)))
        if told.kind in _ANSWERS | _ENDINGS and told.time >= self.since:
            self.levels, self.level = [], 0

    def escalate_with(self, decision: RoutingDecision, arrival: int) -> None:
        """A level that was due before a sender that is ahead had the lead judged later: the next activity that changes
        the lead brings it, if no review did before."""
        is_due = self.level < len(self.levels) and self.levels[self.level][0] <= arrival
        if is_due and decision.escalated == self.level + 1:
            self.judged = max(self.judged, arrival)
            self.found.append(Escalation(self.judged, decision.escalated, self.levels[self.level][1]))
            self.level += 1

    def say(self, decision: RoutingDecision) -> None:
        now = from_datetime(datetime.fromisoformat(decision.decided_at))
        is_by_activity = decision.cause == "activity"
        is_sales = decision.route is Route.SALES
        if not is_by_activity:
            self.pass_time(now if is_sales else now - 1)
        is_new = is_sales and self.route is not Route.SALES
        is_accepted = bool(self.moves) and max(self.moves)[1] == 1
        if not is_sales:
            self.levels, self.level = [], 0
        elif is_new and not is_accepted:
            latest = min(self.clock, self.arrival) if is_by_activity else now
            self.since = max([latest, *(time + 1 for time in self.touched)])
            self.moves.append((self.since, 0))
            plan = self.plans.get(decision.routing.rule)
            self.levels, self.level = ([] if plan is None else plan.levels(now)), 0
        self.route = decision.route


def escalations(
    activities: Iterable[Told], decisions: Sequence[RoutingDecision], plans: Mapping[str, Plan], until: int
) -> list[Escalation]:
    """What must be escalated up to `until`, in order. `decisions`: all that was published about the lead, in order, of
    which only those matter that are no escalations. `plans` by the id of the routing rule."""
    story, rest = _Story(plans), list(decisions)
    for told in activities:
        while rest and rest[0].cause != "activity" and _instant(rest[0]) <= told.arrival:
            story.say(rest.pop(0))
        is_known = told.key in story.known
        story.hear(told)
        cause = rest[0].reference if rest else None
        if cause is not None and (cause.source, cause.id) == told.key:
            if is_known:
                # What only says that the lead was active is not remembered, and a later time says so again.
                story.see(told)
            story.escalate_with(rest[0], told.arrival)
            story.say(rest.pop(0))
    for decision in rest:
        story.say(decision)
    story.pass_time(until)
    return story.found


def escalated(decisions: Iterable[RoutingDecision]) -> list[Escalation]:
    """The escalations among the decisions about a lead."""
    found, level = list[Escalation](), 0
    for decision in decisions:
        if decision.escalated > level:
            found.append(Escalation(_instant(decision), decision.escalated, decision.queue))
        level = decision.escalated
    return found


def _instant(decision: RoutingDecision) -> int:
    return from_datetime(datetime.fromisoformat(decision.decided_at))
