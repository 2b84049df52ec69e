"""Points, rating and grade of a lead: decision tables over what is known of it, arithmetic over what it does.

Pure. A lead keeps what the tables saw of its facts as long as the facts are the same, so that a page view costs the
signals and not every table.
"""

from collections.abc import Iterable, Mapping, Sequence

from scorer.domain.instant import DAY
from scorer.domain.lead import Fact, Facts, Lead, Memo, days_between
from scorer.domain.score import Grade, Rating, Score
from scorer.evaluation.criteria import Judged, Rated
from scorer.evaluation.fact_vector import DAYS_SINCE, LAST_ACTIVITY
from scorer.evaluation.routing import Outcome
from scorer.evaluation.signal_points import SignalPoints, signal_points
from scorer.rules.ruleset import Ruleset, Signal

__all__ = ["Rated", "Scored", "fit", "score"]


class Scored:
    """What the scoring makes of a lead as of an instant (`now`, microseconds since the epoch)."""

    __slots__ = ("_lead", "_ruleset", "engaged", "judged", "now", "routing", "standing")

    def __init__(
        self,
        lead: Lead,
        ruleset: Ruleset,
        now: int,
        judged: Judged,
        engaged: Mapping[str, int],
        outcome: Outcome,
    ) -> None:
        self._lead = lead
        self._ruleset = ruleset
        self.now = now
        self.judged = judged
        self.engaged = engaged
        """Points by signal, of those that give any."""
        self.standing, self.routing = outcome

    @property
    def score(self) -> Score:
        """The points."""
        return self.standing.score

    @property
    def rating(self) -> Rating:
        """Cold, warm or hot."""
        return self.standing.rating

    @property
    def grade(self) -> Grade:
        """Fit and engagement as a letter and a figure."""
        return self.standing.grade

    @property
    def criteria(self) -> tuple[Rated, ...]:
        """What each criterion gives."""
        return self.judged.rated

    @property
    def signals(self) -> Sequence[tuple[Signal, int]]:
        """The signals that give points, with them."""
        known = self._ruleset.plan.signals
        return [(known[name].signal, points) for name, points in self.engaged.items()]

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
        known = self._ruleset.plan.signals
        return [*self.judged.hits, *[known[name].label for name in self.engaged]]

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
    erased = not before.keys() <= after.keys()
    codes = plan.codes(after) if erased else plan.changed_codes(known.codes, before, after)
    return Memo(plan.mark, facts, codes, plan.times(after), known.worth)


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
    engaged: dict[str, int] = {}
    engagement = 0
    known, worth, outcomes = plan.signals, memo.worth, plan.outcomes
    for name, counts in lead.counted.items():
        each = worth.get(name)
        if each is None or each[0] is not counts or not each[2] <= today < each[3]:
            signal = known.get(name)
            if signal is None:  # of other rules
                continue
            each = worth[name] = signal.worth(counts, today, each)
        points = each[1]
        if points:
            engaged[name] = points
            engagement += points
    published = lead.published
    returned = plan.returned_at(times) if times else None
    since = None if returned is None else _since_return(lead, ruleset, judged, engaged, today, returned // DAY)
    before = None if published is None else published.rating
    standpoint = (engagement, before, since, *map(engaged.get, outcomes.asked_signals))
    outcome = outcomes.outcome(judged, standpoint)
    return Scored(lead, ruleset, now, judged, engaged, outcome)


def _since_return(lead: Lead, ruleset: Ruleset, judged: Judged, engaged: Iterable[str], today: int, day: int) -> int:
    """Points that rest on evidence sales did not have when it returned the lead.

    Rules count that did not hold then, so that an answer sent again is nothing new; signals count from the day after
    the return (counts are kept by the day).
    """
    rules = (rule.points for rated in judged.rated for rule in rated.rules if rule.id not in lead.seen)
    behaviour = (signal_points(ruleset.signals[name], lead.counted[name], today, day) for name in engaged)
    return sum(rules) + sum(behaviour)
