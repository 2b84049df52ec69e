"""Mapping files: what each part of the language does with a record."""

import json
from collections.abc import Sequence
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import lists, sampled_from

from scorer.sources.cloudevents import MAX_BYTES, parse_line
from scorer.sources.company.job_titles import built_in_job_titles
from scorer.sources.mapping.converters import converters
from scorer.sources.mapping.loader import parse_mapping
from scorer.sources.mapping.records import MAX_EVENTS
from scorer.sources.mapping.translation import MappingSource
from scorer.sources.rejected import Rejected
from scorer.sources.source import Outcome, Source, SourceError
from scorer.sources.strict_json import decode_value

CONVERTERS = converters(built_in_job_titles())
NOW = 1_800_000_000_000_000
HEAD = """
description: Test.
lead: lead
id: id
time: time
"""
EVENT = {"lead": "l-1", "id": "e-1", "time": "2026-01-31T09:30:00Z"}


def source(text: str, head: str = HEAD) -> MappingSource:
    return parse_mapping("test", "sources/test.yaml", f"{head}{text}".encode(), CONVERTERS)


def translated(mapping: Source, record: object) -> Sequence[Outcome]:
    value = record if isinstance(record, bytes) else json.dumps(record).encode()
    return mapping.outcomes(value, (), NOW, MAX_BYTES)


def events(outcome: Outcome) -> list[dict[str, Any]]:
    """The CloudEvents of an outcome; the parser accepts each of them."""
    made = [*outcome.activities, *outcome.held]
    for activity in made:
        parsed = parse_line(activity.value, NOW)
        assert (parsed.lead_id, parsed.type) == (activity.lead_id, activity.type)
    return [json.loads(activity.value) for activity in made]


def data_of(text: str, event: dict[str, object], kind: str = "lead.custom.thing") -> tuple[Any, list[tuple[str, str]]]:
    """The data of the one activity, and what was dropped."""
    (outcome,) = translated(source(f"kinds: [{{name: k, type: {kind}, data: {text}}}]"), EVENT | event)
    assert outcome.rejected is None
    (event,) = events(outcome)
    return event["data"], [(key, str(reason)) for key, reason in outcome.dropped]


def rejected(text: str, record: object, head: str = HEAD) -> Rejected:
    (outcome,) = translated(source(text, head), record)
    assert outcome.rejected is not None
    assert not outcome.activities
    return outcome.rejected


def findings(text: str, head: str = HEAD) -> list[str]:
    with pytest.raises(SourceError) as refused:
        source(text, head)
    return [str(finding) for finding in refused.value.findings]


OPENED = "kinds: [{name: opened, type: lead.email_opened, data: {campaign: name}}]"


def test_an_event_becomes_a_cloudevent_of_the_source() -> None:
    (outcome,) = translated(source(OPENED), EVENT | {"name": "spring"})
    assert (outcome.kind, outcome.index, outcome.activities[0].lead_id) == ("opened", None, "l-1")
    assert events(outcome) == [
        {
            "specversion": "1.0",
            "source": "test",
            "id": "e-1",
            "type": "lead.email_opened",
            "time": "2026-01-31T09:30:00Z",
            "subject": "l-1",
            "data": {"campaign": "spring"},
        }
    ]


class TestLead:
    HEAD = """
description: Test.
lead: [user, {path: person.mail, as: lower}, {path: contact, prefix: "crm:"}]
id: id
time: time
"""

    @pytest.mark.parametrize(
        ("event", "lead"),
        [
            ({"user": "u", "contact": 5}, "u"),
            ({"user": "", "person": {"mail": " A@Example.com "}}, "a@example.com"),
            ({"user": None, "person": [], "contact": 9007199254740993}, "crm:9007199254740993"),
            ({"user": {"id": 1}, "contact": "c"}, "crm:c"),
        ],
    )
    def test_is_the_first_path_with_a_value(self, event: dict[str, object], lead: str) -> None:
        (outcome,) = translated(source(OPENED, self.HEAD), {"id": "1", "time": EVENT["time"]} | event)
        assert outcome.activities[0].lead_id == lead

    def test_without_one_there_is_no_event(self) -> None:
        problem = rejected(OPENED, {"id": "1", "time": EVENT["time"]}, self.HEAD)
        assert problem.reason == "missing_attribute"
        assert problem.detail == "the lead is not named: there is no value at user, person.mail, contact"

    def test_that_is_too_long_or_has_control_characters_is_none(self) -> None:
        assert rejected(OPENED, EVENT | {"lead": "x" * 257}).reason == "invalid_attribute"
        assert rejected(OPENED, EVENT | {"lead": "a\nb"}).reason == "invalid_attribute"


