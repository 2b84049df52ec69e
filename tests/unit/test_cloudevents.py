"""Parsing CloudEvents: both modes, and a precise reason for everything that is not an activity."""

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.domain.activity import LISTING, PAYLOADS
from scorer.domain.instant import DAY, SECOND, to_text
from scorer.sources.cloudevents import MAX_AHEAD, Header, NullKey, Rejected, parse_event, parse_line, parse_record
from scorer.sources.event_batch import EventBatch
from tests.contract.test_schemas import validator

NOW = 20_500 * DAY
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e1",
    "source": "/web",
    "type": "lead.page_viewed",
    "time": "2026-01-31T09:30:00Z",
    "subject": "L-1",
    "data": {"url": "https://acme.example/pricing?x=1"},
}


LEAP = 1_483_228_799 * SECOND
"""2016-12-31T23:59:59Z, the second before the last leap second so far."""


def headers_of(event: dict[str, Any]) -> list[Header]:
    """Binary mode."""
    return [(f"ce_{name}", str(value).encode()) for name, value in event.items() if name != "data"]


def rejected(value: object, key: bytes | None = b"L-1", headers: list[Header] | None = None) -> tuple[str, str]:
    """Reason and detail."""
    body = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    with pytest.raises(Rejected) as caught:
        parse_record(body, key, headers or [], NOW)
    assert len(caught.value.detail) <= 300
    assert caught.value.detail.isprintable()
    caught.value.detail.encode()
    return caught.value.reason, caught.value.detail


def without(name: str) -> dict[str, Any]:
    """The event without an attribute."""
    return {key: value for key, value in EVENT.items() if key != name}


def test_structured_mode_binary_mode_and_lines_give_the_same_activity() -> None:
    value = json.dumps(EVENT).encode()
    activity = parse_record(value, b"L-1", [("content-type", b"application/cloudevents+json; charset=utf-8")], NOW)
    assert (activity.id, activity.source, activity.type, activity.lead_id) == ("e1", "/web", "lead.page_viewed", "L-1")
    assert to_text(activity.time) == "2026-01-31T09:30:00Z"
    assert activity.data == {"url": "https://acme.example/pricing?x=1", "path": "/pricing"}
    data = json.dumps(EVENT["data"]).encode()
    for content_type in ([], [("content-type", b"application/json")]):
        assert parse_record(data, b"L-1", [*headers_of(EVENT), *content_type], NOW) == activity
    assert parse_record(value, b"L-1", [("traceparent", b"\xff")], NOW) == activity
    assert parse_line(value + b"\n", NOW) == activity


def test_headers_may_be_any_iterable() -> None:
    value = json.dumps(EVENT).encode()
    usual: Header = ("content-type", b"application/cloudevents+json")
    expected = parse_line(value, NOW)
    for headers in ([usual], (usual,), iter([usual]), (), [], (("x", None), usual)):
        assert parse_record(value, b"L-1", headers, NOW) == expected


def test_the_size_limit_applies_to_valid_events_too() -> None:
    value = json.dumps(EVENT).encode()
    headers: list[Header] = [("content-type", b"application/cloudevents+json")]
    parse_record(value, b"L-1", headers, NOW, max_bytes=len(value))
    parse_line(value, NOW, max_bytes=len(value))
    with pytest.raises(Rejected, match="too_large"):
        parse_record(value, b"L-1", headers, NOW, max_bytes=len(value) - 1)
    with pytest.raises(Rejected, match="too_large"):
        parse_line(value, NOW, max_bytes=len(value) - 1)


def test_missing_data_is_an_empty_object() -> None:
    event = {**without("data"), "type": "lead.demo_requested"}
    assert parse_line(json.dumps(event).encode(), NOW).data == {}
    assert parse_line(json.dumps({**event, "data": None}).encode(), NOW).data == {}


