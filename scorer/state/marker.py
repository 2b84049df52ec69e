"""How far the leads of a partition were judged by which rules: one record among their states in the changelog."""

from dataclasses import dataclass
from typing import Final

import msgspec

from scorer.state.codec import CodecError

MARKER_KEY: Final = b"\x00rules"
"""No lead's id: those have no control characters."""

_FIRST: Final = 0
# An earlier release takes the record for a state, which nobody ever asks for: it starts as ever. A first byte above
# its own version would make it refuse the whole changelog.
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Marker:
    """Every lead of the partition was judged by the rules `revision`, or by them and the ones before.

    `number` counts the changes of rules that the partition has seen. `after`: the leads up to this id, in the order of
    their ids, were judged anew; "" none yet, None all.
    """

    revision: str
    number: int
    after: str | None


def encode_marker(marker: Marker) -> bytes:
    """The marker as the value of its record."""
    content = msgspec.msgpack.encode((_VERSION, marker.revision, marker.number, marker.after))
    return bytes([_FIRST]) + content


def decode_marker(value: bytes) -> Marker:
    """The marker of a record's value. Raises `CodecError`, which says what is wrong with the bytes."""
    try:
        version, *content = msgspec.msgpack.decode(value[1:], type=list[object])
        if value[0] != _FIRST or version != _VERSION:
            raise CodecError(f"the marker of the rules has version {version}; this software reads {_VERSION}")
        revision, number, after = content
        if not (isinstance(revision, str) and isinstance(number, int) and (after is None or isinstance(after, str))):
            raise TypeError(f"unexpected {content!a}")
    except (msgspec.DecodeError, ValueError, TypeError, IndexError) as error:
        raise CodecError(f"the marker of the rules is damaged: {error}") from error
    return Marker(revision, number, after)