class TestId:
    HEAD = "{description: Test, lead: lead, id: [portal, 'event || object'], time: time, "

    def test_is_all_its_parts(self) -> None:
        mapping = source("kinds: [{name: k, type: lead.custom}]}", self.HEAD)
        (outcome,) = translated(mapping, EVENT | {"portal": 62515, "object": 12345678901234567})
        assert events(outcome)[0]["id"] == "62515:12345678901234567"

    def test_without_a_part_there_is_no_event(self) -> None:
        problem = rejected("kinds: [{name: k, type: lead.custom}]}", EVENT | {"portal": 1}, self.HEAD)
        assert problem.detail == "the event has no id: there is no text or number at event || object"

    def test_that_is_too_long_is_a_digest(self) -> None:
        one, other = (
            events(translated(source(OPENED), EVENT | {"id": "x" * 300 + end})[0])[0]["id"] for end in ("a", "b")
        )
        assert one.startswith("sha256:")
        assert one != other

    def test_two_events_never_have_the_same_one(self) -> None:
        mapping = source("kinds: [{name: k, type: lead.custom, also: [{type: lead.custom}]}]}", self.HEAD)
        pairs = [("a:b", "c"), ("a", "b:c"), ("a", "b"), ("a", "b:1"), ("a", "b:1:1"), ("a", "b:15"), ("a", "b:16")]
        ids = [
            event["id"]
            for portal, object_ in pairs
            for event in events(translated(mapping, EVENT | {"portal": portal, "object": object_})[0])
        ]
        assert len(set(ids)) == 2 * len(pairs)

    @pytest.mark.parametrize("number", [b"1.2345678901234567e19", b"12345678901234567890.0", b"9007199254740993.0"])
    def test_of_a_number_that_lost_digits_is_none(self, number: bytes) -> None:
        template = b'{"lead":"l","id":"e","time":"2026-01-31T09:30:00Z"}'
        of_id = rejected(OPENED, template.replace(b'"e"', number))
        assert (of_id.reason, of_id.detail) == (
            "missing_attribute",
            "the event has no id: there is no value that can be read at id",
        )
        of_lead = rejected(OPENED, template.replace(b'"l"', number))
        assert of_lead.detail == "the lead is not named: there is no value that can be read at lead"
        (exact,) = events(translated(source(OPENED), template.replace(b'"e"', b"12345678901234567890"))[0])
        assert exact["id"] == "12345678901234567890"

    def test_a_text_like_a_digest_is_not_taken_for_one(self) -> None:
        mapping = source(OPENED)
        (long,) = events(translated(mapping, EVENT | {"id": "x" * 300})[0])
        (forged,) = events(translated(mapping, EVENT | {"id": long["id"]})[0])
        assert forged["id"] != long["id"]


class TestTime:
    @pytest.mark.parametrize(
        ("written", "time"),
        [
            ("2026-01-31T09:30:00.5+02:00", "2026-01-31T09:30:00.5+02:00"),
            ("2026-01-31 09:30:00", "2026-01-31T09:30:00Z"),
            ("2026-01-31 09:30:00.123456", "2026-01-31T09:30:00.123456Z"),
            ("2026-01-31T09:30:00+0000", "2026-01-31T09:30:00+00:00"),
            ("2026-01-31T09:30:00-05", "2026-01-31T09:30:00-05:00"),
            ("2026-01-31 09:30:00 UTC", "2026-01-31T09:30:00Z"),
            ("2026-12-31T23:59:60Z", "2026-12-31T23:59:60Z"),
            ("2026-01-31 09:30:00+01:00", "2026-01-31T09:30:00+01:00"),
            ("2026-01-31T09:30:00+0100", "2026-01-31T09:30:00+01:00"),
            ("2026-01-31T09:30:00.123+0100", "2026-01-31T09:30:00.123+01:00"),
        ],
    )
    def test_is_read_in_the_forms_that_senders_write(self, written: str, time: str) -> None:
        (outcome,) = translated(source(OPENED), EVENT | {"time": written})
        assert json.loads(outcome.activities[0].value)["time"] == time

    @pytest.mark.parametrize(
        ("written", "unit", "time"),
        [
            (1769851800, "s", "2026-01-31T09:30:00Z"),
            ("1769851800", "s", "2026-01-31T09:30:00Z"),
            (1769851800.25, "s", "2026-01-31T09:30:00.250000Z"),
            (1769851800123, "ms", "2026-01-31T09:30:00.123000Z"),
            (1769851800123456, "us", "2026-01-31T09:30:00.123456Z"),
            ("2026-01-31 09:30:00", "ms", "2026-01-31T09:30:00Z"),
        ],
    )
    def test_of_a_number_has_a_unit(self, written: object, unit: str, time: str) -> None:
        mapping = source(OPENED, HEAD.replace("time: time", f"time: [missing, {{path: time, unit: {unit}}}]"))
        assert events(translated(mapping, EVENT | {"time": written})[0])[0]["time"] == time

    @pytest.mark.parametrize("written", [1769851800, "yesterday", True, {}, "2026-02-30T00:00:00Z", "9" * 100])
    def test_that_cannot_be_read_is_no_event(self, written: object) -> None:
        assert rejected(OPENED, EVENT | {"time": written}).reason == "invalid_time"

    @pytest.mark.parametrize("written", [10**30, -(10**30), 1e300, "99999999999999999999"])
    def test_beyond_the_calendar_is_no_event(self, written: object) -> None:
        head = HEAD.replace("time: time", "time: {path: time, unit: s}")
        assert rejected(OPENED, EVENT | {"time": written}, head).reason == "invalid_time"

    @pytest.mark.parametrize("written", ["0001-01-01T00:00:00+14:00", "0001-01-01 00:30:00+0100"])
    def test_before_the_calendar_in_utc_is_no_event(self, written: str) -> None:
        assert rejected(OPENED, EVENT | {"time": written}).reason == "invalid_time"
        mapping = source(OPENED, HEAD.replace("time: time", "time: [time, later]"))
        (event,) = events(translated(mapping, EVENT | {"time": written, "later": "2026-01-31T09:30:00Z"})[0])
        assert event["time"] == "2026-01-31T09:30:00Z"

    def test_that_is_missing_is_no_event(self) -> None:
        assert rejected(OPENED, {"lead": "l", "id": "i"}).detail == "the event has no time: there is no value at time"


