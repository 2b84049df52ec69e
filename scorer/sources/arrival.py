"""When records arrive: the time of the log of one partition, which never goes back."""

from datetime import UTC, datetime
from typing import Any, Final

from scorer.domain.instant import MILLISECOND, from_datetime
from scorer.sources.tick import is_tick

_LOG_APPEND_TIME: Final = 1
"""The timestamp type of a record whose timestamp is the broker's, not the sender's."""
TOO_LATE: Final = from_datetime(datetime(9001, 1, 1, tzinfo=UTC))
"""Nothing arrives at this instant or later. No time can be written after the year 9999, and what follows from an
arrival can be 100 years later. The last year of `--until` is 9000 too."""
_TOO_LATE_MS: Final = TOO_LATE // MILLISECOND
"""Kafka accepts any number as the timestamp of a sender."""


def is_stamped(record: Any) -> bool:
    """Whether the timestamp of the record (`ConsumerRecord`) is the broker's, because the topic has
    `message.timestamp.type=LogAppendTime`."""
    return bool(record.timestamp_type == _LOG_APPEND_TIME)


def log_time_after(log_time: int | None, record: Any) -> int | None:
    """The time of the log once the record is read, in microseconds since the epoch; None if it is not known.

    It is the latest timestamp of a broker. Where the topic does not have LogAppendTime, it is that of the latest tick.
    A record with a timestamp of the broker arrives at this time, so a leader whose clock is slow takes no time back.
    """
    if (is_stamped(record) or is_tick(record.value)) and 0 <= record.timestamp < _TOO_LATE_MS:
        arrived: int = record.timestamp * MILLISECOND
        return arrived if log_time is None or arrived > log_time else log_time
    return log_time


def arrival_of(record: Any, log_time: int | None, time: int) -> int | None:
    """When the activity of the record arrived, in microseconds since the epoch; None: at its own time.

    `log_time`: once the record is read. `time`: the activity's own. If only the sender says when it wrote the record,
    the activity arrives at its own time, but not before the latest tick.
    """
    return log_time if log_time is None or is_stamped(record) or time <= log_time else time
