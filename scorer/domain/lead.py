"""A lead's state: a fold over its activities that does not depend on their repetition, nor on the order of activities
with different times.

- The latest event writes a fact (profile, qualification, lifecycle). Of several at one time the one that arrived last
  counts. Custom facts that the rules do not declare are not kept, nor is a value that does not fit its field. Consent
  has a rule of its own (`consent`).
- A signal is counted per UTC day, up to its daily cap, by the smallest hashes of the day's events (`counts`).
- An activity with the source and id of a known one changes nothing, also with another time (`identities`).
- Status and stage follow from the set of the steps of sales (`lifecycle`).
- An erasure forgets everything up to its time and keeps only that time. `profile.first_lead_source` is then the latest
  one that remains.
- What the service itself states about the company (`enrichment`) is no sign of life: it moves neither `clock` nor
  `seen_at`, no signal counts it, and without an activity of the lead it states nothing.

Some parts do depend on the order, because they record what was published and what sales saw, not the lead itself:
`published`, the decisions and the promise in `lifecycle`, `rules_at_return`, and `judged_at`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, NamedTuple, cast

from scorer.domain.activity import LeadActivity
from scorer.domain.consent import without_gaps, write_consent
from scorer.domain.counts import KEEP_DAYS, Counts, Days, Hit, count_event, days_of, event_digest, forget_until
from scorer.domain.enrichment import ENRICHING, is_enrichment, is_outdated, withdrawn
from scorer.domain.facts import NO_FACTS, Fact, Facts, Stamp, drop_contradicted, write_earliest, write_facts
from scorer.domain.identities import REMEMBERED_DAYS, contains, pushed_out, remember
from scorer.domain.instant import DAY, MINUTE, day_of
from scorer.domain.lifecycle import (
    ANSWERS,
    FOLLOWING,
    NOTHING,
    RATINGS,
    ROUTES,
    STATUS,
    STEPS,
    Decided,
    Lifecycle,
    Promise,
    Status,
    after_decision,
    facts_of,
    of_facts,
    replaced,
    step_of,
    with_decision,
    with_step,
    without_until,
)
from scorer.domain.score import Grade, Rating, Route, Score
from scorer.domain.statements import CONSENT, FIRST_LEAD_SOURCE, LEAD_SOURCE, RETURNED, STATING, statements
from scorer.domain.unfitting import Unfit

NO_CLOCK: Final = -(1 << 62)
"""The clock of a lead without events: before every possible event."""

NEVER: Final = 1 << 62
"""After every possible instant."""

TOLERANCE: Final = 5 * MINUTE
"""How far ahead the clock of a sender may be, in microseconds, if the rules do not say."""

ValueReaders = Mapping[str, Callable[[object], object]]
"""The custom facts that a lead keeps, by name. Each reader gives the value to keep, None to withdraw the fact, or
`Unfit` for a value that does not fit."""

_KEEPS_NONE: Final[ValueReaders] = MappingProxyType({})


class Published(NamedTuple):
    """The last published decision, in short. `decided_at` in microseconds since the epoch."""

    rating: Rating
    grade: Grade
    route: Route
    queue: str | None
    score: Score
    decided_at: int


def _no_facts() -> Facts:
    return NO_FACTS


# Not frozen for speed, because each activity creates two: see benchmarks/README.md.
@dataclass(slots=True)
class Lead:
    """Everything that is known about one lead. It is never changed in place: `apply` returns a new lead.

    Instants are in microseconds since the epoch. `clock` is the effective time of the latest activity. `judged_at` is
    the latest instant as of which the lead was judged, never before `clock`. `seen_at` is the latest arrival of an
    activity that changed something, or its effective time if that is later; neither reviews nor enrichments move it.
    `counted` contains the counts of each signal, in ascending order of name. `recent` are the remembered activities.
    `rules_at_return` are the ids of the rules that held when sales last returned the lead. Sales knows their evidence.
    """

    id: str
    clock: int = NO_CLOCK
    facts: Mapping[str, Fact] = field(default_factory=_no_facts)
    counted: Mapping[str, Counts] = field(default_factory=dict)
    erased_at: int | None = None
    published: Published | None = None
    rules_at_return: tuple[str, ...] = ()
    notes: object = field(default=None, compare=False, repr=False)
    """What an evaluator keeps with the lead to save work. Opaque, and not part of the state."""
    judged_at: int = NO_CLOCK
    recent: Counts | None = None
    judged_by: bytes = field(default=b"", compare=False)
    """Which rules judged the lead last; empty if none did. Belongs to `scorer.evaluation`, as does `due`."""
    due: int = field(default=NO_CLOCK, compare=False)
    """Before this instant time alone changes nothing that these rules say about the lead, and does not delete it."""
    seen_at: int = NO_CLOCK
    lifecycle: Lifecycle | None = None
    """None before the first decision and the first step of sales, and in states of releases before 0.3."""

    @property
    def signals(self) -> Mapping[str, Days]:
        """The events counted for each signal."""
        return {name: days_of(counts) for name, counts in self.counted.items()}

    def apply(
        self,
        activity: LeadActivity,
        hits: Collection[Hit] = (),
        custom: ValueReaders = _KEEPS_NONE,
        arrival: int | None = None,
        tolerance: int = TOLERANCE,
    ) -> "Lead":
        """The lead after the activity; the same object if nothing changes (a repeated or outdated event).

        `custom`: the custom facts that the lead keeps. A value that does not fit its fact changes nothing. An older
        fact of another name, which earlier rules declared, stays until a later event gives it another value.
        `arrival`: when the activity arrived; None: at its own time, which is its effective time here. `tolerance`: by
        how much a grant of consent must be later than a withdrawal.
        """
        time = activity.time
        erased_at = self.erased_at
        if erased_at is not None and time <= erased_at:
            return self
        kind = activity.type
        if kind == "lead.erased":
            return self._erase(time, arrival)
        before = self.clock
        clock = time if time > before else before
        facts, counted, recent, lifecycle = self.facts, self.counted, self.recent, self.lifecycle
        is_ours = is_enrichment(activity)
        if is_ours:
            if before == NO_CLOCK or self.is_erased or is_outdated(facts, time):
                return self
            clock, hits = before, ()
        today = clock // DAY
        oldest = today - REMEMBERED_DAYS
        is_stating = kind in STATING
        if hits or is_stating:
            digest = event_digest(activity)
            if recent is not None and digest in recent[0] and contains(recent[0], digest):
                return self
            day = time // DAY
            is_kept = erased_at is None or day > erased_at // DAY
            is_recent = is_kept and day >= oldest
            if hits and is_kept and day >= today - KEEP_DAYS:
                after = self._counted_after(day, digest, hits, today - KEEP_DAYS)
                if after is None:
                    return self
                counted, is_full = after
                if is_full and is_recent:
                    recent = self._remembered(counted, hits, day, recent)
            if is_stating:
                # Of an older event nobody can say whether it is repeated.
                facts = self._facts_after(activity, custom, tolerance, ties=is_recent)
                if kind in STEPS:
                    lifecycle, facts = self._after_step(activity, facts)
                elif kind in ANSWERS:
                    lifecycle = self._after_answer(activity)
            if is_recent and (is_stating or counted is self.counted):
                recent = remember(recent, day, digest)
        if recent is not None and recent[1] < oldest:
            recent = forget_until(recent, oldest - 1)
        judged_at, seen_at, due = self.judged_at, self.seen_at, NO_CLOCK
        if clock == before and facts is self.facts and counted is self.counted and lifecycle is self.lifecycle:
            if recent is self.recent:
                return self
            due = self.due
        else:
            now = time if arrival is None or time > arrival else arrival
            if now > seen_at:
                if not is_ours:
                    seen_at = now
                if now > judged_at:
                    judged_at = now
        return Lead(
            self.id,
            clock,
            facts,
            counted,
            erased_at,
            self.published,
            self.rules_at_return,
            self.notes,
            judged_at,
            recent,
            self.judged_by,
            due,
            seen_at,
            lifecycle,
        )

    def publish(self, published: Published, status_at: int | None = None, promise: Promise | None = None) -> "Lead":
        """The lead after a decision about it was published, which becomes part of its lifecycle.

        `status_at`: the time of the decision among the events about the lead; the default is that of the decision.
        `promise`: the one that is open from now on.
        """
        facts, known, decided_at = self.facts, self.known_lifecycle(), published.decided_at
        is_handed_over = self.is_handed_over_by(published.route)
        time = decided_at if status_at is None else status_at
        rating, route = RATINGS.index(published.rating), ROUTES.index(published.route)
        decided = Decided(time, decided_at - time, rating, route, is_handed_over, published.queue)
        lifecycle = with_decision(known, decided, promise)
        if self.lifecycle is None or (known.steps and known.steps[-1].time >= time):
            facts = _with_lifecycle(facts, lifecycle)
        elif lifecycle.decisions is not known.decisions:
            # Nothing of sales is later, so that the status follows from the one before.
            facts = _with_status(facts, decided)
        if is_handed_over:
            facts = write_facts(facts, [("at.handed_over", True)], Stamp(decided_at, "", ""))
        after = self._copy(facts, self.notes)
        after.published, after.lifecycle = published, lifecycle
        if decided_at > after.judged_at:
            after.judged_at = decided_at
        return after

    def is_handed_over_by(self, route: Route) -> bool:
        """Whether a decision with this route hands the lead over to sales. A lead that sales has accepted is not handed
        over: that would be a step back."""
        if route is not Route.SALES or (self.published is not None and self.published.route is Route.SALES):
            return False
        return self.status != "accepted"

    def with_notes(self, notes: object) -> "Lead":
        """The same lead with other notes."""
        return self._copy(self.facts, notes)

    def with_rules_at_return(self, rule_ids: tuple[str, ...]) -> "Lead":
        """The same lead with the ids of the rules that hold now that sales has returned it."""
        return replace(self, rules_at_return=rule_ids)

    def was_returned_by(self, activity: LeadActivity) -> bool:
        """Whether the activity is the latest return of the lead by sales."""
        if activity.type != "lead.sales_returned":
            return False
        returned = self.facts.get(RETURNED)
        return returned is not None and returned.stamp == Stamp(activity.time, activity.id, activity.source)

    def value(self, name: str) -> object:
        """The current value of a fact; None if it is unknown."""
        facts = self.facts
        fact = (facts.known if isinstance(facts, Facts) else facts).get(name)
        return None if fact is None else fact.value

    @property
    def status(self) -> Status:
        """Where the lead is between marketing and sales. One of which nothing is known, or left, is new."""
        return _status_in(self.facts)

    @property
    def promise(self) -> Promise | None:
        """The promise that is open."""
        return None if self.lifecycle is None else self.lifecycle.promise

    def known_lifecycle(self) -> Lifecycle:
        """The lifecycle; if a release before 0.3 wrote the state, what its facts say."""
        return of_facts(self.facts) if self.lifecycle is None else self.lifecycle

    @property
    def is_erased(self) -> bool:
        """Whether the lead was erased and has had no activity since."""
        return self.erased_at is not None and self.clock <= self.erased_at

    def _copy(self, facts: Mapping[str, Fact], notes: object) -> "Lead":
        return Lead(
            self.id,
            self.clock,
            facts,
            self.counted,
            self.erased_at,
            self.published,
            self.rules_at_return,
            notes,
            self.judged_at,
            self.recent,
            self.judged_by,
            self.due,
            self.seen_at,
            self.lifecycle,
        )

    def _erase(self, time: int, arrival: int | None) -> "Lead":
        # Counts are kept per day, so the whole day of the erasure is forgotten, whichever event arrives first.
        counted = {name: forget_until(counts, day_of(time)) for name, counts in self.counted.items()}
        clock = max(self.clock, time)
        is_gone = clock == time
        facts = without_gaps(
            {
                name: fact
                for name, fact in self.facts.items()
                # What we stated later is about somebody who has done nothing since.
                if fact.stamp.time > time and not (is_gone and fact.stamp.source == ENRICHING)
            }
        )
        arrived = time if arrival is None else max(time, arrival)
        source = facts.get(LEAD_SOURCE)
        if FIRST_LEAD_SOURCE not in facts and source is not None and source.value is not None:
            facts[FIRST_LEAD_SOURCE] = source
        lifecycle = without_until(self.lifecycle, time)
        if self.lifecycle is not None and not (lifecycle and any(said.is_hand_over for said in lifecycle.decisions)):
            # The decision may be later than the erasure, but what it was about is forgotten.
            facts.pop("at.handed_over", None)
        return replace(
            self,
            clock=clock,
            facts=_with_lifecycle(Facts(facts), lifecycle or NOTHING) if self.lifecycle is not None else Facts(facts),
            lifecycle=lifecycle,
            counted={name: counts for name, counts in counted.items() if counts is not None},
            erased_at=time,
            rules_at_return=self.rules_at_return if RETURNED in facts else (),
            judged_at=max(self.judged_at, clock, arrived),
            seen_at=max(self.seen_at, arrived),
            recent=None if self.recent is None else forget_until(self.recent, day_of(time)),
            due=NO_CLOCK,
        )

    def _after_step(self, activity: LeadActivity, facts: Mapping[str, Fact]) -> tuple[Lifecycle, Mapping[str, Fact]]:
        step = step_of(activity)
        assert step is not None
        before = self.known_lifecycle()
        after = with_step(before, step)
        if after is not before or self.lifecycle is None:
            facts = _with_lifecycle(facts, after)
        promise = after.promise
        if promise is not None and activity.time >= promise.since:
            after = replaced(after, promise=None)
        return after, facts

    def _after_answer(self, activity: LeadActivity) -> Lifecycle | None:
        lifecycle = self.lifecycle
        promise = self.promise
        if lifecycle is None or promise is None or activity.time < promise.since:
            return lifecycle
        return replaced(lifecycle, promise=None)

    def _facts_after(
        self, activity: LeadActivity, custom: ValueReaders, tolerance: int, *, ties: bool
    ) -> Mapping[str, Fact]:
        stamp = Stamp(activity.time, activity.id, activity.source)
        stated = statements(activity)
        if activity.type in CONSENT:
            facts = self.facts
            for name, value in stated:
                facts = write_consent(facts, name, value, stamp, tolerance, ties=ties)
            return facts
        if is_enrichment(activity):
            stated += withdrawn(self.facts, activity.data)
        source = activity.data.get("lead_source") if activity.type == "lead.profile_updated" else None
        known = self.facts if source is None else write_earliest(self.facts, FIRST_LEAD_SOURCE, source, stamp)
        if not activity.data.get("custom"):
            return write_facts(known, stated, stamp, ties=ties)
        kept: list[tuple[str, object]] = []
        others: list[tuple[str, object]] = []
        for statement in stated:
            name, value = statement
            if "." in name:
                kept.append(statement)
            elif (read := custom.get(name)) is None:
                others.append(statement)
            elif not isinstance(known_value := read(value), Unfit):
                kept.append((name, known_value))
        # Rules that declare another name again must find it unknown rather than wrong.
        return drop_contradicted(write_facts(known, kept, stamp, ties=ties), others, stamp)

    def _counted_after(
        self, day: int, digest: bytes, hits: Iterable[Hit], oldest: int
    ) -> tuple[Mapping[str, Counts], bool] | None:
        """The counts, and whether the event may have pushed out another one; None if a signal has counted it before."""
        before, changed, is_new, is_full = self.counted, None, False, False
        for signal, daily_cap in hits:
            counts = before.get(signal)
            after: Counts
            if counts is None:
                after, is_new = (digest, day, 1), True
            else:
                hashes = counts[0]
                if digest in hashes and contains(hashes, digest):
                    return None
                after = count_event(counts, day, digest, daily_cap, oldest)
                if after is counts:
                    continue
                if len(after[0]) == len(hashes):
                    is_full = True
            if changed is None:
                changed = dict(before)
            changed[signal] = after
        if changed is None:
            return before, False
        # Ascending order of names, so that equal states give equal bytes.
        return dict(sorted(changed.items())) if is_new else changed, is_full

    def _remembered(
        self, counted: Mapping[str, Counts], hits: Iterable[Hit], day: int, recent: Counts | None
    ) -> Counts | None:
        """The remembered activities, with those that no signal counts any more because this one was counted."""
        for signal, _ in hits:
            before, after = self.counted.get(signal), counted[signal]
            gone = None if before is None or after is before else pushed_out(before, after, day)
            held = gone is None or any(contains(counts[0], gone) for counts in counted.values())
            if gone is not None and not held and (recent is None or not contains(recent[0], gone)):
                recent = remember(recent, day, gone)
        return recent


def _status_in(facts: Mapping[str, Fact]) -> Status:
    fact = (facts.known if isinstance(facts, Facts) else facts).get(STATUS)
    return "new" if fact is None else cast(Status, fact.value)


def _with_status(facts: Mapping[str, Fact], decided: Decided) -> Mapping[str, Fact]:
    """The facts after a decision that is later than all steps of sales; the same object if the status stays."""
    before = _status_in(facts)
    after = after_decision(decided, before)
    return facts if after == before else Facts({**facts, STATUS: Fact(after, Stamp(decided.decided_at, "", ""))})


def _with_lifecycle(facts: Mapping[str, Fact], lifecycle: Lifecycle) -> Mapping[str, Fact]:
    """The facts with those that follow from the lifecycle; the same object if none changes."""
    following = facts_of(lifecycle)
    known = facts.known if isinstance(facts, Facts) else facts
    if all(known.get(name) == following.get(name) for name in FOLLOWING):
        return facts
    return Facts({name: fact for name, fact in known.items() if name not in FOLLOWING} | following)
