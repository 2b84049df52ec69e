"""Whether many records become dead letters. It has no clock and does no I/O."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

WINDOW_SECONDS: Final = 60.0
FEWEST_RECORDS: Final = 20


@dataclass(frozen=True, slots=True)
class Many:
    """Too many dead letters: how many records there were, and the dead letters among them by reason."""

    records: int
    reasons: Mapping[str, int]

    @property
    def dead_letters(self) -> int:
        """All dead letters."""
        return sum(self.reasons.values())

    @property
    def share(self) -> float:
        """The dead letters divided by the records."""
        return self.dead_letters / self.records


class DeadLetterShare:
    """Counts records and dead letters of at most a minute. `bound` is the share above which there are too many; 1 means
    never."""

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self._since = float("-inf")
        self._quiet_until = float("-inf")
        self._records = 0
        self._reasons: Counter[str] = Counter()

    def count(self, records: int, reasons: Mapping[str, int], now: float) -> Many | None:
        """Count the records of a batch and the dead letters among them. Returns what to report, at most once a minute
        and never of fewer than 20 records. `now` in seconds, monotonic."""
        if now - self._since >= WINDOW_SECONDS:
            self._restart(now)
        self._records += records
        self._reasons.update(reasons)
        if not self._reasons or self._records < FEWEST_RECORDS or now < self._quiet_until:
            return None
        many = Many(self._records, dict(self._reasons.most_common()))
        if many.share <= self._bound:
            return None
        self._quiet_until = now + WINDOW_SECONDS
        self._restart(now)
        return many

    def _restart(self, now: float) -> None:
        self._since = now
        self._records = 0
        self._reasons.clear()
