"""The events of a record that is a batch, as records of their own, which are processed like any other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scorer.sources.cloudevents import CONTENT_TYPE, STRUCTURED, is_attribute_header
from scorer.sources.rejected import Rejected

KEY_BYTES: Final = 1024
"""The longest lead id in UTF-8: 256 characters of 4 bytes."""
_HEADER_BYTES: Final = 512
"""Room for `traceparent`, `tracestate` and the headers that say where a record was before."""


@dataclass(frozen=True, slots=True)
class Element:
    """One event of a batch, with the attributes of a consumer's record. `index` is its place in the array, from 0."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    serialized_key_size: int
    serialized_value_size: int
    index: int


def elements(record: Any, events: Sequence[bytes]) -> Iterator[Any]:
    """The events of a batch (`ConsumerRecord`) as records in structured mode. They have the key of the batch. They also
    have its other headers if these have at most 512 bytes; without the limit, thousands of events could repeat a
    megabyte of them.

    Raises `Rejected` if the key is too long for any lead, so that the dead letters of the events do not repeat it.
    """
    if record.serialized_key_size > KEY_BYTES:
        raise Rejected(
            "key_mismatch",
            f"the record's key has {record.serialized_key_size} bytes; expected a lead id of at most {KEY_BYTES}",
        )
    headers = [(name, value) for name, value in record.headers if not is_attribute_header(name)]
    headers = [(CONTENT_TYPE, STRUCTURED.encode()), *few(headers)]
    return (element(record, index, event, headers) for index, event in enumerate(events))


def few(headers: Sequence[tuple[str, Any]]) -> Sequence[tuple[str, Any]]:
    """These headers of a record if they have at most 512 bytes, and else none."""
    size = sum(len(name.encode("utf-8", "replace")) + len(value or b"") for name, value in headers)
    return headers if size <= _HEADER_BYTES else ()


def element(record: Any, index: int, event: bytes, headers: Sequence[tuple[str, Any]]) -> Any:
    """One event of a record (`ConsumerRecord`) as a record with these headers."""
    return Element(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        timestamp_type=record.timestamp_type,
        key=record.key,
        value=event,
        headers=headers,
        serialized_key_size=record.serialized_key_size,
        serialized_value_size=len(event),
        index=index,
    )


def index_of(record: Any) -> int | None:
    """The index of an event in its batch; None for a record that is no event of a batch."""
    return record.index if isinstance(record, Element) else None
