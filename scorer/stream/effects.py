"""The only place where the effects of assessments are staged: in the outbox of a transaction and in its figures.

`Assessment.lead` already contains what an effect changes in the lead itself.
"""

from collections.abc import Sequence

from scorer.domain.effects import (
    Answered,
    Decided,
    Deleted,
    Effect,
    Escalated,
    HandedOver,
    StageChanged,
    StatusChanged,
)
from scorer.domain.instant import SECOND
from scorer.domain.trace_context import TraceContext
from scorer.kafka.record_limits import Limit
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import Settings
from scorer.runtime.spans import BatchSpans
from scorer.stream.outbox import Outbox, decision_message, trace_headers
from scorer.stream.too_large import decision_too_large


def stage_effects(
    effects: Sequence[Effect],
    outbox: Outbox,
    figures: BatchFigures,
    settings: Settings,
    now: int,
    limit: Limit,
    trace: TraceContext | None = None,
    spans: BatchSpans | None = None,
) -> None:
    """Add the effects to a transaction. `now`: microseconds since the epoch, used only in headers, as is `trace`, to
    which the activity that caused them belongs. `spans` gives a decision a span of its own.

    Raises `Rejected` if a decision is larger than `limit`. Nothing is added then.
    """
    decisions = [effect.decision for effect in effects if isinstance(effect, Decided)]
    messages = [decision_message(decision, settings.routing_topic, settings.group, now) for decision in decisions]
    for message in messages:
        size = len(message.value or b"")
        if size > limit.size:
            raise decision_too_large(size, limit)
    for decision, message in zip(decisions, messages, strict=True):
        # What time alone decided before an activity arrived does not belong to the trace of that activity.
        context = None if decision.cause == "time" else trace
        if spans is not None:
            context = spans.sent(context, decision.decision_id)
        if context is not None:
            message.headers.extend(trace_headers(context))
    outbox.messages += messages
    for effect in effects:
        match effect:
            case Decided(decision):
                figures.decisions[decision.rating.value, decision.route.value] += 1
                if effect.transition is not None:
                    before, after = effect.transition
                    figures.transitions[before.value, after.value] += 1
            case HandedOver(queue):
                # The CRM reads it from the decision, and later rules read it from the lead's facts.
                figures.handovers[queue or ""] += 1
            case Answered(queue, after):
                # Of an answer that is older than the hand-over nobody can say how long it took.
                if after is not None:
                    figures.responses.append((queue or "", after / SECOND))
            case Escalated(queue, level):
                figures.escalations[queue or "", level] += 1
            case StatusChanged(before, after, usual):
                figures.statuses[before, after, usual] += 1
            case StageChanged(before, after):
                figures.stages[before, after] += 1
            case Deleted(reason):
                figures.deleted[reason] += 1
