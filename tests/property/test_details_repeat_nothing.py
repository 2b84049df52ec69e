"""Whatever is sent, neither the headers that a dead letter adds nor the log repeat any of it: no value, no key, no
header, no name outside the contract."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from scorer.cli.dlq import REASONS
from scorer.dlq.queue import UNKNOWN
from scorer.domain.activity import PAYLOADS, LeadActivity
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.evaluation.results import Assessment
from scorer.runtime.logs import configure_logs
from scorer.runtime.settings import load_settings
from scorer.state.store import LeadStore
from scorer.stream.batch import Assess, BatchProcessor
from tests.factory import SMALL_RULES, evaluator

NOW = 20_500 * DAY
MARKER = "zqxjane"
"""In every text that is sent, and nowhere else."""
LEAD = f"{MARKER}-lead"
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": f"{MARKER}-1",
    "source": f"/{MARKER}",
    "type": f"lead.{MARKER}",
    "time": "2026-01-31T09:30:00Z",
    "subject": LEAD,
    "data": {"note": MARKER, MARKER: MARKER},
}
Header = tuple[str, bytes | None]
STRUCTURED: list[Header] = [("content-type", b"application/cloudevents+json")]
BATCH: list[Header] = [("content-type", b"application/cloudevents-batch+json")]


def failing(_lead: Lead, activity: LeadActivity, *_: object) -> Assessment:
    """Code that fails on every activity, with a message that quotes it, and for two reasons."""
    try:
        raise KeyError(activity.lead_id)
    except KeyError as error:
        raise ValueError(f"cannot judge {activity.data} of {activity.lead_id}") from error


RESTRICTED = evaluator(
    SMALL_RULES + "allowed_sources: {erased: [/a], profile.is_competitor: [/a], installed_base: [/a]}\n"
)


STRICT = evaluator(SMALL_RULES + "unfitting: dead_letter\n")


def dead_letter_headers(
    value: bytes | None, key: bytes | None, headers: Sequence[Header], assess: Assess = failing
) -> tuple[str, Mapping[str, bytes]]:
    """The reason, and the headers that were added to the dead letter of this record."""
    settings = load_settings(None, rules=Path(), max_value_bytes=2000)
    size = -1 if value is None else len(value)
    record = ConsumerRecord("in", 3, 7, 1000, 0, key, value, None, 1, size, tuple(headers))
    outbox, _ = BatchProcessor(settings, assess, lambda: NOW).process([record], LeadStore())
    (letter,) = (message for message in outbox.messages if message.topic == settings.dead_letter_topic)
    added = {name: text for name, text in letter.headers if name.startswith("dlq-")}
    return added["dlq-reason"].decode(), added


@pytest.fixture(autouse=True, params=["json", "console"])
def log(request: pytest.FixtureRequest) -> Iterator[None]:
    """A real log of either form, which must not repeat anything."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    with contextlib.redirect_stderr(written):
        configure_logs("DEBUG", request.param)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    assert MARKER not in written.getvalue().lower()


def structured(**changed: object) -> bytes:
    """The event with other attributes."""
    return json.dumps({**EVENT, **changed}).encode()


def binary(**changed: bytes | None) -> list[Header]:
    """The event's attributes as headers."""
    attributes = {name: str(text).encode() for name, text in EVENT.items() if name != "data"}
    return [(f"ce_{name}", text) for name, text in {**attributes, **changed}.items()]