@pytest.mark.parametrize(
    ("kind", "key"), [("lead.profile_updated", "employees"), ("lead.meeting_held", "participants")]
)
@pytest.mark.parametrize("text", ["400.0", "4e2", "4.0E+2", "400.000"])
def test_a_whole_number_may_be_written_with_a_fraction_of_zero(kind: str, key: str, text: str) -> None:
    event = json.dumps({**EVENT, "type": kind, "data": {key: 0}}).replace(": 0}", f": {text}}}")
    assert float(json.loads(event)["data"][key]) == 400
    validator("activity.json").validate(json.loads(event))
    value = parse_line(event.encode(), NOW).data[key]
    assert (value, type(value)) == (400, int)
    assert parse_record(f'{{"{key}": {text}}}'.encode(), b"L-1", headers_of(json.loads(event)), NOW).data[key] == 400


@pytest.mark.parametrize("value", [400.5, "400", "400.0", True, [400.0], {"a": 400.0}, 1e300, -1.0])
def test_nothing_else_becomes_a_whole_number(value: object) -> None:
    event = {**EVENT, "type": "lead.profile_updated", "data": {"employees": value, "country": "DE"}}
    assert not validator("activity.json").is_valid(event)
    activity = parse_line(json.dumps(event).encode(), NOW)
    assert activity.data == {"country": "DE"}
    (drop,) = activity.dropped
    assert (drop.field, drop.key, drop.value) == ("profile.employees", "employees", value)


@pytest.mark.parametrize("value", [None, b"", b"{}"])
@pytest.mark.parametrize("kind", ["lead.erased", "lead.demo_requested", "lead.profile_updated", "lead.own"])
@pytest.mark.parametrize("more", [[], [("content-type", b"application/json")]])
def test_in_binary_mode_missing_data_is_no_value(kind: str, value: bytes | None, more: list[Header]) -> None:
    event = {**without("data"), "type": kind}
    activity = parse_record(value, b"L-1", [*headers_of(event), *more], NOW)
    assert activity == parse_line(json.dumps(event).encode(), NOW)


@pytest.mark.parametrize("value", [None, b""])
def test_a_type_that_needs_data_says_so_without_a_value_too(value: bytes | None) -> None:
    merged = headers_of({**EVENT, "type": "lead.merged"})
    assert rejected(value, headers=merged) == ("invalid_data", "lead.merged: data.into is missing")
    for content_type in (b"application/cloudevents+json", b"application/cloudevents-batch+json"):
        assert rejected(value, headers=[*headers_of(EVENT), ("content-type", content_type)])[0] == "empty_value"
    # A tombstone has no headers of CloudEvents.
    assert rejected(value, headers=[("traceparent", b"1"), ("content-type", b"application/json")])[0] == "empty_value"


@pytest.mark.parametrize("content_type", [None, "application/json", "text/json; charset=utf-8", "application/x+json"])
@pytest.mark.parametrize("kind", ["lead.page_viewed", "lead.own"])
def test_data_as_sdks_write_it_is_the_same_activity(content_type: str | None, kind: str) -> None:
    # The official SDKs write bytes as data_base64 and text as a string, also if both are JSON.
    event = {**EVENT, "type": kind}
    if content_type is not None:
        event["datacontenttype"] = content_type
    data = json.dumps(EVENT["data"])
    rest = {name: value for name, value in event.items() if name != "data"}
    expected = parse_line(json.dumps(event).encode(), NOW)
    for written in ({"data": data}, {"data_base64": base64.b64encode(data.encode()).decode()}):
        assert parse_line(json.dumps({**rest, **written}).encode(), NOW) == expected
        assert parse_record(json.dumps({**rest, **written}).encode(), b"L-1", [], NOW) == expected
    assert parse_line(json.dumps({**event, "data_base64": None}).encode(), NOW) == expected


def test_what_the_python_sdk_writes() -> None:
    # cloudevents 1.11, kafka.to_structured, with data as bytes; it adds no content-type header for the value.
    value = (
        b'{"specversion": "1.0", "id": "e1", "source": "/web", "type": "lead.page_viewed", '
        b'"subject": "L-1", "time": "2026-01-31T09:30:00.000000+00:00", "datacontenttype": "application/json", '
        b'"data_base64": "eyJ1cmwiOiAiL3ByaWNpbmcifQ=="}'
    )
    activity = parse_record(value, b"L-1", [("content-type", b"application/cloudevents+json")], NOW)
    assert activity.data == {"url": "/pricing", "path": "/pricing"}


