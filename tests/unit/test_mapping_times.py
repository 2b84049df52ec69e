"""Times of events: what can be read, and that the next path of the mapping is asked where nothing can."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis.strategies import datetimes, sampled_from, text

from scorer.domain.instant import DAY, SECOND, from_datetime, to_text
from scorer.sources.source import Outcome
from tests.unit.test_mapping import NOW, events, findings, source
from tests.unit.test_mapping import translated as by_mapping

HEAD = """
description: Test.
lead: id
id: id
time: [at, {path: received, unit: s}]
"""


def translated(**times: object) -> Sequence[Outcome]:
    return by_mapping(source("kinds: [{name: any, type: lead.x}]", HEAD), {"id": "e", **times})


@pytest.mark.parametrize(
    "at", [None, "", "yesterday", "2026-02-30T10:00:00Z", "9999-12-31T23:59:59Z", to_text(NOW + DAY + SECOND), {}, 7]
)
def test_the_next_time_is_taken(at: object) -> None:
    (outcome,) = translated(at=at, received=1_772_443_800)
    assert events(outcome)[0]["time"] == "2026-03-02T09:30:00Z"


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({}, "missing_attribute"),
        ({"at": "yesterday"}, "invalid_time"),
        ({"at": "2099-01-01T00:00:00Z"}, "time_in_future"),
        ({"at": "yesterday", "received": 3_000_000_000}, "time_in_future"),
    ],
)
def test_an_event_without_a_possible_time_is_rejected(times: dict[str, object], reason: str) -> None:
    (outcome,) = translated(**times)
    assert outcome.rejected is not None
    assert outcome.rejected.reason == reason


def test_a_time_of_a_spreadsheet_is_refused_with_what_is_expected() -> None:
    (outcome,) = translated(at="02.03.2026 09:00")
    assert outcome.rejected is not None
    expected = "; expected RFC 3339, a text of its `format`, or a number with its `unit`"
    assert outcome.rejected.detail.endswith(expected)


@pytest.mark.parametrize("at", [None, "31.02.2026"])
def test_a_path_of_two_forms_is_named_once(at: str | None) -> None:
    recipe = '[{path: at, format: "%d.%m.%Y %H:%M"}, {path: at, format: "%d.%m.%Y"}]'
    head = HEAD.replace("[at, {path: received, unit: s}]", recipe)
    (outcome,) = by_mapping(source("kinds: [{name: any, type: lead.x}]", head), {"id": "e", "at": at})
    assert outcome.rejected is not None
    assert "at at, at" not in outcome.rejected.detail
    assert "at at" in outcome.rejected.detail


def time_of(recipe: str, at: object) -> str | None:
    """The time of an event by a recipe; None if it cannot be read."""
    head = HEAD.replace("[at, {path: received, unit: s}]", recipe)
    (outcome,) = by_mapping(source("kinds: [{name: any, type: lead.x}]", head), {"id": "e", "at": at})
    if outcome.rejected is None:
        return str(events(outcome)[0]["time"])
    assert outcome.rejected.reason == "invalid_time"
    return None


@pytest.mark.parametrize(
    ("format_", "at", "time"),
    [
        ("%d.%m.%Y", "02.03.2026", "2026-03-02T00:00:00Z"),
        ("%d.%m.%Y", " 2.3.2026 ", "2026-03-02T00:00:00Z"),
        ("%d.%m.%Y %H:%M", "02.03.2026 14:05", "2026-03-02T14:05:00Z"),
        ("%d.%m.%y %H:%M:%S", "02.03.26 14:05:06", "2026-03-02T14:05:06Z"),
        ("%m/%d/%Y", "03/02/2026", "2026-03-02T00:00:00Z"),
        ("%m/%d/%Y %I:%M %p", "3/2/2026 2:05 PM", "2026-03-02T14:05:00Z"),
        ("%d %b %Y %H:%M:%S.%f %z", "02 Mar 2026 14:05:06.5 +0100", "2026-03-02T13:05:06.500000Z"),
        ("%d.%m.%Y", "31.02.2026", None),
        ("%d.%m.%Y", "02.03.2026 14:05", None),
        ("%d.%m.%Y", "2026-03-02", None),
        ("%d.%m.%Y", "02.03.2026" + " " * 100, None),
        ("%Y%m%d", 20260302, None),
        ("%d.%m.%Y", "01.01.9999", None),
    ],
)
def test_a_format_says_how_a_text_is_written(format_: str, at: object, time: str | None) -> None:
    assert time_of(f"{{path: at, format: '{format_}'}}", at) == time


@pytest.mark.parametrize(
    ("recipe", "at", "time"),
    [
        ("{path: at, format: '%d.%m.%Y', zone: Europe/Berlin}", "02.03.2026", "2026-03-01T23:00:00Z"),
        ("{path: at, format: '%d.%m.%Y %H:%M', zone: Europe/Berlin}", "02.07.2026 14:05", "2026-07-02T12:05:00Z"),
        ("{path: at, format: '%d.%m.%Y %H:%M', zone: Europe/Berlin}", "25.10.2026 02:30", "2026-10-25T00:30:00Z"),
        ("{path: at, format: '%d.%m.%Y %H:%M %z', zone: Europe/Berlin}", "02.07.2026 14:05 Z", "2026-07-02T14:05:00Z"),
        ("{path: at, zone: Europe/Berlin}", "2026-03-02", "2026-03-01T23:00:00Z"),
        ("{path: at, zone: Europe/Berlin}", "2026-03-02 14:05:06.25", "2026-03-02T13:05:06.250000Z"),
        ("{path: at, zone: Europe/Berlin}", "2026-03-02T14:05:06-05:00", "2026-03-02T14:05:06-05:00"),
        ("{path: at, zone: Europe/Berlin}", "2026-03-02 14:05 UTC", "2026-03-02T14:05:00Z"),
        ("{path: at, zone: Europe/Berlin, unit: s}", 1_772_443_800, "2026-03-02T09:30:00Z"),
        ("{path: at, zone: Europe/Berlin}", "0001-01-01", None),
        ("at", "2026-03-02", "2026-03-02T00:00:00Z"),
        ("at", "2026-02-30", None),
    ],
)
def test_a_text_without_a_zone_is_in_the_zone_of_the_path_or_else_in_utc(
    recipe: str, at: object, time: str | None
) -> None:
    assert time_of(recipe, at) == time


def test_several_formats_are_tried_in_their_order() -> None:
    recipe = "[{path: at, format: '%d.%m.%Y %H:%M'}, {path: at, format: '%d.%m.%Y'}]"
    assert time_of(recipe, "02.03.2026 14:05") == "2026-03-02T14:05:00Z"
    assert time_of(recipe, "02.03.2026") == "2026-03-02T00:00:00Z"


@given(text(max_size=70), sampled_from(["%d.%m.%Y %H:%M", "%m/%d/%y", "%Y-%m-%dT%H:%M:%S.%f%z", "%B %d, %Y"]))
def test_any_text_is_a_time_or_none(at: str, format_: str) -> None:
    assume(at)
    time_of(f"{{path: at, format: '{format_}', zone: America/New_York}}", at)


@given(datetimes(min_value=datetime(1, 1, 2), max_value=datetime(2026, 12, 30)))
def test_a_written_time_is_read_as_it_was(moment: datetime) -> None:
    at = f"{moment:%d.%m.}{moment.year:04} {moment:%H:%M:%S.%f}"
    expected = to_text(from_datetime(moment.replace(tzinfo=UTC)))
    assert time_of("{path: at, format: '%d.%m.%Y %H:%M:%S.%f'}", at) == expected


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("{path: at, format: '%d.%m.%Y', unit: s}", "5:38: error: `unit` has no meaning beside `format`"),
        ("{path: at, format: '%d.%m.%Y', zone: Berlin}", "5:44: error: `Berlin` is not a time zone"),
        ("{path: at, format: '%d.%m'}", "5:26: error: expected day, month and year"),
        ("{path: at, format: '%Y'}", "expected day, month and year"),
        ("{path: at, format: 'yesterday'}", "expected day, month and year"),
        ("{path: at, format: '%d.%m.%Y %I:%M'}", "write %p beside it"),
        ("{path: at, format: '%x'}", "`%x` is no part of a time"),
        ("{path: at, format: '%d.%m.%Y %Z'}", "`%Z` is no part of a time"),
        ("{path: at, format: '%d.%m.%Y%'}", "`%` is no part of a time"),
        ("{path: at, format: '%d.%d.%m.%Y'}", "is a part of it written twice?"),
        ("{path: at, format: dd.mm.yyyy}", "expected day, month and year"),
    ],
)
def test_a_format_that_names_no_time_is_a_finding(recipe: str, message: str) -> None:
    (found,) = findings("kinds: []", HEAD.replace("[at, {path: received, unit: s}]", recipe))
    assert message in found


def test_a_clock_may_be_a_day_ahead() -> None:
    (outcome,) = translated(at=to_text(NOW + DAY))
    assert outcome.rejected is None
