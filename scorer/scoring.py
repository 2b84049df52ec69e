"""Points, rating and grade of a lead: decision tables over what is known of it, arithmetic over what it does.

Pure. A lead keeps what the tables saw of its facts as long as the facts are the same, so that a page view costs the
signals and not every table.
"""

from collections.abc import Mapping

from scorer.domain.instant import DAY
from scorer.domain.lead import Fact, Facts, Lead, Memo, days_between
from scorer.rules.plan import DAYS_SINCE, LAST_ACTIVITY, Judged, Rated, Standing
from scorer.rules.ruleset import Ruleset, Signal
from scorer.rules.signal_points import SignalPoints, signal_points

__all__ = ["Rated", "Scored", "fit", "score"]


class Scored:
    """What the scoring makes of a lead as of an instant (`now`, microseconds since the epoch)."""

    __slots__ = ("_lead", "_ruleset", "grade", "judged", "now", "rating", "score", "signals", "standing")

    def __init__(
        self,
        lead: Lead,
        ruleset: Ruleset,
        now: int,
        judged: Judged,
        signals: tuple[tuple[Signal, int], ...],
        standing: Standing,
    ) -> None:
        self._lead = lead
        self._ruleset = ruleset
        self.now = now
        self.judged = judged
        self.signals = signals
        """The signals that give points, with them."""
        self.standing = standing
        self.score, self.rating, self.grade, _ = standing

    @property
    def criteria(self) -> tuple[Rated, ...]:
        """What each criterion gives."""
        return self.judged.rated

    def value(self, field: str) -> object:
        """What the rules saw of one field, None where it is unknown."""
        if not field.startswith(DAYS_SINCE):
            return self._lead.value(field)
        if field == LAST_ACTIVITY:
            return days_between(self._lead.clock, self.now)
        happened = self._lead.facts.get(f"at.{field.removeprefix(DAYS_SINCE)}")
        return None if happened is None else days_between(happened.stamp.time, self.now)

    @property
    def hits(self) -> list[tuple[str, str]]:
        """(criterion, rule) of every rule and signal that gave points or matched."""
        labels = self._ruleset.plan.signals
        return [*self.judged.hits, *[labels[signal.id].label for signal, _ in self.signals]]

    @property
    def signal_points(self) -> Mapping[str, SignalPoints]:
        """The ruleset's signals by id."""
        return self._ruleset.plan.signals

    @property
    def lead_facts(self) -> Mapping[str, Fact]:
        """The facts of the lead that was scored."""
        facts = self._lead.facts
        return facts.known if isinstance(facts, Facts) else facts

    @property
    def facts(self) -> Mapping[str, object]:
        """Everything known of the lead, by field name, as the rules saw it."""
        lead, now = self._lead, self.now
        values: dict[str, object] = {name: fact.value for name, fact in lead.facts.items()}
        for field, fact in self._ruleset.days_since:
            if fact is None:
                values[field] = days_between(lead.clock, now)
            elif (happened := lead.facts.get(fact)) is not None:
                values[field] = days_between(happened.stamp.time, now)
        return values


def fit(lead: Lead, ruleset: Ruleset) -> Memo:
    """What the rules need to know of the lead's facts, remembered or anew; put it into `lead.memo`."""
    known, plan = lead.memo, ruleset.plan
    facts = lead.facts
    if known is None or known.mark != plan.mark:
        return Memo(plan.mark, facts, plan.codes(facts), plan.times(facts))
    if known.facts is facts:
        return known
    before = known.facts.known if isinstance(known.facts, Facts) else known.facts
    after = facts.known if isinstance(facts, Facts) else facts
    if not before.keys() <= after.keys():  # an erasure
        return Memo(plan.mark, facts, plan.codes(after), plan.times(after))
    return Memo(plan.mark, facts, plan.changed_codes(known.codes, before, after), plan.times(after))


def score(lead: Lead, ruleset: Ruleset, now: int) -> Scored:
    """Score, rate and grade the lead as of `now` (microseconds since the epoch)."""
    plan, memo = ruleset.plan, lead.memo
    if memo is None or memo.facts is not lead.facts or memo.mark != plan.mark:
        memo = fit(lead, ruleset)
    times = memo.times
    if times is None:
        times = memo.times = plan.times(lead.facts)
    judged: Judged
    if now != lead.clock:
        judged = plan.judge(plan.vector(memo.codes, times, lead.clock, now))
    elif memo.since <= now < memo.until:
        judged = memo.judged  # type: ignore[assignment]
    else:
        judged = memo.judged = plan.judge(plan.vector(memo.codes, times, now, now))
        memo.since, memo.until = now, plan.until(times, now)
    today = now // DAY
    found: list[tuple[Signal, int]] = []
    by_name: dict[str, int] = {}
    engagement = 0
    known = plan.signals
    for name, counts in lead.counted.items():
        signal = known.get(name)
        if signal is not None:
            if len(counts) == 3:  # seen on one day: here, for a call would cost as much again
                _, day, count = counts
                single = signal.single.get(count) or signal.tabulate(count)  # type: ignore[arg-type]
                age = today - day  # type: ignore[operator]
                points = single[age] if 0 <= age < len(single) else 0
            else:
                points = signal.at(counts, today)
            if points:
                found.append((signal.signal, points))
                by_name[name] = points
                engagement += points
    published = lead.published
    returned = plan.returned_at(times)
    since = None if returned is None else _since_return(lead, judged, found, today, returned // DAY)
    standing = plan.standing(judged, engagement, None if published is None else published.rating, since, by_name)
    return Scored(lead, ruleset, now, judged, tuple(found), standing)


def _since_return(lead: Lead, judged: Judged, signals: list[tuple[Signal, int]], today: int, day: int) -> int:
    """Points that rest on evidence sales did not have when it returned the lead.

    Rules count that did not hold then, so that an answer sent again is nothing new; signals count from the day after
    the return (counts are kept by the day).
    """
    rules = (rule.points for rated in judged.rated for rule in rated.rules if rule.id not in lead.seen)
    behaviour = (signal_points(signal, lead.counted[signal.id], today, day) for signal, _ in signals)
    return sum(rules) + sum(behaviour)
