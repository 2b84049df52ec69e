"""The only place where the effects of assessments are staged: in the outbox of a transaction and in its figures.

`Assessment.lead` already contains what an effect changes in the lead itself.
"""

from collections.abc import Sequence

from scorer.domain.effects import Decided, Effect, HandedOver
from scorer.kafka.record_limits import Limit
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import Settings
from scorer.stream.outbox import Outbox, decision_message
from scorer.stream.too_large import decision_too_large


def stage_effects(
    effects: Sequence[Effect], outbox: Outbox, figures: BatchFigures, settings: Settings, now: int, limit: Limit
) -> None:
    """Add the effects to a transaction. `now`: microseconds since the epoch, used only in headers.

    Raises `Rejected` if a decision is larger than `limit`. Nothing is added then.
    """
    messages = [
        decision_message(effect.decision, settings.routing_topic, settings.group, now)
        for effect in effects
        if isinstance(effect, Decided)
    ]
    for message in messages:
        size = len(message.value or b"")
        if size > limit.size:
            raise decision_too_large(size, limit)
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
