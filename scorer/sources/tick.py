"""The tick: a record in the input that brings nothing but time into the log. Pure.

A release that knows no ticks reads one as an activity of a custom type in the year 1. It then changes nothing about the
lead, because the lead is known and was active later. So the subject is a lead of the partition, and no reserved id,
about which such a release would publish a decision.

The type is reserved: an event of it with another source is rejected (`check_source`).
"""

from typing import Final

import msgspec

from scorer.sources.rejected import Rejected

TICK_TYPE: Final = "lead.tick"
_SOURCE: Final = "/lead-scorer"
_BEGIN: Final = (
    b'{"specversion":"1.0","type":"lead.tick","source":"/lead-scorer","id":"tick","time":"0001-01-01T00:00:00Z",'
    b'"subject":'
)
_LEAD_ID_BYTES: Final = 1_600
"""More than 256 characters ever take in JSON."""


def tick(lead_id: str) -> bytes:
    """The value of a tick, an event in structured mode. `lead_id`: any lead of the partition that had an activity."""
    return _BEGIN + msgspec.json.encode(lead_id) + b"}"


def check_source(kind: str, source: str) -> None:
    """Raises `Rejected` for an event of the type of ticks that is none of ours."""
    if kind == TICK_TYPE and source != _SOURCE:
        raise Rejected(
            "invalid_attribute", f"type is {TICK_TYPE}, which only the scorer itself sends; expected another name"
        )


def is_written_tick(line: bytes) -> bool:
    """Whether a line of a file is a tick. Other tools may have written it again, with spaces or another order."""
    try:
        event = _read(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return (event.type, event.source) == (TICK_TYPE, _SOURCE)


def is_tick(value: bytes | None) -> bool:
    """Whether the value of a record is a tick. Costs next to nothing, so that every record can be asked."""
    if value is None or not value.startswith(_BEGIN):
        return False
    return value.endswith(b'"}') and len(value) <= len(_BEGIN) + _LEAD_ID_BYTES


class _Written(msgspec.Struct):
    type: object = None
    source: object = None


_read: Final = msgspec.json.Decoder(_Written).decode
