"""Where something belongs in a distributed trace (W3C Trace Context). It has no influence on any decision."""

import re
from typing import Final, NamedTuple

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_PARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_KEY: Final = r"[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?"
_VALUE: Final = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER: Final = re.compile(rf"[ \t]*({_KEY})={_VALUE}[ \t]*")
_LONGEST_STATE: Final = 512
_MOST_MEMBERS: Final = 32


class TraceContext(NamedTuple):
    """A trace and the step of it that is the parent of what follows, as W3C writes them."""

    traceparent: str
    tracestate: str | None = None


def trace_context_of(traceparent: str, tracestate: str | None) -> TraceContext | None:
    """The context if it is valid. A state that is not is left out, as W3C has it."""
    if _PARENT.fullmatch(traceparent) is None:
        return None
    return TraceContext(traceparent, tracestate if tracestate is not None and _is_state(tracestate) else None)


def _is_state(text: str) -> bool:
    # OpenTelemetry logs what it does not accept, which a sender has chosen.
    members = text.split(",")
    if len(text) > _LONGEST_STATE or len(members) > _MOST_MEMBERS:
        return False
    keys = [match[1] for match in map(_MEMBER.fullmatch, members) if match is not None]
    return len(keys) == len(members) == len(set(keys))
