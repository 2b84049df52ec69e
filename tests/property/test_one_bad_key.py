"""One key that does not fit never costs the rest of an event."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.activity import PAYLOADS, LeadActivity
from scorer.domain.instant import DAY
from scorer.sources import cloudevents
from scorer.sources.cloudevents import MAX_BYTES, parse_line
from scorer.sources.rejected import Rejected
from tests.contract.test_schemas import validator

NOW = 20_500 * DAY
NEEDED = {
    "lead.stage_changed": {"stage"},
    "lead.consent_changed": {"channel", "status"},
    "lead.merged": {"into"},
}
"""As docs/rule-language.md has it: without these, or with others, an event is none."""
VALID: dict[str, dict[str, Any]] = {
    "url": {"url": "/a?b"},
    "path": {"path": "/a"},
    "custom": {"custom": {"seats": 3, "plan": "big"}},
    "bant": {"bant": {"need": "critical", "timeline_months": 2}},
    "competition": {"competition": {"competitors": ["a"], "position": "sole"}},
    "project": {"project": {"resources": "partly"}},
    "employees": {"employees": 40},
    "annual_revenue": {"annual_revenue": 1.5},
    "country": {"country": "DE"},
    "job_level": {"job_level": "manager"},
    "email_kind": {"email_kind": "free"},
    "technologies": {"technologies": ["a", "b"]},
    "rating": {"rating": "hot"},
    "outcome": {"outcome": "reached"},
    "status": {"status": "granted"},
    "channel": {"channel": "email"},
}
_NUMBERS = ("probability", "seconds", "minutes", "participants", "value")
_FLAGS = ("is_competitor", "is_customer", "machine", "minutes_sent")


def valid(kind: str) -> dict[str, Any]:
    """A payload of this type with a value for every key."""
    data: dict[str, Any] = {}
    for name in PAYLOADS[kind].model_fields:
        usual: object = 1 if name in _NUMBERS else True if name in _FLAGS else "a"
        data |= VALID.get(name, {name: usual})
    return data | ({"kind": "soft"} if kind == "lead.email_bounced" else {})


_PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["", "de", "x" * 257, "x" * 3000, 400.0, -0.0, 10**30, "\ud800", "hot", "approved"])
)
ANYTHING = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=70) | st.dictionaries(st.text(max_size=8), inner, max_size=70),
    max_leaves=80,
)


def event(kind: str, data: object) -> bytes:
    """An event with this data."""
    attributes = {"id": "e1", "source": "/crm", "time": "2026-01-31T09:30:00Z", "subject": "L-1"}
    return json.dumps({"specversion": "1.0", "type": kind, **attributes, "data": data}).encode()


def both(value: bytes) -> LeadActivity:
    """The activity, which both parsers must give."""
    activity = parse_line(value, NOW)
    full = cloudevents._any_structured(value, NOW, MAX_BYTES)
    assert repr(activity.dropped) == repr(full.dropped)
    assert json.dumps(activity.data, sort_keys=True) == json.dumps(full.data, sort_keys=True)
    return activity


@pytest.mark.parametrize("kind", PAYLOADS)
def test_the_payloads_of_this_test_are_valid(kind: str) -> None:
    value = event(kind, valid(kind))
    validator("activity.json").validate(json.loads(value))
    activity = both(value)
    assert activity.data == valid(kind)
    assert activity.dropped == ()


@pytest.mark.parametrize("kind", PAYLOADS)
def test_each_key_may_be_missing_except_those_without_which_nothing_is_said(kind: str) -> None:
    required = validator("activity.json")
    for name in valid(kind):
        data = {key: value for key, value in valid(kind).items() if key != name}
        sent = event(kind, data)
        if name in NEEDED.get(kind, ()) and name != "channel":
            with pytest.raises(Rejected):
                both(sent)
            continue
        activity = both(sent)
        assert activity.data == ({**data, "path": "/a"} if name == "path" else data)
        # Senders must send it, and those who read do without.
        missing = not required.is_valid(json.loads(sent))
        assert [drop.reason for drop in activity.dropped] == ["missing"] * missing


@given(st.data(), st.sampled_from(sorted(PAYLOADS)))
@settings(max_examples=400, deadline=None)
def test_one_key_never_costs_the_others(draw: st.DataObject, kind: str) -> None:
    data = valid(kind)
    if not data:
        return
    path = [draw.draw(st.sampled_from(sorted(data)))]
    if isinstance(data[path[0]], dict) and draw.draw(st.booleans()):
        path.append(draw.draw(st.sampled_from(sorted(data[path[0]]))))
    value = draw.draw(ANYTHING)
    top, *below = path
    data[top] = {**data[top], below[0]: value} if below else value
    sent = event(kind, data)
    try:
        activity = both(sent)
    except Rejected as rejection:
        reason = rejection.reason
    else:
        reason = ""
    if reason:
        assert reason == "invalid_data"
        assert top in NEEDED.get(kind, ())
        assert not below
        return
    expected = valid(kind)
    for name in expected:
        if name != top and (name, top) != ("path", "url"):
            assert activity.data[name] == expected[name], name
    for name in expected[top] if below else ():
        if name != below[0]:
            assert activity.data[top][name] == expected[top][name]  # type: ignore[index]
    fits = validator("activity.json").is_valid(json.loads(sent))
    if fits:
        assert activity.dropped == () or all(drop.reason in ("misspelt", "undeclared") for drop in activity.dropped)
    elif not activity.dropped:
        # What is corrected instead of dropped: a country in small letters, and half a character in a text.
        assert value == "de" or "\\ud" in json.dumps(value)
    if activity.dropped and not below:
        assert {drop.field.split(".")[-1] for drop in activity.dropped if drop.field.endswith(f".{top}")} <= {top}
