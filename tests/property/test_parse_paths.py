"""The fast path accepts only what the full parser accepts, and gives the same values."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scorer.domain.activity import PAYLOADS, LeadActivity
from scorer.domain.instant import DAY
from scorer.sources import cloudevents, usual_event
from scorer.sources.cloudevents import MAX_BYTES, Rejected

NOW = 20_500 * DAY

_texts = st.sampled_from(
    ["", "a", "hot", "none", "approved", "DE", "DEU", "de", "DE\n", "/pricing?x#y", "//h/p", "//[x"]
)
_texts |= st.sampled_from(["https://a.example", "https://[::1/p", "x" * 257, "x" * 2049, "\x7f", "\u200b", "ü", "🚀"])
_scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([0.5, 1.0, -0.0, -1.5, 1e300, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**400]),
    _texts,
)
_values = (
    _scalars | st.lists(_scalars, max_size=3) | st.just(["a"] * 65) | st.dictionaries(_texts, _scalars, max_size=2)
)
_customs = st.dictionaries(st.sampled_from(["a", "b_1", "A", "a b", "", "a" * 65]), _values, max_size=3) | _values


def _names(kind: str) -> list[str]:
    payload = PAYLOADS.get(kind)
    names = ["extra"] if payload is None else [*payload.model_fields, "extra"]
    return [name for name in names if name != "custom"]


@st.composite
def _data(draw: st.DrawFn, kind: str) -> Any:
    if draw(st.integers(0, 19)) == 0:
        return draw(_values)
    data: dict[str, Any] = draw(st.dictionaries(st.sampled_from(_names(kind)), _values, max_size=5))
    if draw(st.booleans()):
        data["custom"] = draw(_customs)
    for section, names in (
        ("bant", ["budget_status", "budget_amount", "need"]),
        ("project", ["resources", "start_in_months"]),
        ("competition", ["position", "competitors"]),
    ):
        if section in _names(kind) and draw(st.booleans()):
            data[section] = draw(st.dictionaries(st.sampled_from(names), _values, max_size=3))
    return data


_broken: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", 5, True, 1.5, [], {}, "1.0", "lead.x", "lead.X", "order.x", "a\nb", "\u200b", "x" * 2000]
)
_times = st.sampled_from(
    [
        "2026-01-31T09:30:00Z",
        "2026-01-31t09:30:00.1234567z",
        "2026-01-31T09:30:00+14:00",
        "2026-01-31T09:30:00",
        "2026-02-30T09:30:00Z",
        "2025-12-31T23:59:60.5Z",
        "2025-12-31T22:59:60Z",
        "0001-01-01T00:00:00+14:00",
        "2199-01-01T00:00:00Z",
        1769851800,
    ]
)


@st.composite
def events(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from([*PAYLOADS, "lead.my_type"]))
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/web",
        "type": kind,
        "time": draw(_times) if draw(st.integers(0, 3)) == 0 else "2026-01-31T09:30:00Z",
        "subject": "L-1",
        "data": draw(_data(kind)),
    }
    if draw(st.booleans()):
        event["datacontenttype"] = draw(st.sampled_from(["application/json", "text/xml", None, 1, "text/json"]))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        name = draw(st.sampled_from([*event, "traceparent", "arrivedat", "data_base64", "other"]))
        if draw(st.booleans()):
            event.pop(name, None)
        else:
            event[name] = draw(_broken)
    value = json.dumps(event, ensure_ascii=draw(st.booleans())).encode()
    if draw(st.integers(0, 9)) == 0:
        # An object may hold the same name twice; the last one counts.
        twice = draw(
            st.sampled_from(['"id":"e2"', '"type":"lead.demo_requested"', '"data":{}', '"time":5', '"x":1e999'])
        )
        value = value[:-1] + f",{twice}}}".encode()
    return value


MINIMAL: dict[str, dict[str, object]] = {
    "lead.page_viewed": {"url": "/"},
    "lead.form_submitted": {"form": "f"},
    "lead.content_downloaded": {"content": "c"},
    "lead.webinar_attended": {"name": "w"},
    "lead.event_attended": {"name": "e"},
    "lead.call_logged": {"outcome": "reached"},
    "lead.stage_changed": {"stage": "s"},
    "lead.consent_changed": {"status": "granted"},
    "lead.merged": {"into": "L-2"},
}
_POOL: list[object] = [
    *(None, True, False, 0, 1, -1, 0.5, 1.0, 1.5, -0.0, -0.5, 1e300, 10**400, "L-1"),
    *(2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, float(2**63)),
    *(
        "",
        "a",
        "x" * 256,
        "x" * 257,
        "x" * 2048,
        "x" * 2049,
        "ü" * 256,
        "DE",
        "DE\n",
        "\nDE",
        "de",
        "DEU",
        "\x00",
        "🚀",
    ),
    *("/a?b#c", "//h/p", "//[x", "https://a.example", "http://[::1/p", " /a", "?q"),
    *([], ["a"], [""], [1], ["a", None], ["a"] * 64, ["a"] * 65, ["x" * 257], [["a"]], {}, {"a": 1}),
]


def _choices(schema: object) -> list[str]:
    if isinstance(schema, dict):
        own = [*schema.get("enum", ()), schema.get("const")]
        return [choice for choice in own if isinstance(choice, str)] + [
            choice for part in schema.values() for choice in _choices(part)
        ]
    return [choice for part in schema for choice in _choices(part)] if isinstance(schema, list) else []


def _event(kind: str, data: object, attributes: dict[str, object] | None = None) -> bytes:
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/web",
        "type": kind,
        "time": "2026-01-31T09:30:00Z",
        "subject": "L-1",
        "data": data,
    }
    return json.dumps(event | (attributes or {}), ensure_ascii=False).encode()


@pytest.mark.parametrize("kind", [*PAYLOADS, "lead.my_type"])
def test_both_parsers_agree_on_every_kind_of_value_in_every_key(kind: str) -> None:
    minimal, payload = MINIMAL.get(kind, {}), PAYLOADS.get(kind)
    pool = _POOL if payload is None else [*_POOL, *sorted(set(_choices(payload.model_json_schema())))]
    accepted = 0
    for name in _names(kind):
        for value in pool:
            accepted += agree(_event(kind, minimal | {name: value}))
    for section in {"bant", "competition", "project", "custom"} & set(() if payload is None else payload.model_fields):
        names = ["budget_status", "budget_amount", "authority", "need", "timeline_months", "position", "competitors"]
        for name in (*names, "resources", "start_in_months", "a" * 64, "a" * 65, "a\n", "A", ""):
            for value in pool:
                accepted += agree(_event(kind, minimal | {section: {name: value}}))
        for size in (64, 65):
            accepted += agree(_event(kind, {section: {f"n{number}": number for number in range(size)}}))
    assert accepted > len(pool) // 2


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "time", "subject", "data", "traceparent"])
def test_both_parsers_agree_on_every_kind_of_value_in_every_attribute(name: str) -> None:
    times = [
        "2026-01-31T09:30:00Z",
        "2026-01-31t09:30:00.123456789z",
        "2026-01-31T24:00:00Z",
        "0001-01-01T00:00:00+14:00",
    ]
    times += ["2199-01-01T00:00:00Z", "2026-01-31T09:30:00", "2026-02-30T09:30:00Z", "1970-01-01T00:00:00-00:01"]
    types = ["lead.x", "lead.x.y", "lead.x\n", "lead.", "lead.X", "lead." + "x" * 124, "lead.demo_requested", "x.y"]
    texts = ["1.0", "a\nb", "\x7f", "\x9f", "\u200b", "é", "x" * 1024, "x" * 1025]
    deep: object = 1
    for _ in range(63):
        deep = [deep]
    nested = [deep, {"a": deep}, [[deep]], {"a": [{}] * 70}, {"a": {"b": [deep]}}]
    accepted = sum(
        agree(_event("lead.my_type", {}, {name: value})) for value in [*_POOL, *times, *types, *texts, *nested]
    )
    assert accepted


@settings(max_examples=500, deadline=None)
@given(events())
@example(
    b'{"specversion":"1.0","id":"\\ud800","source":"s","type":"lead.erased","time":"2026-01-31T09:30:00Z","subject":"L"}'
)
@example(
    b'{"specversion":"1.0","id":"\xff","source":"s","type":"lead.erased","time":"2026-01-31T09:30:00Z","subject":"L"}'
)
@example(b'{"specversion":"1.0"')
@example(b"[" * 2000)
def test_both_parsers_agree_on_generated_events(value: bytes) -> None:
    agree(value)


def agree(value: bytes) -> bool:
    """Assert that both parsers agree. Returns whether the fast path accepted. Its second step, for custom types and
    unknown keys, is tried on every value too."""
    explained: LeadActivity | Rejected
    try:
        explained = cloudevents._any_structured(value, NOW, MAX_BYTES)
    except Rejected as rejected:
        explained = rejected
    usual = usual_event.usual(value, NOW, MAX_BYTES)
    with _without_known_types():
        of_any_type = usual_event.usual(value, NOW, MAX_BYTES)
    for fast in (usual, of_any_type):
        if fast is not None:
            assert isinstance(explained, LeadActivity), (str(explained), value)
            assert _exact(fast) == _exact(explained)
    return usual is not None


@contextmanager
def _without_known_types() -> Iterator[None]:
    def refuse(value: bytes) -> object:
        raise msgspec.DecodeError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usual_event, "_decode_known", refuse)
        yield


def _exact(activity: LeadActivity) -> str:
    """Text in which 1, 1.0 and True differ and the order of keys does not matter."""
    data = json.dumps(activity.data, sort_keys=True)
    dropped = sorted((drop.field, drop.reason) for drop in activity.dropped)
    return repr((activity.id, activity.source, activity.type, activity.time, activity.lead_id, data, dropped))


@pytest.mark.parametrize("kind", [*PAYLOADS, "lead.my_type"])
def test_both_parsers_agree_on_empty_and_missing_data(kind: str) -> None:
    event = json.loads(_event(kind, {}))
    without = {name: value for name, value in event.items() if name != "data"}
    variants = (event, event | {"data": None}, without)
    accepted = [agree(json.dumps(variant).encode()) for variant in variants]
    assert accepted == [kind not in MINIMAL] * 3


_UNREADABLE = [
    *(b"NaN", b"-Infinity", b"Infinity", b"01", b"1.", b"tru", b"nul", b"'a'", b"/**/1", b"{,}"),
    *(b'"\\x41"', b'"\xff"', b'"\xed\xa0\x80"', b'"\n"', b'"\x00"', b'"a'),
    *(b"[" * 64 + b"]" * 64, b'{"a":' * 64 + b"1" + b"}" * 64, b"[" * 5000 + b"]" * 5000, b"[" * 5000),
    *(b'["\xff"]', b'{"\xff":1}', b'{"a":NaN,"a":1}', b"[1,]"),
]
_READABLE = [
    b"1",
    b'"a"',
    b"null",
    b"[]",
    b'{"a":{"b":[1]}}',
    b'"\\ud83d\\ude00"',
    b'"\\ud800"',
    b'{"\\udc00\\ud800":1}',
    b"1" * 400,
    b"1" * 5000,
    b"1e999",
    b"-1e999",
    b'{"a":1e999,"a":1}',
    b"[" * 9 + b"]" * 9,
]
_PLACES = [
    *(b'{"data":{"url":"/","extra":%s},', b'{"data":{"extra":%s,"url":"/"},', b'{"data":{"url":%s,"url":"/"},'),
    *(b'{"data":{"url":"/","seconds":%s},', b'{"data":{"url":"/","seconds":%s,"seconds":1},'),
    *(b'{"data":%s,"data":{"url":"/"},', b'{"data":{"url":"/"},"data":%s,'),
    *(b'{"data":{"url":"/","extra":{"a":[%s]}},', b'{"data":{"url":"/","extra":[{"a":%s}]},'),
    *(b'{"data":{"url":"/"},"traceparent":%s,', b'{"data":{"url":"/"},"dataschema":%s,"dataschema":"a",'),
    *(b'{"data":{"url":"/"},"extra":%s,', b'{"data":{"url":"/"},"id":%s,', b'{"type":%s,"data":{"url":"/"},'),
    *(b'{"type":"lead.my_type","data":%s,"data":{"url":"/"},', b'{"data":{"url":"/"},"type":%s,'),
]


@pytest.mark.parametrize("place", _PLACES)
def test_invalid_json_is_refused_in_every_place(place: bytes) -> None:
    rest = _event("lead.page_viewed", {})
    rest = rest[1 : rest.index(b', "data"')] + b"}"
    for kind in (b"lead.page_viewed", b"lead.my_type"):
        for literal in _UNREADABLE:
            value = place.replace(b"%s", literal) + rest.replace(b"lead.page_viewed", kind)
            assert not agree(value), value
        for literal in _READABLE:
            agree(place.replace(b"%s", literal) + rest.replace(b"lead.page_viewed", kind))


@pytest.mark.parametrize("name", ["id", "source", "subject"])
def test_no_control_character_is_accepted_escaped_or_not(name: str) -> None:
    for character in [*range(0x20), *range(0x7F, 0xA0)]:
        for ascii_only in (True, False):
            event = json.loads(_event("lead.page_viewed", {"url": "/"})) | {name: f"a{chr(character)}"}
            assert not agree(json.dumps(event, ensure_ascii=ascii_only).encode()), event


def test_the_fast_path_accepts_every_built_in_type() -> None:
    for kind in [*PAYLOADS, "lead.my_type"]:
        attributes: dict[str, object] = {"traceparent": "00-1", "datacontenttype": "application/json"}
        assert agree(_event(kind, MINIMAL.get(kind, {}) | {"unknown": 1}, attributes)), kind
        assert agree(_event(kind, MINIMAL.get(kind, {}) | {"unknown": {"a": [{"b": ["c"]}]}}, attributes)), kind


def test_the_first_step_of_the_fast_path_accepts_every_built_in_type_with_known_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts: dict[str, object] = {"traceparent": "00-1", "id": "größe / \u00e9", "source": "C:\\a"}
    values = [_event(kind, MINIMAL.get(kind, {}), texts) for kind in PAYLOADS]
    values += [value.replace(b"/", b"\\/") for value in values]
    assert all(map(agree, values))
    monkeypatch.setattr(usual_event, "_of_any_type", lambda value: None)
    assert all(usual_event.usual(value, NOW, MAX_BYTES) for value in values)
