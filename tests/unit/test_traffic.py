"""The traffic of the benchmarks: the same for everybody, and such as leads make."""

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


def by_lead(found: Sequence[LeadActivity]) -> dict[str, list[LeadActivity]]:
    leads: dict[str, list[LeadActivity]] = defaultdict(list)
    for each in found:
        leads[each.lead_id].append(each)
    return leads


@EVEN
def test_the_same_for_the_same_seed(even: bool) -> None:
    assert list(traffic(500, 50, even=even)) == list(traffic(500, 50, even=even))
    assert list(traffic(500, 50, even=even)) != list(traffic(500, 50, seed=2, even=even))


@EVEN
def test_so_many_different_activities_in_the_order_of_time_over_two_weeks(even: bool) -> None:
    found = activities(even=even)
    assert len({each.id for each in found}) == len(found) == COUNT
    assert all(before.time <= after.time for before, after in pairwise(found))
    assert found[-1].time - found[0].time == pytest.approx(14 * DAY, rel=0.05)
    assert len({each.lead_id for each in found}) > 0.9 * LEADS


def test_the_same_mix_of_types_either_way() -> None:
    visits, single = (Counter(each.type for each in activities(even=even)) for even in (False, True))
    assert visits.keys() == single.keys()
    for kind in visits:
        assert visits[kind] / COUNT == pytest.approx(single[kind] / COUNT, abs=0.015)


def test_pages_come_in_visits_of_three_on_average() -> None:
    visits: list[int] = []
    for lead in by_lead(activities(even=False)).values():
        last = -DAY
        for each in lead:
            if each.type != "lead.page_viewed":
                continue
            if each.time - last > 300 * SECOND:
                visits.append(0)
            visits[-1] += 1
            last = each.time
    assert sum(visits) / len(visits) == pytest.approx(3, abs=0.2)
    assert visits.count(1) / len(visits) == pytest.approx(1 / 3, abs=0.05)


def test_a_click_follows_the_mail_and_leads_to_a_visit() -> None:
    clicks = 0
    for lead in by_lead(activities(even=False)).values():
        for number, each in enumerate(lead):
            if each.type != "lead.email_clicked" or number + 1 == len(lead):
                continue
            clicks += 1
            opened = [a for a in lead[:number] if a.type == "lead.email_opened" and each.time - a.time < 60 * SECOND]
            assert each.data["campaign"] in {a.data["campaign"] for a in opened}
            visited = [a for a in lead[number:] if a.type == "lead.page_viewed" and a.time - each.time <= 2 * SECOND]
            assert visited
    assert clicks > 0.09 * COUNT


def test_who_sends_a_form_says_who_he_is_and_answers_questions() -> None:
    for lead in by_lead(activities(even=False)).values():
        for number, each in enumerate(lead[:-2]):
            if each.type == "lead.form_submitted":
                soon = {a.type for a in lead[number:] if a.time - each.time <= SECOND}
                assert soon >= {"lead.profile_updated", "lead.qualification_updated"}
