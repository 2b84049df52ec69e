"""States and decisions that are too large for their topics.

An activity that leads to one is rejected, so it changes nothing and becomes a dead letter. A decision is measured for
each activity. A state is measured once per transaction, after its last activity, because encoding is expensive. If a
lead is too large then, its activities are judged again, its state is measured after each of them, and those that make
it too large are rejected. So an activity that makes a lead too large is accepted if a later one of the same transaction
makes it small enough again (an erasure, for example). Nothing else depends on how records form transactions.
"""

from collections.abc import Callable
from typing import Final

from scorer.domain.lead import Lead
from scorer.kafka.record_limits import Limit
from scorer.sources.rejected import Rejected
from scorer.state.codec import encode_lead

STATE_TOO_LARGE: Final = "state_too_large"
DECISION_TOO_LARGE: Final = "decision_too_large"

Trim = Callable[[Lead], Lead]
"""The lead without what the rules in effect do not use; the same object if there is nothing to leave out."""


def untrimmed(lead: Lead) -> Lead:
    """A `Trim` that leaves out nothing."""
    return lead


def fitting_state(lead: Lead, limit: Limit, trim: Trim) -> tuple[Lead, bytes]:
    """The lead and its encoded state. A lead that is too large is trimmed.

    Raises `Rejected` if it is too large all the same, and what `encode_lead` raises.
    """
    state = encode_lead(lead)
    if len(state) > limit.size:
        trimmed = trim(lead)
        if trimmed is not lead:
            lead, state = trimmed, encode_lead(trimmed)
        if len(state) > limit.size:
            raise _too_large(STATE_TOO_LARGE, "the state of the lead", len(state), limit)
    return lead, state


def decision_too_large(size: int, limit: Limit) -> Rejected:
    """The rejection of an activity whose decision has `size` bytes, more than the limit."""
    return _too_large(DECISION_TOO_LARGE, "the decision", size, limit)


def _too_large(reason: str, what: str, size: int, limit: Limit) -> Rejected:
    return Rejected(reason, f"{what} would have {size:,} bytes; at most {limit.size:,} ({limit.source})")
