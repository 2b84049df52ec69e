"""Where something belongs in a distributed trace (W3C Trace Context). It has no influence on any decision."""

import re
from typing import Final, NamedTuple

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_PARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_STATE: Final = re.compile(r"[\x20-\x7e]{1,512}")


class TraceContext(NamedTuple):
    """A trace and the step of it that is the parent of what follows, as W3C writes them."""

    traceparent: str
    tracestate: str | None = None


def trace_context_of(traceparent: str, tracestate: str | None) -> TraceContext | None:
    """The context if it is valid. A state that is not is left out, as W3C has it."""
    if _PARENT.fullmatch(traceparent) is None:
        return None
    if tracestate is not None and _STATE.fullmatch(tracestate) is None:
        tracestate = None
    return TraceContext(traceparent, tracestate)
