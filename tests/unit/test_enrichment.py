"""A profile of a company becomes an activity of each lead that does not have it."""

from collections.abc import Mapping

import msgspec
import pytest

from scorer.domain.activity import LeadActivity
from scorer.domain.enrichment import COMPANY_PROFILE, ENRICHING
from scorer.domain.instant import DAY, SECOND
from scorer.domain.lead import Lead
from scorer.explain.story import explain_lead
from scorer.explain.timeline import History
from scorer.explain.wording import source_text
from scorer.sources.cloudevents import parse_event
from scorer.sources.company.enrichment import as_event, company_of, enrichment
from scorer.sources.company.profile import Profile, read_profile
from scorer.sources.rejected import Rejected
from scorer.state.codec import decode_lead, encode_lead
from tests.factory import MONDAY, SMALL_RULES, activity, evaluator

NOW = MONDAY + 100 * DAY
ACME = {"industry": "Machines", "employees": 400}


def profile(data: Mapping[str, object], day: float = 0, key: str = "acme.com") -> Profile:
    """A profile whose record was written `day` days after MONDAY."""
    record = read_profile(key.encode(), msgspec.json.encode(data), (MONDAY + round(day * DAY)) // 1000)
    assert record.profile is not None
    return record.profile


def lead_after(*activities: LeadActivity) -> Lead:
    """A lead after these activities."""
    lead = Lead("lead-1")
    for each in activities:
        lead = lead.apply(each)
    return lead


def said(day: float, **data: object) -> LeadActivity:
    """What the lead states about itself."""
    return activity("profile_updated", data, day=day, source="web")


def enriched(lead: Lead, known: Profile | None, now: int = NOW) -> Lead:
    """The lead after the enrichment that it needs, as the input brings it."""
    found = enrichment(lead, company_of(lead), known, now)
    assert found is not None
    after = lead.apply(parse_event(as_event(found), now))
    assert enrichment(after, company_of(after), known, now) is None
    return after


def test_a_lead_gets_the_profile_of_its_company() -> None:
    lead = lead_after(said(1, email_domain="mail.acme.com"))
    found = enrichment(lead, company_of(lead), profile(ACME), NOW)
    assert found is not None
    assert (found.type, found.source, found.lead_id) == ("lead.profile_updated", ENRICHING, "lead-1")
    assert found.id.startswith("acme.com:")
    assert found.id.endswith(f"@{MONDAY}")
    assert found.time == MONDAY
    assert parse_event(as_event(found), NOW) == found
    after = lead.apply(found)
    assert (after.value("profile.industry"), after.value("profile.employees")) == ("Machines", 400)


def test_what_a_lead_said_after_the_profile_stays() -> None:
    lead = lead_after(said(1, email_domain="acme.com"), said(3, industry="Software"))
    after = enriched(lead, profile(ACME, day=2))
    assert (after.value("profile.industry"), after.value("profile.employees")) == ("Software", 400)
    assert enriched(lead, profile(ACME, day=4)).value("profile.industry") == "Machines"


def test_a_key_that_the_profile_loses_is_withdrawn_and_one_of_the_lead_is_not() -> None:
    lead = lead_after(said(1, email_domain="acme.com"), said(3, is_customer=True))
    lead = enriched(lead, profile({**ACME, "is_customer": False}, day=2))
    lead = enriched(lead, profile({"industry": "Machines"}, day=4))
    assert lead.value("profile.employees") is None
    assert lead.value("profile.is_customer") is True


def test_an_enrichment_that_comes_after_a_later_one_states_nothing() -> None:
    lead = lead_after(said(1, email_domain="acme.com"))
    older, newer = (
        enrichment(lead, company_of(lead), known, NOW)
        for known in (profile(ACME, day=2), profile({"employees": 500}, day=4))
    )
    assert older is not None
    assert newer is not None
    after = lead.apply(newer).apply(older)
    assert (after.value("profile.industry"), after.value("profile.employees")) == (None, 500)


def test_of_another_company_nothing_stays_and_what_the_same_form_says_does() -> None:
    lead = enriched(lead_after(said(1, email_domain="acme.com")), profile(ACME, day=2))
    lead = lead.apply(said(3, employees=7)).apply(said(5, email_domain="bolt.com", industry="Logistics"))
    lead = enriched(lead, profile({"industry": "Energy", "company": "Bolt", "employees": 9}, key="bolt.com"))
    assert lead.value("profile.company") == "Bolt"
    assert lead.value("profile.industry") == "Logistics"
    # What it said about itself when it was at the other company is over.
    assert lead.value("profile.employees") == 9


def test_a_lead_that_goes_there_and_back_has_each_time_the_right_profile() -> None:
    bolt = profile({"industry": "Energy"}, key="bolt.com")
    lead = enriched(lead_after(said(1, email_domain="acme.com")), profile(ACME))
    lead = enriched(lead.apply(said(2, email_domain="bolt.com")), bolt)
    assert (lead.value("profile.industry"), lead.value("profile.employees")) == ("Energy", None)
    lead = enriched(lead.apply(said(3, email_domain="acme.com")), profile(ACME))
    assert (lead.value("profile.industry"), lead.value("profile.employees")) == ("Machines", 400)


def test_without_a_profile_what_we_stated_is_withdrawn() -> None:
    lead = enriched(lead_after(said(1, email_domain="acme.com")), profile(ACME))
    gone = enriched(lead, None)
    assert (gone.value("profile.industry"), gone.value(COMPANY_PROFILE)) == (None, None)
    moved = enriched(lead.apply(said(2, email_domain="gmail.com")), None)
    assert moved.value("profile.industry") is None


@pytest.mark.parametrize(
    "activities",
    [
        [],
        [said(1, industry="Software")],
        [said(1, email_domain="gmail.com")],
        [said(1, email_domain="mit.edu")],
        [said(1, email_domain="no domain")],
        [said(1, email_domain="acme.com"), activity("erased", day=2)],
        [said(1, email_domain="acme.com"), activity("merged", {"into": "lead-2"}, day=2)],
    ],
    ids=["unknown", "no domain", "free", "university", "unreadable", "erased", "merged"],
)
def test_no_company_no_enrichment(activities: list[LeadActivity]) -> None:
    lead = lead_after(*activities)
    company = company_of(lead)
    assert enrichment(lead, company, None if company is None else profile(ACME), NOW) is None


def test_the_time_is_never_that_of_the_future() -> None:
    lead = lead_after(said(1, email_domain="acme.com"))
    now = MONDAY + 2 * DAY
    lead = enriched(lead, profile(ACME, day=50), now)
    assert lead.facts[COMPANY_PROFILE].stamp.time == now
    lead = enriched(lead, profile({"industry": "Energy"}, day=50), now)
    assert lead.facts[COMPANY_PROFILE].stamp.time == now + 1
    assert lead.value("profile.employees") is None


def test_an_enrichment_written_before_an_erasure_states_nothing_about_the_erased_lead() -> None:
    lead = lead_after(said(1, email_domain="acme.com"))
    found = enrichment(lead, company_of(lead), profile(ACME, day=3), NOW)
    assert found is not None
    erased = activity("erased", day=2)
    for order in ([found, erased], [erased, found]):
        after = lead
        for each in order:
            after = after.apply(each)
        assert after.is_erased
        assert not after.facts
    # A lead that comes back has its profile again.
    back = enriched(lead.apply(erased).apply(said(2.5, email_domain="acme.com")), profile(ACME))
    assert back.value("profile.employees") == 400


def test_an_enrichment_of_a_deleted_lead_makes_no_lead() -> None:
    found = enrichment(lead := lead_after(said(1, email_domain="acme.com")), company_of(lead), profile(ACME), NOW)
    assert found is not None
    nobody = Lead("lead-1")
    assert nobody.apply(found) is nobody


def test_an_enrichment_is_no_sign_of_life() -> None:
    rules = evaluator(
        SMALL_RULES.replace("signals:\n", "signals:\n  form: {activity: profile_updated, points: 3}\n")
        + "\nretention: {inactive: 30d}\n"
    )
    lead = rules.assess(Lead("lead-1"), said(1, email_domain="acme.com"), MONDAY + DAY).lead
    found = enrichment(lead, company_of(lead), profile(ACME, day=9), NOW)
    assert found is not None
    assessment = rules.assess(lead, found, MONDAY + 20 * DAY)
    after = assessment.lead
    assert assessment.evaluation is not None
    assert assessment.evaluation.score.fit == 10
    assert after.signals == lead.signals
    assert (after.clock, after.seen_at, after.judged_at) == (lead.clock, lead.seen_at, MONDAY + 20 * DAY)
    assert rules.deletion(after) == rules.deletion(lead)


def test_a_state_keeps_which_profile_the_lead_has() -> None:
    lead = enriched(lead_after(said(1, email_domain="acme.com")), profile(ACME))
    again = decode_lead("lead-1", encode_lead(lead))
    assert again == lead
    assert again.value(COMPANY_PROFILE) == profile(ACME).mark("acme.com")


def test_others_cannot_say_which_profile_a_lead_has() -> None:
    lead = lead_after(
        LeadActivity(f"acme.com:{'0' * 16}@1", "web", "lead.profile_updated", MONDAY, "lead-1", {"industry": "Energy"})
    )
    assert COMPANY_PROFILE not in lead.facts


def test_equal_profiles_are_equal_however_they_are_written() -> None:
    one = read_profile(b"acme.com", b'{"employees": 400, "annual_revenue": 5, "company": null}', 1)
    other = read_profile(b"acme.com", b'{ "annual_revenue": 5.0, "employees": 400.0 }', 2)
    assert one.profile is not None
    assert other.profile is not None
    assert one.profile.data == other.profile.data
    assert other.profile.time == 2_000


def test_keys_that_do_not_fit_are_dropped_and_named() -> None:
    record = read_profile(
        b"acme.com", b'{"employees": "many", "industry": "", "email": "a@acme.com", "technologies": ["x"]}', 1
    )
    assert record.profile is not None
    assert msgspec.json.decode(record.profile.data) == {"technologies": ["x"]}
    assert [(drop.field, drop.reason) for drop in record.dropped] == [
        ("profile.industry", "empty"),
        ("profile.employees", "wrong_type"),
        ("other", "undeclared"),
    ]


@pytest.mark.parametrize("value", [None, b"{}", b'{"employees": null}'])
def test_a_profile_that_says_nothing_is_none(value: bytes | None) -> None:
    assert read_profile(b"acme.com", value, 1).profile is None


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (None, b"{}", "null_key"),
        (b"\xff", b"{}", "bad_key"),
        (b"Acme GmbH", b"{}", "bad_key"),
        (b"gmail.com", b"{}", "bad_key"),
        (b"www.acme.com", b"{}", "bad_key"),
        (b"Acme.com", b"{}", "bad_key"),
        (b"acme.com", b"[]", "not_an_object"),
        (b"acme.com", b"{", "not_json"),
    ],
)
def test_a_record_that_is_no_profile_is_refused(key: bytes | None, value: bytes, reason: str) -> None:
    with pytest.raises(Rejected) as refused:
        read_profile(key, value, 1)
    assert refused.value.reason == reason
    assert "acme" not in str(refused.value).lower()


