"""The place of an activity in a file: its line, if the line is a batch its index there, and if one event became several
activities, which of them it is.

A place is one integer, because places are sent to other processes and sorted by the thousand.
"""

from typing import Final, NamedTuple

import msgspec

from scorer.domain.activity import LeadActivity
from scorer.sources.arrival import TOO_LATE
from scorer.sources.attributes import EARLIEST
from scorer.sources.cloudevents import MAX_BYTES, parse_event, parse_instant, parse_line
from scorer.sources.rejected import Rejected
from scorer.sources.strict_json import decoded_whole

_BITS: Final = 24
_MASK: Final = (1 << _BITS) - 1
_PART_BITS: Final = 4
"""An event becomes at most 16 activities. A batch has at most an event for each hundred bytes of a line of 16 MiB."""
ARRIVAL: Final = "arrivedat"
"""The extension attribute of an event in a file that says when it arrived."""


class Rejection(NamedTuple):
    """A line, or an event of a batch, that is not an activity or that the rules refuse, by its place."""

    place: int
    reason: str
    detail: str


def place(line: int, index: int | None = None, part: int = 0) -> int:
    """The place of a line, from 1, or of one event of it, from 0; of an activity of it, from 0. Places are in the order
    of the file."""
    return line << _BITS | (0 if index is None else index + 1) << _PART_BITS | part


def line_of(place: int) -> int:
    """The number of the line, from 1."""
    return place >> _BITS


def index_of(place: int) -> int | None:
    """The index of the event in its batch, from 0; None if the line is not a batch."""
    number = (place & _MASK) >> _PART_BITS
    return number - 1 if number else None


def place_text(place: int) -> str:
    """The place for people: `17`, or `17#3` for the event with index 3 of the batch in line 17."""
    index = index_of(place)
    return str(line_of(place)) if index is None else f"{line_of(place)}#{index}"


def activity_at(place: int, line: bytes, now: int, max_bytes: int = MAX_BYTES) -> tuple[LeadActivity, int]:
    """The activity of the line at this place, and when it arrived: as its attribute `arrivedat` says, or else at its
    own time. An event of a batch cannot be a batch itself. `now`: without `arrivedat`, much later activities are
    rejected. `max_bytes`: so are longer ones. Instants in microseconds since the epoch. Raises `Rejected`."""
    arrival = None if ARRIVAL.encode() not in line else _arrival(line)
    latest = now if arrival is None else arrival
    parse = parse_event if place & _MASK else parse_line
    activity = parse(line, latest, max_bytes=max_bytes)
    return activity, activity.time if arrival is None else arrival


def _arrival(line: bytes) -> int | None:
    try:
        arrival = decoded_whole(_read, line).arrivedat
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # not an activity either; its own error says more
    if arrival is None:
        return None
    instant = parse_instant(arrival, ARRIVAL)
    if not EARLIEST <= instant < TOO_LATE:
        raise Rejected("invalid_time", f"{ARRIVAL} is too far away; expected a time in the years 1 to 9000, in UTC")
    return instant


class _Arrived(msgspec.Struct):
    arrivedat: object = None


_read: Final = msgspec.json.Decoder(_Arrived).decode
