"""The state of a lead is a fold that does not depend on order or repetition."""

from scorer.domain.counts import KEEP_DAYS, Hit
from scorer.domain.instant import DAY, day_of
from scorer.domain.lead import Lead
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


def test_the_id_decides_between_events_of_equal_time() -> None:
    first = activity("profile_updated", {"industry": "Steel"}, id="a")
    second = activity("profile_updated", {"industry": "Software"}, id="b")
    assert Lead("lead-1").apply(first).apply(second).value("profile.industry") == "Software"
    assert Lead("lead-1").apply(second).apply(first).value("profile.industry") == "Software"


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
