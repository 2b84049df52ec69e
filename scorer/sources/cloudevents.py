"""Parses CloudEvents 1.0 from Kafka and JSON Lines into activities.

Structured mode: the value is the whole event as JSON. Binary mode: the attributes are `ce_` headers and the
value is `data`. Batch: the value is a JSON array of events in structured mode. Pure: the arrival is an argument.
"""

from binascii import a2b_base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from scorer.domain.activity import PAYLOADS, TYPE_PREFIX, LeadActivity
from scorer.domain.instant import DAY, SECOND, from_datetime, to_text
from scorer.sources.attributes import CONTROL, EARLIEST, LENGTHS, MAX_AHEAD, aware, is_type
from scorer.sources.contract_names import CONTRACT_NAMES
from scorer.sources.event_batch import EventBatch, is_array, split_batch
from scorer.sources.fitting import fitted
from scorer.sources.rejected import Rejected, described, described_name
from scorer.sources.rejected import kind as kind_of
from scorer.sources.strict_json import decode_object
from scorer.sources.tick import check_source
from scorer.sources.usual_event import usual

__all__ = [
    "CONTENT_TYPE",
    "MAX_AHEAD",
    "MAX_BYTES",
    "STRUCTURED",
    "EventBatch",
    "Header",
    "NullKey",
    "Rejected",
    "is_attribute_header",
    "parse_any_key",
    "parse_event",
    "parse_instant",
    "parse_line",
    "parse_record",
    "structured",
]

Header = tuple[str, bytes | None]

MAX_BYTES: Final = 1 << 20

CONTENT_TYPE: Final = "content-type"
STRUCTURED: Final = "application/cloudevents+json"
_BATCH: Final = "application/cloudevents-batch+json"
_PREFIX: Final = "ce_"
_USUAL_HEADERS: Final[Sequence[Sequence[Header]]] = (
    ((CONTENT_TYPE, STRUCTURED.encode()),),
    [(CONTENT_TYPE, STRUCTURED.encode())],
)
_SECONDS: Final = slice(16, 19)
"""The seconds of an RFC 3339 time, with their colon."""
_LAST_MINUTE: Final = DAY - 60 * SECOND


class NullKey(Rejected):
    """An activity in a record without a key. `lead_id` is the key that it should have."""

    def __init__(self, lead_id: str) -> None:
        super().__init__("null_key", "the record has no key; expected the lead id, which keeps a lead on one partition")
        self.lead_id = lead_id


def parse_record(
    value: bytes | None, key: bytes | None, headers: Iterable[Header], now: int, *, max_bytes: int = MAX_BYTES
) -> LeadActivity:
    """The activity of a Kafka record. `now`: its arrival, in microseconds since the epoch.

    Raises `Rejected`: as `EventBatch` if the record is a batch, and as `NullKey` if only the key is missing.
    """
    activity = parse_any_key(value, headers, now, max_bytes)
    if key is None:
        raise NullKey(activity.lead_id)
    if key != activity.lead_id.encode():
        raise Rejected(
            "key_mismatch",
            f"the key of the record ({_described_key(key)}) is not the subject of the event "
            f"({described(activity.lead_id)}); expected the same text",
        )
    return activity


def parse_any_key(value: bytes | None, headers: Iterable[Header], now: int, max_bytes: int) -> LeadActivity:
    """`parse_record` of a record whose key means nothing."""
    if headers in _USUAL_HEADERS and value:
        return usual(value, now, max_bytes) or _any_structured(value, now, max_bytes)
    return _by_mode(value, headers, now, max_bytes)


def structured(value: bytes | None, headers: Iterable[Header]) -> bytes:
    """The event of a valid record, which is no batch, in structured mode."""
    content_type, attributes = _read_headers(headers)
    if not attributes or (content_type or "").startswith("application/cloudevents"):
        return value or b""
    data = {"data": msgspec.Raw(value)} if value else {}
    return msgspec.json.encode({**attributes, **data})


def _by_mode(value: bytes | None, headers: Iterable[Header], now: int, max_bytes: int) -> LeadActivity:
    content_type, attributes = _read_headers(headers)
    is_structured = content_type is not None and content_type.startswith("application/cloudevents")
    if attributes and not is_structured:
        if content_type is not None:
            _check_json_type("the header content-type", content_type)
        # `data` is optional, and without it there is no value. The headers tell such an event from a tombstone.
        data = decode_object(value, max_bytes, "data") if value else {}
        return _activity(attributes, data, "the header ce_", now)
    if not value:
        raise Rejected("empty_value", f"the record has {'an empty' if value == b'' else 'no'} value")
    if is_structured:
        if content_type == _BATCH:
            raise EventBatch(split_batch(value, max_bytes))
        if content_type != STRUCTURED:
            raise Rejected(
                "unsupported_content_type",
                f"content-type is another CloudEvents format ({described(content_type)}); expected {STRUCTURED} or "
                f"{_BATCH}",
            )
        return parse_event(value, now, max_bytes=max_bytes)
    # Any other content-type says nothing about several events.
    return _structured(value, now, max_bytes) if content_type is None else parse_event(value, now, max_bytes=max_bytes)


