"""Where a lead is between marketing and sales: its status, its steps, and the promise that is open."""

from collections.abc import Iterable

from scorer.domain.instant import to_text
from scorer.domain.lead import Lead
from scorer.domain.lifecycle import STAGE_NAME, STATUS, Lifecycle, Promise, passages, stage_passages
from scorer.explain.story_model import Escalation, LifecyclePart, LifecycleStep, PromisePart
from scorer.rules.ruleset import ACTION, Ruleset


def lifecycle_part(lead: Lead, ruleset: Ruleset, escalated: Iterable[Escalation] = ()) -> LifecyclePart:
    """The lifecycle of a lead, as far as its state tells it. `escalated`: the escalations that its history tells."""
    lifecycle, status, stage = lead.known_lifecycle(), lead.facts.get(STATUS), lead.facts.get(STAGE_NAME)
    return LifecyclePart(
        status=lead.status,
        since=None if status is None else to_text(status.stamp.time),
        stage=None if stage is None else str(stage.value),
        stage_since=None if stage is None else to_text(stage.stamp.time),
        category=lifecycle.category if ruleset.lifecycle.categories else None,
        promise=None if lead.promise is None else _promise(lead.promise, ruleset),
        steps=_steps(lifecycle),
        escalations=_escalations(lead.promise, lead.erased_at, escalated),
        actions=_actions(lead, ruleset),
    )


def _promise(promise: Promise, ruleset: Ruleset) -> PromisePart:
    has_next = promise.level < len(promise.levels)
    at, queue = promise.levels[promise.level] if has_next else (None, None)
    return PromisePart(
        made_at=to_text(promise.made_at),
        queue=promise.queue,
        respond_by=to_text(promise.respond_by),
        in_business_time=ruleset.calendar is not None,
        zone=None if ruleset.calendar is None else ruleset.calendar.zone,
        escalated=promise.level,
        next_level_at=None if at is None else to_text(at),
        next_queue=queue,
    )


def _escalations(promise: Promise | None, erased_at: int | None, before: Iterable[Escalation]) -> list[Escalation]:
    """Those of the promise that is open are known from the promise, so they are the same with and without a history."""
    reached = () if promise is None else promise.levels[: promise.level]
    known = [Escalation(at=to_text(at), level=level, queue=queue) for level, (at, queue) in enumerate(reached, start=1)]
    closed = [
        escalation
        for escalation in before
        if (promise is None or escalation.at <= to_text(promise.made_at))
        and (erased_at is None or escalation.at > to_text(erased_at))
    ]
    return [*closed, *known]


def _steps(lifecycle: Lifecycle) -> list[LifecycleStep]:
    found = [(passage, "status") for passage in passages(lifecycle)]
    found += [(passage, "stage") for passage in stage_passages(lifecycle)]
    return [
        LifecycleStep.model_validate(
            {"time": to_text(passage.time), "kind": kind, "before": passage.before or None, "after": passage.after}
        )
        for passage, kind in sorted(found, key=lambda entry: entry[0].time)
    ]


def _actions(lead: Lead, ruleset: Ruleset) -> dict[str, int]:
    counted = lead.signals
    return {
        name.removeprefix(ACTION): sum(map(len, counted[name].values()))
        for name in ruleset.lifecycle.actions
        if name in counted
    }
