"""No calendar and no time zone changes an answer, and points decay exactly for every half-life."""

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from itertools import pairwise
from math import isfinite
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import RoutingDecision
from scorer.domain.instant import DAY, from_datetime
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from tests.factory import MONDAY, evaluator
from tests.property.test_silence import EVALUATORS, replace_time, stories

ZONES = ["UTC", "Europe/Berlin", "America/New_York"]


def special_days() -> list[int]:
    """00:00 UTC of the ends of months and years, leap days, and the days on which the clocks change."""
    found = set()
    for year in (1972, 1999, 2000, 2023, 2024, 2026, 2028, 2037, 2038, 2100):
        days = [date(year, 1, 1) + timedelta(days=number) for number in range(365)]
        found |= {day for day in days if day.day == 1} | {day - timedelta(days=1) for day in days if day.day == 1}
        for name in ZONES[1:]:
            for day in days:
                noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(name))
                if noon.utcoffset() != (noon - timedelta(days=1)).utcoffset():
                    found.add(day)
    return sorted(from_datetime(datetime(day.year, day.month, day.day, tzinfo=UTC)) for day in found)


_shifts = st.builds(lambda day, near: day + near * DAY - MONDAY, st.sampled_from(special_days()), st.integers(-400, 1))


def decided(
    story: Sequence[tuple[LeadActivity, int]], judge: Evaluator, shift: int, end: int
) -> list[tuple[object, ...]]:
    """What is decided about the story if it happens that much later, apart from its texts."""
    lead, said = Lead("lead-1"), list[RoutingDecision]()
    for event, arrival in story:
        assessment = judge.assess(lead, replace_time(event, event.time + shift), arrival + shift)
        lead = assessment.lead
        said += assessment.decisions
    said += judge.catch_up(lead, end + shift).decisions
    return [
        (
            decision.cause,
            from_datetime(datetime.fromisoformat(decision.decided_at)) - shift,
            decision.score,
            decision.rating,
            decision.grade,
            decision.route,
            decision.routing.rule,
        )
        for decision in said
    ]


@settings(max_examples=200, deadline=None)
@given(stories(), st.sampled_from(EVALUATORS), _shifts, st.sampled_from(ZONES))
def test_a_story_is_judged_alike_on_every_date_and_in_every_zone(
    story: list[tuple[LeadActivity, int]], judge: Evaluator, shift: int, zone: str
) -> None:
    end = story[-1][1] + 500 * DAY
    expected = decided(story, judge, 0, end)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        try:
            assert decided(story, judge, shift, end) == expected
        finally:
            patched.undo()
            time.tzset()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 10 * 365 * 24) | st.sampled_from([1, 24, 168, 720, 87_600]))
def test_every_half_life_from_an_hour_to_ten_years_decays_exactly(hours: int) -> None:
    judge = evaluator(
        "ruleset: one\nratings: {warm: 10, hot: 20}\nrouting: [{id: all, route: nurture}]\n"
        f"signals: {{visit: {{activity: page_viewed, points: 7, half_life: {hours}h, window: 730d}}}}\n"
    )
    weights = judge.ruleset.signals["visit"].weights
    assert weights[0] == 1
    assert all(before >= after for before, after in pairwise(weights))
    with localcontext() as context:
        context.prec = 25
        for age, weight in enumerate(weights):
            exact = Decimal(2) ** (Decimal(-24 * age) / hours)
            assert isfinite(weight)
            # What is smaller than any float is zero, and changes no point.
            assert abs(Decimal(weight) - exact) <= exact * Decimal("1e-9") + Decimal("1e-300")
