"""Splits a batch of CloudEvents, which is a JSON array, into the bytes of its events. Pure."""

import re
from typing import Final

from scorer.sources.rejected import Rejected
from scorer.sources.strict_json import split_list, too_large

_ARRAY: Final = re.compile(rb"[ \t\r\n]*\[")
_SMALLEST_EVENT: Final = 100
"""No valid event has fewer bytes: the six attributes alone need more."""
_ALWAYS_SPLIT: Final = 100


class EventBatch(Rejected):
    """Several events where a caller expects one activity. `events` has the bytes of each, as they are in the array.
    Each is one event in structured mode."""

    def __init__(self, events: list[bytes]) -> None:
        super().__init__("not_an_object", f"the event is a list of {len(events)}; expected an object")
        self.events = events


def is_array(value: bytes) -> bool:
    """Whether the value begins like a JSON array."""
    return _ARRAY.match(value) is not None


def split_batch(value: bytes, max_bytes: int) -> list[bytes]:
    """The bytes of each event of a batch, at least one. Only the syntax of the array is checked. Raises `Rejected`."""
    if len(value) > max_bytes:
        raise too_large(len(value), max_bytes)
    events = split_list(value)
    if not events:
        # Nobody sends it on purpose. If events are missing, the dead letter shows where they were lost.
        raise Rejected("empty_value", "the batch has no event")
    # Each bad event becomes a dead letter with headers of its own. Without the limit, 1 MiB of `[1,1,…]` would become
    # half a million of them. A batch of valid events is never over it.
    most = max(_ALWAYS_SPLIT, len(value) // _SMALLEST_EVENT)
    if len(events) > most:
        raise Rejected(
            "too_large", f"the batch has {len(events)} events in {len(value)} bytes; expected at most {most}"
        )
    return events
