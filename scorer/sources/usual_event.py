"""Fast path for usual events: msgspec decodes and checks them in one pass, in a quarter of the full parser's time.

It accepts only what is certainly valid. Every byte of the value is read and the types bound its depth, so invalid JSON
is never accepted. The full parser (`cloudevents`) decides about everything else and gives the reason.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Union

import msgspec

from scorer.domain.activity import LISTING, NAMES_BYTES, LeadActivity, path_of
from scorer.domain.instant import from_datetime
from scorer.domain.unfitting import Drop
from scorer.sources.attributes import EARLIEST, LENGTHS, MAX_AHEAD, Aware, is_type
from scorer.sources.fast_payload import CLOSED, OPEN
from scorer.sources.fitting import unknown_keys
from scorer.sources.tick import TICK_TYPE

_PAGE_VIEWED: Final = "lead.page_viewed"
_MERGED: Final = "lead.merged"
_REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_BACKSLASH: Final = ord("\\")
_DELETE: Final = 0x7F
_DEPTH: Final = 4
"""Levels of objects and lists that the fast path accepts in the data of a custom type."""

_convert: Final = msgspec.convert
_to_builtins: Final = msgspec.to_builtins


def _json_object(levels: int) -> Any:
    """The type of a JSON object with at most this many levels of objects and lists."""
    scalar = inner = str | bool | int | float | None
    for _ in range(levels):
        inner = Union[scalar, list[inner], dict[str, inner]]  # type: ignore[valid-type]  # noqa: UP007
    return dict[str, inner]  # type: ignore[valid-type]


class _Attributes(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The attributes that nearly all emitters send. None of them may be nested, and none is skipped."""

    specversion: Literal["1.0"]
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=LENGTHS["id"])]
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=LENGTHS["source"])]
    time: Aware
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=LENGTHS["subject"])]
    datacontenttype: Literal["application/json"] | None = None
    dataschema: str | None = None
    partitionkey: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    arrivedat: str | None = None


def _known_event(kind: str, payload: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """An event of a built-in type whose data has only known keys.

    The data is a struct because a `TypedDict` would skip unknown keys without reading their values.
    """
    required = any(field.required for field in msgspec.structs.fields(payload))
    data: Any = ("data", payload) if required else ("data", payload | None, None)
    return msgspec.defstruct(
        kind,
        [data],
        bases=(_Attributes,),
        namespace={"kind": kind},
        tag_field="type",
        tag=kind,
        kw_only=True,
    )


_AnyEvent: Final = msgspec.defstruct(
    "_AnyEvent",
    [
        ("type", Annotated[str, msgspec.Meta(max_length=LENGTHS["type"])]),
        ("data", _json_object(_DEPTH) | None, None),
    ],
    bases=(_Attributes,),
    kw_only=True,
)

_decode_known: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(
    Union[tuple(_known_event(kind, payload) for kind, payload in CLOSED.items())]  # noqa: UP007
).decode
_decode_any: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(_AnyEvent).decode


def usual(value: bytes, now: int, max_bytes: int) -> LeadActivity | None:
    """The activity of a usual event; None if the full parser must decide. `now` in microseconds since the epoch."""
    if len(value) > max_bytes:
        return None
    dropped: tuple[Drop, ...] = ()
    try:
        event = _decode_known(value)
        kind, data = event.kind, _to_builtins(event.data) or {}
    except _REFUSED:
        decoded = _of_any_type(value)
        if decoded is None:
            return None
        event, kind, data, dropped = decoded
    # The JSON of a list that is too long is longer still. So only a large event needs the full parser for it.
    if len(value) > NAMES_BYTES and kind in LISTING:
        return None
    if kind == _PAGE_VIEWED and data.get("path") is None:
        data["path"] = path_of(data["url"])
    identity, source, subject = event.id, event.source, event.subject
    time = from_datetime(event.time)
    # JSON escapes all control characters except DEL and those beyond ASCII, so this usually saves `isprintable`.
    harmless = _BACKSLASH not in value and _DELETE not in value and value.isascii()
    printable = harmless or f"{identity}{source}{subject}".isprintable()
    if not printable or not EARLIEST <= time <= now + MAX_AHEAD or (kind == _MERGED and data["into"] == subject):
        return None
    return LeadActivity(identity, source, kind, time, subject, data, dropped)


def _of_any_type(value: bytes) -> tuple[Any, str, dict[str, Any], tuple[Drop, ...]] | None:
    """The event, its type, its data and its unknown keys, for a custom type or a built-in type with unknown keys."""
    try:
        event = _decode_any(value)
        kind, data = event.type, event.data or {}
        payload = OPEN.get(kind)
        if payload is not None:
            return event, kind, _to_builtins(_convert(data, payload)), unknown_keys(kind, data)
    except _REFUSED:
        return None
    return (event, kind, data, ()) if is_type(kind) and kind != TICK_TYPE else None