@pytest.mark.parametrize(
    "headers", [[], [("content-type", b"application/cloudevents-batch+json; charset=UTF-8")], [("trace", b"1")]]
)
def test_a_batch_gives_the_bytes_of_each_event(headers: list[Header]) -> None:
    texts = [json.dumps(EVENT, indent=1), '{"id": "caf\u00e9]"}', "[[1], {}]", "1e999"]
    value = (" [" + " ,\n".join(texts) + "\n] ").encode()
    for key in (b"L-1", b"other", None):
        with pytest.raises(EventBatch) as caught:
            parse_record(value, key, headers, NOW)
        assert caught.value.events == [text.encode() for text in texts]
    with pytest.raises(EventBatch):
        parse_line(value, NOW)
    assert parse_event(texts[0].encode(), NOW) == parse_line(json.dumps(EVENT).encode(), NOW)
    with pytest.raises(Rejected, match="not_an_object: the event is a list; expected an object"):
        parse_event(b"[[1], {}]", NOW)


@pytest.mark.parametrize("content_type", [b"application/json", b"application/cloudevents+json"])
def test_an_array_with_the_content_type_of_one_event_is_no_batch(content_type: bytes) -> None:
    assert rejected([EVENT], headers=[("content-type", content_type)])[0] == "not_an_object"


def test_a_full_batch_of_the_smallest_events_is_split() -> None:
    smallest = {**EVENT, "id": "a", "source": "a", "type": "lead.a", "subject": "a"}
    del smallest["data"]
    event = json.dumps(smallest, separators=(",", ":")).encode()
    count = ((1 << 20) - 1) // (len(event) + 1)
    with pytest.raises(EventBatch) as caught:
        parse_line(b"[" + b",".join([event] * count) + b"]", NOW)
    assert len(caught.value.events) == count


def test_an_activity_without_a_key_names_its_lead() -> None:
    with pytest.raises(NullKey) as caught:
        parse_record(json.dumps(EVENT).encode(), None, [], NOW)
    assert caught.value.lead_id == "L-1"


def test_custom_types_may_hold_any_data() -> None:
    event = {**EVENT, "type": "lead.shop.cart_filled", "data": {"deep": [{"er": 1}]}}
    assert parse_line(json.dumps(event).encode(), NOW).data == {"deep": [{"er": 1}]}


NAMES = ["é" * 128] * 64
"""As many names as a list can have, and 16,384 bytes."""


def lists(names: list[str]) -> list[tuple[str, str, dict[str, Any]]]:
    """The payloads with this list: kind, name of the key, data."""
    return [
        ("profile", "technologies", {"technologies": names}),
        ("profile", "custom.<name of 1 character>", {"custom": {"a": names}}),
        ("qualification", "competition.competitors", {"competition": {"competitors": names}}),
        ("qualification", "custom.<name of 1 character>", {"custom": {"a": names}}),
    ]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00.5+01:00", SECOND // 2),
        ("1969-12-31t23:59:59z", -SECOND),
        ("1970-01-01T00:00:00.0000014Z", 1),
        (to_text(NOW + MAX_AHEAD), NOW + MAX_AHEAD),
        ("2016-12-31T23:59:60Z", LEAP),
        ("2016-12-31T23:59:60.25Z", LEAP + SECOND // 4),
        ("2016-12-31T23:59:60.9999999Z", LEAP + SECOND),
        ("2016-12-31t15:59:60-08:00", LEAP),
        ("2017-01-01T05:29:60.5+05:30", LEAP + SECOND // 2),
    ],
)
def test_times(text: str, instant: int) -> None:
    assert parse_line(json.dumps({**EVENT, "time": text}).encode(), NOW).time == instant


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "time", "subject"])
def test_a_missing_attribute_is_named(name: str) -> None:
    assert rejected(without(name))[0] == "missing_attribute"
    assert f"{name} is missing" in rejected(without(name))[1]
    assert rejected({**EVENT, name: None})[0] == "missing_attribute"
    reason, detail = rejected(EVENT["data"], headers=headers_of(without(name)))
    assert (reason, f"the header ce_{name} is missing" in detail) == ("missing_attribute", True)