PROFILE = "lead.profile_updated"
CASES: list[tuple[str, bytes | None, bytes | None, list[Header]]] = [
    ("empty_value", b"", LEAD.encode(), [(MARKER, MARKER.encode())]),
    ("not_utf8", b'{"' + MARKER.encode() + b'": "\xff"}', LEAD.encode(), []),
    ("not_json", b'{"' + MARKER.encode() + b'": ' + MARKER.encode() + b"}", LEAD.encode(), []),
    ("not_json", b"\xef\xbb\xbf" + structured(), LEAD.encode(), []),
    ("not_an_object", json.dumps([MARKER]).encode(), LEAD.encode(), []),
    ("too_large", structured(data=MARKER * 400), LEAD.encode(), []),
    ("too_deep", b'{"' + MARKER.encode() + b'":' + b"[" * 70 + b"]" * 70 + b"}", LEAD.encode(), []),
    ("number_out_of_range", b'{"' + MARKER.encode() + b'": Infinity}', LEAD.encode(), []),
    ("number_out_of_range", b'{"' + MARKER.encode() + b'": NaN}', LEAD.encode(), []),
    ("bad_header", b"{}", LEAD.encode(), [(f"ce_{MARKER}", None)]),
    ("bad_header", b"{}", LEAD.encode(), [(f"ce_{MARKER}", MARKER.encode() + b"\xff")]),
    ("bad_header", b"{}", LEAD.encode(), [(f"ce_{MARKER}", b"1"), (f"ce_{MARKER}", b"2")]),
    ("bad_header", b"{}", LEAD.encode(), [("content-type", MARKER.encode()), ("content-type", MARKER.encode())]),
    ("unsupported_content_type", structured(), LEAD.encode(), [("content-type", b"application/cloudevents+zqxjane")]),
    ("unsupported_content_type", b"{}", LEAD.encode(), [*binary(), ("content-type", MARKER.encode())]),
    ("unsupported_content_type", structured(datacontenttype=MARKER), LEAD.encode(), STRUCTURED),
    ("unsupported_specversion", structured(specversion=MARKER), LEAD.encode(), STRUCTURED),
    ("missing_attribute", structured(source=None), LEAD.encode(), STRUCTURED),
    ("invalid_attribute", structured(id=MARKER + "\n"), LEAD.encode(), STRUCTURED),
    ("invalid_attribute", structured(source=[MARKER]), LEAD.encode(), STRUCTURED),
    ("invalid_attribute", structured(subject=MARKER * 50), LEAD.encode(), STRUCTURED),
    ("invalid_attribute", structured(type=f"lead.{MARKER}!"), LEAD.encode(), STRUCTURED),
    ("unknown_type", structured(type=MARKER), LEAD.encode(), STRUCTURED),
    ("invalid_time", structured(time=MARKER), LEAD.encode(), STRUCTURED),
    ("invalid_time", b"{}", LEAD.encode(), binary(time=MARKER.encode())),
    ("time_in_future", structured(time="2999-12-31T09:30:00Z"), LEAD.encode(), STRUCTURED),
    ("invalid_data", structured(data=MARKER), LEAD.encode(), STRUCTURED),
    ("invalid_data", structured(type="lead.consent_changed", data={"status": MARKER}), LEAD.encode(), STRUCTURED),
    ("invalid_data", structured(type="lead.merged", data={MARKER: MARKER}), LEAD.encode(), STRUCTURED),
    ("invalid_data", structured(type="lead.merged", data={"into": LEAD}), LEAD.encode(), STRUCTURED),
    ("null_key", structured(), None, STRUCTURED),
    ("key_mismatch", structured(), f"{MARKER}-other".encode(), STRUCTURED),
    ("key_mismatch", structured(), MARKER.encode() + b"\xff", STRUCTURED),
    ("internal_error", structured(), LEAD.encode(), STRUCTURED),
    ("not_a_list", json.dumps(MARKER).encode(), LEAD.encode(), BATCH),
    ("not_an_object", json.dumps([MARKER]).encode(), LEAD.encode(), BATCH),
]

SOURCE, UNFITTING = "source_not_allowed", "unfitting"
SIZES_ONLY = {"state_too_large", "decision_too_large"}
"""Reasons that follow from an assessment. Their details have only numbers (tests/unit/test_batch.py)."""
TABLES_ONLY = {"not_csv", "wrong_columns"}
"""Reasons of records that a mapping file reads as a table. Their details have only numbers, too."""


