"""Whether a partition advances. It does no I/O and has no clock: it is shown the partition now and then."""

from dataclasses import dataclass
from typing import Final

_LONGEST_STEP: Final = 5.0
_SILENT_SECONDS: Final = 10.0
NO_ANSWER: Final = "an answer to its fetches: the broker is away, the partition has no leader, or reading is forbidden"


@dataclass(frozen=True, slots=True)
class Standing:
    """What can be seen of a partition at one moment.

    `offset`: the next one to commit; None while the partition is being opened. `restored`: changelog records read since
    it was opened. `waits_for`: what it needs to advance, for people; None if there is nothing to do. `log_end`: the
    offset after its last record, if known. `polled`: a value that changes with each answer to a fetch; None while
    nothing is fetched.
    """

    offset: int | None
    restored: int
    waits_for: str | None
    log_end: int | None = None
    polled: int | None = None


class Stall:
    """How long a partition has had something to do without progress.

    A commit that moves the offset is progress. So is a changelog record that was not read before since the last commit:
    a partition that is opened again and again does not advance. `now` is in seconds, monotonic.
    """

    def __init__(self, now: float) -> None:
        self.seconds = 0.0
        self.offset: int | None = None
        self.log_end: int | None = None
        self.waits_for: str | None = None
        self._restored = 0
        self._polled: int | None = None
        self._silent = 0.0
        self._seen = now

    def see(self, standing: Standing, now: float) -> float:
        """The seconds without progress; 0 for a partition that advances or has nothing to do."""
        # A process that was stopped for an hour has had no chance to advance.
        passed = min(now - self._seen, _LONGEST_STEP)
        self._seen = now
        advanced = self._advances(standing)
        self.waits_for = standing.waits_for or self._silence(standing.polled, passed)
        self.log_end = standing.log_end
        self.seconds = 0.0 if advanced or self.waits_for is None else self.seconds + passed
        return self.seconds

    def _advances(self, standing: Standing) -> bool:
        advanced = standing.restored > self._restored
        self._restored = max(self._restored, standing.restored)
        if standing.offset is not None and standing.offset != self.offset:
            if self.offset is not None:
                self._restored = standing.restored
            self.offset = standing.offset
            advanced = True
        return advanced

    def _silence(self, polled: int | None, passed: float) -> str | None:
        self._silent = 0.0 if polled is None or polled != self._polled else self._silent + passed
        self._polled = polled
        return NO_ANSWER if self._silent > _SILENT_SECONDS else None
