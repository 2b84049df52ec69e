"""The change of rules by which those in effect took effect, and the ids of decisions that follow from it."""

from hashlib import blake2b
from typing import NamedTuple

import msgspec

from scorer.domain.effects import Decided, Effect


class RuleChange(NamedTuple):
    """`number` counts the changes of a partition. `since`: the instant of the change, in microseconds since the epoch,
    in the time of the log."""

    number: int
    since: int


def numbered(effect: Effect, number: int) -> Effect:
    """The effect, with the number of the change in the id of its decision."""
    if not isinstance(effect, Decided):
        return effect
    text = f"{effect.decision.decision_id} {number}"
    decision_id = blake2b(text.encode(), digest_size=16).hexdigest()
    return Decided(msgspec.structs.replace(effect.decision, decision_id=decision_id))
