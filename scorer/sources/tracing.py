"""The trace to which an activity belongs: from the headers of its record, or the extension of CloudEvents for it."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from scorer.domain.trace_context import TRACEPARENT, TRACESTATE, TraceContext, trace_context_of

_ATTRIBUTE: Final = "ce_"
_QUOTED: Final = b'"traceparent"'


class _Traced(msgspec.Struct):
    traceparent: str | None = None
    tracestate: str | None = None


_decode: Final = msgspec.json.Decoder(_Traced).decode


def trace_of_record(
    headers: Iterable[tuple[str, Any]], value: bytes | None, *, element: bool = False
) -> TraceContext | None:
    """The trace of the activity in a record that is one; None without a valid one.

    The header `traceparent` is of the last hop, so it comes before the attribute of the event. For an `element` of a
    batch it is the other way round, because the header belongs to the whole batch.
    """
    texts: dict[str, bytes] = {}
    binary = False
    for name, text in headers:
        if name.startswith(_ATTRIBUTE):
            binary = True
        elif name not in (TRACEPARENT, TRACESTATE):
            continue
        texts.setdefault(name, text or b"")
    of_header = _of_texts(texts, "") if texts else None
    if of_header is not None and not element:
        return of_header
    if binary:
        of_event = _of_texts(texts, _ATTRIBUTE)
    else:
        of_event = _of_value(value) if value is not None and _QUOTED in value else None
    return of_event or of_header


def _of_texts(texts: dict[str, bytes], prefix: str) -> TraceContext | None:
    parent = texts.get(prefix + TRACEPARENT)
    if parent is None:
        return None
    state = texts.get(prefix + TRACESTATE)
    return trace_context_of(parent.decode("latin-1"), None if state is None else state.decode("latin-1"))


def _of_value(value: bytes) -> TraceContext | None:
    try:
        event = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if event.traceparent is None else trace_context_of(event.traceparent, event.tracestate)
