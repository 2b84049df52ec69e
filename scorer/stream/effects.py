"""The only place where the effects of assessments are staged: in the outbox of a transaction and in its figures.

`Assessment.lead` already contains what an effect changes in the lead itself.
"""

from collections.abc import Iterable

from scorer.domain.effects import Decided, Effect, HandedOver
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import Settings
from scorer.stream.outbox import Outbox, decision_message


def stage_effects(
    effects: Iterable[Effect], outbox: Outbox, figures: BatchFigures, settings: Settings, now: int
) -> None:
    """Add the effects to a transaction. `now`: microseconds since the epoch, used only in headers."""
    for effect in effects:
        match effect:
            case Decided(decision):
                outbox.messages.append(decision_message(decision, settings.routing_topic, settings.group, now))
                figures.decisions[decision.rating.value, decision.route.value] += 1
                if effect.transition is not None:
                    before, after = effect.transition
                    figures.transitions[before.value, after.value] += 1
            case HandedOver():
                # The CRM reads it from the decision, and later rules read it from the lead's facts.
                pass