@pytest.mark.parametrize("name", ["id", "source", "type", "subject"])
@pytest.mark.parametrize(
    ("value", "word"),
    [(5, "a number"), (True, "a boolean"), ({}, "an object"), ("", "empty"), ("a\nb", "control"), ("x" * 1025, "1025")],
)
def test_a_wrong_attribute_is_described(name: str, value: object, word: str) -> None:
    reason, detail = rejected({**EVENT, name: value})
    assert reason == "invalid_attribute"
    assert detail.startswith(f"{name} ")
    assert word in detail


@pytest.mark.parametrize(
    ("changed", "reason", "word"),
    [
        ({"specversion": "0.3"}, "unsupported_specversion", "a string of 3 characters; expected the string 1.0"),
        ({"specversion": 1.0}, "unsupported_specversion", "a number; expected the string 1.0"),
        ({"type": "order.placed"}, "unknown_type", "expected lead.<name>"),
        ({"type": "lead.Placed"}, "invalid_attribute", "a string of 11 characters"),
        ({"type": "lead."}, "invalid_attribute", "a string of 5 characters"),
        ({"time": "2026-01-31"}, "invalid_time", "RFC 3339"),
        ({"time": "2026-01-31T09:30:00"}, "invalid_time", "with a time zone"),
        ({"time": "2026-02-30T09:30:00Z"}, "invalid_time", "a string of 20 characters"),
        ({"time": "0000-01-01T00:00:00Z"}, "invalid_time", "time is not RFC 3339"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "invalid_time", "the year 1 or later"),
        ({"time": 1769851800}, "invalid_time", "a number"),
        ({"time": "2016-12-31T23:59:61Z"}, "invalid_time", "time is not RFC 3339"),
        ({"time": "2016-12-31T23:59:600Z"}, "invalid_time", "a string of 21 characters"),
        ({"time": "2016-12-31T23:59:60"}, "invalid_time", "with a time zone"),
        ({"time": "2016-12-31T23:58:60Z"}, "invalid_time", "time is not RFC 3339"),
        ({"time": "2016-12-31T23:59:60+01:00"}, "invalid_time", "a string of 25 characters"),
        ({"time": "2016-11-31T23:59:60Z"}, "invalid_time", "time is not RFC 3339"),
        ({"time": "9999-12-31T23:59:60Z"}, "time_in_future", "24 hours"),
        (
            {"time": to_text(NOW + MAX_AHEAD + SECOND)},
            "time_in_future",
            "expected at most 24 hours after its arrival",
        ),
        ({"time": "9999-12-31T23:59:59-14:00"}, "time_in_future", "time is in the future"),
        ({"data": [1]}, "invalid_data", "data is a list; expected an object"),
        ({"type": "lead.stage_changed", "data": {}}, "invalid_data", "data.stage is missing"),
        ({"type": "lead.stage_changed", "data": {"stage": 5}}, "invalid_data", "stage is a number; expected a string"),
        ({"type": "lead.consent_changed", "data": {}}, "invalid_data", "data.status is missing"),
        (
            {"type": "lead.consent_changed", "data": {"channel": "sms", "status": 5, "extra": 1}},
            "invalid_data",
            "lead.consent_changed: data.channel is a string of 3 characters; expected 'email', 'phone' or 'all' (and 1 "
            "more)",
        ),
        (
            {"type": "lead.merged", "data": {"into": ""}},
            "invalid_data",
            "data.into is an empty string; expected at least 1 character",
        ),
        ({"data_base64": "e30="}, "invalid_data", "both data and data_base64"),
        ({"data": None, "data_base64": 5}, "invalid_data", "data_base64 is a number; expected a string"),
        ({"data": None, "data_base64": "e3 0="}, "invalid_data", "data_base64 is not Base64"),
        ({"data": None, "data_base64": "e30"}, "invalid_data", "data_base64 is not Base64"),
        ({"data": None, "data_base64": "e30=\n"}, "invalid_data", "data_base64 is not Base64"),
        ({"data": None, "data_base64": "é"}, "invalid_data", "data_base64 is not Base64"),
        ({"data": None, "data_base64": ""}, "invalid_data", "data_base64 does not contain a JSON object"),
        ({"data": None, "data_base64": "gA=="}, "invalid_data", "not UTF-8"),
        ({"data": None, "data_base64": "W10="}, "invalid_data", "it is a list; expected an object"),
        (
            {"data": None, "data_base64": "e30=", "datacontenttype": "text/plain"},
            "unsupported_content_type",
            "not JSON",
        ),
        ({"data": "text"}, "invalid_data", "data, a string, does not contain a JSON object"),
        ({"data": "[{}]"}, "invalid_data", "it is a list; expected an object"),
        ({"data": '{"url": NaN}'}, "invalid_data", "NaN"),
        ({"data": '{"url": "/"} x'}, "invalid_data", "not JSON"),
        ({"data": '"{}"'}, "invalid_data", "it is a string; expected an object"),
        ({"type": "lead.tick"}, "invalid_attribute", "type is lead.tick, which only the scorer itself sends"),
        ({"type": "lead.merged", "data": '{"into": 5}'}, "invalid_data", "data.into is a number"),
        ({"datacontenttype": "text/xml"}, "unsupported_content_type", "not JSON (a string of 8 characters)"),
        ({"datacontenttype": 1}, "invalid_attribute", "datacontenttype is a number"),
    ],
)
def test_what_is_wrong_with_an_event(changed: dict[str, Any], reason: str, word: str) -> None:
    actual, detail = rejected({**EVENT, **changed})
    assert actual == reason
    assert word in detail