def parse_line(line: bytes, now: int, *, max_bytes: int = MAX_BYTES) -> LeadActivity:
    """The activity of one line of a JSON Lines file (structured mode). `now`: its arrival, in microseconds since the
    epoch. Raises `Rejected`, as `EventBatch` if the line is a batch."""
    if not line.strip():
        raise Rejected("empty_value", "the line is empty")
    return _structured(line, now, max_bytes)


def parse_event(value: bytes, now: int, *, max_bytes: int = MAX_BYTES) -> LeadActivity:
    """The activity of one event in structured mode, such as an event of a batch; never a batch. `now` in microseconds
    since the epoch. Raises `Rejected`."""
    return usual(value, now, max_bytes) or _any_structured(value, now, max_bytes)


def is_attribute_header(name: str) -> bool:
    """Whether the header is one that CloudEvents reads: an attribute in binary mode, or the content-type."""
    return name.startswith(_PREFIX) or name.lower() == CONTENT_TYPE


def _structured(value: bytes, now: int, max_bytes: int) -> LeadActivity:
    activity = usual(value, now, max_bytes)
    if activity is not None:
        return activity
    if is_array(value):
        raise EventBatch(split_batch(value, max_bytes))
    return _any_structured(value, now, max_bytes)


def _any_structured(value: bytes, now: int, max_bytes: int) -> LeadActivity:
    event = decode_object(value, max_bytes, "the event")
    content_type = event.get("datacontenttype")
    if content_type is not None:
        if not isinstance(content_type, str):
            raise Rejected("invalid_attribute", f"datacontenttype is {kind_of(content_type)}; expected a string")
        _check_json_type("datacontenttype", _media_type(content_type))
    return _activity(event, _data(event, max_bytes), "", now)


def _data(event: Mapping[str, Any], max_bytes: int) -> dict[str, Any]:
    """The data of a structured event. SDKs send bytes as `data_base64` and text as a string, also if it is JSON."""
    data, base64 = event.get("data"), event.get("data_base64")
    if base64 is not None:
        if data is not None:
            raise Rejected("invalid_data", "there are both data and data_base64; expected one of them")
        if not isinstance(base64, str):
            raise Rejected("invalid_data", f"data_base64 is {kind_of(base64)}; expected a string")
        try:
            content = a2b_base64(base64, strict_mode=True)
        except ValueError:
            raise Rejected("invalid_data", "data_base64 is not Base64 (RFC 4648, section 4)") from None
        return _encoded_object(content, max_bytes, "data_base64")
    if data is None:
        return {}
    if isinstance(data, str):
        return _encoded_object(data.encode(), max_bytes, "data, a string,")
    if not isinstance(data, dict):
        raise Rejected("invalid_data", f"data is {kind_of(data)}; expected an object")
    return data


def _encoded_object(content: bytes, max_bytes: int, what: str) -> dict[str, Any]:
    try:
        return decode_object(content, max_bytes, "it")
    except Rejected as inner:
        raise Rejected("invalid_data", f"{what} does not contain a JSON object: {inner.detail}") from None


def _activity(attributes: Mapping[str, Any], data: Mapping[str, object], prefix: str, now: int) -> LeadActivity:
    version = attributes.get("specversion")
    if version != "1.0":
        if version is None:
            raise Rejected("missing_attribute", f"{prefix}specversion is missing; expected 1.0")
        raise Rejected(
            "unsupported_specversion", f"{prefix}specversion is {described(version)}; expected the string 1.0"
        )
    identity = _attribute(attributes, "id", prefix)
    source = _attribute(attributes, "source", prefix)
    kind = _attribute(attributes, "type", prefix)
    if kind not in PAYLOADS and not is_type(kind):
        if not kind.startswith(TYPE_PREFIX):
            raise Rejected(
                "unknown_type", f"{prefix}type does not begin with lead. ({described(kind)}); expected lead.<name>"
            )
        raise Rejected(
            "invalid_attribute",
            f"{prefix}type is malformed ({described(kind)}); "
            "expected lead. followed by names of a-z, 0-9 and _, separated by .",
        )
    check_source(kind, source)
    subject = _attribute(attributes, "subject", prefix)
    time = _time(attributes.get("time"), prefix, now)
    data, dropped = fitted(kind, data)
    if kind == "lead.merged" and data["into"] == subject:
        raise Rejected("invalid_data", "data.into is the lead itself; expected another lead")
    return LeadActivity(identity, source, kind, time, subject, data, dropped)


