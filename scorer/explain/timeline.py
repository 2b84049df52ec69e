"""What changed a lead, activity by activity: the score before and after, and the rules whose points changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from scorer.domain.activity import LeadActivity
from scorer.domain.counts import event_hash
from scorer.domain.decision import Contribution
from scorer.domain.effects import Answered
from scorer.domain.instant import to_text
from scorer.domain.lead import NO_CLOCK, Lead
from scorer.domain.lifecycle import STAGE_NAME, STATUS, Step
from scorer.domain.unfitting_keys import UnfittingKeys
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Evaluation
from scorer.explain.escalations import escalations
from scorer.explain.story_model import Escalation, Event, RuleChange, TimelineEntry
from scorer.sources.rejected import Rejected


class _View(NamedTuple):
    """The latest evaluation of a lead, and where it is in its life."""

    evaluation: Evaluation
    points: Mapping[tuple[str, str], Contribution]
    status: str
    stage: str | None


@dataclass(slots=True)
class History:
    """A lead and the activities that changed it. `add` activities in the order in which they arrive."""

    evaluator: Evaluator
    lead: Lead
    entries: list[TimelineEntry] = field(default_factory=list)
    without_effect: int = 0
    refused: int = 0
    """Activities that the rules do not accept from their source. They are in nothing else."""
    events: dict[int, Event] = field(default_factory=dict)
    """Every activity by its hash. Signals look up their events here."""
    escalated: list[Escalation] = field(default_factory=list)
    stated: dict[Step, Event] = field(default_factory=dict)
    """The events of the steps of sales."""
    unfitting: UnfittingKeys = field(default_factory=UnfittingKeys)
    """What was dropped from the activities."""
    added: int = 0
    _last: _View | None = None

    def add(self, activity: LeadActivity, arrival: int | None = None) -> None:
        """Apply an activity exactly as the service does. `arrival`: microseconds since the epoch; None: at its own
        time. Raises `Rejected` if the rules refuse its source."""
        until = activity.time if arrival is None else arrival
        caught_up = self.evaluator.catch_up(self.lead, until)
        before = caught_up.lead
        self.escalated += escalations(caught_up.effects)
        if before.clock == NO_CLOCK:
            # A lead whose retention has ended meanwhile has no history either.
            self.entries, self.events, self.stated, self.escalated = [], {}, {}, []
            self.without_effect, self._last = 0, None
            self.unfitting, self.added = UnfittingKeys(), 0
        assessment = self.evaluator.assess(before, activity, arrival)
        self.lead = assessment.lead
        self.added += 1
        self.unfitting.note(self.added, self.evaluator.unfitting(activity))
        self.escalated += escalations(assessment.effects)
        event = Event(time=to_text(activity.time), id=activity.id, source=activity.source)
        self.events.setdefault(event_hash(activity), event)
        for step in set(_steps(self.lead)).difference(_steps(before)):
            self.stated[step] = Event(time=to_text(step.time), id=activity.id, source=activity.source)
        if assessment.evaluation is None:
            self.without_effect += 1
            return
        now = assessment.evaluation.now
        view = self._view(assessment.evaluation, self.lead)
        last = self._last
        changes: list[RuleChange] = []
        if last is not None and now > last.evaluation.now:
            aged = self._view(self.evaluator.evaluate(before, now), before)
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
            status_before=None if last is None else last.status,
            status=view.status,
            stage_before=None if last is None else last.stage,
            stage=view.stage,
            escalated=_level(before),
            answered=any(isinstance(effect, Answered) for effect in assessment.effects),
            changes=changes,
        )
        is_step = entry.answered or (last is not None and (last.status, last.stage) != (view.status, view.stage))
        is_rerouted = last is None or last.evaluation.routing.id != entry.routing_rule
        if entry.published or changes or is_step or is_rerouted:
            self.entries.append(entry)
        else:
            self.without_effect += 1
        self._last = view

    def _view(self, evaluation: Evaluation, lead: Lead) -> _View:
        parts = self.evaluator.explain(evaluation)
        stage = lead.value(STAGE_NAME)
        return _View(
            evaluation,
            {(part.criterion, part.rule): part for part in parts},
            str(lead.value(STATUS) or "new"),
            None if stage is None else str(stage),
        )


def _steps(lead: Lead) -> tuple[Step, ...]:
    return () if lead.lifecycle is None else lead.lifecycle.steps


def _level(lead: Lead) -> int:
    """How often the lead was escalated."""
    promise = None if lead.lifecycle is None else lead.lifecycle.promise
    return 0 if promise is None else promise.level


def history(lead_id: str, activities: Iterable[LeadActivity], evaluator: Evaluator) -> History:
    """The history of a lead from all its activities, given in the order in which they arrived, each at its own time."""
    lead_history = History(evaluator, Lead(lead_id))
    for activity in activities:
        try:
            lead_history.add(activity)
        except Rejected:
            lead_history.refused += 1
    return lead_history


def _changes(before: _View | None, after: _View, cause: Literal["activity", "time"]) -> list[RuleChange]:
    old: Mapping[tuple[str, str], Contribution] = {} if before is None else before.points
    new = after.points
    changes = []
    for key in {**old, **new}:
        criterion, rule = key
        old_points = old[key].points if key in old else 0
        new_points = new[key].points if key in new else 0
        if old_points != new_points:
            reason = (new[key] if key in new else old[key]).reason
            change = RuleChange(
                criterion=criterion, rule=rule, reason=reason, before=old_points, after=new_points, cause=cause
            )
            changes.append(change)
    return sorted(changes, key=lambda change: (-abs(change.after - change.before), change.criterion, change.rule))
