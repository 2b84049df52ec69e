"""A lead's state: a fold over its activities that does not depend on their order or repetition.

- The latest event, by time, then id, then source, writes a fact (profile, qualification, consent, lifecycle). Custom
  facts that the rules do not declare are not kept. A value of another type than the declared one is unknown.
- A signal is counted per UTC day, up to its daily cap, by the smallest hashes of the day's events (`counts`).
- An erasure forgets everything up to its time and keeps only that time.

Three parts do depend on the order, because they record what was published and what sales saw, not the lead itself:
`published`, the hand-over to sales that follows from it, and `rules_at_return`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, NamedTuple

from scorer.domain.activity import LeadActivity
from scorer.domain.counts import KEEP_DAYS, Counts, Days, Hit, count_event, days_of, event_digest, forget_until
from scorer.domain.facts import NO_FACTS, Fact, Facts, Stamp, drop_contradicted, write_facts
from scorer.domain.instant import DAY, day_of
from scorer.domain.score import Grade, Rating, Route, Score
from scorer.domain.statements import RETURNED, STATING, statements

NO_CLOCK = -(1 << 62)
"""The clock of a lead without events: before every possible event."""

ValueTests = Mapping[str, Callable[[object], bool]]
"""The custom facts that a lead keeps, by name, each with the test whether a value has its type."""

_KEEPS_NONE: Final[ValueTests] = MappingProxyType({})


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

    `clock` is the time of the latest activity (microseconds since the epoch); the lead is judged as of this instant.
    `counted` contains the counts of each signal, in ascending order of name.
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

    @property
    def signals(self) -> Mapping[str, Days]:
        """The events counted for each signal."""
        return {name: days_of(counts) for name, counts in self.counted.items()}

    def apply(self, activity: LeadActivity, hits: Iterable[Hit] = (), custom: ValueTests = _KEEPS_NONE) -> "Lead":
        """The lead after the activity; the same object if nothing changes (a repeated or outdated event).

        `custom`: the custom facts that the lead keeps. A value without the type of its fact withdraws the fact. An
        older fact of another name, which earlier rules declared, stays until a later event gives it another value.
        """
        time = activity.time
        if self.erased_at is not None and time <= self.erased_at:
            return self
        kind = activity.type
        if kind == "lead.erased":
            return self._erase(time)
        facts = self._facts_after(activity, custom) if kind in STATING else self.facts
        counted = self._counted_after(activity, hits) if hits else self.counted
        clock = self.clock
        if time > clock:
            clock = time
        elif facts is self.facts and counted is self.counted:
            return self
        return Lead(self.id, clock, facts, counted, self.erased_at, self.published, self.rules_at_return, self.notes)

    def publish(self, published: Published) -> "Lead":
        """The lead after a decision about it was published. A hand-over to sales becomes part of its lifecycle."""
        facts = self.facts
        if self.is_handed_over_by(published.route):
            # The empty id lets an event of the same instant, such as sales accepting the lead, win over the hand-over.
            stamp = Stamp(published.decided_at, "", "")
            facts = write_facts(facts, [("lifecycle.status", "handed_over"), ("at.handed_over", True)], stamp)
        return Lead(
            self.id, self.clock, facts, self.counted, self.erased_at, published, self.rules_at_return, self.notes
        )

    def is_handed_over_by(self, route: Route) -> bool:
        """Whether a decision with this route hands the lead over to sales. A lead that sales has accepted is not handed
        over: that would be a step back."""
        if route is not Route.SALES or (self.published is not None and self.published.route is Route.SALES):
            return False
        return self.value("lifecycle.status") != "accepted"

    def with_notes(self, notes: object) -> "Lead":
        """The same lead with other notes."""
        return Lead(
            self.id,
            self.clock,
            self.facts,
            self.counted,
            self.erased_at,
            self.published,
            self.rules_at_return,
            notes,
        )

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
        fact = self.facts.get(name)
        return None if fact is None else fact.value

    @property
    def is_erased(self) -> bool:
        """Whether the lead was erased and has had no activity since."""
        return self.erased_at is not None and self.clock <= self.erased_at

    def _erase(self, time: int) -> "Lead":
        # Counts are kept per day, so the whole day of the erasure is forgotten, whichever event arrives first.
        counted = {name: forget_until(counts, day_of(time)) for name, counts in self.counted.items()}
        facts = {name: fact for name, fact in self.facts.items() if fact.stamp.time > time}
        return replace(
            self,
            clock=max(self.clock, time),
            facts=Facts(facts),
            counted={name: counts for name, counts in counted.items() if counts is not None},
            erased_at=time,
            rules_at_return=self.rules_at_return if RETURNED in facts else (),
        )

    def _facts_after(self, activity: LeadActivity, custom: ValueTests) -> Mapping[str, Fact]:
        stamp = Stamp(activity.time, activity.id, activity.source)
        stated = statements(activity)
        if not activity.data.get("custom"):
            return write_facts(self.facts, stated, stamp)
        kept: list[tuple[str, object]] = []
        others: list[tuple[str, object]] = []
        for statement in stated:
            name, value = statement
            if "." in name:
                kept.append(statement)
            elif (has_type := custom.get(name)) is None:
                others.append(statement)
            else:
                # Rules cannot tell a value of another type from none, and the type bounds the size of the state.
                kept.append(statement if has_type(value) else (name, None))
        # Rules that declare another name again must find it unknown rather than wrong.
        return drop_contradicted(write_facts(self.facts, kept, stamp), others, stamp)

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
            after = (digest, day, 1) if counts is None else count_event(counts, day, digest, daily_cap, oldest)
            if after is not counts:
                if changed is None:
                    changed = dict(before)
                changed[signal] = after
                is_new = is_new or counts is None
        if changed is None:
            return before
        # Ascending order of names, so that equal states give equal bytes.
        return dict(sorted(changed.items())) if is_new else changed
