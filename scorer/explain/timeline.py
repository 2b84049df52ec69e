"""What changed a lead, activity by activity: the score before and after, and the rules that came and went."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from scorer.domain.activity import LeadActivity
from scorer.domain.counts import event_hash
from scorer.domain.decision import Contribution
from scorer.domain.instant import to_text
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Evaluation
from scorer.explain.story_model import Event, RuleChange, TimelineEntry


class _View(NamedTuple):
    """A lead as it was judged last."""

    evaluation: Evaluation
    points: Mapping[tuple[str, str], Contribution]


@dataclass(slots=True)
class History:
    """A lead with what made it so. `add` activities in the order in which they arrive."""

    evaluator: Evaluator
    lead: Lead
    entries: list[TimelineEntry] = field(default_factory=list)
    without_effect: int = 0
    events: dict[int, Event] = field(default_factory=dict)
    """Every activity by its hash, for the signals."""
    _last: _View | None = None

    def add(self, activity: LeadActivity) -> None:
        """Apply an activity as the service does."""
        before = self.lead
        assessment = self.evaluator.assess(before, activity)
        self.lead = assessment.lead
        event = Event(time=to_text(activity.time), id=activity.id, source=activity.source)
        self.events.setdefault(event_hash(activity), event)
        if assessment.evaluation is None:
            self.without_effect += 1
            return
        now = assessment.evaluation.now
        view = self._view(assessment.evaluation)
        last = self._last
        changes: list[RuleChange] = []
        if last is not None and now > last.evaluation.now:
            aged = self._view(self.evaluator.evaluate(before, now))
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
            score_before=None if last is None else last.evaluation.score.total,
            score=view.evaluation.score.total,
            rating_before=None if last is None else last.evaluation.rating,
            rating=view.evaluation.rating,
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

    def _view(self, evaluation: Evaluation) -> _View:
        parts = self.evaluator.explain(evaluation)
        return _View(evaluation, {(part.criterion, part.rule): part for part in parts})


def history(lead_id: str, activities: Iterable[LeadActivity], evaluator: Evaluator) -> History:
    """The history of a lead from all its activities, in the order in which they arrived."""
    found = History(evaluator, Lead(lead_id))
    for activity in activities:
        found.add(activity)
    return found


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
