"""What follows from an assessment, as values. The caller of the assessment carries them out."""

from typing import Literal

import msgspec

from scorer.domain.decision import RoutingDecision
from scorer.domain.score import Rating


class Decided(msgspec.Struct, frozen=True, gc=False):
    """A decision must be published."""

    decision: RoutingDecision

    @property
    def transition(self) -> tuple[Rating, Rating] | None:
        """(from, to) if the published rating changed, else None."""
        previous, rating = self.decision.previous, self.decision.rating
        return None if previous is None or previous.rating is rating else (previous.rating, rating)


class HandedOver(msgspec.Struct, frozen=True, gc=False):
    """Sales receives the lead. `respond_by`: when the lead expects an answer, in microseconds since the epoch."""

    queue: str | None
    respond_by: int | None


class Deleted(msgspec.Struct, frozen=True, gc=False):
    """Nothing is kept of the lead any more: its retention has ended. `at`: when, in microseconds since the epoch.
    `inactive`: it had no activity for that long. `erased`: nor since its erasure."""

    reason: Literal["inactive", "erased"]
    at: int


Effect = Decided | HandedOver | Deleted
