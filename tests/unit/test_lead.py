"""The state of a lead is a fold that does not depend on order or repetition."""

from itertools import permutations

import pytest

from scorer.domain.counts import KEEP_DAYS, Hit
from scorer.domain.identities import REMEMBERED, REMEMBERED_DAYS
from scorer.domain.instant import DAY, day_of
from scorer.domain.lead import Lead, Published
from scorer.domain.score import Grade, Rating, Route, Score
from tests.factory import MONDAY, activity


def test_the_latest_event_wins_in_any_order() -> None:
    early = activity("profile_updated", {"industry": "Steel", "employees": 10}, day=1)
    late = activity("profile_updated", {"industry": "Software"}, day=2)
    for order in ((early, late), (late, early)):
        lead = Lead("lead-1")
        for event in order:
            lead = lead.apply(event)
        assert lead.value("profile.industry") == "Software"
        assert lead.value("profile.employees") == 10


def test_of_events_with_equal_times_the_one_that_arrived_last_wins_whatever_its_id() -> None:
    for ids in permutations("abc"):
        lead = Lead("lead-1")
        answers = [activity("profile_updated", {"industry": name}, id=name) for name in ids]
        for answer in answers:
            lead = lead.apply(answer)
        assert lead.value("profile.industry") == ids[-1]
        for repeated in answers:
            assert lead.apply(repeated) is lead


def test_of_old_events_with_equal_times_the_first_stays_because_a_repeated_one_cannot_be_told() -> None:
    old = [activity("profile_updated", {"industry": name}, id=name) for name in "abc"]
    recent = activity("profile_updated", {"country": "DE"}, day=REMEMBERED_DAYS + 1)
    lead = Lead("lead-1").apply(old[0]).apply(old[1]).apply(recent)
    assert lead.value("profile.industry") == "b"
    assert lead.apply(old[0]) is lead
    assert lead.apply(old[2]) is lead


@pytest.mark.parametrize("days", [0.0, 0.9, 1.1, 6.9, 7.0])
def test_a_repeated_statement_counts_once_even_with_another_time(days: float) -> None:
    first = activity("profile_updated", {"industry": "Steel"}, id="a", day=0.1)
    second = activity("profile_updated", {"industry": "Software"}, id="b", day=0.2)
    again = activity("profile_updated", {"industry": "Steel"}, id="a", day=0.2 + days)
    lead = Lead("lead-1").apply(first).apply(second)
    assert lead.apply(again) is lead
    other = activity("profile_updated", {"industry": "Steel"}, id="a", source="other", day=0.2 + days)
    assert lead.apply(other).value("profile.industry") == "Steel"


@pytest.mark.parametrize("cap", [1, 2, 3, 5])
@pytest.mark.parametrize("days", [0, 1, 3, 7])
def test_events_sent_again_after_midnight_count_once_also_beyond_the_daily_cap(cap: int, days: int) -> None:
    hits = [Hit("visit", cap)]
    first = [activity("page_viewed", {"url": "/"}, id=str(number), day=0.99) for number in range(5)]
    again = [activity("page_viewed", {"url": "/"}, id=str(number), day=0.99 + days) for number in range(5)]
    lead = Lead("lead-1")
    for event in first:
        lead = lead.apply(event, hits)
    for event in again:
        assert lead.apply(event, hits) is lead
    assert [len(hashes) for hashes in lead.signals["visit"].values()] == [min(cap, 5)]
    assert lead.clock == first[0].time


def test_a_counted_event_is_known_as_long_as_its_count_is_kept() -> None:
    lead = Lead("lead-1").apply(activity("page_viewed", {"url": "/"}, id="a"), [Hit("visit", 1)])
    assert lead.apply(activity("page_viewed", {"url": "/"}, id="a", day=KEEP_DAYS), [Hit("visit", 1)]) is lead


def test_what_is_remembered_is_bounded_and_forgotten_after_a_week() -> None:
    lead = Lead("lead-1")
    for number in range(3 * REMEMBERED):
        lead = lead.apply(activity("profile_updated", {"employees": number}, id=str(number), day=number % 4))
        assert lead.recent is not None
        assert len(lead.recent[0]) <= 8 * REMEMBERED
    later = lead.apply(activity("page_viewed", {"url": "/"}, day=3 + REMEMBERED_DAYS + 1))
    assert later.recent is None


def test_what_is_remembered_does_not_depend_on_the_order() -> None:
    events = [activity("page_viewed", {"url": "/"}, id=str(number), day=number % 2 + 0.5) for number in range(5)]
    events.append(activity("demo_requested", day=1))
    ends = set()
    for order in permutations(events):
        lead = Lead("lead-1")
        for event in order:
            lead = lead.apply(event, [Hit("one", 1), Hit("two", 2)])
        ends.add((lead.recent, tuple(lead.counted.items())))
    assert len(ends) == 1


def consents(*stated: tuple[str, float]) -> Lead:
    """The lead after grants and withdrawals (`g`, `w`) of consent to email, by minutes."""
    lead = Lead("lead-1")
    for kind, minutes in stated:
        status = {"g": "granted", "w": "withdrawn"}[kind]
        lead = lead.apply(activity("consent_changed", {"channel": "email", "status": status}, day=minutes / 1440))
    return lead


@pytest.mark.parametrize(
    ("stated", "status"),
    [
        ([("g", 0), ("w", 0)], "withdrawn"),
        ([("w", 10), ("g", 15)], "withdrawn"),
        ([("w", 10), ("g", 15.1)], "granted"),
        ([("g", 15.1), ("w", 10), ("w", 10.2)], "withdrawn"),
        ([("g", 0), ("w", 10), ("g", 20)], "granted"),
        ([("g", 20), ("w", 10), ("g", 11)], "granted"),
        ([("w", 1), ("g", 9), ("w", 7)], "withdrawn"),
    ],
)
def test_a_grant_counts_if_it_is_later_than_the_withdrawal_by_more_than_the_tolerance(
    stated: list[tuple[str, float]], status: str
) -> None:
    for order in permutations(stated):
        assert consents(*order).value("consent.email") == status


