"""The job that writes a tick into the input when a lead is due by the clock and nothing brings time into the log.

The tick is part of a transaction of the partition, so a former owner cannot write one. Only what is read from the log
counts. With LogAppendTime the broker stamps the tick, so the clock of the worker changes no answer. Without
LogAppendTime, the tick brings the time of this clock.
"""

from collections.abc import Callable
from typing import Final

from scorer.domain.instant import MILLISECOND, SECOND
from scorer.kafka.message import Message
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import Settings
from scorer.sources.cloudevents import CONTENT_TYPE, STRUCTURED
from scorer.sources.tick import tick
from scorer.state.store import LeadStore
from scorer.stream.jobs.review import Reviews
from scorer.stream.outbox import Outbox

_LATER: Final = SECOND
"""The clock of the broker may be a little behind ours. A tick that is too early would be followed by another one."""
_LONGEST: Final = 3600.0


class Ticks:
    """The job (`Job`) that writes the ticks of one partition. `clock` gives microseconds since the epoch, `monotonic`
    seconds. `allowed`: whether ticks may be written now."""

    name: Final = "tick"

    def __init__(
        self,
        settings: Settings,
        reviews: Reviews,
        store: LeadStore,
        partition: int,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings = settings
        self._reviews = reviews
        self._store = store
        self._partition = partition
        self._clock = clock
        self._monotonic = monotonic
        self._allowed = allowed
        self._free_at = self._moved_at = monotonic()
        self._log_time = store.log_time
        self._staged = False

    @property
    def remaining(self) -> int:
        """1 if a lead is due by the clock and not by the log; 0 also if no ticks are wanted."""
        if self._settings.tick_seconds == 0 or not self._reviews.complete:
            return 0
        return 0 if self._needed(self._store.log_time) is None else 1

    def patience(self) -> float | None:
        """Seconds until a tick may be needed; None if none ever is."""
        if self._settings.tick_seconds == 0 or not self._reviews.complete:
            return None
        if not self._allowed():
            return float(self._settings.tick_seconds)
        if self._needed(self._store.log_time) is not None:
            return max(0.0, self._free_at - self._monotonic())
        first = self._reviews.schedule.next()
        if first is None:
            return None
        seconds = first - (self._clock() - _LATER) / SECOND
        # What is due by the log is the work of the reviews.
        return min(_LONGEST, max(1.0, seconds))

    def ready(self) -> bool:
        """Whether a tick is needed now."""
        return self._ready(self._store.log_time)

    def stage(self, outbox: Outbox, figures: BatchFigures, *, busy: bool) -> bool:
        """Add a tick, unless records are waiting that bring time, too. Without LogAppendTime, they bring none."""
        if outbox.log_time != self._log_time:
            self._log_time, self._moved_at = outbox.log_time, self._monotonic()
        is_moving = busy and self._monotonic() - self._moved_at < self._settings.tick_seconds
        self._staged = not is_moving and self._ready(outbox.log_time)
        lead_id = self._needed(outbox.log_time) if self._staged else None
        if lead_id is not None:
            topic, headers = self._settings.activity_topic, [(CONTENT_TYPE, STRUCTURED.encode())]
            stamp = self._clock() // MILLISECOND
            message = Message(topic, self._partition, lead_id.encode(), tick(lead_id), headers, timestamp=stamp)
            outbox.messages.append(message)
        return self._staged

    def committed(self) -> None:
        """Note that the tick is written."""
        if self._staged:
            self._free_at = self._monotonic() + self._settings.tick_seconds
        self._staged = False

    def _ready(self, log_time: int | None) -> bool:
        if self._settings.tick_seconds == 0 or self._monotonic() < self._free_at or not self._reviews.complete:
            return False
        return self._needed(log_time) is not None and self._allowed()

    def _needed(self, log_time: int | None) -> str | None:
        """A lead that is due by the clock and not by the log; any lead while the time of the log is not known."""
        if log_time is None:
            return next(iter(self._store.ids()), None)
        now = self._clock() - _LATER
        found = self._reviews.schedule.first(now // SECOND) if now > log_time else None
        return None if found is None or found[0] <= log_time // SECOND else found[1]
