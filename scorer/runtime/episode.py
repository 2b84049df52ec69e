"""When to log about a condition that lasts."""

from enum import StrEnum
from typing import Final

REPEAT_SECONDS: Final = 60.0


class Stage(StrEnum):
    """Where a condition is when there is something to log."""

    BEGINS = "begins"
    LASTS = "lasts"
    ENDS = "ends"


class Episode:
    """One line when a condition begins, at most one a minute while it lasts, and one when it ends."""

    def __init__(self) -> None:
        self._told: float | None = None

    @property
    def on(self) -> bool:
        """Whether the condition holds."""
        return self._told is not None

    def see(self, holds: bool, now: float) -> Stage | None:
        """What to log now, if anything. `now` in seconds, monotonic."""
        if not holds:
            ended, self._told = self._told is not None, None
            return Stage.ENDS if ended else None
        if self._told is None:
            self._told = now
            return Stage.BEGINS
        if now - self._told >= REPEAT_SECONDS:
            self._told = now
            return Stage.LASTS
        return None
