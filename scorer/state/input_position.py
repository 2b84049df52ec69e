"""How far the input of a partition was processed, and what its last processed record was: one record in the changelog.

An offset alone does not say of which log it is. A topic that was deleted and created again has the same offsets with
other records.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from scorer.state.codec import CodecError

POSITION_KEY: Final = b"\x00input"
"""Not the id of any lead, because ids have no control characters."""

NOTED: Final = "position in changelog"
"""The metadata of a committed offset if the changelog has had a position since, or since before. Compaction keeps the
latest position, so a changelog without any was deleted, emptied, or is another topic. A release that wrote no positions
leaves the metadata empty, as do other tools that set offsets."""

LOG_TIME_HEADER: Final = "log-time"
"""The time of the log: microseconds since the epoch, 8 bytes big-endian, signed. A header, because releases that do not
know it can then still read the value."""

# As for the marker of the rules: an earlier release takes the record for the state of a lead that never occurs.
_FIRST: Final = 0
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """A record of the input that was processed.

    `timestamp`: of the record, in milliseconds since the epoch. `digest`: 8 bytes, of key and value.
    """

    offset: int
    timestamp: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class InputPosition:
    """`next_offset`: the offset to continue from. `last`: the last record before it that was processed; None after
    somebody has chosen the offset. `log_time`: the latest arrival of a record or tick before it, in microseconds since
    the epoch; None if it is not known."""

    next_offset: int
    last: Seen | None
    log_time: int | None = None


def encode_position(position: InputPosition) -> bytes:
    """The position as the value of its record, without the time of the log."""
    last = None if position.last is None else (position.last.offset, position.last.timestamp, position.last.digest)
    return bytes([_FIRST]) + msgspec.msgpack.encode((_VERSION, position.next_offset, last))


def instant_header(name: str, instant: int | None) -> list[tuple[str, bytes]]:
    """An instant as a header of a record; no header for None."""
    return [] if instant is None else [(name, instant.to_bytes(8, "big", signed=True))]


def instant_in(name: str, headers: Iterable[tuple[str, bytes | None]]) -> int | None:
    """The instant that a record has in this header, in microseconds since the epoch; None if it has none. Raises
    `CodecError`."""
    for key, value in headers:
        if key == name:
            if value is None or len(value) != 8:
                raise CodecError(f"the header {name} is {value!a}; expected 8 bytes")
            return int.from_bytes(value, "big", signed=True)
    return None


def decode_position(value: bytes, headers: Iterable[tuple[str, bytes | None]] = ()) -> InputPosition:
    """The position from a record's value and headers. Raises `CodecError`, which says what is wrong with the bytes."""
    try:
        version, *content = msgspec.msgpack.decode(value[1:], type=list[object])
        if value[0] != _FIRST or version != _VERSION:
            raise CodecError(f"the input position has version {version}; this software reads {_VERSION}")
        next_offset, last = msgspec.convert(content, tuple[int, tuple[int, int, bytes] | None])
    except (msgspec.DecodeError, ValueError, IndexError, RecursionError) as error:
        raise CodecError(f"the input position is damaged: {error}") from error
    seen = None if last is None else Seen(*last)
    return InputPosition(next_offset, seen, instant_in(LOG_TIME_HEADER, headers))
