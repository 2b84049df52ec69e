"""Counts what happens to leads while their activities are replayed.

A change counts when it becomes known: the base and the transitions follow the order in which activities arrive. What
belongs to a day (hand-overs, wins, reached phases) counts on the day on which it happened.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from math import isfinite
from operator import attrgetter
from typing import Final, NamedTuple

from scorer.domain.activity import LeadActivity
from scorer.domain.counts import Counts, days_counted
from scorer.domain.effects import Answered, Decided, Deleted, Effect, Escalated, HandedOver, StageChanged, StatusChanged
from scorer.domain.instant import DAY, from_datetime
from scorer.domain.lead import Lead
from scorer.domain.lifecycle import (
    MOST_DECISIONS,
    STEPS,
    Lifecycle,
    Step,
    step_of,
)
from scorer.domain.lifecycle import (
    Decided as Decision,
)
from scorer.domain.score import Route
from scorer.domain.statements import STATING
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.figures.contributions import NONE, Contributions
from scorer.keyfigures.tally import Fate, HotLead, KeyTally, Kind
from scorer.rules.ruleset import ACTION

MOST_VALUE: Final = 1e15
"""No deal is worth more; a value above is a mistake and not added up. The same bound as that of `targets`."""

MOST_EARLIER: Final = 1_000
"""Of a lead with more steps or decisions beside those that it keeps, the others are not counted."""


class _Promised(NamedTuple):
    """An open promise; instants in microseconds since the epoch."""

    queue: str | None
    made_at: int
    respond_by: int


class _Earlier(NamedTuple):
    """Steps and decisions that a lead does not keep any more because it has too many."""

    steps: set[Step]
    decisions: list[Decision]


_NONE_EARLIER: Final = _Earlier(set(), [])


class _Place:
    """Where a lead stands while its effects are followed. None: it is not in the base."""

    def __init__(self, lead: Lead) -> None:
        known = lead.published is not None
        self.rating = lead.published.rating.value if lead.published is not None else None
        self.status: str | None = lead.status if known else None
        self.category = _category(lead) if known else None
        promise = lead.promise
        self.promise = None if promise is None else _Promised(promise.queue, promise.made_at, promise.respond_by)


class Journeys:
    """The counts of the leads of one shard."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        lifecycle = evaluator.ruleset.lifecycle
        self._contributions = Contributions(evaluator.ruleset)
        self.day_of = lru_cache(1 << 14)(self._contributions.periods.day_of)
        self._counted_types = frozenset(action.activity for action in lifecycle.actions.values())
        self._has_categories = bool(lifecycle.categories)
        self._phases = lifecycle.phases
        self._calendar = evaluator.ruleset.calendar
        self._tolerance = evaluator.ruleset.tolerance
        self._tally = KeyTally()
        self._earlier: dict[str, _Earlier] = {}
        self.latest: int | None = None
        """The latest arrival of an activity since the last `take`."""

    def take(self) -> KeyTally:
        """The counts of all leads so far. Then counting begins again."""
        tally, self._tally, self.latest = self._tally, KeyTally(), None
        self._earlier = {}
        for names in (tally.reasons_lost, tally.competitors, tally.reasons_returned, tally.unknown_stages):
            names.finish()
        return tally

    def saw(self, before: Lead, after: Assessment, activity: LeadActivity | None, arrival: int) -> None:
        """As `scorer.backtest.replay.Watch`."""
        if activity is not None:
            if self.latest is None or arrival > self.latest:
                self.latest = arrival
            kind = activity.type
            if kind == "lead.erased" or kind in STEPS or kind in self._counted_types:
                self._saw_activity(before, after, activity, arrival)
        if not after.effects and after.lead.lifecycle is before.lifecycle:
            return
        if after.lead.erased_at == before.erased_at:
            self._keep(before.lifecycle, after.lead)
        place = _Place(before)
        now = self._followed(place, before, after, activity, arrival)
        if place.promise is not None and after.lead.promise is None:
            ended = now if activity is None else self._time_of(activity, arrival)
            self._end(place.promise, ended)
        if after.lead.published is not None:
            self._stand("rating", place.rating, after.lead.published.rating.value, now)
            self._stand("status", place.status, after.lead.status, now)
            self._stand("category", place.category, _category(after.lead), now)

    def ended(self, lead: Lead, until: int) -> None:
        """As `scorer.backtest.replay.Watch`."""
        tally = self._tally
        deletion = self._evaluator.deletion(lead).instant
        if deletion <= until:
            self._leave(_Place(lead), lead, deletion)
            return
        tally.dated.update(self._dated(self._whole(lead)))
        if lead.published is None:
            return
        promise, waiting = lead.promise, self._contributions.waiting(lead.lifecycle)
        if promise is not None and waiting is not None:
            is_overdue = promise.respond_by <= until
            tally.fates[promise.queue, "missed" if is_overdue else "open"] += 1
            tally.waiting["open"] += 1
            tally.waiting["overdue"] += is_overdue
            tally.waiting["hot"] += waiting.is_hot
            if waiting.is_hot:
                queue = promise.queue_at(promise.level)
                tally.add_hot(HotLead(promise.made_at, lead.id, promise.respond_by, queue))

    def _followed(
        self, place: _Place, before: Lead, after: Assessment, activity: LeadActivity | None, arrival: int
    ) -> int:
        """Follow the effects. Returns the instant of the last one."""
        now = max(before.judged_at, arrival) if after.evaluation is None else after.evaluation.now
        instant = now
        categories = self._categories(before, after, activity, arrival)
        effects = after.effects
        if activity is not None and activity.type == "lead.erased":
            # What is forgotten is no change of the lead.
            effects = effects[: after.earlier]
        for number, effect in enumerate(effects):
            if number == after.earlier:
                instant = now
            if isinstance(effect, Decided):
                instant = from_datetime(datetime.fromisoformat(effect.decision.decided_at))
                self._decided(place, effect, instant)
            elif isinstance(effect, Deleted):
                for time, category in categories:
                    self._stand("category", place.category, category, time)
                    place.category = category
                categories = ()
                self._leave(place, self._evaluator.catch_up(before, effect.at - 1).lead, effect.at)
            else:
                self._count(place, effect, instant)
        for time, category in categories:
            self._stand("category", place.category, category, time)
            place.category = category
        return now

    def _decided(self, place: _Place, effect: Decided, instant: int) -> None:
        decision, transition = effect.decision, effect.transition
        rating = decision.rating.value
        if transition is not None:
            self._tally.changes["rating", transition[0].value, rating] += 1
        self._stand("rating", place.rating, rating, instant)
        place.rating = rating
        if place.promise is not None and decision.route is not Route.SALES:
            self._end(place.promise, instant)
            place.promise = None

    def _count(self, place: _Place, effect: Effect, instant: int) -> None:
        tally = self._tally
        match effect:
            case HandedOver():
                tally.handed_over += 1
                if place.promise is not None:
                    self._end(place.promise, instant)
                    place.promise = None
                if effect.respond_by is not None:
                    place.promise = _Promised(effect.queue, instant, effect.respond_by)
                    tally.promises[effect.queue] += 1
            case Answered():
                self._answered(place, effect)
            case Escalated():
                tally.escalations[effect.queue if place.promise is None else place.promise.queue] += 1
            case StatusChanged():
                tally.changes["status", effect.before, effect.after] += 1
                if not effect.usual:
                    tally.unusual[effect.before, effect.after] += 1
                self._stand("status", place.status, effect.after, instant)
                place.status = effect.after
            case StageChanged():
                stage = self._contributions.stage
                tally.changes["stage", stage(effect.before), stage(effect.after)] += 1

    def _answered(self, place: _Place, effect: Answered) -> None:
        promise, tally = place.promise, self._tally
        if promise is None:
            return
        fate: Fate = "unmeasured"
        if effect.after is not None:
            answered_at, calendar = promise.made_at + effect.after, self._calendar
            waited = effect.after if calendar is None else calendar.business_time(promise.made_at, answered_at)
            tally.answers[promise.queue].append(waited)
            fate = "kept" if promise.made_at + effect.after < promise.respond_by else "late"
        tally.fates[promise.queue, fate] += 1
        place.promise = None

    def _end(self, promise: _Promised, instant: int) -> None:
        self._tally.fates[promise.queue, "withdrawn" if instant < promise.respond_by else "missed"] += 1

    def _leave(self, place: _Place, lead: Lead, instant: int) -> None:
        """The lead is deleted. What it contributed to periods that are over stays."""
        if place.promise is not None:
            self._end(place.promise, instant)
        self._stand("rating", place.rating, None, instant)
        self._stand("status", place.status, None, instant)
        self._stand("category", place.category, None, instant)
        place.rating = place.status = place.category = place.promise = None
        self._tally.dated.update(self._dated(self._whole(lead)))
        self._earlier.pop(lead.id, None)

    def _saw_activity(self, before: Lead, after: Assessment, activity: LeadActivity, arrival: int) -> None:
        lead = after.lead
        if after.reviewed or any(isinstance(effect, Deleted) for effect in after.effects[: after.earlier]):
            before = self._evaluator.catch_up(before, arrival).lead
        time = self._time_of(activity, arrival)
        if activity.type == "lead.erased":
            whole = self._whole(before)
            if before.erased_at != lead.erased_at and whole is not None:
                self._tally.dated.update(self._dated(_until(whole, time)))
                earlier = self._earlier.pop(lead.id, _NONE_EARLIER)
                self._put(
                    lead.id,
                    [step for step in earlier.steps if step.time > time],
                    [decision for decision in earlier.decisions if decision.time > time],
                )
            return
        step = step_of(activity if activity.time == time else _at(activity, time))
        if step is not None and (lead.erased_at is None or step.time > lead.erased_at):
            whole = self._whole(before)
            if whole is None or step not in whole.steps:
                self._stepped(activity, step)
                if step not in _steps(lead.lifecycle):
                    self._put(lead.id, [step], [])
        day = time // DAY
        for hit in self._evaluator.hits(activity):
            if hit.signal.startswith(ACTION):
                more = _number(lead.counted, hit.signal, day) - _number(before.counted, hit.signal, day)
                if more:
                    self._tally.actions[hit.signal.removeprefix(ACTION), day] += more

    def _stepped(self, activity: LeadActivity, step: Step) -> None:
        tally, data = self._tally, activity.data
        match activity.type:
            case "lead.sales_returned":
                tally.reasons_returned.add(data.get("reason"), step.time)
            case "lead.opportunity_lost":
                tally.reasons_lost.add(data.get("reason"), step.time)
                tally.competitors.add(data.get("competitor"), step.time)
            case "lead.stage_changed":
                if self._phases and step.stage not in self._phases:
                    tally.unknown_stages.add(step.stage, step.time)
            case "lead.opportunity_won":
                value = data.get("value")
                if isinstance(value, int | float) and isfinite(value) and 0 < value <= MOST_VALUE:
                    day = self.day_of(step.time)
                    tally.values[day] += Fraction(str(value))
                    tally.deals[day] += 1

    def _keep(self, before: Lifecycle | None, lead: Lead) -> None:
        """Keep what the lead does not keep any more because it has more."""
        after = lead.lifecycle
        if before is None or after is None:
            return
        steps: list[Step] = []
        decisions: list[Decision] = []
        if after.steps is not before.steps:
            steps = [step for step in before.steps if step not in after.steps]
        if after.decisions is not before.decisions and len(before.decisions) == MOST_DECISIONS:
            decisions = [decision for decision in before.decisions if decision not in after.decisions]
        self._put(lead.id, steps, decisions)

    def _put(self, lead_id: str, steps: Sequence[Step], decisions: Sequence[Decision]) -> None:
        if not steps and not decisions:
            return
        earlier = self._earlier.setdefault(lead_id, _Earlier(set(), []))
        if len(earlier.steps) < MOST_EARLIER:
            earlier.steps.update(steps)
        if len(earlier.decisions) < MOST_EARLIER:
            known = set(map(_unrated, earlier.decisions))
            earlier.decisions.extend(decision for decision in decisions if _unrated(decision) not in known)

    def _whole(self, lead: Lead) -> Lifecycle | None:
        """The lifecycle with the steps and decisions that the lead does not keep any more."""
        kept, earlier = lead.lifecycle, self._earlier.get(lead.id)
        if kept is None or earlier is None:
            return kept
        # A lead that forgets a change of the rating writes the new one into the decision before, which is known here.
        known = set(map(_unrated, earlier.decisions))
        decisions = [*earlier.decisions, *(each for each in kept.decisions if _unrated(each) not in known)]
        decisions.sort(key=attrgetter("decided_at"))
        return Lifecycle(tuple(sorted({*kept.steps, *earlier.steps})), tuple(decisions))

    def _categories(
        self, before: Lead, after: Assessment, activity: LeadActivity | None, arrival: int
    ) -> Sequence[tuple[int, str]]:
        """When reviews changed the category of the lead, and to which one."""
        if not self._has_categories or not after.reviewed:
            return ()
        # An evaluation holds the lead as the review before it left it.
        found = [_category(evaluation.lead) for evaluation in after.reviewed[1:]]
        found.append(self._category_after_reviews(before, after, activity, arrival))
        return [(evaluation.now, category) for evaluation, category in zip(after.reviewed, found, strict=True)]

    def _category_after_reviews(
        self, before: Lead, after: Assessment, activity: LeadActivity | None, arrival: int
    ) -> str:
        """The category of the lead when the activity arrived, or when it was deleted before."""
        last = _category(after.lead)
        deleted = next((effect.at for effect in after.effects if isinstance(effect, Deleted)), None)
        forgotten = activity is not None and activity.type == "lead.erased"
        if deleted is None and not forgotten:
            if after.evaluation is None:
                return last
            if after.evaluation.lead is not after.lead:
                return _category(after.evaluation.lead)
            if activity is None or activity.type not in STATING:
                return last
        return _category(self._evaluator.catch_up(before, arrival if deleted is None else deleted - 1).lead)

    def _dated(self, lifecycle: Lifecycle | None) -> Mapping[tuple[int, tuple[str, ...]], int]:
        counts: dict[tuple[int, tuple[str, ...]], int] = {}
        if lifecycle is not None:
            for instant, key in self._contributions.entries(lifecycle):
                if instant is not None:
                    day = self.day_of(instant)
                    counts[day, key] = counts.get((day, key), 0) + 1
        return counts

    def _stand(self, kind: Kind, old: str | None, new: str | None, instant: int) -> None:
        if old == new:
            return
        day, moves = self.day_of(instant), self._tally.moves
        if old is not None:
            moves[kind, old, day] -= 1
        if new is not None:
            moves[kind, new, day] += 1

    def _time_of(self, activity: LeadActivity, arrival: int) -> int:
        return min(activity.time, arrival + self._tolerance)


def _category(lead: Lead) -> str:
    category = None if lead.lifecycle is None else lead.lifecycle.category
    return NONE if category is None else category


def _steps(lifecycle: Lifecycle | None) -> Sequence[Step]:
    return () if lifecycle is None else lifecycle.steps


def _until(lifecycle: Lifecycle, time: int) -> Lifecycle:
    """The part that an erasure at `time` forgets."""
    return Lifecycle(
        tuple(step for step in lifecycle.steps if step.time <= time),
        tuple(decided for decided in lifecycle.decisions if decided.time <= time),
    )


def _at(activity: LeadActivity, time: int) -> LeadActivity:
    return LeadActivity(activity.id, activity.source, activity.type, time, activity.lead_id, activity.data)


def _number(counted: Mapping[str, Counts], name: str, day: int) -> int:
    counts = counted.get(name)
    return 0 if counts is None else dict(days_counted(counts)).get(day, 0)


def _unrated(decision: Decision) -> Decision:
    return decision._replace(rating=0)