class TestKinds:
    TEXT = """
kinds:
  - {name: both, when: {type: track, event: [Signed Up, 7, true]}, type: lead.custom.both}
  - {name: ping, when: {event: page_ping}, ignore: dwell time}
  - {name: present, when: {type: track}, present: properties.plan, type: lead.custom.present}
  - {name: if, when: {type: track}, if: "length(tags) > `1`", type: lead.custom.if}
  - {name: named, when: {type: track}, type: {path: event, prefix: lead.track.}}
"""

    @pytest.mark.parametrize(
        ("event", "kind"),
        [
            ({"type": "track", "event": "Signed Up"}, "lead.custom.both"),
            ({"type": "track", "event": 7}, "lead.custom.both"),
            ({"type": "track", "event": "7"}, "lead.custom.both"),
            ({"type": "track", "event": True}, "lead.custom.both"),
            ({"type": "track", "event": "x", "properties": {"plan": 0}}, "lead.custom.present"),
            ({"type": "track", "event": "x", "properties": {"plan": ""}}, "lead.track.x"),
            ({"type": "track", "event": "x", "tags": ["a", "b"]}, "lead.custom.if"),
            ({"type": "track", "event": "Größe: XL geändert!", "tags": 5}, "lead.track.groe_xl_geandert"),
        ],
    )
    def test_the_first_that_applies_is_taken(self, event: dict[str, object], kind: str) -> None:
        (outcome,) = translated(source(self.TEXT), EVENT | event)
        assert [activity["type"] for activity in events(outcome)] == [kind]

    @pytest.mark.parametrize(
        ("event", "ignored", "kind"),
        [
            ({"type": "track", "event": "page_ping"}, "dwell time", "ping"),
            ({"type": "page"}, "no_kind", ""),
            ({"type": None}, "no_kind", ""),
            ({"type": ["track"]}, "no_kind", ""),
            ({"type": "track", "event": "!?"}, "no_name", "named"),
        ],
    )
    def test_what_is_ignored_says_why(self, event: dict[str, object], ignored: str, kind: str) -> None:
        (outcome,) = translated(source(self.TEXT), {"lead": 1, "id": 1, "time": EVENT["time"]} | event)
        assert (outcome.ignored, outcome.kind, outcome.activities) == (ignored, kind, ())

    def test_otherwise_takes_the_rest(self) -> None:
        text = "kinds: [{name: a, when: {x: y}, ignore: no}]\notherwise: {type: lead.custom.rest}"
        (outcome,) = translated(source(text), EVENT)
        assert (outcome.kind, outcome.activities[0].type) == ("otherwise", "lead.custom.rest")

    def test_a_kind_can_have_its_own_lead_id_and_time(self) -> None:
        text = "kinds: [{name: a, type: lead.custom, lead: b, id: [c, d], time: {path: e, unit: s}}]"
        (event,) = events(translated(source(text), {"b": "x", "c": 1, "d": 2, "e": 0})[0])
        assert (event["subject"], event["id"], event["time"]) == ("x", "1:2", "1970-01-01T00:00:00Z")


