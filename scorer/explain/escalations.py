"""When a broken promise went up, or will go up, a level: as the decisions about the lead say it."""

from collections.abc import Iterable, Iterator

from scorer.domain.effects import Decided, Effect, Escalated
from scorer.explain.story_model import Escalation


def escalations(effects: Iterable[Effect]) -> Iterator[Escalation]:
    """The escalations among the effects, each with the time of its decision."""
    at = ""
    for effect in effects:
        if isinstance(effect, Decided):
            at = effect.decision.decided_at
        elif isinstance(effect, Escalated):
            yield Escalation(at=at, level=effect.level, queue=effect.queue)
