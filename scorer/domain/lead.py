"""A lead's state: a fold over its activities that does not depend on their order or repetition.

- A fact (profile, qualification, consent, lifecycle) is written by the latest event: by time, then id, then source.
- A signal is counted per UTC day, up to its daily cap. Of each day only the `cap` smallest hashes of the events are
  kept: however often and in whatever order the events of a day arrive, the smallest hashes are the same, so a repeated
  event is never counted twice, and the state stays bounded without a window after which repetition goes unnoticed.
- An erasure forgets everything up to its time and keeps nothing but that time.

Path-dependent, because it is about what we said and sales saw, not about the lead: `published`, the hand-over to sales
that follows from it, and `seen`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import NamedTuple

from scorer.domain.activity import LeadActivity
from scorer.domain.instant import DAY, day_of
from scorer.domain.score import Grade, Rating, Route, Score

KEEP_DAYS = 730
"""Signal counts older than this, seen from the lead's latest activity, are forgotten; no ruleset looks further back."""

NO_CLOCK = -(1 << 62)
"""The clock of a lead that nothing is known of: before every possible event."""


RETURNED = "at.sales_returned"
"""The fact that holds when sales last returned the lead."""


class Stamp(NamedTuple):
    """When and by which event a fact was written; greater is later. `time` in microseconds since the epoch."""

    time: int
    id: str
    source: str


class Fact(NamedTuple):
    """A value and the event it came from. None is a value too: withdrawn by that event."""

    value: object
    stamp: Stamp


class Hit(NamedTuple):
    """An activity counts for this signal, of which at most `daily_cap` a day count."""

    signal: str
    daily_cap: int


class Published(NamedTuple):
    """What the last published decision said. `decided_at` in microseconds since the epoch."""

    rating: Rating
    grade: Grade
    route: Route
    queue: str | None
    score: Score
    decided_at: int


Days = Mapping[int, tuple[int, ...]]
"""UTC day number -> ascending hashes of the events counted on it."""


@dataclass(frozen=True, slots=True)
class Lead:
    """Everything known of one lead. Never changed in place: `apply` returns another.

    `clock` is the time of the latest activity (microseconds since the epoch), the moment as of which it is judged.
    `seen` are the ids of the rules that held when sales last returned the lead: evidence that sales knows already.
    """

    id: str
    clock: int = NO_CLOCK
    facts: Mapping[str, Fact] = field(default_factory=dict)
    signals: Mapping[str, Days] = field(default_factory=dict)
    erased_at: int | None = None
    published: Published | None = None
    seen: tuple[str, ...] = ()
    memo: object = field(default=None, compare=False, repr=False)
    """What somebody wants to remember of these facts. No part of the state: it is neither compared nor written."""

    def apply(self, activity: LeadActivity, hits: Iterable[Hit] = ()) -> "Lead":
        """The lead after the activity; the very same object where it changes nothing (a repeated or outdated event)."""
        if self.erased_at is not None and activity.time <= self.erased_at:
            return self
        if activity.type == "lead.erased":
            return self._erase(activity.time)
        facts = self._facts_after(activity)
        signals = self._signals_after(activity, hits)
        clock = max(self.clock, activity.time)
        if facts is self.facts and signals is self.signals and clock == self.clock:
            return self
        return replace(self, clock=clock, facts=facts, signals=signals)

    def publish(self, published: Published) -> "Lead":
        """The lead after a decision about it was published. A hand-over to sales becomes part of its lifecycle."""
        was_with_sales = self.published is not None and self.published.route is Route.SALES
        facts = self.facts
        # What sales has accepted, it has: a hand-over of that lead would say less.
        accepted = self.value("lifecycle.status") == "accepted"
        if published.route is Route.SALES and not was_with_sales and not accepted:
            # An empty id: an event of the same instant, sales accepting the lead say, comes after the hand-over.
            facts = _write(facts, "lifecycle.status", "handed_over", Stamp(published.decided_at, "", ""))
            facts = _write(facts, "at.handed_over", True, Stamp(published.decided_at, "", ""))
        return replace(self, facts=facts, published=published)

    def remember(self, memo: object) -> "Lead":
        """The same lead with another memo."""
        return self if memo is self.memo else replace(self, memo=memo)

    def was_returned_by(self, activity: LeadActivity) -> bool:
        """The activity is the latest return of the lead by sales."""
        returned = self.facts.get(RETURNED)
        return returned is not None and returned.stamp == Stamp(activity.time, activity.id, activity.source)

    def value(self, name: str) -> object:
        """The current value of a fact; None where it is unknown."""
        fact = self.facts.get(name)
        return None if fact is None else fact.value

    @property
    def is_erased(self) -> bool:
        """The lead was erased and has shown no activity since."""
        return self.erased_at is not None and self.clock <= self.erased_at

    def _erase(self, time: int) -> "Lead":
        # Counts are kept by the day, so the day of the erasure is forgotten whole, whatever comes first.
        last = day_of(time)
        signals = {name: {d: h for d, h in days.items() if d > last} for name, days in self.signals.items()}
        facts = {name: fact for name, fact in self.facts.items() if fact.stamp.time > time}
        return replace(
            self,
            clock=max(self.clock, time),
            facts=facts,
            signals={name: days for name, days in signals.items() if days},
            erased_at=time,
            seen=self.seen if RETURNED in facts else (),
        )

    def _facts_after(self, activity: LeadActivity) -> Mapping[str, Fact]:
        facts = self.facts
        stamp = Stamp(activity.time, activity.id, activity.source)
        for name, value in statements(activity):
            facts = _write(facts, name, value, stamp, owned=facts is not self.facts)
        return facts

    def _signals_after(self, activity: LeadActivity, hits: Iterable[Hit]) -> Mapping[str, Days]:
        day = day_of(activity.time)
        oldest = day_of(max(self.clock, activity.time)) - KEEP_DAYS
        erased_day = None if self.erased_at is None else day_of(self.erased_at)
        signals = self.signals
        if day < oldest or (erased_day is not None and day <= erased_day):
            return signals
        digest = None
        for hit in hits:
            if digest is None:
                digest = event_hash(activity)
            days = signals.get(hit.signal, {})
            counted = days.get(day, ())
            kept = tuple(sorted({*counted, digest})[: max(hit.daily_cap, len(counted))])
            if kept != counted:
                recent = {d: hashes for d, hashes in days.items() if d >= oldest}
                signals = {**signals, hit.signal: {**recent, day: kept}}
        return signals


