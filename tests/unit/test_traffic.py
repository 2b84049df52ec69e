"""The traffic of the benchmarks: reproducible and realistic."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import pytest

from benchmarks.traffic import HEADERS, traffic
from scorer.domain.activity import LeadActivity
from scorer.domain.instant import DAY, SECOND
from scorer.sources.cloudevents import parse_record

COUNT, LEADS = 10_000, 1_000
EVEN = pytest.mark.parametrize("even", [False, True], ids=["visits", "even"])


@cache
def activities(*, even: bool) -> list[LeadActivity]:
    return [
        parse_record(value, lead_id.encode(), HEADERS, 1 << 60) for lead_id, value in traffic(COUNT, LEADS, even=even)
    ]


def by_lead(events: Sequence[LeadActivity]) -> dict[str, list[LeadActivity]]:
    leads: dict[str, list[LeadActivity]] = defaultdict(list)
    for activity in events:
        leads[activity.lead_id].append(activity)
    return leads


@EVEN
def test_the_same_seed_gives_the_same_traffic(even: bool) -> None:
    assert list(traffic(500, 50, even=even)) == list(traffic(500, 50, even=even))
    assert list(traffic(500, 50, even=even)) != list(traffic(500, 50, seed=2, even=even))


@EVEN
def test_the_activities_are_distinct_and_ordered_by_time_over_two_weeks(even: bool) -> None:
    events = activities(even=even)
    assert len({activity.id for activity in events}) == len(events) == COUNT
    assert all(before.time <= after.time for before, after in pairwise(events))
    assert events[-1].time - events[0].time == pytest.approx(14 * DAY, rel=0.05)
    assert len({activity.lead_id for activity in events}) > 0.9 * LEADS


def test_visits_and_single_activities_have_the_same_mix_of_types() -> None:
    visits, single = (Counter(activity.type for activity in activities(even=even)) for even in (False, True))
    assert visits.keys() == single.keys()
    for kind in visits:
        assert visits[kind] / COUNT == pytest.approx(single[kind] / COUNT, abs=0.015)


def test_pages_come_in_visits_of_three_on_average() -> None:
    visits: list[int] = []
    for lead in by_lead(activities(even=False)).values():
        last = -DAY
        for activity in lead:
            if activity.type != "lead.page_viewed":
                continue
            if activity.time - last > 300 * SECOND:
                visits.append(0)
            visits[-1] += 1
            last = activity.time
    assert sum(visits) / len(visits) == pytest.approx(3, abs=0.2)
    assert visits.count(1) / len(visits) == pytest.approx(1 / 3, abs=0.05)


def test_a_click_follows_its_mail_and_starts_a_visit() -> None:
    clicks = 0
    for lead in by_lead(activities(even=False)).values():
        for number, activity in enumerate(lead):
            if activity.type != "lead.email_clicked" or number + 1 == len(lead):
                continue
            clicks += 1
            opened = [
                a for a in lead[:number] if a.type == "lead.email_opened" and activity.time - a.time < 60 * SECOND
            ]
            assert activity.data["campaign"] in {a.data["campaign"] for a in opened}
            visited = [
                a for a in lead[number:] if a.type == "lead.page_viewed" and a.time - activity.time <= 2 * SECOND
            ]
            assert visited
    assert clicks > 0.09 * COUNT


def test_a_form_is_followed_by_a_profile_and_answers() -> None:
    for lead in by_lead(activities(even=False)).values():
        for number, activity in enumerate(lead[:-2]):
            if activity.type == "lead.form_submitted":
                soon = {a.type for a in lead[number:] if a.time - activity.time <= SECOND}
                assert soon >= {"lead.profile_updated", "lead.qualification_updated"}