def test_an_unsubscription_withdraws_and_an_erasure_leaves_what_came_later() -> None:
    grant = activity("consent_changed", {"status": "granted"}, day=0)
    unsubscribed, erased = activity("unsubscribed", day=1), activity("erased", day=1 + 1 / 1440)
    again = activity("consent_changed", {"status": "granted"}, day=1 + 2 / 1440)
    for order in permutations([grant, unsubscribed, erased, again]):
        lead = Lead("lead-1")
        for event in order:
            lead = lead.apply(event)
        assert lead.value("consent.email") == lead.value("consent.phone") == "granted"
        assert "consent.email.other" not in lead.facts


def test_an_event_of_the_instant_of_a_hand_over_wins() -> None:
    lead = Lead("lead-1").apply(activity("page_viewed", {"url": "/"}), [Hit("visit", 1)])
    said = Published(Rating.HOT, Grade("A", 1), Route.SALES, None, Score(50, 0), lead.clock)
    accepted = activity("sales_accepted")
    assert lead.publish(said).apply(accepted).value("lifecycle.status") == "accepted"
    lead = lead.publish(said._replace(decided_at=lead.clock + 5), lead.clock)
    assert lead.facts["at.handed_over"].stamp.time == lead.judged_at == lead.clock + 5
    assert lead.apply(accepted).value("lifecycle.status") == "accepted"


def test_an_explicit_null_withdraws_a_value_and_an_absent_key_does_not() -> None:
    lead = Lead("lead-1").apply(activity("profile_updated", {"industry": "Steel", "country": "DE"}))
    lead = lead.apply(activity("profile_updated", {"industry": None}, day=1))
    assert lead.value("profile.industry") is None
    assert lead.value("profile.country") == "DE"


def test_a_repeated_event_changes_nothing() -> None:
    event = activity("page_viewed", {"url": "/pricing"})
    lead = Lead("lead-1").apply(event, [Hit("pricing", 2)])
    assert lead.apply(event, [Hit("pricing", 2)]) is lead


def test_the_same_id_from_another_source_is_another_event() -> None:
    here = activity("page_viewed", {"url": "/"}, id="1", source="here")
    there = activity("page_viewed", {"url": "/"}, id="1", source="there")
    lead = Lead("lead-1").apply(here, [Hit("visit", 5)]).apply(there, [Hit("visit", 5)])
    assert [len(hashes) for hashes in lead.signals["visit"].values()] == [2]


def test_at_most_the_daily_cap_is_kept_and_repetition_is_still_recognised() -> None:
    events = [activity("page_viewed", {"url": "/"}) for _ in range(50)]
    forward, backward = Lead("lead-1"), Lead("lead-1")
    for event in events:
        forward = forward.apply(event, [Hit("visit", 3)])
    for event in reversed(events + events):
        backward = backward.apply(event, [Hit("visit", 3)])
    assert forward.signals == backward.signals
    assert [len(hashes) for hashes in forward.signals["visit"].values()] == [3]


def test_counts_older_than_the_kept_days_are_forgotten() -> None:
    lead = Lead("lead-1").apply(activity("trial_started"), [Hit("trial", 1)])
    lead = lead.apply(activity("trial_started", day=KEEP_DAYS + 1), [Hit("trial", 1)])
    assert list(lead.signals["trial"]) == [day_of(MONDAY) + KEEP_DAYS + 1]
    assert lead.apply(activity("trial_started", day=0.5), [Hit("trial", 1)]) is lead


def test_consent_withdrawn_for_all_channels_applies_to_each() -> None:
    lead = Lead("lead-1").apply(activity("consent_changed", {"channel": "all", "status": "withdrawn"}))
    assert lead.value("consent.email") == lead.value("consent.phone") == "withdrawn"
    lead = lead.apply(activity("consent_changed", {"channel": "email", "status": "granted"}, day=1))
    assert (lead.value("consent.email"), lead.value("consent.phone")) == ("granted", "withdrawn")


def test_an_erasure_forgets_everything_before_it_and_late_events_stay_forgotten() -> None:
    before = activity("profile_updated", {"industry": "Steel"}, day=1)
    visit = activity("page_viewed", {"url": "/"}, day=1)
    erasure = activity("erased", day=2)
    lead = Lead("lead-1").apply(before).apply(visit, [Hit("visit", 1)]).apply(erasure)
    assert not lead.facts
    assert not lead.signals
    assert lead.is_erased
    assert lead.apply(before) is lead
    assert lead.apply(visit, [Hit("visit", 1)]) is lead


def test_a_lead_that_returns_after_its_erasure_starts_empty() -> None:
    lead = Lead("lead-1").apply(activity("erased", day=2))
    lead = lead.apply(activity("profile_updated", {"industry": "Steel"}, day=4))
    assert not lead.is_erased
    assert lead.value("profile.industry") == "Steel"
    assert lead.clock == MONDAY + 4 * DAY


def test_a_late_erasure_keeps_what_happened_after_it() -> None:
    lead = Lead("lead-1").apply(activity("profile_updated", {"industry": "Steel"}, day=1))
    lead = lead.apply(activity("profile_updated", {"country": "DE"}, day=4)).apply(activity("erased", day=2))
    assert lead.value("profile.industry") is None
    assert lead.value("profile.country") == "DE"