class TestData:
    def test_a_key_whose_path_has_no_value_is_left_out(self) -> None:
        assert data_of("{a: x.y, b: z, c: w}", {"x": 5, "z": None, "w": ""}) == ({}, [])

    def test_a_constant_and_an_object(self) -> None:
        data = data_of("{status: {value: withdrawn}, custom: {plan: a}}", {"a": "pro"})[0]
        assert data == {"status": "withdrawn", "custom": {"plan": "pro"}}

    def test_the_whole_object(self) -> None:
        assert data_of("properties", {"properties": {"a": [1], "b": None}})[0] == {"a": [1]}
        assert data_of("properties", {"properties": 5}) == ({}, [("data", "wrong_type")])

    def test_a_list_of_names_and_values_is_an_object(self) -> None:
        items = [{"name": "Conference Date", "value": "2026-02-02"}, {"name": "Größe", "value": 3}, {"name": "N"}]
        assert data_of("items", {"items": items}) == ({"conference_date": "2026-02-02", "groe": 3}, [])
        assert data_of("items", {"items": []}) == ({}, [])
        assert data_of("items", {"items": [{"name": "A", "value": 1}, {"name": 7}, 5, {"name": "?"}]}) == (
            {"a": 1},
            [("data", "wrong_type")],
        )

    def test_texts_by_name(self) -> None:
        text = "{a: {path: x, values: {'1': page, 2: {form}}}}".replace("{form}", "form")
        assert data_of(text, {"x": 1})[0] == {"a": "page"}
        assert data_of(text, {"x": "2"})[0] == {"a": "form"}
        assert data_of(text, {"x": "3"}) == ({}, [("a", "not_a_choice")])

    def test_a_prefix(self) -> None:
        assert data_of("{a: {path: x, prefix: 'crm:'}}", {"x": 1})[0] == {"a": "crm:1"}

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("text", 9007199254740993, "9007199254740993"),
            ("text", False, "false"),
            ("text", 1.0, "1"),
            ("text", 0.5, "0.5"),
            ("lower", " AbC ", "abc"),
            ("texts", "one", ["one"]),
            ("texts", ["a", 1, ""], ["a", "1"]),
            ("raw", {"a": [1, None]}, {"a": [1, None]}),
            ("raw", 2**70, 2**70),
            ("whole_number", "400.0", 400),
            ("whole_number", 400.0, 400),
            ("whole_number", "9007199254740993", 9007199254740993),
            ("number", " 1.5 ", 1.5),
            ("number", "1e3", 1000),
            ("number", "12.5", 12.5),
            ("number", "0.125", 0.125),
            ("number", "1234.567", 1234.567),
            ("number", "1.2345", 1.2345),
            ("number", 1.234, 1.234),
            ("employees", "12.000", 12000),
            ("revenue", "12.000", 12000),
            ("revenue", "12.000,50", 12000.5),
            ("boolean", "Yes", True),
            ("boolean", "ja", True),
            ("boolean", "WAHR", True),
            ("boolean", "Nein", False),
            ("boolean", "FALSCH", False),
            ("boolean", 0, False),
        ],
    )
    def test_conversions(self, name: str, value: object, expected: object) -> None:
        assert data_of(f"{{a: {{path: x, as: {name}}}}}", {"x": value}) == ({"a": expected}, [])

    @pytest.mark.parametrize(
        ("name", "value", "reason"),
        [
            ("text", [], "wrong_type"),
            ("text", 10**100, "out_of_range"),
            ("whole_number", 1.5, "wrong_type"),
            ("whole_number", "many", "malformed"),
            ("whole_number", 2**63, "out_of_range"),
            ("whole_number", "12.000", "ambiguous"),
            ("number", " 1.234", "ambiguous"),
            ("number", "-999.999", "ambiguous"),
            ("number", "12.000,50", "malformed"),
            ("number", True, "wrong_type"),
            ("number", "nan", "malformed"),
            ("boolean", "maybe", "not_a_choice"),
            ("texts", [["a"]], "wrong_type"),
            ("country", "ZZ", "not_a_choice"),
        ],
    )
    def test_what_cannot_be_converted_is_dropped(self, name: str, value: object, reason: str) -> None:
        assert data_of(f"{{a: {{path: x, as: {name}}}, b: id}}", {"x": value}) == ({"b": "e-1"}, [("a", reason)])

    def test_an_empty_value_withdraws_only_where_the_mapping_says_so(self) -> None:
        text = "{job_title: {path: a.title, empty: withdraws}, industry: a.industry}"
        kind = "lead.profile_updated"
        assert data_of(text, {"a": {"title": None, "industry": None}}, kind)[0] == {"job_title": None}
        assert data_of(text, {"a": {"title": ""}}, kind)[0] == {"job_title": None}
        assert data_of(text, {"a": {}}, kind)[0] == {}

    @pytest.mark.parametrize("path", ["to_number(x)", "[to_number(x), `1`]", "{n: {m: [sum([to_number(x)])]}}"])
    @pytest.mark.parametrize("text", ["nan", "inf", "-1e999"])
    def test_a_result_with_a_number_that_json_has_not_is_dropped(self, path: str, text: str) -> None:
        data = data_of(f'{{a: {{path: "{path}", as: raw}}, b: id}}', {"x": text})
        assert data == ({"b": "e-1"}, [("a", "out_of_range")])

    def test_an_expression_that_does_not_fit_is_dropped(self) -> None:
        assert data_of('{a: "length(x)", b: id}', {"x": 5}) == ({"b": "e-1"}, [("a", "wrong_type")])
        assert data_of('{a: "sum(x)"}', {"x": [1e308, 1e308]}) == ({}, [("a", "out_of_range")])

    def test_an_expression_over_very_long_lists_is_dropped(self) -> None:
        text = """{a: "x[?k == 'v'].n | [0]"}"""
        items = [{"k": "w", "n": 1}] * 900 + [{"k": "v", "n": 2}]
        assert data_of(text, {"x": items}) == ({"a": "2"}, [])
        assert data_of(text, {"x": items * 20}) == ({}, [("a", "too_long")])


