"""A time that cannot be: the next path of the mapping is asked."""

from collections.abc import Sequence

import pytest

from scorer.domain.instant import DAY, SECOND, to_text
from scorer.sources.source import Outcome
from tests.unit.test_mapping import NOW, events, source
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
    assert outcome.rejected.detail.endswith("; expected RFC 3339, or a number with its `unit`")


def test_a_clock_may_be_a_day_ahead() -> None:
    (outcome,) = translated(at=to_text(NOW + DAY))
    assert outcome.rejected is None
