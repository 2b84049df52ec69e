"""How far re-scoring has come in a partition, and by which rules: one record in the changelog of states."""

from dataclasses import dataclass
from typing import Final

import msgspec

from scorer.state.codec import CodecError

MARKER_KEY: Final = b"\x00rules"
"""Not the id of any lead, because ids have no control characters."""

_FIRST: Final = 0
# An earlier release reads the record as the state of a lead that never occurs, and starts as usual. A first byte above
# that release's own version would make it refuse the whole changelog.
_VERSION: Final = 2
_WITHOUT_TIME: Final = 1
"""The version before, which did not keep when the rules took effect."""


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
    """The marker as the value of its record."""
    content = msgspec.msgpack.encode((_VERSION, marker.revision, marker.number, marker.after, marker.since))
    return bytes([_FIRST]) + content


def decode_marker(value: bytes) -> Marker:
    """The marker from a record's value. Raises `CodecError`, which says what is wrong with the bytes."""
    try:
        version, *content = msgspec.msgpack.decode(value[1:], type=list[object])
        if version == _WITHOUT_TIME:
            content.append(None)
        if value[0] != _FIRST or version not in (_WITHOUT_TIME, _VERSION):
            raise CodecError(f"the marker of the rules has version {version}; this software reads up to {_VERSION}")
        revision, number, after, since = msgspec.convert(content, tuple[str, int, str | None, int | None])
    except (msgspec.DecodeError, ValueError, IndexError) as error:
        raise CodecError(f"the marker of the rules is damaged: {error}") from error
    return Marker(revision, number, after, since)
