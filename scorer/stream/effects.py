"""The effects of assessments are staged here and nowhere else: into the outbox of a transaction, and into its figures.
What an effect means for the lead itself is in `Assessment.lead` already.
"""

from collections.abc import Iterable

from scorer.domain.effects import Decided, Effect, HandedOver
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import Settings
from scorer.stream.outbox import Outbox, decision_message


def stage_effects(
    effects: Iterable[Effect], outbox: Outbox, figures: BatchFigures, settings: Settings, now: int
) -> None:
    """Add the effects to a transaction. `now` in microseconds since the epoch, for headers only."""
    for effect in effects:
        match effect:
            case Decided(decision):
                source = f"/lead-scorer/{settings.group}"
                outbox.messages.append(decision_message(decision, settings.routing_topic, source, now))
                figures.decisions[decision.rating.value, decision.route.value] += 1
                if effect.transition is not None:
                    before, after = effect.transition
                    figures.transitions[before.value, after.value] += 1
            case HandedOver():
                # The decision says so to the CRM, and the lead's facts to later rules.
                pass
