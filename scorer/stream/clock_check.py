"""Whether the clock of this machine is right, from the times that Kafka gives. It has no clock and does no I/O.

There are three kinds of evidence; the strongest one that is there counts:

1. Where a topic has LogAppendTime, the broker stamps what we write and tells us. That gives the error of our clock in
   both directions.
2. Where the input has LogAppendTime, a record cannot come from the future. That shows a clock that is behind.
3. Otherwise the senders stamp the records. One sender may be wrong, so most of the leads seen lately must come from the
   future.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple, Protocol

TOLERANCE: Final = 300.0
"""Seconds that two clocks may differ."""
LEADS: Final = 10
"""So many leads must have been seen before the time of the senders counts."""

_REMEMBERED: Final = 50
_VALID_SECONDS: Final = 600.0
_SAMPLE: Final = 8
_STEP_SECONDS: Final = 1.0
_BROKER_STAMP: Final = 1


class Stamped(Protocol):
    """The parts of a consumed record that count here. `timestamp` in milliseconds since the epoch."""

    @property
    def timestamp(self) -> int: ...

    @property
    def timestamp_type(self) -> int: ...

    @property
    def partition(self) -> int: ...

    @property
    def key(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Offset:
    """How far other clocks are ahead of ours, in seconds (negative: behind it), and how we know."""

    seconds: float
    evidence: str

    @property
    def wrong(self) -> bool:
        """Whether the clocks differ too much."""
        return abs(self.seconds) > TOLERANCE


class _Seen(NamedTuple):
    at: float
    ahead: float


class ClockCheck:
    """Collects evidence and gives the verdict. `wall` is our clock in question (seconds since the epoch), `monotonic`
    seconds of a clock that nobody sets."""

    def __init__(self) -> None:
        self._own: _Seen | None = None
        self._stamped: dict[int, _Seen] = {}
        self._leads: dict[bytes, _Seen] = {}
        self._drift: float | None = None

    def wrote(self, broker_time: int, wall: float, monotonic: float) -> None:
        """The broker has just stamped a record of ours. `broker_time` in milliseconds since the epoch."""
        self._forget_before_a_step(wall, monotonic)
        self._own = _Seen(monotonic, broker_time / 1000 - wall)

    def read(self, records: Sequence[Stamped], wall: float, monotonic: float) -> None:
        """Records of one partition were read, a while ago at most. Only some of them are looked at."""
        self._forget_before_a_step(wall, monotonic)
        for record in records[:: max(1, len(records) // _SAMPLE)]:
            seen = _Seen(monotonic, record.timestamp / 1000 - wall)
            if record.timestamp_type == _BROKER_STAMP:
                self._stamped[record.partition] = seen
            elif record.key is not None:
                # Put last again, so that the first one is the oldest.
                self._leads.pop(record.key, None)
                self._leads[record.key] = seen
        while len(self._leads) > _REMEMBERED:
            del self._leads[next(iter(self._leads))]

    def offset(self, wall: float, monotonic: float) -> Offset | None:
        """What is known of our clock now; None without evidence."""
        self._forget_before_a_step(wall, monotonic)
        if self._own is not None and monotonic - self._own.at <= _VALID_SECONDS:
            return Offset(self._own.ahead, "the time that the broker gave our own records")
        stamped = _valid(self._stamped.values(), monotonic)
        # An old record comes from the past with any clock, so it proves nothing.
        if stamped and max(stamped) > 0.0:
            return Offset(max(stamped), "the time that the broker gave records of the input")
        leads = _valid(self._leads.values(), monotonic)
        if len(leads) >= LEADS and median(leads) > 0.0:
            return Offset(median(leads), "the time that senders gave most records of the input")
        return None

    def _forget_before_a_step(self, wall: float, monotonic: float) -> None:
        """Forget what was measured with a clock that somebody has set since."""
        drift, self._drift = self._drift, wall - monotonic
        if drift is not None and abs(self._drift - drift) > _STEP_SECONDS:
            self._own = None
            self._stamped.clear()
            self._leads.clear()


def _valid(seen: Iterable[_Seen], monotonic: float) -> list[float]:
    return [one.ahead for one in seen if monotonic - one.at <= _VALID_SECONDS]
