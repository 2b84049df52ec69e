"""Records of the input: valid ones, valid ones that were damaged, and ones that cannot be valid.

Pure and seeded: the same arguments give the same records.
"""

import gzip
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import product
from random import Random
from typing import Any, Final, NamedTuple

from tests.fuzz import values as v
from tests.fuzz.events import STRUCTURED, UNDECLARED, Event, Headers, Senders, binary, more_headers, structured

LARGEST: Final = 10_000_000
"""Bytes of the largest values."""
LIMIT: Final = 1 << 20
"""Bytes of a value above which the service must refuse it."""


class Expected(Enum):
    """What is known of a record by construction."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


class FuzzRecord(NamedTuple):
    """One record. `what` names how it was made."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    expected: Expected
    what: str


def records(
    seed: int, chunk: int, count: int, leads: int, now: int, *, undeclared: int = UNDECLARED
) -> Iterator[FuzzRecord]:
    """`count` records. `now`: seconds since the epoch; events are at most a day later."""
    random = Random(f"{seed}:{chunk}")
    senders = Senders(random, leads, now, undeclared)
    recent: deque[FuzzRecord] = deque(maxlen=500)
    large = set(random.sample(range(count), max(1, count // 5_000)))
    first = min(large)
    for number in range(count):
        chance = random.random()
        event = senders.event()
        if number in large:
            # A short run has one that is too large in any case.
            yield _large(random, event, may_fit=number != first)
        elif chance < 0.06 and recent:
            again = random.choice(recent)
            yield again if random.random() < 0.7 else _same_id(random, again, event)
        elif chance < 0.74:
            record = _valid(random, event)
            recent.append(record)
            yield _batch(random, record, senders) if random.random() < 0.03 else record
        elif chance < 0.90:
            yield _damaged(random, event, recent)
        elif chance < 0.92:
            yield _unfitting(random, event)
        else:
            yield _invalid(random, event, now)


def _key(event: Event) -> bytes:
    return str(event["subject"]).encode()


def _valid(random: Random, event: Event) -> FuzzRecord:
    write, what = (structured, "structured") if random.random() < 0.75 else (binary, "binary")
    value, headers = write(random, event)
    if random.random() < 0.03:
        headers = headers + more_headers(random)
    if len(value) > LIMIT - 10_000:
        value, headers = structured(random, event | {"data": {}, "type": "lead.demo_requested"})
    return FuzzRecord(_key(event), value, headers, Expected.GOOD, f"{what} {event['type'][:40]}")


def _batch(random: Random, first: FuzzRecord, senders: Senders) -> FuzzRecord:
    """Several events of one lead in one record. Some of them may be bad."""
    if not first.what.startswith("structured"):
        return first
    lead = first.key.decode() if first.key is not None else ""
    values, expected = [first.value or b""], Expected.GOOD
    for _ in range(random.randrange(6)):
        event = senders.event()
        if event["type"] == "lead.merged" or random.random() < 0.2:
            # It may be of another lead, and a lead cannot be merged into itself.
            expected = Expected.UNKNOWN
        else:
            event = event | {"subject": lead}
        values.append(structured(random, event)[0])
    value = b"[" + b", ".join(values) + b"]"
    if len(value) > LIMIT - 10_000:
        return first
    headers: Headers = [] if random.random() < 0.5 else [("content-type", b"application/cloudevents-batch+json")]
    return FuzzRecord(first.key, value, headers, expected, f"batch of {len(values)}")


def _same_id(random: Random, again: FuzzRecord, event: Event) -> FuzzRecord:
    """Another event of the same lead with the id of an earlier one."""
    if not again.what.startswith("structured") or again.value is None:
        return again
    earlier = json.loads(again.value)
    value, headers = structured(random, event | {name: earlier[name] for name in ("id", "source", "subject")})
    data = event["data"]
    merged_into_itself = event["type"] == "lead.merged" and data["into"] == earlier["subject"]
    expected = Expected.BAD if merged_into_itself else Expected.GOOD
    return FuzzRecord(again.key, value, headers, expected, "same id, other event")


# Damaged


def _damaged(random: Random, event: Event, recent: Sequence[FuzzRecord]) -> FuzzRecord:
    record = _valid(random, event)
    value = record.value or b""
    headers = record.headers
    if headers and record.what.startswith("binary") and random.random() < 0.4:
        return record._replace(
            headers=_damaged_headers(random, headers), expected=Expected.UNKNOWN, what="damaged headers"
        )
    made: list[str] = []
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        name = random.choice(list(_DAMAGES))
        other = random.choice(recent).value if recent else None
        value = _DAMAGES[name](random, value, other or b"{}")
        made.append(name)
    return record._replace(value=value[: LIMIT + 1000], expected=Expected.UNKNOWN, what=", ".join(made))


def _damaged_headers(random: Random, headers: Headers) -> Headers:
    damaged = list(headers)
    at = random.randrange(len(damaged))
    name, value = damaged[at]
    kind = random.randrange(5)
    if kind == 0:
        del damaged[at]
    elif kind == 1:
        damaged.append((name, value))
    elif kind == 2:
        damaged[at] = (name.upper(), value)
    elif kind == 3:
        damaged[at] = (name, None)
    else:
        damaged[at] = (name, _flip(random, value or b"x", b""))
    return damaged


def _place(random: Random, value: bytes) -> int:
    return random.randrange(len(value)) if value else 0


def _flip(random: Random, value: bytes, other: bytes) -> bytes:
    at = _place(random, value)
    return value[:at] + bytes([value[at] ^ (1 << random.randrange(8))]) + value[at + 1 :] if value else value


def _overwrite(random: Random, value: bytes, other: bytes) -> bytes:
    at = _place(random, value)
    return value[:at] + random.randbytes(random.choice((1, 2, 8))) + value[at + 1 :]


def _cut(random: Random, value: bytes, other: bytes) -> bytes:
    return value[: _place(random, value)]


def _remove(random: Random, value: bytes, other: bytes) -> bytes:
    at = _place(random, value)
    return value[:at] + value[at + random.choice((1, 2, 10)) :]


def _repeat(random: Random, value: bytes, other: bytes) -> bytes:
    begin = _place(random, value)
    end = begin + random.choice((1, 5, 50, 400))
    return value[:end] + value[begin:end] * random.choice((1, 1, 20)) + value[end:]


def _splice(random: Random, value: bytes, other: bytes) -> bytes:
    return value[: _place(random, value)] + other[_place(random, other) :]


_TOKENS: Final = (
    *(b"[", b"]", b"{", b"}", b'"', b",", b":", b"\\", b"null", b"true", b"NaN", b"Infinity", b"-Infinity", b"-", b"0"),
    *(
        b"1e999",
        b"1E-400",
        b"9" * 30,
        b"-0",
        b"0x1",
        b"\\ud800",
        b"\\udc00\\ud83d",
        b"\\u0000",
        b"\x00",
        b"\xff",
        b"\n",
    ),
    *(b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\x1b[2J", b"/* */", b"'"),
    *(b"[" * 70, b'{"a":' * 70, b"[" * 20_000, b'"data":{},', b'"subject":"x",', b'"id":"",', b'"type":"lead.merged",'),
    *(b'"datacontenttype":"text/xml",', b'"dataschema":{"a":[]},', b'"specversion":"1.0",', b'"time":0,'),
)


def _insert(random: Random, value: bytes, other: bytes) -> bytes:
    at = _place(random, value)
    return value[:at] + random.choice(_TOKENS) + value[at:]


def _insert_key(random: Random, value: bytes, other: bytes) -> bytes:
    """Often valid JSON: after an opening bracket or a comma."""
    places = [at for at, byte in enumerate(value[:5000]) if byte in b"{,"]
    at = random.choice(places) + 1 if places else 0
    return value[:at] + random.choice(_TOKENS[-11:]) + value[at:]


def _number(random: Random, value: bytes, other: bytes) -> bytes:
    """Another number in place of a digit."""
    places = [at for at, byte in enumerate(value[:5000]) if byte in b"0123456789"]
    if not places:
        return value
    at = random.choice(places)
    number = random.choice((b"0", b"00", b"-1", b"9" * 19, b"1e400", b"1e-400", b"1.5", b"1.", b"9" * 400, b"9" * 5000))
    return value[:at] + number + value[at + 1 :]


Damage = Callable[[Random, bytes, bytes], bytes]
_DAMAGES: Final[Mapping[str, Damage]] = {
    "flip": _flip,
    "overwrite": _overwrite,
    "cut": _cut,
    "remove": _remove,
    "repeat": _repeat,
    "splice": _splice,
    "insert": _insert,
    "insert key": _insert_key,
    "number": _number,
}


# Invalid by construction


def _plain(event: Event) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


def _invalid(random: Random, event: Event, now: int) -> FuzzRecord:
    what = random.choice(list(_INVALID))
    key, value, headers = _INVALID[what](random, event, now)
    if random.random() < 0.03:
        headers = headers + more_headers(random)
    return FuzzRecord(key, value, headers, Expected.BAD, what)


Raw = tuple[bytes | None, bytes | None, Headers]


def _as_it_is(event: Event, value: bytes | None) -> Raw:
    return _key(event), value, [("content-type", STRUCTURED)]


def _other_key(random: Random, event: Event, now: int) -> Raw:
    record = _valid(random, event)
    key = _key(event)
    others = (None, b"", key + b" ", key * 2, b"\xff\xfe" + key, b"k" * 10_240, key + b"\x00", b"\xed\xa0\x80")
    return random.choice(others), record.value, record.headers


def _no_value(random: Random, event: Event, now: int) -> Raw:
    headers: Sequence[Headers] = ([], [("ce_id", b"1")], [("content-type", b"x")])
    return _key(event), random.choice((None, b"")), random.choice(headers)


def _without_attribute(random: Random, event: Event, now: int) -> Raw:
    name = random.choice(("specversion", "id", "source", "type", "time", "subject"))
    rest = {key: value for key, value in event.items() if key != name}
    write = random.choice((structured, binary))
    value, headers = write(random, rest)
    return _key(event), value, headers


def _wrong_attribute(random: Random, event: Event, now: int) -> Raw:
    return _as_it_is(event, _plain(event | dict([random.choice(_WRONG_ATTRIBUTES)])))


_WRONG_ATTRIBUTES: Final[Sequence[tuple[str, Any]]] = (
    *product(("id", "source", "type", "subject"), (5, 0.5, True, [], {}, "", None)),
    *[(name, f"a{character}b") for name in ("id", "source", "subject") for character in "\x00\n\x1b\x7f\x85\x9f"],
    ("id", "x" * 257),
    ("source", "😀" * 1025),
    ("subject", "x" * 257),
    ("type", "lead." + "x" * 124),
    ("type", "order.created"),
    ("type", "lead.Page"),
    ("type", "lead.ü"),
    ("type", "lead."),
    ("type", "lead..x"),
    ("type", "lead.x\n"),
    ("specversion", "0.3"),
    ("specversion", 1.0),
    ("datacontenttype", "text/plain"),
    ("datacontenttype", 5),
    ("data", 5),
    ("data", True),
)


def _wrong_time(random: Random, event: Event, now: int) -> Raw:
    ahead = datetime.fromtimestamp(now, UTC) + timedelta(hours=random.choice((49, 100, 9_000, 900_000)))
    wrong: Sequence[object] = (
        ahead.isoformat(),
        "9999-12-31T23:59:59.999999-23:59",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "2024-01-31T09:30:00",
        "2024-01-31",
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-01-31T24:00:00Z",
        "2024-01-31T09:60:00Z",
        "-2024-01-31T09:30:00Z",
        "12024-01-31T09:30:00Z",
        "",
        "now",
        "x" * 5000,
        1_700_000_000,
        1e300,
        None,
        True,
        ["2024-01-31T09:30:00Z"],
    )
    return _as_it_is(event, _plain(event | {"time": random.choice(wrong)}))


_WRONG_DATA: Final[Sequence[tuple[str, Any]]] = (
    ("stage_changed", {"previous": "x"}),
    ("consent_changed", {"channel": "fax", "status": "granted"}),
    ("merged", {"into": ""}),
)
"""Without a decisive key, these are no activities."""
_UNFITTING_DATA: Final[Sequence[tuple[str, Any]]] = (
    ("profile_updated", {"employees": "12"}),
    ("profile_updated", {"employees": -1}),
    ("profile_updated", {"employees": 2**63}),
    ("profile_updated", {"employees": 1.5}),
    ("profile_updated", {"company": ""}),
    ("profile_updated", {"company": "😀" * 257}),
    ("profile_updated", {"country": "de"}),
    ("profile_updated", {"country": "DE\n"}),
    ("profile_updated", {"country": "ＤＥ"}),
    ("profile_updated", {"job_level": "boss"}),
    ("profile_updated", {"technologies": ["x"] * 65}),
    ("profile_updated", {"technologies": ["x", ""]}),
    ("profile_updated", {"technologies": {"x": 1}}),
    ("profile_updated", {"is_customer": 1}),
    ("profile_updated", {"annual_revenue": True}),
    ("profile_updated", {"annual_revenue": -5e-324}),
    ("profile_updated", {"custom": {"Bad": 1}}),
    ("profile_updated", {"custom": {"": 1}}),
    ("profile_updated", {"custom": {"x" * 65: 1}}),
    ("profile_updated", {"custom": {"x": {}}}),
    ("profile_updated", {"custom": {"x": [1]}}),
    ("profile_updated", {"custom": {"x": "y" * 2049}}),
    ("profile_updated", {"custom": {f"x{number}": 1 for number in range(65)}}),
    ("profile_updated", {"custom": None}),
    ("qualification_updated", {"bant": {"budget_status": "maybe"}}),
    ("qualification_updated", {"bant": []}),
    ("qualification_updated", {"competition": {"competitors": [None]}}),
    ("assessment_recorded", {"probability": 1.0000000000000002}),
    ("page_viewed", {}),
    ("page_viewed", {"url": None}),
    ("page_viewed", {"url": "/" * 2049}),
    ("page_viewed", {"url": "/", "seconds": "5"}),
    ("form_submitted", {"form": ""}),
    ("call_logged", {"outcome": "busy"}),
    ("email_clicked", {"machine": "no"}),
    ("email_bounced", {"kind": None}),
    ("meeting_held", {"participants": 0.5}),
    ("opportunity_won", {"value": -0.01}),
    ("erased", {"reason": 5}),
)
"""These lose one key."""


def _wrong_data(random: Random, event: Event, now: int) -> Raw:
    kind, data = random.choice(_WRONG_DATA)
    write = random.choice((structured, binary))
    value, headers = write(random, event | {"type": f"lead.{kind}", "data": dict(data)})
    return _key(event), value, headers


def _unfitting(random: Random, event: Event) -> FuzzRecord:
    if random.random() < 0.2:
        text = random.choice((b"\\ud800", b"\\udc00 x", b"\\ud83d\\u0041"))
        chat = event | {"type": "lead.chat_started", "data": {"x": "@@"}}
        key, value, headers = _as_it_is(event, _plain(chat).replace(b"@@", text))
        return FuzzRecord(key, value, headers, Expected.GOOD, "half a pair")
    if random.random() < 0.1:
        profile = event | {"type": "lead.profile_updated", "data": {"employees": "@@"}}
        number = random.choice((b"1e999", b"-1e999", b"9" * 5000))
        key, value, headers = _as_it_is(event, _plain(profile).replace(b'"@@"', number))
        return FuzzRecord(key, value, headers, Expected.GOOD, "a number that is out of range")
    kind, data = random.choice(_UNFITTING_DATA)
    write = random.choice((structured, binary))
    value, headers = write(random, event | {"type": f"lead.{kind}", "data": dict(data)})
    return FuzzRecord(_key(event), value, headers, Expected.GOOD, f"a key that does not fit: {kind}")


def _merged_into_itself(random: Random, event: Event, now: int) -> Raw:
    value, headers = structured(random, event | {"type": "lead.merged", "data": {"into": event["subject"]}})
    return _key(event), value, headers


def _no_number(random: Random, event: Event, now: int) -> Raw:
    number = random.choice((b"NaN", b"Infinity", b"-Infinity", b"01", b"1.", b"+1"))
    return _as_it_is(event, _plain(event | {"data": {"x": "@@"}}).replace(b'"@@"', number))


def _other_encoding(random: Random, event: Event, now: int) -> Raw:
    text = json.dumps(event, ensure_ascii=False)
    plain = text.encode()
    forms = (
        b"\xef\xbb\xbf" + plain,
        text.encode("utf-16"),
        text.encode("utf-16-le"),
        text.encode("utf-32"),
        gzip.compress(plain, mtime=0),
        plain.replace(b"specversion", b"specversion\xff"),
        plain + plain,
        plain + b"\x00",
        b"\x00" * 5 + plain,
    )
    return _as_it_is(event, random.choice(forms))


def _no_character(random: Random, event: Event, now: int) -> Raw:
    text = random.choice((b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\\x"))
    event = event | {"type": "lead.chat_started", "data": {"x": "@@"}}
    return _as_it_is(event, _plain(event).replace(b"@@", text))


def _bomb(random: Random, event: Event, now: int) -> Raw:
    levels = random.choice((64, 65, 300, 1_000, 5_000, 100_000))
    begin, end = random.choice(((b"[", b"]"), (b'{"a":', b"}")))
    bomb = begin * levels + b"1" + end * random.choice((0, levels, levels))
    event = event | {"type": "lead.chat_started", "data": {"x": "@@"}}
    return _as_it_is(event, _plain(event).replace(b'"@@"', bomb))


def _truncated(random: Random, event: Event, now: int) -> Raw:
    plain = _plain(event)
    return _as_it_is(event, plain[: random.randrange(1, len(plain))])


def _no_event(random: Random, event: Event, now: int) -> Raw:
    values = (
        b"1",
        b"null",
        b'"text"',
        b"{}",
        b"x",
        b"{",
        b"]",
        b"\x1b[2J\x07",
        b" ",
        b"\n\n",
        b"<xml/>",
        b"\x80\x04N.",
    )
    return _as_it_is(event, random.choice(values) if random.random() < 0.7 else random.randbytes(random.randrange(300)))


def _wrong_headers(random: Random, event: Event, now: int) -> Raw:
    value, headers = binary(random, event)
    headers = [header for header in headers if header[0] != "content-type"]
    return _key(event), value, headers + random.choice(_WRONG_HEADERS)


_WRONG_HEADERS: Final[Sequence[Headers]] = (
    [("ce_id", b"again")],
    [("ce_more", None)],
    [("ce_more", b"\xff\xfe")],
    [("content-type", b"text/xml")],
    [("content-type", b"application/cloudevents+avro")],
    [("content-type", b"\xff")],
    [("content-type", None)],
    [("content-type", b"application/json"), ("Content-Type", b"application/json")],
)


_INVALID: Final[Mapping[str, Callable[[Random, Event, int], Raw]]] = {
    "another key": _other_key,
    "no value": _no_value,
    "attribute missing": _without_attribute,
    "attribute wrong": _wrong_attribute,
    "time wrong": _wrong_time,
    "data wrong": _wrong_data,
    "merged into itself": _merged_into_itself,
    "no number": _no_number,
    "other encoding": _other_encoding,
    "no character": _no_character,
    "bomb": _bomb,
    "truncated": _truncated,
    "no event": _no_event,
    "headers wrong": _wrong_headers,
}


def _large(random: Random, event: Event, *, may_fit: bool) -> FuzzRecord:
    """A value of up to 10 MB, or just within the limit if `may_fit`."""
    if random.random() < 0.3 and may_fit:
        event = event | {"type": "lead.chat_started", "data": {"x": "y" * (LIMIT - 40_000)}}
        value, headers = structured(random, event)
        return FuzzRecord(_key(event), value, headers, Expected.GOOD, "just within the limit")
    size = random.choice((LIMIT + 1, 2_000_000, LARGEST, LARGEST))
    filling = random.choice((b"\x00", b"[", b'"', b"9", b" ", b'{"a":', b"\\", "😀".encode(), b"event"))
    value = filling * (size // len(filling) + 1)
    if filling == b"event":
        value = _plain(event | {"type": "lead.chat_started", "data": {"x": "y" * size}})
    elif v.flag(random):
        value = _plain(event)[:-1] + b',"x":' + value
    return FuzzRecord(_key(event), value, [("content-type", STRUCTURED)], Expected.BAD, f"{size:,} bytes")