@pytest.mark.parametrize(
    ("value", "reason", "word"),
    [
        (None, "empty_value", "no value"),
        (b"", "empty_value", "an empty value"),
        (b"{", "not_json", "truncated"),
        (b"{'a': 1}", "not_json", "byte 1"),
        (b"{} {}", "not_json", "trailing"),
        (b"\xef\xbb\xbf{}", "not_json", "byte order mark"),
        (b'{"a": "\xff"}', "not_utf8", "(byte 7)"),
        (b'{"a": "\xed\xa0\x80"}', "not_utf8", "byte 7"),
        (b"[]", "empty_value", "the batch has no event"),
        (b"[1, 2]", "not_an_object", "the event is a list of 2"),
        (b"[1,]", "not_json", "trailing comma"),
        (b'[{"a": "\xff"}, ]', "not_utf8", "(byte 8)"),
        (b"[" + b"1," * 200 + b"1]", "too_large", "the batch has 201 events in 403 bytes; expected at most 100"),
        (b"null", "not_an_object", "null"),
        (b'{"a": NaN}', "number_out_of_range", "NaN or an infinity"),
        (b'{"a": [-Infinity]}', "number_out_of_range", "an infinity"),
        (b'{"a": 1e999, "b": NaN}', "number_out_of_range", "NaN or an infinity"),
        (b'{"a": 1e999, "b": "\xff"}', "not_utf8", "(byte 19)"),
        (b'{"a": 1e999,}', "not_json", "char 12"),
        (b'{"a": 1e999, "b":' + b"[" * 64 + b"]" * 64 + b"}", "too_deep", "64"),
        (b'{"a": 1e999, "b":' + b"[" * 5000, "too_deep", "64"),
        (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "too_deep", "64"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "too_large", "bytes"),
        (b"[" * 500_000 + b"]" * 500_000, "too_deep", "64"),
        (b"[" * 500_000, "too_deep", "64"),
        (b"x" * ((1 << 20) + 1), "too_large", "1048577"),
    ],
)
def test_what_is_wrong_with_a_value(value: bytes | None, reason: str, word: str) -> None:
    actual, detail = rejected(value)
    assert actual == reason
    assert word in detail


def test_the_maximum_depth_and_many_brackets_side_by_side_are_accepted() -> None:
    for data in ('{"a":' + "[" * 61 + "]" * 61 + "}", '{"a":' + json.dumps([[]] * 500) + "}"):
        value = json.dumps({**EVENT, "type": "lead.own", "data": "HERE"}).replace('"HERE"', data).encode()
        parse_record(value, b"L-1", [], NOW)


