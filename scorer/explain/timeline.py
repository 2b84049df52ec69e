"""What changed a lead, activity by activity: the score before and after, and the rules that came and went."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import Contribution
from scorer.domain.instant import to_text
from scorer.domain.lead import Lead, event_hash
from scorer.evaluation.assessment import Evaluation, assess, evaluate
from scorer.evaluation.contributions import contributions
from scorer.explain.story_model import Event, RuleChange, TimelineEntry
from scorer.rules.ruleset import Ruleset


class _View(NamedTuple):
    """A lead as it was judged last."""

    evaluation: Evaluation
    points: Mapping[tuple[str, str], Contribution]


@dataclass(slots=True)
class History:
    """A lead with what made it so. `add` activities in the order in which they arrive."""

    ruleset: Ruleset
    lead: Lead
    entries: list[TimelineEntry] = field(default_factory=list)
    without_effect: int = 0
    events: dict[int, Event] = field(default_factory=dict)
    """Every activity by its hash, for the signals."""
    _last: _View | None = None

    def add(self, activity: LeadActivity) -> None:
        """Apply an activity as the service does."""
        before = self.lead
        assessment = assess(before, activity, self.ruleset)
        self.lead = assessment.lead
        event = Event(time=to_text(activity.time), id=activity.id, source=activity.source)
        self.events.setdefault(event_hash(activity), event)
        if assessment.evaluation is None:
            self.without_effect += 1
            return
        now = assessment.evaluation.scored.now
        # The state of before the decision: publishing one can write the hand-over, which is no part of this judgement.
        view = _view(assessment.evaluation, assessment.lead)
        last = self._last
        changes: list[RuleChange] = []
        if last is not None and now > last.evaluation.scored.now:
            aged = _view(evaluate(before, self.ruleset, now), before)
            changes += _changes(last, aged, "time")
            changes += _changes(aged, view, "activity")
        else:
            changes += _changes(last, view, "activity")
        entry = TimelineEntry(
            time=event.time,
            activity=activity.type,
            event=event,
            late=activity.time < before.clock,
            published=assessment.decision is not None,
            score_before=None if last is None else last.evaluation.scored.score.total,
            score=view.evaluation.scored.score.total,
            rating_before=None if last is None else last.evaluation.scored.rating,
            rating=view.evaluation.scored.rating,
            route_before=None if last is None else last.evaluation.routing.route,
            route=view.evaluation.routing.route,
            routing_rule=view.evaluation.routing.id,
            changes=changes,
        )
        if entry.published or changes or last is None or last.evaluation.routing.id != entry.routing_rule:
            self.entries.append(entry)
        else:
            self.without_effect += 1
        self._last = view


def history(lead_id: str, activities: Iterable[LeadActivity], ruleset: Ruleset) -> History:
    """The history of a lead from all its activities, in the order in which they arrived."""
    found = History(ruleset, Lead(lead_id))
    for activity in activities:
        found.add(activity)
    return found


def _view(evaluation: Evaluation, lead: Lead) -> _View:
    parts = contributions(evaluation.scored, lead)
    return _View(evaluation, {(part.criterion, part.rule): part for part in parts})


def _changes(before: _View | None, after: _View, cause: Literal["activity", "time"]) -> list[RuleChange]:
    old: Mapping[tuple[str, str], Contribution] = {} if before is None else before.points
    new = after.points
    found = []
    for key in {**old, **new}:
        had, has = old.get(key), new.get(key)
        points = 0 if had is None else had.points, 0 if has is None else has.points
        if points[0] != points[1]:
            reason = (has or had).reason  # type: ignore[union-attr]
            found.append(
                RuleChange(criterion=key[0], rule=key[1], reason=reason, before=points[0], after=points[1], cause=cause)
            )
    return sorted(found, key=lambda each: (-abs(each.after - each.before), each.criterion, each.rule))