class TestBuiltInTypes:
    def test_a_key_is_converted_as_its_type_says(self) -> None:
        text = "{employees: a, is_customer: b, technologies: c, annual_revenue: d, custom: {seats: e, vip: f}}"
        event = {"a": "120", "b": "true", "c": ["x"], "d": "1.5", "e": 5, "f": False}
        data, dropped = data_of(text, event, "lead.profile_updated")
        expected = {"employees": 120, "is_customer": True, "technologies": ["x"], "annual_revenue": 1.5}
        assert data == expected | {"custom": {"seats": 5, "vip": False}}
        assert dropped == []

    def test_what_the_contract_refuses_is_dropped_and_the_rest_counts(self) -> None:
        text = "{company: a, country: b, job_level: c, employees: d, industry: e, custom: {plan: f, x: g}}"
        event = {"a": "x" * 300, "b": "Germany", "c": "boss", "d": -1, "e": "IT", "f": {}, "g": "y" * 3000}
        data, dropped = data_of(text, event, "lead.profile_updated")
        assert data == {"industry": "IT", "custom": {}}
        assert sorted(dropped) == [
            ("company", "too_long"),
            ("country", "malformed"),
            ("custom.plan", "wrong_type"),
            ("custom.x", "too_long"),
            ("employees", "out_of_range"),
            ("job_level", "not_a_choice"),
        ]

    def test_sixty_five_technologies_and_too_many_bytes_of_them_are_dropped(self) -> None:
        for names in ([str(number) for number in range(65)], ["ä" * 250] * 60):
            data, dropped = data_of("{technologies: a, industry: id}", {"a": names}, "lead.profile_updated")
            assert (data, dropped) == ({"industry": "e-1"}, [("technologies", "too_long")])

    def test_of_an_address_that_is_too_long_the_path_counts(self) -> None:
        event: dict[str, object] = {"u": "/a?" + "x" * 5000, "s": "soon"}
        data, dropped = data_of("{url: u, seconds: s}", event, "lead.page_viewed")
        assert (data, sorted(dropped)) == ({"path": "/a"}, [("seconds", "malformed"), ("url", "too_long")])

    @pytest.mark.parametrize(
        ("sent", "reason"), [(None, "missing"), ("", "missing"), ([], "wrong_type"), ("x" * 300, "too_long")]
    )
    def test_an_activity_counts_without_a_required_key(self, sent: object, reason: str) -> None:
        assert data_of("{form: f}", {"f": sent}, "lead.form_submitted") == ({}, [("form", reason)])

    def test_without_a_decisive_key_there_is_no_event(self) -> None:
        problem = rejected("kinds: [{name: s, type: lead.stage_changed, data: {stage: u}}]", EVENT)
        assert (problem.reason, problem.detail) == ("invalid_data", "lead.stage_changed: data.stage is missing")
        # A shorter id would be that of another lead.
        text = "kinds: [{name: m, type: lead.merged, data: {into: u}}]"
        assert rejected(text, EVENT | {"u": "x" * 300}).reason == "invalid_data"

    @pytest.mark.parametrize("channel", ["fax", 5, []])
    def test_a_consent_to_an_unknown_channel_is_no_consent_to_all(self, channel: object) -> None:
        text = "kinds: [{name: c, type: lead.consent_changed, data: {status: {value: granted}, channel: c}}]"
        assert rejected(text, EVENT | {"c": channel}).reason == "invalid_data"
        assert events(translated(source(text), EVENT | {"c": "email"})[0])[0]["data"]["channel"] == "email"


class TestFurtherActivities:
    TEXT = """
kinds:
  - name: identify
    type: lead.profile_updated
    data: {industry: industry}
    also:
      - {type: lead.merged, held: true, lead: anonymous, present: anonymous, data: {into: lead}}
      - {type: lead.custom.second, if: second}
"""

    def test_have_ids_with_their_place_and_some_are_held(self) -> None:
        (outcome,) = translated(source(self.TEXT), EVENT | {"anonymous": "a-1", "second": True})
        assert [activity.type for activity in outcome.activities] == ["lead.profile_updated", "lead.custom.second"]
        assert [activity.lead_id for activity in outcome.held] == ["a-1"]
        assert [event["id"] for event in events(outcome)] == ["e-1", "e-1:2", "e-1:1"]

    def test_are_left_out_if_they_do_not_apply(self) -> None:
        for anonymous in (None, "l-1"):
            (outcome,) = translated(source(self.TEXT), EVENT | {"anonymous": anonymous})
            assert (len(outcome.activities), outcome.held) == (1, [])

    def test_a_merge_of_a_lead_with_itself_is_ignored(self) -> None:
        text = "kinds: [{name: m, type: lead.merged, held: true, data: {into: other}}]"
        (outcome,) = translated(source(text), EVENT | {"other": "l-1"})
        assert outcome.ignored == "same_lead"
        (outcome,) = translated(source(text), EVENT | {"other": "l-2"})
        assert [activity.type for activity in outcome.held] == ["lead.merged"]


