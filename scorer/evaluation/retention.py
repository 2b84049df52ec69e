"""When leads are deleted because nothing happened for so long. Pure.

Deletions are at 00:00 UTC, as most reviews are, so that a partition without records needs one tick a day for both.
"""

from typing import Literal, NamedTuple

from scorer.domain.instant import DAY
from scorer.domain.lead import NEVER, NO_CLOCK, Lead
from scorer.rules.ruleset import Retention


class Deletion(NamedTuple):
    """When a lead is deleted unless it has an activity before, in microseconds since the epoch; `NEVER` if it is not.
    And why."""

    instant: int
    reason: Literal["inactive", "erased"] = "inactive"


def deletion(lead: Lead, retention: Retention) -> Deletion:
    """When the lead is deleted: at the first 00:00 UTC that is so long after its latest activity arrived.

    The arrival counts, and not the time of the activity, because history that is loaded late would otherwise be deleted
    while it is loaded.
    """
    if lead.clock == NO_CLOCK:
        return Deletion(NEVER)
    if retention.after_erasure is not None and lead.is_erased:
        return Deletion(_midnight(lead.seen_at + retention.after_erasure), "erased")
    if retention.inactive is None:
        return Deletion(NEVER)
    return Deletion(_midnight(lead.seen_at + retention.inactive))


def _midnight(instant: int) -> int:
    """The first 00:00 UTC that is not before the instant."""
    return -(-instant // DAY) * DAY
