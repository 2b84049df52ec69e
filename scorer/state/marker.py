"""How far re-scoring has come in a partition, and by which rules: one record in the changelog of states."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from scorer.state.codec import CodecError
from scorer.state.input_position import instant_in

MARKER_KEY: Final = b"\x00rules"
"""Not the id of any lead, because ids have no control characters."""

SINCE_HEADER: Final = "since"
"""When the rules took effect: microseconds since the epoch, 8 bytes big-endian, signed. A header, as for `log-time`."""

_FIRST: Final = 0
# An earlier release reads the record as the state of a lead that never occurs, and starts as usual. A first byte above
# that release's own version would make it refuse the whole changelog.
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Marker:
    """How far the leads of the partition were re-scored by the rules `revision`.

    `number` counts the rule changes that the partition has seen. Leads up to the id `after`, in the order of ids, were
    re-scored; "" means none yet, None means all. `since`: the time of the log at which the rules took effect, in
    microseconds since the epoch; None while it is not known.
    """

    revision: str
    number: int
    after: str | None
    since: int | None = None


def encode_marker(marker: Marker) -> bytes:
    """The marker as the value of its record, without the instant."""
    content = msgspec.msgpack.encode((_VERSION, marker.revision, marker.number, marker.after))
    return bytes([_FIRST]) + content


def decode_marker(value: bytes, headers: Iterable[tuple[str, bytes | None]] = ()) -> Marker:
    """The marker from a record's value and headers. Raises `CodecError`, which says what is wrong with the bytes."""
    try:
        version, *content = msgspec.msgpack.decode(value[1:], type=list[object])
        if value[0] != _FIRST or version != _VERSION:
            raise CodecError(f"the marker of the rules has version {version}; this software reads {_VERSION}")
        revision, number, after = content
        if not (isinstance(revision, str) and isinstance(number, int) and (after is None or isinstance(after, str))):
            raise TypeError(f"unexpected {content!a}")
    except (msgspec.DecodeError, ValueError, TypeError, IndexError, RecursionError) as error:
        raise CodecError(f"the marker of the rules is damaged: {error}") from error
    return Marker(revision, number, after, instant_in(SINCE_HEADER, headers))