@pytest.mark.parametrize(
    ("headers", "reason", "word"),
    [
        ([("ce_id", b"\xff")], "bad_header", "ce_id is not UTF-8"),
        ([("ce_id", None)], "bad_header", "ce_id has no value"),
        ([("ce_id", b"a"), ("ce_id", b"b")], "bad_header", "more than once"),
        ([("content-type", b"a/b"), ("Content-Type", b"a/b")], "bad_header", "more than once"),
        ([("content-type", b"\xff")], "bad_header", "not UTF-8"),
        (
            [("content-type", b"application/cloudevents-batch+json")],
            "not_a_list",
            "the value does not begin with a list, but the content-type says that it is a batch",
        ),
        ([("content-type", b"application/cloudevents-batch+avro")], "unsupported_content_type", "batch+json"),
        (
            [*headers_of(EVENT), ("content-type", b"text/plain")],
            "unsupported_content_type",
            "expected application/json",
        ),
    ],
)
def test_what_is_wrong_with_headers(headers: list[Header], reason: str, word: str) -> None:
    actual, detail = rejected(EVENT, headers=headers)
    assert actual == reason
    assert word in detail


def test_the_key_of_a_record_must_be_its_lead() -> None:
    assert rejected(EVENT, key=None)[0] == "null_key"
    for key in (b"", b"L-2", b"\xff"):
        assert rejected(EVENT, key=key)[0] == "key_mismatch"
    assert "the key of the record (a string of 4 characters) is not the subject" in rejected(EVENT, key=b"L-22")[1]
    assert "the key of the record (not UTF-8, length in bytes: 1)" in rejected(EVENT, key=b"\xff")[1]


def test_an_empty_line_is_rejected() -> None:
    with pytest.raises(Rejected, match="the line is empty"):
        parse_line(b" \n", NOW)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=64), st.none() | st.binary(max_size=8), st.lists(st.tuples(st.text(), st.binary())))
def test_arbitrary_bytes_are_rejected(value: bytes, key: bytes | None, headers: list[Header]) -> None:
    with pytest.raises(Rejected):
        parse_record(value, key, headers, NOW)


@given(st.sampled_from([*EVENT, "type"]), _JSON, st.sampled_from(["lead.page_viewed", "lead.profile_updated"]))
def test_an_event_with_one_arbitrary_attribute_is_an_activity_or_rejected(name: str, value: object, kind: str) -> None:
    event = json.dumps({**EVENT, "type": kind, name: value}).encode()
    detail = ""
    try:
        activity = parse_record(event, b"L-1", [], NOW)
    except Rejected as rejection:
        detail = rejection.detail
    assert len(detail.encode()) <= 300
    if not detail:
        json.dumps(dict(activity.data), ensure_ascii=False).encode()


@pytest.mark.parametrize(("kind", "name", "data"), lists(NAMES))
@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_list_of_names_may_have_16384_bytes(kind: str, name: str, data: dict[str, Any], ascii_only: bool) -> None:
    event = {**EVENT, "type": f"lead.{kind}_updated", "data": data}
    value = json.dumps(event, ensure_ascii=ascii_only).encode()
    assert parse_line(value, NOW).data == data, name


def test_every_payload_with_a_list_of_names_goes_to_the_full_parser_if_it_is_large() -> None:
    assert {
        kind for kind, payload in PAYLOADS.items() if '"array"' in json.dumps(payload.model_json_schema())
    } == LISTING


@pytest.mark.parametrize("kind", PAYLOADS)
def test_no_rejection_of_a_payload_speaks_of_python(kind: str) -> None:
    """Whatever is wrong: the contract is JSON, and its senders write in any language."""
    values: list[object] = [None, -1, 1.5, True, "", "DEU", "x" * 3000, [], [1], ["x" * 300], ["x"] * 70, {}, 2**63 - 1]
    values += [{"A": 1}, {"a": {}}, {"a": "x" * 3000}, {"authority": 1}, {f"a{number}": 1 for number in range(70)}]
    details = []
    for name in PAYLOADS[kind].model_fields:
        for value in values:
            try:
                parse_line(json.dumps({**EVENT, "type": kind, "data": {name: value}}).encode(), NOW)
            except Rejected as refusal:
                details.append(refusal.detail)
    assert [text for text in details if re.search("dict|instance|valid|input|integer|should|float|pattern", text)] == []
