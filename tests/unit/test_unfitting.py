"""A key that does not fit is corrected or dropped; the rest of the activity counts, and what was dropped is told."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from scorer.domain.activity import LeadActivity
from scorer.domain.instant import DAY
from scorer.domain.unfitting_keys import UnfittingKeys
from scorer.offline.partition_lines import activity_line
from scorer.runtime.settings import load_settings
from scorer.sources.cloudevents import parse_line, parse_record
from scorer.sources.rejected import Rejected
from scorer.sources.strict_json import split_list
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from tests.factory import SMALL_RULES, evaluator

NOW = 20_500 * DAY
LONG = "x" * 300
BAD_CUSTOM: dict[str, object] = {f"a{number}": {} for number in range(65)}


def event(kind: str, data: object) -> bytes:
    """An event with this data."""
    attributes = {"id": "e1", "source": "/crm", "time": "2026-01-31T09:30:00Z", "subject": "L-1"}
    return json.dumps({"specversion": "1.0", "type": f"lead.{kind}", **attributes, "data": data}).encode()


def parsed(kind: str, data: object) -> LeadActivity:
    """The activity with this data."""
    return parse_line(event(kind, data), NOW)


def told(activity: LeadActivity) -> list[tuple[str, str, str]]:
    """What was dropped: field, reason and key."""
    return [(drop.field, drop.reason, drop.key) for drop in activity.dropped]


@pytest.mark.parametrize(
    ("kind", "sent", "reason"),
    [
        ("profile_updated", {"country": "Germany"}, "malformed"),
        ("profile_updated", {"technologies": ["x"] * 65}, "too_long"),
        ("profile_updated", {"technologies": ["é" * 256] * 64}, "too_long"),
        ("profile_updated", {"technologies": ["a", 1]}, "wrong_type"),
        ("profile_updated", {"technologies": ["a", ""]}, "malformed"),
        ("profile_updated", {"job_title": LONG}, "too_long"),
        ("profile_updated", {"job_level": "boss"}, "not_a_choice"),
        ("profile_updated", {"job_level": 3}, "wrong_type"),
        ("profile_updated", {"employees": "40"}, "wrong_type"),
        ("profile_updated", {"employees": 1.5}, "wrong_type"),
        ("profile_updated", {"employees": -1}, "out_of_range"),
        ("profile_updated", {"annual_revenue": 10**400}, "out_of_range"),
        ("profile_updated", {"is_customer": "yes"}, "wrong_type"),
        ("assessment_recorded", {"probability": 1.5}, "out_of_range"),
        ("page_viewed", {"seconds": "9"}, "wrong_type"),
        ("page_viewed", {"referrer": "x" * 2049}, "too_long"),
        ("call_logged", {"minutes": -1}, "out_of_range"),
        ("demo_requested", {"product": ""}, "empty"),
        ("email_bounced", {"kind": "block"}, "not_a_choice"),
        ("opportunity_won", {"value": "1,000"}, "wrong_type"),
    ],
)
def test_a_key_that_does_not_fit_is_dropped(kind: str, sent: dict[str, Any], reason: str) -> None:
    rest: dict[str, dict[str, object]] = {
        "profile_updated": {"company": "ACME"},
        "page_viewed": {"url": "/a", "path": "/a"},
        "call_logged": {"outcome": "reached"},
    }
    activity = parsed(kind, {**rest.get(kind, {}), **sent})
    assert activity.data == rest.get(kind, {})
    (key,) = sent
    section = {"profile_updated": "profile", "assessment_recorded": "assessment"}.get(kind, kind)
    assert told(activity) == [(f"{section}.{key}", reason, key)]


@pytest.mark.parametrize(
    ("sent", "kept", "dropped"),
    [
        ({"bant": {"need": "much", "authority": "user"}}, {"bant": {"authority": "user"}}, ["bant.need"]),
        ({"bant": 1, "project": {"resources": "partly"}}, {"project": {"resources": "partly"}}, ["bant"]),
        ({"competition": {"competitors": [1]}}, {"competition": {}}, ["competition.competitors"]),
        ({"custom": {"a": {"b": 1}, "c": 1}}, {"custom": {"c": 1}}, ["custom"]),
        ({"custom": {"A b": "", "c": 1}}, {"custom": {"c": 1}}, ["custom"]),
        ({"custom": {"a": "x" * 2049, "b": ["x" * 257], "c": 1}}, {"custom": {"c": 1}}, ["custom", "custom"]),
        ({"custom": [1]}, {}, ["custom"]),
        ({"custom": BAD_CUSTOM, "bant": {}}, {"bant": {}}, ["custom"]),
    ],
)
def test_of_an_object_only_the_key_that_does_not_fit_is_dropped(
    sent: dict[str, Any], kept: dict[str, Any], dropped: list[str]
) -> None:
    activity = parsed("qualification_updated", sent)
    assert activity.data == kept
    assert [drop.field for drop in activity.dropped] == dropped


@pytest.mark.parametrize("kind", ["profile_updated", "assessment_recorded"])
def test_an_empty_text_in_a_statement_withdraws(kind: str) -> None:
    key = {"profile_updated": "employees", "assessment_recorded": "rating"}[kind]
    activity = parsed(kind, {key: ""})
    assert activity.data == {key: None}
    assert [drop.reason for drop in activity.dropped] == ["empty"]
    assert parsed("qualification_updated", {"bant": {"need": ""}}).data == {"bant": {"need": None}}


def test_a_correction_is_no_drop() -> None:
    activity = parsed("profile_updated", {"country": "de", "employees": 400.0})
    assert activity.data == {"country": "DE", "employees": 400}
    assert type(activity.data["employees"]) is int
    assert activity.dropped == ()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (r"a\ud800", "a\ufffd"),
        (r"\udc00\ud800b", "\ufffd\ufffdb"),
        (r"\uD83D\uDE00 \uDe00", "\U0001f600 \ufffd"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\\ud800 \ud800", "\\ud800 \ufffd"),
    ],
)
def test_half_a_surrogate_pair_becomes_the_replacement_character(text: str, read: str) -> None:
    sent = event("form_submitted", {"form": "HERE"}).replace(b"HERE", text.encode())
    assert parse_line(sent, NOW).data == {"form": read}
    assert parse_record(sent, b"L-1", [], NOW).data == {"form": read}
    assert [parse_line(one, NOW).data for one in split_list(b"[" + sent + b"]")] == [{"form": read}]


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1.5E+400", b"9" * 5_000, b"-" + b"9" * 5_000])
def test_a_number_that_is_out_of_range_costs_its_key(number: bytes) -> None:
    data = {"annual_revenue": "HERE", "employees": "HERE", "company": "a\ud800", "custom": {"seats": "HERE", "a": 1}}
    sent = event("profile_updated", data).replace(b'"HERE"', number)
    for activity in (parse_line(sent, NOW), parse_record(sent, b"L-1", [], NOW)):
        assert activity.data == {"company": "a\ufffd", "custom": {"a": 1}}
        assert told(activity) == [
            ("custom", "out_of_range", "seats"),
            ("profile.employees", "out_of_range", "employees"),
            ("profile.annual_revenue", "out_of_range", "annual_revenue"),
        ]
    # A type of one's own has no limits. The number is larger than all others there.
    (value,) = parse_line(event("my_type", {"n": "HERE"}).replace(b'"HERE"', number), NOW).data.values()
    assert isinstance(value, int)
    assert abs(value) > 1e308
    assert (value < 0) == number.startswith(b"-")


def test_an_unknown_key_is_told_and_perhaps_which_one_was_meant() -> None:
    activity = parsed("profile_updated", {"jobTitle": "CTO", "contry": "DE", "shoe_size": 43})
    assert activity.data == {}
    assert told(activity) == [
        ("profile.job_title", "misspelt", "jobTitle"),
        ("profile.country", "misspelt", "contry"),
        ("other", "undeclared", "shoe_size"),
    ]
    # What was sent under its own name was not misspelt.
    assert told(parsed("page_viewed", {"url": "/", "urls": []})) == [("other", "undeclared", "urls")]
    assert told(parsed("qualification_updated", {"bant": {"needs": "critical"}})) == [
        ("bant.need", "misspelt", "needs")
    ]
    assert parsed("my_type", {"anything": 1}).dropped == ()


def test_thousands_of_unknown_keys_are_told_once() -> None:
    activity = parsed("page_viewed", {"url": "/", **{f"utm_{number}": number for number in range(20_000)}})
    assert told(activity) == [("other", "undeclared", "utm_0")]


@pytest.mark.parametrize(
    ("kind", "key", "sent", "reason"),
    [
        ("page_viewed", "url", {"seconds": 4}, "missing"),
        ("page_viewed", "url", {"seconds": 4, "url": 5}, "wrong_type"),
        ("page_viewed", "url", {"url": None}, "wrong_type"),
        ("form_submitted", "form", {"form": "", "url": "/"}, "empty"),
        ("content_downloaded", "content", {"content": LONG, "kind": "guide"}, "too_long"),
        ("webinar_attended", "name", {}, "missing"),
        ("event_attended", "name", {"name": [], "minutes": 4}, "wrong_type"),
        ("call_logged", "outcome", {"outcome": "busy", "minutes": 4}, "not_a_choice"),
    ],
)
def test_an_activity_counts_without_a_required_key(kind: str, key: str, sent: dict[str, Any], reason: str) -> None:
    activity = parsed(kind, sent)
    assert activity.data == {name: value for name, value in sent.items() if name != key}
    assert told(activity) == [(f"{kind}.{key}", reason, key)]
    with pytest.raises(Rejected) as refused:
        evaluator(SMALL_RULES + "unfitting: dead_letter\n").admit(activity)
    assert refused.value.reason == "unfitting"


@pytest.mark.parametrize("sent", [{}, {"url": None}, {"url": "/a?" + "x" * 3_000}, {"Url": "/"}])
def test_the_line_of_an_activity_in_a_topic_says_the_same(sent: dict[str, Any]) -> None:
    activity = parsed("page_viewed", sent)
    assert parse_line(activity_line(activity, None), NOW) == activity


def test_a_misspelt_required_key_is_told_once() -> None:
    assert told(parsed("page_viewed", {"Url": "/"})) == [("page_viewed.url", "misspelt", "Url")]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://example.com/pricing?" + "x" * 3_000, "/pricing"),
        ("/pricing#" + "x" * 3_000, "/pricing"),
        ("/" + "x" * 3_000, None),
        ("https://[" + "?" * 3_000, "/"),
    ],
)
def test_the_path_of_an_address_that_is_too_long_counts(url: str, path: str | None) -> None:
    activity = parsed("page_viewed", {"url": url})
    assert activity.data == ({} if path is None else {"path": path})
    assert told(activity) == [("page_viewed.url", "too_long", "url")]
    assert parsed("page_viewed", {"url": url, "path": "/own"}).data == {"path": "/own"}
    assert parsed("page_viewed", {"url": url, "path": None}).data == {"path": path}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("merged", {"into": None}),
        ("merged", {"into": LONG}),
        ("stage_changed", {"stage": LONG}),
        ("consent_changed", {"status": "yes"}),
        # Without its channel it would be a consent to all of them.
        ("consent_changed", {"status": "granted", "channel": "sms"}),
        ("consent_changed", {"status": "granted", "channel": ""}),
    ],
)
def test_without_a_decisive_key_an_event_is_none(kind: str, data: object) -> None:
    with pytest.raises(Rejected) as refused:
        parsed(kind, data)
    assert refused.value.reason == "invalid_data"


CLEAN: dict[str, dict[str, Any]] = {
    "profile_updated": {"country": "DE", "employees": 40, "job_level": "manager", "custom": {"installed_base": 3}},
    "qualification_updated": {"bant": {"need": "critical", "budget_status": "approved"}},
    "page_viewed": {"url": "/pricing", "seconds": 4},
    "email_clicked": {"campaign": "a", "url": "/"},
    "demo_requested": {"product": "p"},
}
BAD_KEYS: dict[str, list[dict[str, Any]]] = {
    "profile_updated": [{"country": "Germany"}, {"employees": "40"}, {"job_title": LONG}, {"jobLevel": "manager"}],
    "qualification_updated": [{"competition": []}, {"project": {"resources": "some"}}, {"custom": {"seats": 1}}],
    "page_viewed": [{"seconds": "4"}, {"utm_source": "a"}, {"url": 5}],
    "email_clicked": [{"machine": "no"}, {"campaign": LONG}],
    "demo_requested": [{"product": ""}],
}


def test_of_a_stream_with_a_bad_key_in_every_fifth_event_none_is_lost_and_all_are_counted() -> None:
    random = Random(5)
    records = []
    bad = 0
    for number in range(2_000):
        kind = random.choice(list(CLEAN))
        data = dict(CLEAN[kind])
        if number % 5 == 0:
            data |= random.choice(BAD_KEYS[kind])
            bad += 1
        sent = json.loads(event(kind, data)) | {"id": f"e{number}", "subject": f"L-{number % 50}"}
        value = json.dumps(sent).encode()
        records.append(
            ConsumerRecord("in", 0, number, 1000, 0, sent["subject"].encode(), value, None, 1, len(value), ())
        )
    rules = evaluator()
    settings = load_settings(None, rules=Path(__file__).parent)
    processor = BatchProcessor(settings, rules.assess, lambda: NOW, unfitting=rules.unfitting)
    outbox, figures = processor.process(records, LeadStore())
    assert not figures.dead_letters
    assert figures.activities.total() == 2_000
    assert figures.unfitting.total() == bad
    assert not [message for message in outbox.messages if message.topic == settings.dead_letter_topic]
    strict = evaluator(SMALL_RULES + "unfitting: dead_letter\n")
    processor = BatchProcessor(settings, strict.assess, lambda: NOW, unfitting=strict.unfitting)
    _, refused = processor.process(records, LeadStore())
    assert refused.dead_letters == {"unfitting": bad}
    assert refused.unfitting == figures.unfitting


def test_the_summary_does_not_depend_on_the_order_of_its_parts() -> None:
    drops = [
        (place, parsed("profile_updated", data).dropped)
        for place, data in enumerate(
            [{"employees": "40"}, {"employees": "41\u202e"}, {"employees": True}, {"shoe": "x" * 99}, {"country": ""}]
        )
    ]
    together, first, second = UnfittingKeys(), UnfittingKeys(), UnfittingKeys()
    for place, dropped in drops:
        together.note(place, dropped)
        (second if place % 2 else first).note(place, dropped)
    second.add(first)
    assert list(second) == list(together)
    assert [key.sentence(17_886) for key in together] == [
        '`profile.employees` was text in 2 of 17,886 activities, e.g. "40"',
        'a key that nobody declares was sent in 1 of 17,886 activities, e.g. "shoe"',
        '`profile.country` was an empty text in 1 of 17,886 activities, e.g. ""',
        "`profile.employees` was true or false in 1 of 17,886 activities, e.g. true",
    ]
    absent = UnfittingKeys()
    absent.note(0, parsed("page_viewed", {}).dropped)
    assert [key.sentence(2) for key in absent] == ["`page_viewed.url` was missing in 1 of 2 activities"]
    loud = UnfittingKeys()
    loud.note(0, parsed("profile_updated", {"employees": "\u202e" + "x" * 99}).dropped)
    (key,) = loud
    assert key.example == '"\\u202e' + "x" * 32 + "…"
