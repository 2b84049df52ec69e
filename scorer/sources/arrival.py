"""When records arrive: the time of the log of one partition, which never goes back."""

from typing import Any, Final

from scorer.domain.instant import MILLISECOND
from scorer.sources.tick import is_tick

_LOG_APPEND_TIME: Final = 1
"""The timestamp type of a record whose timestamp is the broker's, not the sender's."""
_YEAR_9000: Final = 221_845_392_000_000
"""In milliseconds since the epoch. Kafka accepts any number as the timestamp of a sender."""


def is_stamped(record: Any) -> bool:
    """Whether the timestamp of the record (`ConsumerRecord`) is the broker's, because the topic has
    `message.timestamp.type=LogAppendTime`."""
    return bool(record.timestamp_type == _LOG_APPEND_TIME)


def log_time_after(log_time: int | None, record: Any) -> int | None:
    """The time of the log once the record is read, in microseconds since the epoch; None if it is not known.

    It is the latest timestamp of a broker. Where the topic does not have LogAppendTime, it is that of the latest tick.
    A record with a timestamp of the broker arrives at this time, so a leader whose clock is slow takes no time back.
    """
    if (is_stamped(record) or is_tick(record.value)) and 0 <= record.timestamp < _YEAR_9000:
        arrived: int = record.timestamp * MILLISECOND
        return arrived if log_time is None or arrived > log_time else log_time
    return log_time


def arrival_of(record: Any, log_time: int | None, time: int) -> int | None:
    """When the activity of the record arrived, in microseconds since the epoch; None: at its own time.

    `log_time`: once the record is read. `time`: the activity's own. If only the sender says when it wrote the record,
    the activity arrives at its own time, but not before the latest tick.
    """
    return log_time if log_time is None or is_stamped(record) or time <= log_time else time
