"""A lead's state: a fold over its activities that does not depend on their order or repetition.

- A fact (profile, qualification, consent, lifecycle) is written by the latest event: by time, then id, then source.
- A signal is counted per UTC day, up to its daily cap. Of each day only the `cap` smallest hashes of the events are
  kept: however often and in whatever order the events of a day arrive, the smallest hashes are the same, so a repeated
  event is never counted twice, and the state stays bounded without a window after which repetition goes unnoticed.
- An erasure forgets everything up to its time and keeps nothing but that time.

Path-dependent, because it is about what we said and sales saw, not about the lead: `published`, the hand-over to sales
that follows from it, and `seen`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
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

Counts = tuple[bytes | int, ...]
"""The days of one signal as they are written: the hashes of all days in one string, 8 bytes each, then for each day,
ascending, its number and how many hashes are its own. Scoring asks for numbers, so hashes are not taken apart."""


class Facts(Mapping[str, Fact]):
    """Facts by name. Those read from a state stay packed until somebody asks: most activities state nothing."""

    __slots__ = ("_known", "_unpack", "packed")

    def __init__(
        self,
        known: dict[str, Fact] | None,
        packed: bytes | None = None,
        unpack: Callable[[bytes], dict[str, Fact]] | None = None,
    ) -> None:
        self._known = known
        self._unpack = unpack
        self.packed = packed
        """The facts as bytes, for whoever wrote them; None: not written yet."""

    @property
    def known(self) -> dict[str, Fact]:
        """The facts as a dictionary, not to be changed."""
        if self._known is None:
            assert self.packed is not None
            assert self._unpack is not None
            self._known = self._unpack(self.packed)
        return self._known

    def __getitem__(self, name: str) -> Fact:
        return self.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Facts):
            return self.known == other.known
        return self.known == other if isinstance(other, dict) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.known)


_NO_FACTS = Facts({})


def _no_facts() -> Facts:
    return _NO_FACTS


class Memo:
    """What rules made of a lead's facts, so that they need not look at them again.

    `mark` names the rules and the meaning of the rest, which only they know. Valid for that very `facts` object, since
    facts are never changed in place.
    """

    __slots__ = ("codes", "facts", "judged", "mark", "since", "times", "until", "worth")

    def __init__(
        self,
        mark: bytes,
        facts: Mapping[str, Fact],
        codes: bytes | tuple[int, ...],
        times: tuple[int | None, ...] | None,
        worth: "dict[str, tuple[Counts, int, int, int, float, int]] | None" = None,
    ) -> None:
        self.mark = mark
        self.facts = facts
        self.codes = codes
        self.times = times
        """When what the rules ask about happened, empty where nothing did; None: not looked up yet."""
        self.judged: object = None
        """What the rules said of the lead as of its latest activity, if that is in [since, until)."""
        self.since = self.until = 0
        self.worth = {} if worth is None else worth
        """What each signal gives. Each entry names the counts that it is about."""


# Not frozen, for speed: that would cost half a microsecond each time, and a lead is made twice for each activity.
@dataclass(slots=True)
class Lead:
    """Everything known of one lead. Never changed in place: `apply` returns another.

    `clock` is the time of the latest activity (microseconds since the epoch), the moment as of which it is judged.
    `counted` are the days of each signal, by name, ascending.
    `seen` are the ids of the rules that held when sales last returned the lead: evidence that sales knows already.
    """

    id: str
    clock: int = NO_CLOCK
    facts: Mapping[str, Fact] = field(default_factory=_no_facts)
    counted: Mapping[str, Counts] = field(default_factory=dict)
    erased_at: int | None = None
    published: Published | None = None
    seen: tuple[str, ...] = ()
    memo: Memo | None = field(default=None, compare=False, repr=False)
    """No part of the state: it is not compared. It is written, and only ever saves work."""

    @property
    def signals(self) -> Mapping[str, Days]:
        """The events counted for each signal."""
        return {name: _days(counts) for name, counts in self.counted.items()}

    def apply(self, activity: LeadActivity, hits: Iterable[Hit] = ()) -> "Lead":
        """The lead after the activity; the very same object where it changes nothing (a repeated or outdated event)."""
        time = activity.time
        if self.erased_at is not None and time <= self.erased_at:
            return self
        kind = activity.type
        if kind == "lead.erased":
            return self._erase(time)
        facts = self._facts_after(activity) if kind in STATING else self.facts
        counted = self._counted_after(activity, hits) if hits else self.counted
        clock = self.clock
        if time > clock:
            clock = time
        elif facts is self.facts and counted is self.counted:
            return self
        return Lead(self.id, clock, facts, counted, self.erased_at, self.published, self.seen, self.memo)

    def publish(self, published: Published) -> "Lead":
        """The lead after a decision about it was published. A hand-over to sales becomes part of its lifecycle."""
        was_with_sales = self.published is not None and self.published.route is Route.SALES
        facts = self.facts
        # What sales has accepted, it has: a hand-over of that lead would say less.
        if published.route is Route.SALES and not was_with_sales and self.value("lifecycle.status") != "accepted":
            # An empty id: an event of the same instant, sales accepting the lead say, comes after the hand-over.
            stamp = Stamp(published.decided_at, "", "")
            facts = _written(facts, [("lifecycle.status", "handed_over"), ("at.handed_over", True)], stamp)
        return Lead(self.id, self.clock, facts, self.counted, self.erased_at, published, self.seen, self.memo)

    def was_returned_by(self, activity: LeadActivity) -> bool:
        """The activity is the latest return of the lead by sales."""
        if activity.type != "lead.sales_returned":
            return False
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
        counted = {name: _after(counts, day_of(time)) for name, counts in self.counted.items()}
        facts = {name: fact for name, fact in self.facts.items() if fact.stamp.time > time}
        return replace(
            self,
            clock=max(self.clock, time),
            facts=Facts(facts),
            counted={name: counts for name, counts in counted.items() if counts[0]},
            erased_at=time,
            seen=self.seen if RETURNED in facts else (),
        )

    def _facts_after(self, activity: LeadActivity) -> Mapping[str, Fact]:
        return _written(self.facts, statements(activity), Stamp(activity.time, activity.id, activity.source))

    def _counted_after(self, activity: LeadActivity, hits: Iterable[Hit]) -> Mapping[str, Counts]:
        time = activity.time
        day = time // DAY
        oldest = (time if time > self.clock else self.clock) // DAY - KEEP_DAYS
        if day < oldest or (self.erased_at is not None and day <= day_of(self.erased_at)):
            return self.counted
        before, changed, is_new = self.counted, None, False
        digest = event_digest(activity)
        for signal, daily_cap in hits:
            counts = before.get(signal)
            after = (digest, day, 1) if counts is None else _count(counts, day, digest, daily_cap, oldest)
            if after is not counts:
                if changed is None:
                    changed = dict(before)
                changed[signal] = after
                is_new = is_new or counts is None
        if changed is None:
            return before
        # Ascending by name, so that equal states give equal bytes.
        return dict(sorted(changed.items())) if is_new else changed


def _count(counts: Counts, day: int, digest: bytes, daily_cap: int, oldest: int) -> Counts:
    """The counts with one more event, without the days before `oldest`; the very same where nothing changes: it is
    counted already, or the day has its `daily_cap` and smaller hashes."""
    hashes: bytes = counts[0]  # type: ignore[assignment]
    last: int = counts[-2]  # type: ignore[assignment]
    if day > last:  # nearly always: events arrive in order
        first: int = counts[1]  # type: ignore[assignment]
        after = (hashes + digest, *counts[1:], day, 1)
        return after if first >= oldest else _after(after, oldest - 1)
    place, start, number = 1, 0, 0
    while counts[place] < day:  # type: ignore[operator]
        start += 8 * counts[place + 1]  # type: ignore[operator]
        place += 2
    if counts[place] == day:
        number = counts[place + 1]  # type: ignore[assignment]
    end = start + 8 * number
    known = [hashes[i : i + 8] for i in range(start, end, 8)]
    if digest in known or (number >= daily_cap and known and digest > known[-1]):
        return counts
    kept = sorted((*known, digest))[: max(daily_cap, number, 1)]
    changed = (*counts[:place], day, len(kept), *counts[place + 2 if number else place :])
    return _after((b"".join((hashes[:start], *kept, hashes[end:])), *changed[1:]), oldest - 1)


def _after(counts: Counts, day: int) -> Counts:
    """The counts of the days after that one."""
    start = 0
    for place in range(1, len(counts), 2):
        if counts[place] > day:  # type: ignore[operator]
            break
        start += 8 * counts[place + 1]  # type: ignore[operator]
    else:
        return (b"",)
    return counts if not start else (counts[0][start:], *counts[place:])  # type: ignore[index]


def counts_of(days: Days) -> Counts:
    """Days as they are kept."""
    numbers = [number for day in sorted(days) for number in (day, len(days[day]))]
    return (b"".join(digest.to_bytes(8, "big") for day in sorted(days) for digest in days[day]), *numbers)


def _days(counts: Counts) -> Days:
    hashes: bytes = counts[0]  # type: ignore[assignment]
    days: dict[int, tuple[int, ...]] = {}
    start = 0
    for place in range(1, len(counts), 2):
        end = start + 8 * counts[place + 1]  # type: ignore[operator]
        days[counts[place]] = tuple(int.from_bytes(hashes[i : i + 8], "big") for i in range(start, end, 8))  # type: ignore[index]
        start = end
    return days


_HASH = blake2b(digest_size=8)


def event_digest(activity: LeadActivity) -> bytes:
    """64 bits of BLAKE2b over source and id: the same in every process, unlike `hash`."""
    text = f"{activity.source}\n{activity.id}"
    try:
        content = text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        content = text.encode("utf-8", "surrogatepass")
    digest = _HASH.copy()  # a fifth of a microsecond less than a new one
    digest.update(content)
    return digest.digest()


def event_hash(activity: LeadActivity) -> int:
    """The digest as a number, as `Lead.signals` gives it."""
    return int.from_bytes(event_digest(activity), "big")


def days_between(earlier: int, later: int) -> float:
    """Days from one instant to another, both in microseconds since the epoch."""
    return (later - earlier) / DAY


def _written(facts: Mapping[str, Fact], stated: Iterable[tuple[str, object]], stamp: Stamp) -> Mapping[str, Fact]:
    """The facts with what was stated; the very same where all of it is outdated."""
    known = facts.known if isinstance(facts, Facts) else facts
    changed: dict[str, Fact] | None = None
    for name, value in stated:
        before = known.get(name)
        if before is None or before.stamp < stamp:
            if changed is None:
                changed = dict(known)
            changed[name] = Fact(value, stamp)
    return facts if changed is None else Facts(changed)


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


STATING = frozenset(
    {
        "lead.profile_updated",
        "lead.qualification_updated",
        "lead.assessment_recorded",
        "lead.consent_changed",
        "lead.unsubscribed",
        "lead.stage_changed",
        "lead.merged",
        *_LIFECYCLE,
        *_MILESTONE_TYPES,
    }
)
"""Types of activity that state facts."""


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
