"""The key figures of a log, computed a second time and in the plainest way: from the activities as JSON and the
published decisions as JSON. Nothing here uses the states of leads, the effects, or the code of the figures."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")
PHASES = ["acquisition", "contact", "offer", "negotiation", "close"]
STATUSES = ["new", "nurturing", "handed_over", "accepted", "returned", "won", "lost", "discarded"]
SAYING = {
    "lead.sales_accepted": "accepted",
    "lead.sales_returned": "returned",
    "lead.opportunity_won": "won",
    "lead.opportunity_lost": "lost",
}
ANSWERS = {"lead.sales_accepted", "lead.call_logged", "lead.meeting_held", "lead.stage_changed"}
ENDINGS = {"lead.sales_returned", "lead.opportunity_won", "lead.opportunity_lost"}
BY_ROUTE = {"nurture": "nurturing", "discard": "discarded"}
USUAL = {
    ("new", "nurturing"),
    ("new", "discarded"),
    ("new", "handed_over"),
    ("nurturing", "discarded"),
    ("nurturing", "handed_over"),
    ("discarded", "nurturing"),
    ("discarded", "handed_over"),
    ("handed_over", "accepted"),
    ("handed_over", "returned"),
    ("handed_over", "nurturing"),
    ("handed_over", "discarded"),
    ("accepted", "won"),
    ("accepted", "lost"),
    ("accepted", "returned"),
    ("returned", "handed_over"),
    ("won", "handed_over"),
    ("lost", "handed_over"),
}

Json = dict[str, Any]
Logged = tuple[Json, Sequence[Json]]
"""An activity, and the decisions that its arrival caused: those that were due before it, and its own."""


@dataclass
class Step:
    """What sales said."""

    time: datetime
    what: str
    stage: str
    data: Json


@dataclass
class Recorded:
    """A decision that changed rating or route, or handed the lead over."""

    place: datetime
    decided_at: datetime
    route: str
    hands_over: bool


@dataclass
class Promise:
    """An answer that was promised."""

    since: datetime
    made_at: datetime
    respond_by: datetime
    queue: str | None
    level: int = 0


@dataclass
class Life:
    """A lead, from its first activity or its erasure on."""

    steps: list[Step] = field(default_factory=list)
    decisions: list[Recorded] = field(default_factory=list)
    promise: Promise | None = None
    clock: datetime | None = None
    called_at: datetime | None = None
    erased_at: datetime | None = None
    last: Json | None = None
    standing: list[tuple[str, str, str, str]] = field(default_factory=list)
    """(month, status, rating, category) whenever one of them became known."""

    def status(self) -> str:
        """The status by everything that is known now."""
        events: list[tuple[datetime, int, Recorded | Step]] = []
        events += [(place, 0, decision) for place, decision in self.placed()]
        events += [(step.time, 1 + STATUSES.index(step.what), step) for step in self.steps if step.what in STATUSES]
        status = "new"
        for _, _, event in sorted(events, key=lambda event: event[:2]):
            if isinstance(event, Step):
                status = event.what
            elif event.hands_over:
                status = "handed_over"
            elif status in ("new", "nurturing", "discarded", "handed_over"):
                status = BY_ROUTE.get(event.route, status)
        return status

    def placed(self) -> list[tuple[datetime, Recorded]]:
        """The decisions with their places. None is after one that followed it."""
        return [
            (min(later.place for later in self.decisions[number:]), decision)
            for number, decision in enumerate(self.decisions)
        ]

    def stages(self) -> list[Step]:
        """The stages in order of time."""
        found = [step for step in self.steps if step.what == "stage"]
        return sorted(found, key=lambda step: (step.time, step.stage))

    def outcomes(self) -> Iterator[tuple[str, set[str]]]:
        """(month, what became of it) of each hand-over."""
        hand_overs = [(place, one) for place, one in self.placed() if one.hands_over]
        for number, (place, one) in enumerate(hand_overs):
            following = hand_overs[number + 1][0] if number + 1 < len(hand_overs) else None
            became = {
                step.what
                for step in self.steps
                if step.what in STATUSES and step.time >= place and (following is None or step.time < following)
            }
            if became & {"won", "lost"}:
                became.add("accepted")
            yield month(one.decided_at), became

    def funnel(self, phase_of: dict[str, int]) -> Iterator[tuple[str, int, bool]]:
        """(month, phase, whether it went on) of each phase that was reached."""
        moves: list[tuple[str, int, int]] = []
        last = -1
        for step in self._stage_changes():
            phase = phase_of.get(step.stage)
            if phase is not None and phase != last:
                moves.append((month(step.time), last, phase))
                last = phase
        seen = set()
        for number, (when, before, after) in enumerate(moves):
            reached = range(before + 1, after + 1) if after > before else [after]
            for phase in reached:
                if (when, phase) not in seen:
                    seen.add((when, phase))
                    yield when, phase, any(later > phase for _, _, later in moves[number:])

    def _stage_changes(self) -> Iterator[Step]:
        stage = ""
        for step in self.stages():
            if step.stage != stage:
                yield step
            stage = step.stage


@dataclass
class Figures:
    """All figures. Months are labels such as 2025-03, in Berlin."""

    hand_overs: Counter[tuple[str, str]] = field(default_factory=Counter)
    said: Counter[tuple[str, str]] = field(default_factory=Counter)
    values: defaultdict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    deals: int = 0
    reached: Counter[tuple[str, str]] = field(default_factory=Counter)
    went_on: Counter[tuple[str, str]] = field(default_factory=Counter)
    changes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unusual: Counter[tuple[str, str]] = field(default_factory=Counter)
    actions: Counter[tuple[str, str]] = field(default_factory=Counter)
    fates: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    answers: defaultdict[str | None, list[timedelta]] = field(default_factory=lambda: defaultdict(list))
    escalations: Counter[str | None] = field(default_factory=Counter)
    reasons_lost: Counter[str | None] = field(default_factory=Counter)
    competitors: Counter[str | None] = field(default_factory=Counter)
    reasons_returned: Counter[str | None] = field(default_factory=Counter)
    overdue: int = 0
    lives: dict[str, Life] = field(default_factory=dict)

    def base(self, kind: int, until: str) -> Counter[str]:
        """Leads at the end of the month, by status (1), rating (2) or category (3)."""
        counts: Counter[str] = Counter()
        for life in self.lives.values():
            known = [entry for entry in life.standing if entry[0] <= until]
            if known:
                counts[known[-1][kind]] += 1
        return counts


def figures_of(log: Sequence[Logged], late: Sequence[Json], until: datetime, phases: dict[str, str]) -> Figures:
    """The figures of the log. `late`: the decisions after the last activities. `phases`: the phase of each stage."""
    reader = _Reader(phases)
    for activity, decisions in log:
        reader.read(activity, decisions)
    for decision in sorted(late, key=lambda decision: str(decision["decided_at"])):
        life = reader.figures.lives[decision["lead_id"]]
        reader.decide(life, decision)
    return reader.finished(until)


class _Reader:
    def __init__(self, phases: dict[str, str]) -> None:
        self.figures = Figures()
        self._phases = phases
        self._seen: set[str] = set()

    def read(self, activity: Json, decisions: Sequence[Json]) -> None:
        life = self.figures.lives.setdefault(activity["subject"], Life())
        for decision in decisions:
            if decision["cause"] == "time":
                self.decide(life, decision)
        own = [decision for decision in decisions if decision["cause"] == "activity"]
        arrival = instant(activity["arrivedat"] if "arrivedat" in activity else activity["time"])
        if activity["id"] not in self._seen:
            self._seen.add(activity["id"])
            time = instant(activity["time"])
            if life.erased_at is None or time > life.erased_at:
                if activity["type"] == "lead.erased":
                    life = self._erase(life, activity["subject"], time)
                    for decision in own:
                        self.decide(life, decision, arrival, counts=False)
                    own = []
                else:
                    self._apply(life, activity, time)
        for decision in own:
            self.decide(life, decision, arrival)
        self._stand(life, arrival)

    def decide(self, life: Life, decision: Json, arrival: datetime | None = None, *, counts: bool = True) -> None:
        """A decision was published. `arrival`: that of the activity that caused it; None: time did."""
        figures, decided_at = self.figures, instant(decision["decided_at"])
        previous, route, rating = decision["previous"], decision["route"], decision["rating"]
        assert life.clock is not None
        place = decided_at if arrival is None else life.clock
        before = life.status()
        was_sales = previous is not None and previous["route"] == "sales"
        hands_over = route == "sales" and not was_sales and before != "accepted"
        if counts and previous is not None and previous["rating"] != rating:
            figures.changes["rating", previous["rating"], rating] += 1
        if life.promise is not None and (route != "sales" or hands_over):
            self._end(life, decided_at)
        if hands_over:
            # After all of sales that it knew, because only what follows is an answer to it.
            known = [*(step.time for step in life.steps), *([] if life.called_at is None else [life.called_at])]
            latest = place if arrival is None else min(place, arrival)
            place = max([latest, *(time + timedelta(microseconds=1) for time in known)])
        if hands_over and decision["respond_by"] is not None:
            life.promise = Promise(place, decided_at, instant(decision["respond_by"]), decision["queue"])
        is_other = previous is None or previous["rating"] != rating or previous["route"] != route
        if hands_over or is_other:
            life.decisions.append(Recorded(place, decided_at, route, hands_over))
        level = decision.get("escalated", 0)
        if life.promise is not None and level > life.promise.level:
            life.promise.level = level
            figures.escalations[life.promise.queue] += 1
        if counts:
            self._changed_status(before, life.status())
        life.last = decision
        self._stand(life, decided_at)

    def finished(self, until: datetime) -> Figures:
        figures = self.figures
        for life in figures.lives.values():
            self._close(life)
            if life.promise is not None:
                is_overdue = life.promise.respond_by <= until
                figures.fates[life.promise.queue, "missed" if is_overdue else "open"] += 1
                figures.overdue += is_overdue
        return figures

    def _apply(self, life: Life, activity: Json, time: datetime) -> None:
        figures, kind, data = self.figures, activity["type"], activity["data"]
        life.clock = time if life.clock is None else max(life.clock, time)
        if kind in ("lead.call_logged", "lead.meeting_held"):
            life.called_at = time if life.called_at is None else max(life.called_at, time)
        promise = life.promise
        if promise is not None and time >= promise.since:
            if kind in ANSWERS:
                waited = time - promise.made_at
                fate = "unmeasured"
                if waited >= timedelta():
                    figures.answers[promise.queue].append(waited)
                    fate = "kept" if time < promise.respond_by else "late"
                figures.fates[promise.queue, fate] += 1
                life.promise = None
            elif kind in ENDINGS:
                self._end(life, time)
        status, stages = life.status(), life.stages()
        if kind in SAYING:
            life.steps.append(Step(time, SAYING[kind], "", data))
            if kind == "lead.sales_returned":
                figures.reasons_returned[data.get("reason")] += 1
            if kind == "lead.opportunity_lost":
                figures.reasons_lost[data.get("reason")] += 1
                figures.competitors[data.get("competitor")] += 1
            if kind == "lead.opportunity_won" and "value" in data:
                figures.values[month(time)] += Fraction(str(data["value"]))
                figures.deals += 1
        if kind == "lead.stage_changed":
            life.steps.append(Step(time, "stage", data["stage"], data))
        self._changed_status(status, life.status())
        before, after = (found[-1].stage if found else None for found in (stages, life.stages()))
        if after != before:
            was = data.get("previous") if before is None else before
            figures.changes["stage", self._stage(was), self._stage(after)] += 1
        day = time.astimezone(UTC).date().isoformat()
        if kind == "lead.meeting_held" and data.get("minutes_sent"):
            figures.actions["meeting", day] += 1
        if kind == "lead.offer_sent":
            figures.actions["offer", day] += 1
        if kind == "lead.trial_started":
            figures.actions["trial", day] += 1

    def _changed_status(self, before: str, after: str) -> None:
        if before != after:
            self.figures.changes["status", before, after] += 1
            if (before, after) not in USUAL:
                self.figures.unusual[before, after] += 1

    def _stage(self, name: str | None) -> str:
        return "none" if not name else name if name in self._phases else "other"

    def _end(self, life: Life, time: datetime) -> None:
        promise = life.promise
        assert promise is not None
        self.figures.fates[promise.queue, "withdrawn" if time < promise.respond_by else "missed"] += 1
        life.promise = None

    def _stand(self, life: Life, known_at: datetime) -> None:
        if life.last is None:
            return
        status, rating = life.status(), life.last["rating"]
        if status == "won":
            category = "customers"
        elif status in ("handed_over", "accepted"):
            category = "active"
        elif rating in ("warm", "hot"):
            category = "warm-base"
        else:
            category = "lost-base" if status == "lost" else "cold-base"
        life.standing.append((month(known_at), status, rating, category))

    def _erase(self, life: Life, lead: str, time: datetime) -> Life:
        if life.promise is not None:
            self._end(life, time)
        gone = Life(
            [step for step in life.steps if step.time <= time], [one for one in life.decisions if one.place <= time]
        )
        self._close(gone)
        left = self.figures.lives[lead] = Life(
            [step for step in life.steps if step.time > time],
            [one for one in life.decisions if one.place > time],
            clock=time if life.clock is None else max(life.clock, time),
            called_at=None if life.called_at is None or life.called_at <= time else life.called_at,
            erased_at=time,
            last=life.last,
            standing=life.standing,
        )
        return left

    def _close(self, life: Life) -> None:
        figures = self.figures
        for when, became in life.outcomes():
            figures.hand_overs[when, "handed_over"] += 1
            for what in became:
                figures.hand_overs[when, what] += 1
            if became & {"won", "lost"}:
                figures.hand_overs[when, "decided"] += 1
        for step in life.steps:
            if step.what in STATUSES:
                figures.said[month(step.time), step.what] += 1
        places = {stage: PHASES.index(phase) for stage, phase in self._phases.items()}
        for when, phase, went_on in life.funnel(places):
            figures.reached[when, PHASES[phase]] += 1
            figures.went_on[when, PHASES[phase]] += went_on


def instant(text: str) -> datetime:
    """RFC 3339 as a time."""
    return datetime.fromisoformat(text)


def month(time: datetime) -> str:
    """The month in Berlin."""
    return time.astimezone(BERLIN).strftime("%Y-%m")


def activity_of(line: bytes) -> Json:
    """The activity of a line."""
    read: Json = json.loads(line)
    return read