@pytest.mark.parametrize(("reason", "value", "key", "headers"), CASES)
def test_no_reason_repeats_what_was_sent(
    reason: str, value: bytes | None, key: bytes | None, headers: list[Header]
) -> None:
    given_reason, added = dead_letter_headers(value, key, headers)
    assert given_reason == reason, added
    assert MARKER.encode() not in repr(added).encode().lower()
    assert b"2999" not in added["dlq-detail"]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("lead.erased", {"reason": MARKER}),
        (PROFILE, {"is_competitor": True, "company": MARKER}),
        (PROFILE, {"custom": {"installed_base": 1, MARKER: MARKER}}),
    ],
)
def test_the_reason_about_a_source_repeats_nothing_either(kind: str, data: dict[str, object]) -> None:
    value = structured(type=kind, data=data)
    reason, added = dead_letter_headers(value, LEAD.encode(), STRUCTURED, RESTRICTED.assess)
    assert reason == SOURCE
    assert MARKER.encode() not in repr(added).encode().lower()


@pytest.mark.parametrize(
    "data",
    [
        {"employees": MARKER},
        {"job_level": MARKER, MARKER: MARKER},
        {"custom": {MARKER: {MARKER: MARKER}}},
        {"custom": {f"{MARKER} x": 1}},
        {"custom": {"installed_base": MARKER}},
        {"technologies": [MARKER, 1]},
        {MARKER: 1},
        {f"{MARKER}_country": MARKER},
    ],
)
def test_what_does_not_fit_is_not_repeated_either(data: dict[str, object]) -> None:
    value = structured(type=PROFILE, data=data)
    reason, added = dead_letter_headers(value, LEAD.encode(), STRUCTURED, STRICT.assess)
    assert reason == UNFITTING
    assert MARKER.encode() not in repr(added).encode().lower()


def test_the_cases_name_every_reason() -> None:
    assert {reason for reason, *_ in CASES} == {*REASONS} - {UNKNOWN, SOURCE, UNFITTING} - SIZES_ONLY - TABLES_ONLY


_texts = st.sampled_from(
    [MARKER, f"{MARKER}\n", f"{MARKER}@x.example", MARKER.upper(), f"lead.{MARKER}", "1.0", "", LEAD]
)
_names = _texts | st.sampled_from(sorted({name for payload in PAYLOADS.values() for name in payload.model_fields}))
_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=6,
)
_bodies = st.builds(
    lambda attributes, data, kind: json.dumps({**EVENT, "type": kind, "data": data, **attributes}).encode(),
    st.dictionaries(st.sampled_from([*EVENT, "datacontenttype", "data_base64", MARKER]), _values, max_size=2),
    st.dictionaries(_names, _values, max_size=4),
    st.sampled_from([*PAYLOADS, f"lead.{MARKER}"]),
)
_cut = st.builds(lambda body, at, more: body[:at] + more, _bodies, st.integers(0, 400), st.binary(max_size=3))
_header_names = st.sampled_from(["content-type", "Content-Type", MARKER, f"ce_{MARKER}", *(f"ce_{n}" for n in EVENT)])
_header_values = st.none() | _texts.map(str.encode) | st.just(MARKER.encode() + b"\xff") | st.just(STRUCTURED[0][1])


@given(
    _bodies | _cut,
    st.none() | _texts.map(str.encode) | st.just(LEAD.encode()) | st.just(MARKER.encode() + b"\xff"),
    st.just(STRUCTURED) | st.lists(st.tuples(_header_names, _header_values), max_size=3) | st.just(binary()),
)
def test_nothing_that_is_sent_is_repeated(value: bytes, key: bytes | None, headers: list[Header]) -> None:
    _, added = dead_letter_headers(value, key, headers)
    assert MARKER.encode() not in repr(added).encode().lower()