class TestFormats:
    def test_json_is_an_object_or_a_list(self) -> None:
        outcomes = translated(source(OPENED), [EVENT, 5, EVENT | {"lead": None}])
        assert [(outcome.index, outcome.rejected and outcome.rejected.reason) for outcome in outcomes] == [
            (0, None),
            (1, "not_an_object"),
            (2, "missing_attribute"),
        ]
        assert [outcome.index for outcome in translated(source(OPENED), [EVENT])] == [0]
        (outcome,) = translated(source(OPENED), [])
        assert outcome.ignored == "no_events"

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (b"", "empty_value"),
            (None, "empty_value"),
            (b"{", "not_json"),
            (b"5", "not_an_object"),
            (b"\xff", "not_utf8"),
            (b'{"a": NaN}', "number_out_of_range"),
            (b"[" * 100 + b"]" * 100, "too_deep"),
            (b" " * (MAX_BYTES + 1), "too_large"),
            (b"[" + b"0," * MAX_EVENTS + b"0]", "too_large"),
        ],
    )
    def test_a_record_that_is_none_of_the_format_is_rejected(self, value: bytes | None, reason: str) -> None:
        with pytest.raises(Rejected) as refused:
            source(OPENED).outcomes(value, (), NOW, MAX_BYTES)
        assert refused.value.reason == reason

    def test_a_number_that_is_out_of_range_costs_its_key(self) -> None:
        text = "kinds: [{name: p, type: lead.profile_updated, data: {employees: n, industry: id, custom: {seats: n}}}]"
        value = json.dumps(EVENT | {"n": 1}).replace('"n": 1', '"n": 1e999').encode()
        (outcome,) = source(text).outcomes(value, (), NOW, MAX_BYTES)
        assert events(outcome)[0]["data"] == {"industry": "e-1"}
        assert list(outcome.dropped) == [("employees", "out_of_range"), ("custom.seats", "out_of_range")]

    def test_half_a_surrogate_pair_is_a_replacement_character(self) -> None:
        value = b'{"lead":"l","id":1,"time":"2026-01-31T09:30:00Z","name":"a\\ud83d"}'
        assert events(translated(source(OPENED), value)[0])[0]["data"] == {"campaign": "a\ufffd"}

    @pytest.mark.parametrize(
        ("written", "read"),
        [
            (r"\\ud83d", r"\ud83d"),
            (r"\\\ud83d", "\\\ufffd"),
            (r"\n\udc00\\n", "\n\ufffd\\n"),
            (r"\ud83d\ud83d\ude00\ude00", "\ufffd\U0001f600\ufffd"),
        ],
    )
    def test_an_escaped_backslash_begins_no_surrogate(self, written: str, read: str) -> None:
        assert decode_value(f'["\\ud83d", "{written}"]'.encode(), MAX_BYTES)[1] == read

    @given(lists(sampled_from([r"\ud83d", r"\ude00", r"\uDE00", r"\\", r"\n", "u", "d83d", "ä", "/"])))
    def test_halves_of_pairs_are_replaced_as_decoders_of_utf_16_do(self, parts: list[str]) -> None:
        document = f'["{"".join(parts)}"]'
        (expected,) = json.loads(document)
        expected = expected.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        assert decode_value(document.encode(), MAX_BYTES) == [expected]

    @pytest.mark.parametrize("repeated", [r"\ud83d", r"\ud83dx", r"\ude00", r"\ud83d\ude00", r"\\"])
    def test_a_megabyte_of_them_takes_less_than_50_ms(self, repeated: str) -> None:
        value = f'["{repeated * ((1 << 20) // len(repeated) - 8)}\\ud83d"]'.encode()
        seconds = []
        for _ in range(5):
            start = process_time()
            decode_value(value, MAX_BYTES)
            seconds.append(process_time() - start)
        assert min(seconds) < 0.05

    def test_a_mistake_after_one_keeps_its_place(self) -> None:
        with pytest.raises(Rejected, match=r"\(byte 13\)"):
            decode_value(rb'["\\\ud83d", ,1]', MAX_BYTES)
        with pytest.raises(Rejected, match="not_json"):
            decode_value(b'["\\ud83d\0\0"]', MAX_BYTES)

    def test_a_text_of_backslashes_without_an_end_is_refused_at_once(self) -> None:
        start = process_time()
        with pytest.raises(Rejected):
            decode_value(b'"' + b"\\\\" * 500_000, MAX_BYTES)
        assert process_time() - start < 0.1

    def test_of_two_equal_keys_the_later_one_counts(self) -> None:
        value = b'{"lead":"a","lead":"b","id":1,"time":"2026-01-31T09:30:00Z"}'
        assert translated(source(OPENED), value)[0].activities[0].lead_id == "b"

    def test_tsv_with_columns(self) -> None:
        mapping = source(OPENED, f"{HEAD}format: tsv\ncolumns: [lead, id, time, name]\n")
        outcomes = translated(mapping, b'l\t1\t2026-01-31 09:30:00.000\ta "b"\r\nm\t2\t2026-01-31 09:30:00\t\n')
        assert [events(outcome)[0]["data"] for outcome in outcomes] == [{"campaign": 'a "b"'}, {}]
        with pytest.raises(Rejected, match="the row has 2 columns; expected 4 columns"):
            translated(mapping, b"l\t1")

    def test_tsv_or_json(self) -> None:
        mapping = source(OPENED, f"{HEAD}format: tsv_or_json\ncolumns: [lead, id, time, name]\n")
        rows = b"l\t1\t2026-01-31 09:30:00\ta", b' {"lead": "l", "id": 1, "time": "2026-01-31 09:30:00", "name": "a"}'
        of_tsv, of_json = (events(translated(mapping, row)[0]) for row in rows)
        assert of_tsv == of_json
        with pytest.raises(Rejected, match="not JSON"):
            translated(mapping, b"{l\t1\t2026-01-31 09:30:00\ta")

    def test_csv_names_its_columns_in_the_first_line(self) -> None:
        mapping = source(OPENED, f"{HEAD}format: csv\nseparator: ';'\n")
        (outcome,) = translated(mapping, '\ufefftime;lead;id;name\n2026-01-31 09:30:00;l;1;"a;\nb"\n'.encode())
        assert (events(outcome)[0]["data"], outcome.index) == ({"campaign": "a;\nb"}, None)

    def test_a_form_with_brackets(self) -> None:
        text = "kinds: [{name: k, type: lead.custom, data: data}]"
        mapping = source(text, HEAD.replace("lead: lead", "lead: data.email") + "format: form\n")
        form = b"id=1&time=2026-01-31+09%3A30%3A00&data[email]=a%40b.c&data[merges][NAME]=X&data[t][]=1&data[t][]=2&[=1"
        (outcome,) = translated(mapping, form)
        assert events(outcome)[0]["data"] == {"email": "a@b.c", "merges": {"NAME": "X"}, "t": ["1", "2"]}
        with pytest.raises(Rejected, match="more than 2,000 fields"):
            translated(mapping, b"&".join([b"a=1"] * 2001))

    def test_json_in_a_text(self) -> None:
        mapping = source(OPENED.replace("name}", "props.inner.name}"), f"{HEAD}json_text: [props, props.inner]\n")
        (outcome,) = translated(mapping, EVENT | {"props": '{"inner": "{\\"name\\": \\"x\\"}"}'})
        assert (events(outcome)[0]["data"], list(outcome.dropped)) == ({"campaign": "x"}, [])
        (outcome,) = translated(mapping, EVENT | {"props": "{"})
        assert (events(outcome)[0]["data"], list(outcome.dropped)) == ({}, [("props", "malformed")])

    def test_events_inside_a_record(self) -> None:
        mapping = source(OPENED, f"{HEAD}unfold: batch[].item\n")
        outcomes = translated(mapping, {"batch": [{"item": EVENT}, {"item": EVENT | {"lead": "l-2"}}]})
        assert [(outcome.index, outcome.activities[0].lead_id) for outcome in outcomes] == [(0, "l-1"), (1, "l-2")]
        assert translated(mapping, {"batch": None})[0].ignored == "no_events"

    def test_events_in_lists_by_key(self) -> None:
        head = "{description: T, lead: item.lead, id: [key, item.id], time: item.time, unfold_by_key: true, "
        mapping = source("kinds: [{name: k, when: {key: opened}, type: lead.email_opened}]}", head)
        outcomes = translated(mapping, {"opened": [EVENT], "other": EVENT, "at": "now", "opened2": []})
        assert [(outcome.index, outcome.ignored) for outcome in outcomes] == [(0, None), (1, "no_kind")]
        assert events(outcomes[0])[0]["id"] == "opened:e-1"


