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


class Answered(msgspec.Struct, frozen=True, gc=False):
    """The promise of a hand-over to `queue` was kept. `after`: how long it took, in microseconds; None if the answer is
    older than the hand-over, as in history that is loaded later."""

    queue: str | None
    after: int | None


class Escalated(msgspec.Struct, frozen=True, gc=False):
    """A promise was broken and the lead went up to `level`, to `queue`."""

    queue: str | None
    level: int


class StatusChanged(msgspec.Struct, frozen=True, gc=False):
    """The status of the lead changed. `usual`: the new one usually follows the old one."""

    before: str
    after: str
    usual: bool


class StageChanged(msgspec.Struct, frozen=True, gc=False):
    """The stage of the opportunity changed. `before` is empty if there was none."""

    before: str
    after: str


class Deleted(msgspec.Struct, frozen=True, gc=False):
    """Nothing is kept of the lead any more: its retention has ended. `at`: when, in microseconds since the epoch.
    `inactive`: it had no activity for that long. `erased`: nor since its erasure."""

    reason: Literal["inactive", "erased"]
    at: int


Effect = Decided | HandedOver | Answered | Escalated | StatusChanged | StageChanged | Deleted
