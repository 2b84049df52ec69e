"""One record at a time: what our own code cannot do with it costs this record and not the partition."""

from collections.abc import Callable
from typing import TypeVar

import structlog
from aiokafka import ConsumerRecord

from scorer.dlq.dead_letter import INTERNAL_ERROR, internal_error
from scorer.domain.instant import to_text
from scorer.runtime.tracebacks import traceback_of
from scorer.sources.elements import index_of
from scorer.sources.rejected import Rejected
from scorer.sources.strict_json import too_large

T = TypeVar("T")
A = TypeVar("A")

log = structlog.get_logger()


def attempt(
    one: "Callable[[ConsumerRecord[bytes, bytes], A], T]", record: "ConsumerRecord[bytes, bytes]", argument: A, now: int
) -> T:
    """The result of `one` for the record and the argument. A failure is retried once. Raises `Rejected`."""
    try:
        return one(record, argument)
    except (Rejected, MemoryError):
        raise
    except Exception:  # noqa: BLE001 (a fault in our code must cost one record, not a partition)
        try:
            return one(record, argument)
        except (Rejected, MemoryError):
            raise
        except Exception as error:
            rejected = internal_error(error)
            log.error(
                INTERNAL_ERROR,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                index=index_of(record),
                detail=rejected.detail,
                at=to_text(now),
                exception=traceback_of(error),
            )
            raise rejected from error


def refuse_cut(record: "ConsumerRecord[bytes, bytes]", max_bytes: int) -> None:
    """Raise `Rejected` if the consumer kept only the beginning of a value of more than `max_bytes`, which could look
    like a small record."""
    size = record.serialized_value_size
    if size > max_bytes and len(record.value or b"") < size:
        raise too_large(size, max_bytes)