class TestMistakes:
    def test_have_a_place_and_a_suggestion(self) -> None:
        assert findings(
            "kinds:\n  - name: a\n    wen: {a: b}\n    type: lead.email_opened\n    data: {campagn: x}\n"
        ) == ["sources/test.yaml:8:5: error: unknown key `wen`; did you mean when?"]
        assert findings("kinds:\n  - name: a\n    type: lead.email_opened\n    data: {campagn: x}\n") == [
            "sources/test.yaml:9:12: error: `lead.email_opened` has no `campagn`; did you mean campaign?"
        ]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("kinds: [{name: a, type: lead.page_viewed, data: {path: x}}]", "needs `url` in its data"),
            ("kinds: [{name: a, type: lead.page_viewed}]", "needs `url` in its data"),
            ("kinds: [{name: a, type: lead.email_opened, data: properties}]", "has keys of its own"),
            ("kinds: [{name: a, type: lead.profile_updated, data: {custom: x}}]", "is an object"),
            ("kinds: [{name: a, type: lead.profile_updated, data: {company: {a: x}}}]", "is one value"),
            ("kinds: [{name: a, type: lead.profile_updated, data: {custom: {Plan: x}}}]", "no name of a custom fact"),
            ("kinds: [{name: a, type: lead.consent_changed, data: {status: {value: no}}}]", "cannot have this value"),
            ("kinds: [{name: a, type: lead.qualification_updated, data: {bant: {ned: x}}}]", "did you mean need?"),
            ("kinds: [{name: a, type: lead.tick}]", "is of the service itself"),
            ("kinds: [{name: a, type: {path: x, prefix: lead.}}]", "`prefix`"),
            ("kinds: [{name: a, type: lead.x}, {name: a, type: lead.y}]", "the kind `a` is already defined"),
            ("kinds: [{name: a, type: lead.x}, {name: b, type: lead.y}]", "no event ever is of the kinds after it"),
            ("kinds: [{name: a}]", "write the `type` of the activity, or `ignore`"),
            ("kinds: [{name: a, ignore: x, type: lead.x}]", "`type` has no meaning beside `ignore`"),
            ("kinds: [{name: a, type: lead.x, data: {b: {path: c, azz: raw}}}]", "unknown key `azz`"),
            ("kinds: [{name: a, type: lead.x, data: {b: {path: c, as: numbr}}}]", "did you mean number?"),
            ("kinds: [{name: a, type: lead.x, data: {b: {value: c, as: text}}}]", "has no meaning beside `value`"),
            ("kinds: [{name: a, type: lead.x, data: {b: {path: 'c[0]', empty: withdraws}}}]", "only names keys"),
            ("kinds: [{name: a, type: lead.x, data: {b: 'c ['}}]", "not JMESPath"),
            ("kinds: [{name: a, type: lead.x, data: {b: 'max([c, `[1e999]`])'}}]", "a number that is out of range"),
            ("kinds: [{name: a, type: lead.x, data: {b: '`NaN`'}}]", "NaN"),
            ("kinds: [{name: a, type: lead.x, data: {b: E-Mail}}]", "inside single ones: '\"E-Mail\"'"),
            ("kinds: [{name: a, type: lead.x, data: {b: Geändert am}}]", "inside single ones: '\"Geändert am\"'"),
            ("kinds: [{name: a, type: lead.x, data: {b: a.$b}}]", "inside single ones: 'a.\"$b\"'"),
            ("kinds: [{name: a, type: lead.x, data: {b: 'lenght(c)'}}]", "did you mean length?"),
            ("kinds: [{name: a, type: lead.x, data: {b: 'length(c, d)'}}]", "`length` takes 1 argument"),
            ("kinds: [{name: a, type: lead.x, data: {b: 'a[][][][][]'}}]", "at most 4 are allowed"),
            ("kinds: [{name: a, type: lead.x, if: '" + "(" * 499 + "a" + ")" * 499 + "'}]", "nested too deeply"),
            ("kinds: [{name: a, when: {present: [x]}, type: lead.x}]", "write `present` beside `when`"),
            ("kinds: [{name: a, type: Lead.X}]", "`type`"),
            ("kinds: []\nseparator: ';'", "`separator` has no meaning for the format json"),
            ("kinds: []\ncolumns: [a]", "`columns` has no meaning for the format json"),
            ("kinds: []\nformat: tsv\ncolumns: [a, a]", "the column `a` is named twice"),
            ("kinds: []\nunfold: a\nunfold_by_key: true", "write either `unfold` or `unfold_by_key`"),
            ("kinds: []\notherwise: {when: {a: b}, ignore: x}", "so it has no condition"),
            ("kinds: []\nformat: xml", "`format` must be"),
            ("kinds: []\nlead: x", "is given twice"),
            ("kinds: [{name: a, type: lead.x, lead: {path: b, perfix: c}}]", "did you mean prefix?"),
            ("kinds: [{name: a, type: lead.x, when: {b: 1e300}}]", "a number with all its digits"),
        ],
    )
    def test_are_named(self, text: str, message: str) -> None:
        assert any(message in finding for finding in findings(text)), findings(text)

    @pytest.mark.parametrize("code", [r"\n", r"\u0000", r"\u009f"])
    def test_a_prefix_that_no_id_can_have_has_a_place(self, code: str) -> None:
        at_lead = f'{{path: user, prefix: "crm{code}"}}'
        assert findings("kinds: []", HEAD.replace("lead: lead", f"lead: {at_lead}")) == [
            "sources/test.yaml:3:28: error: expected text without control characters"
        ]
        (found,) = findings(f'kinds: [{{name: a, type: lead.merged, data: {{into: {{path: b, prefix: "{code}"}}}}}}]')
        assert found == "sources/test.yaml:6:69: error: expected text without control characters"

    def test_a_custom_type_like_a_built_in_one_is_a_warning(self) -> None:
        text = """
kinds:
  - {name: a, when: {x: z}, type: lead.profil_updated, also: [{type: lead.page_veiwed}]}
  - {name: b, when: {x: y}, type: lead.web.signed_up}
otherwise: {type: lead.email_open}
"""
        assert [str(warning) for warning in source(text, HEAD.lstrip()).warnings] == [
            "sources/test.yaml:7:35: warning: `lead.profil_updated` is a custom activity type; did you mean "
            "lead.profile_updated?",
            "sources/test.yaml:7:70: warning: `lead.page_veiwed` is a custom activity type; did you mean "
            "lead.page_viewed?",
            "sources/test.yaml:9:19: warning: `lead.email_open` is a custom activity type; did you mean "
            "lead.email_opened?",
        ]

    def test_a_file_that_is_no_mapping(self) -> None:
        assert "a mapping file is a mapping of sections" in findings("- a", "")[0]
        assert "not valid YAML" in findings("{", "")[0]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("9" * 400, "fits in 64 bits"),
        (".inf", "finite"),
        (".nan", "finite"),
        (r'"\ud800"', "half a surrogate pair"),
    ],
)
@pytest.mark.parametrize(
    "place", ["when: {a: VALUE}", "data: {a: {value: VALUE}}", "data: {a: {path: b, values: {x: VALUE}}}"]
)
def test_a_constant_that_no_event_can_have_is_a_finding(place: str, written: str, message: str) -> None:
    found = findings(f"kinds: [{{name: k, type: lead.custom, {place.replace('VALUE', written)}}}]")
    assert any(message in finding for finding in found)