def event_hash(activity: LeadActivity) -> int:
    """64 bits of BLAKE2b over source and id: the same in every process, unlike `hash`."""
    return int.from_bytes(blake2b(activity.key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def days_between(earlier: int, later: int) -> float:
    """Days from one instant to another, both in microseconds since the epoch."""
    return (later - earlier) / DAY


def _write(
    facts: Mapping[str, Fact], name: str, value: object, stamp: Stamp, *, owned: bool = False
) -> Mapping[str, Fact]:
    known = facts.get(name)
    if known is not None and known.stamp >= stamp:
        return facts
    changed = facts if owned and isinstance(facts, dict) else dict(facts)
    changed[name] = Fact(value, stamp)
    return changed


_LIFECYCLE = {
    "lead.sales_accepted": "accepted",
    "lead.sales_returned": "returned",
    "lead.opportunity_won": "won",
    "lead.opportunity_lost": "lost",
}

MILESTONES = (
    "demo_requested",
    "trial_started",
    "meeting_held",
    "call_logged",
    "sales_accepted",
    "sales_returned",
    "opportunity_won",
    "opportunity_lost",
    "handed_over",
)
"""Events whose latest time a lead remembers; `days_since.<name>` is computed from it."""

_MILESTONE_TYPES = {f"lead.{name}": f"at.{name}" for name in MILESTONES}


def statements(activity: LeadActivity) -> list[tuple[str, object]]:
    """The facts that an activity states: (field name, value), None for a value that it withdraws."""
    data = activity.data
    stated: list[tuple[str, object]] = []
    milestone = _MILESTONE_TYPES.get(activity.type)
    if milestone is not None:
        stated.append((milestone, True))
    match activity.type:
        case "lead.profile_updated":
            stated += [(f"profile.{key}", value) for key, value in data.items() if key != "custom"]
            stated += _items(data, "custom", "")
        case "lead.qualification_updated":
            stated += _items(data, "bant", "bant.")
            stated += _items(data, "competition", "competition.")
            stated += _items(data, "project", "project.")
            stated += _items(data, "custom", "")
        case "lead.assessment_recorded":
            stated += [(f"assessment.{key}", value) for key, value in data.items()]
        case "lead.consent_changed":
            channel = data.get("channel", "all")
            channels = ("email", "phone") if channel == "all" else (channel,)
            stated += [(f"consent.{name}", data["status"]) for name in channels]
        case "lead.unsubscribed":
            stated.append(("consent.email", "withdrawn"))
        case "lead.stage_changed":
            stated.append(("lifecycle.stage", data["stage"]))
        case "lead.merged":
            stated.append(("lifecycle.merged_into", data["into"]))
        case other if other in _LIFECYCLE:
            stated.append(("lifecycle.status", _LIFECYCLE[other]))
    return stated


def _items(data: Mapping[str, object], section: str, prefix: str) -> list[tuple[str, object]]:
    values = data.get(section)
    if not isinstance(values, Mapping):
        return []
    return [(f"{prefix}{key}", value) for key, value in values.items()]