def test_a_profile_at_the_end_of_all_time_is_still_one() -> None:
    lead = lead_after(said(1, email_domain="acme.com"))
    for timestamp in (-(2**62), -1, 2**62):
        record = read_profile(b"acme.com", b'{"employees": 5}', timestamp)
        assert enriched(lead, record.profile, NOW).value("profile.employees") == 5


def test_a_second_is_enough_for_many_changes() -> None:
    lead = lead_after(said(1, email_domain="acme.com"))
    for employees in range(100):
        lead = enriched(lead, profile({"employees": employees}, day=2), MONDAY + 2 * DAY + SECOND)
        assert lead.value("profile.employees") == employees


def test_an_explanation_says_that_a_value_is_from_the_profile_of_the_company() -> None:
    rules = evaluator()
    history = History(rules, Lead("lead-1"))
    history.add(said(1, email_domain="acme.com"))
    found = enrichment(history.lead, "acme.com", profile(ACME, day=2), NOW)
    assert found is not None
    history.add(found)
    story = explain_lead(history.lead, rules, history=history)
    events = {fact.field: fact.event for fact in story.known}
    assert [source_text(event) for name, event in events.items() if event and name.startswith("profile.e")] == [
        "web",
        "the profile of the company",
    ]
    assert story.meanings[COMPANY_PROFILE] == "The company of the lead, and which profile of it the lead has."
    assert story.latest_activity == "2026-01-06T00:00:00Z"