def _attribute(attributes: Mapping[str, Any], name: str, prefix: str) -> str:
    text = attributes.get(name)
    if text is None:
        raise Rejected("missing_attribute", f"{prefix}{name} is missing; expected a non-empty string")
    if not isinstance(text, str):
        raise Rejected("invalid_attribute", f"{prefix}{name} is {kind_of(text)}; expected a non-empty string")
    if not text:
        raise Rejected("invalid_attribute", f"{prefix}{name} is empty; expected a non-empty string")
    if len(text) > LENGTHS[name]:
        raise Rejected(
            "invalid_attribute",
            f"{prefix}{name} has {len(text)} characters; expected at most {LENGTHS[name]}",
        )
    # CloudEvents forbids control characters, and a line feed could make two different (source, id) look the same.
    if not (text.isascii() and text.isprintable()) and CONTROL.search(text) is not None:
        raise Rejected(
            "invalid_attribute",
            f"{prefix}{name} ({described(text)}) contains a control character; expected none",
        )
    return text


def parse_instant(text: object, name: str) -> int:
    """The microseconds since the epoch of the attribute `name`. Raises `Rejected`."""
    try:
        if not isinstance(text, str):
            raise ValueError
        return _instant(text)
    except ValueError:
        raise Rejected(
            "invalid_time",
            f"{name} is not RFC 3339 with a time zone ({described(text)}); expected such as 2026-01-31T09:30:00Z",
        ) from None


def _time(text: object, prefix: str, now: int) -> int:
    if text is None:
        raise Rejected("missing_attribute", f"{prefix}time is missing; expected RFC 3339, such as 2026-01-31T09:30:00Z")
    instant = parse_instant(text, f"{prefix}time")
    if instant > now + MAX_AHEAD:
        raise Rejected(
            "time_in_future",
            f"{prefix}time is in the future; expected at most 24 hours after its arrival, {to_text(now)}",
        )
    if instant < EARLIEST:
        raise Rejected("invalid_time", f"{prefix}time is before the year 1; expected the year 1 or later, in UTC")
    return instant


def _instant(text: str) -> int:
    """The instant of an RFC 3339 time. A leap second is the second before. Raises `ValueError`."""
    try:
        return from_datetime(aware(text))
    except msgspec.ValidationError:
        if text[_SECONDS] != ":60":
            raise
    instant = from_datetime(aware(f"{text[:16]}:59{text[19:]}"))
    # A second earlier, because a fraction of more than six digits may be rounded up to the next day.
    if (instant - SECOND) % DAY < _LAST_MINUTE:
        raise ValueError("a leap second is the last second of a day in UTC")
    return instant


def _read_headers(headers: Iterable[Header]) -> tuple[str | None, dict[str, str]]:
    """The media type (lower case, without parameters) and the CloudEvents attributes from the headers."""
    content_type: str | None = None
    attributes: dict[str, str] = {}
    for name, raw in headers:
        is_attribute = name.startswith(_PREFIX)
        if not is_attribute and name.lower() != CONTENT_TYPE:
            continue
        if raw is None:
            raise Rejected("bad_header", f"the header {_described_header(name)} has no value")
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise Rejected(
                "bad_header",
                f"the header {_described_header(name)} is not UTF-8 (byte {error.start}); expected UTF-8",
            ) from None
        if is_attribute:
            attribute = name[len(_PREFIX) :]
            if attribute in attributes:
                raise Rejected("bad_header", f"the header {_described_header(name)} appears more than once")
            attributes[attribute] = text
        else:
            if content_type is not None:
                raise Rejected("bad_header", "the header content-type appears more than once")
            content_type = _media_type(text)
    return content_type, attributes


def _media_type(text: str) -> str:
    return text.partition(";")[0].strip().lower()


def _check_json_type(where: str, media_type: str) -> None:
    if media_type not in ("application/json", "text/json") and not media_type.endswith("+json"):
        raise Rejected(
            "unsupported_content_type", f"{where} is not JSON ({described(media_type)}); expected application/json"
        )


def _described_key(key: bytes) -> str:
    try:
        return described(key.decode())
    except UnicodeDecodeError:
        return f"not UTF-8, length in bytes: {len(key)}"


def _described_header(name: str) -> str:
    if not name.startswith(_PREFIX):
        return "content-type"
    attribute = name[len(_PREFIX) :]
    return name if attribute in CONTRACT_NAMES else f"{_PREFIX}{described_name(attribute)}"
