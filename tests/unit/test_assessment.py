"""The effect of an activity on a lead: points, rating and route, and when a decision is published."""

from collections.abc import Sequence

import pytest

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import RoutingDecision
from scorer.domain.effects import Decided
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from tests.factory import MONDAY, SMALL_RULES, activity, evaluator

RULES = evaluator()

BUDGET = activity("qualification_updated", {"bant": {"budget_status": "approved"}})
DECIDER = activity("qualification_updated", {"bant": {"authority": "decision_maker"}})


def run(activities: Sequence[LeadActivity], rules: Evaluator = RULES) -> tuple[Assessment, list[RoutingDecision]]:
    lead, decisions = Lead("lead-1"), []
    for event in activities:
        assessment = rules.assess(lead, event)
        lead = assessment.lead
        if assessment.decision is not None:
            decisions.append(assessment.decision)
    return assessment, decisions


def last(activities: Sequence[LeadActivity], rules: Evaluator = RULES) -> RoutingDecision:
    return run(activities, rules)[1][-1]


def test_the_first_activity_of_a_lead_is_always_published() -> None:
    decision = last([activity("email_opened")])
    assert (decision.rating, decision.route, decision.score.total) == ("cold", "nurture", 0)
    assert decision.previous is None


def test_first_takes_the_first_rule_and_sum_takes_all_within_its_limits() -> None:
    profile = {"employees": 1000, "country": "DE", "custom": {"installed_base": 3}}
    decision = last([activity("profile_updated", profile), BUDGET])
    assert decision.criteria["budget"] == 20
    assert decision.criteria["company"] == 15
    cap = next(part for part in decision.contributions if part.rule == "cap")
    assert (cap.criterion, cap.points) == ("company", -5)
    assert sum(part.points for part in decision.contributions) == decision.score.total == 35


def test_a_lower_limit_is_also_explained() -> None:
    decision = last([activity("profile_updated", {"email_kind": "free"})])
    assert decision.criteria["company"] == -5
    assert {part.rule: part.points for part in decision.contributions} == {"free-mail": -10, "cap": 5}


def test_evidence_shows_the_values_a_rule_looked_at() -> None:
    decision = last([BUDGET])
    (contribution,) = decision.contributions
    assert contribution.evidence == {"bant.budget_status": "approved"}
    assert contribution.reason == "Budget is approved"


@pytest.mark.parametrize(
    ("visits", "now", "points"),
    [
        ([0], 0, 5),
        ([0, 0, 0], 0, 10),
        ([0, 0, 1, 1], 1, 19),  # 10 * 0.5 ** 0.1 + 10 = 19.33
        ([0, 0], 10, 5),
        ([0, 0], 20, 3),  # 2.5, rounded away from zero
        ([0, 0, 1, 1, 2, 2, 3, 3], 3, 20),  # 36.2, limited
    ],
)
def test_signals_are_capped_per_day_decay_and_are_limited(visits: list[int], now: int, points: int) -> None:
    events = [activity("page_viewed", {"url": "https://shop.example/pricing?plan=2"}, day=day) for day in visits]
    events.append(activity("email_opened", day=now + 0.5))
    assessment, _ = run(events)
    assert assessment.evaluation is not None
    assert assessment.evaluation.score.engagement == points


def test_negative_signals_are_limited_in_the_same_way() -> None:
    decision = last([activity("page_viewed", {"url": "/careers"}, day=day) for day in range(3)])
    assert decision.score.engagement == -10


def test_a_signal_counts_only_within_its_window() -> None:
    started = activity("trial_started")
    inside, _ = run([started, activity("email_opened", day=89)])
    outside, _ = run([started, activity("email_opened", day=90)])
    assert inside.evaluation is not None
    assert outside.evaluation is not None
    assert inside.evaluation.score.engagement == 15
    assert outside.evaluation.score.engagement == 0


def test_a_custom_activity_type_can_count_for_a_signal() -> None:
    assert last([activity("booth_visited", {"minutes": 7})]).score.engagement == 4
    assert last([activity("booth_visited", {"minutes": 2})]).score.engagement == 0
    assert last([activity("booth_visited", {"minutes": "7"})]).score.engagement == 0


def test_a_hot_lead_with_bant_goes_to_key_accounts_and_expects_an_answer_within_the_hour() -> None:
    profile = activity("profile_updated", {"employees": 1000})
    decision = last([BUDGET, DECIDER, profile, activity("trial_started", day=1)])
    assert (decision.rating, decision.route, decision.queue) == ("hot", "sales", "key-accounts")
    assert (decision.decided_at, decision.respond_by) == ("2026-01-06T00:00:00Z", "2026-01-06T01:00:00Z")
    assert decision.routing.rule == "ready"


def test_a_competitor_is_discarded_even_if_hot() -> None:
    competitor = activity("profile_updated", {"is_competitor": True, "employees": 1000})
    decision = last([BUDGET, DECIDER, activity("trial_started"), competitor])
    assert (decision.rating, decision.route) == ("hot", "discard")


def test_a_signal_that_never_counted_gives_routing_no_points() -> None:
    few = "routing:\n  - {id: few, when: {signals.pricing: {lte: 3}}, route: discard}\n"
    assert last([BUDGET], evaluator(SMALL_RULES.replace("routing:\n", few))).route == "discard"


def test_nothing_is_published_without_a_relevant_change() -> None:
    _, decisions = run([BUDGET, activity("page_viewed", {"url": "/pricing"}), activity("email_opened", day=0.5)])
    assert len(decisions) == 1
    _, decisions = run([BUDGET, *(activity("page_viewed", {"url": "/pricing"}, day=0.1) for _ in range(2))])
    assert [decision.score.total for decision in decisions] == [20, 30]
    assert decisions[1].previous is not None
    assert decisions[1].previous.score == 20


def test_on_activity_every_effective_activity_is_published_and_a_repeated_one_is_not() -> None:
    always = evaluator(SMALL_RULES.replace("on: change", "on: activity"))
    opened = activity("email_opened")
    _, decisions = run([opened, opened, activity("email_opened", day=1)], always)
    assert len(decisions) == 2


def test_equal_input_gives_equal_bytes_and_other_rules_give_other_ids() -> None:
    first, again = last([BUDGET]), last([BUDGET])
    assert first.to_json() == again.to_json()
    other = last([BUDGET], evaluator(SMALL_RULES.replace("points: 15", "points: 16")))
    assert other.decision_id != first.decision_id
    assert other.ruleset.revision != first.ruleset.revision


def test_a_returned_lead_does_not_go_back_to_sales_on_the_same_evidence() -> None:
    story = [
        BUDGET,
        DECIDER,
        activity("trial_started"),
        activity("sales_accepted", day=1),
        activity("sales_returned", {"reason": "no project yet"}, day=2),
    ]
    decision = last(story)
    assert (decision.rating, decision.route, decision.routing.rule) == ("hot", "nurture", "returned")
    # A little new activity is not enough, but a new trial is.
    visits = [activity("page_viewed", {"url": "/pricing"}, day=3) for _ in range(2)]
    assert last([*story, *visits]).route == "nurture"
    again = last([*story, *visits, activity("trial_started", day=4)])
    assert (again.route, again.routing.rule) == ("sales", "ready")


def test_new_answers_of_a_returned_lead_are_new_evidence_and_repeated_ones_are_not() -> None:
    planned = activity("qualification_updated", {"bant": {"budget_status": "planned"}})
    large = activity("profile_updated", {"employees": 1000})
    story = [planned, DECIDER, large, activity("trial_started"), activity("sales_returned", day=2)]
    assert last(story).routing.rule == "returned"
    again = activity("qualification_updated", {"bant": {"budget_status": "planned"}}, day=3)
    resent = activity("profile_updated", {"employees": 1000}, day=3)
    assert last([*story, again, resent]).routing.rule == "returned"
    approved = activity("qualification_updated", {"bant": {"budget_status": "approved"}}, day=4)
    assert last([*story, again, resent, approved]).routing.rule == "ready"


def test_a_hand_over_becomes_part_of_the_lifecycle() -> None:
    assessment, _ = run([BUDGET, DECIDER, activity("trial_started")])
    assert assessment.lead.value("lifecycle.status") == "handed_over"
    assessment, _ = run([BUDGET, DECIDER, activity("trial_started"), activity("sales_accepted", day=1)])
    assert assessment.lead.value("lifecycle.status") == "accepted"


def test_a_hand_over_does_not_overwrite_an_acceptance_that_arrives_late() -> None:
    sticky = "routing:\n  - {id: open, when: {lifecycle.status: accepted}, route: sales}\n"
    rules = evaluator(SMALL_RULES.replace("routing:\n", sticky))
    visit, accepted = activity("page_viewed", {"url": "/"}, day=10), activity("sales_accepted", day=9)
    later = activity("page_viewed", {"url": "/"}, day=11)
    for story in ([accepted, visit, later], [visit, accepted, later]):
        assessment, decisions = run(story, rules)
        assert assessment.lead.value("lifecycle.status") == "accepted"
        assert decisions[-1].route == "sales"


def test_an_erased_lead_is_discarded_without_contributions() -> None:
    decision = last([BUDGET, DECIDER, activity("trial_started"), activity("erased", day=1)])
    assert (decision.route, decision.routing.rule, decision.rating) == ("discard", "erased", "cold")
    assert decision.contributions == []
    assert decision.score.total == 0


def test_a_merged_lead_is_discarded() -> None:
    decision = last([BUDGET, activity("merged", {"into": "lead-2"}, day=1)])
    assert (decision.route, decision.routing.rule) == ("discard", "merged")


def test_time_alone_cools_a_lead() -> None:
    visits = [activity("page_viewed", {"url": "/pricing"}, day=day) for day in (0, 0, 1, 1)]
    assessment, _ = run([*visits, activity("profile_updated", {"country": "DE"}, day=1)])
    lead = assessment.lead
    later = RULES.reassess(lead, lead.clock + 30 * DAY, "time")
    assert later.decision is not None
    assert (later.decision.rating, later.decision.cause, later.decision.reference) == ("cold", "time", None)
    assert Decided(later.decision).transition == ("warm", "cold")


def test_of_two_events_with_the_same_source_and_id_the_second_changes_nothing_for_a_week() -> None:
    """As docs/guarantees.md says: CloudEvents demands different ids."""
    rules = evaluator(SMALL_RULES.replace("on: change, score_step: 10", "on: activity"))
    lead = Lead("lead-1")
    found: list[tuple[object, int]] = []
    ids: list[str] = []
    same: list[tuple[str, int, dict[str, object]]] = [
        ("lead.profile_updated", MONDAY, {"employees": 300}),
        ("lead.profile_updated", MONDAY, {"employees": 3}),
        ("lead.trial_started", MONDAY + 1, {}),
        ("lead.trial_started", MONDAY + 2, {}),
        ("lead.trial_started", MONDAY + DAY, {}),
        ("lead.profile_updated", MONDAY + DAY, {"employees": 3}),
        ("lead.page_viewed", MONDAY + 9 * DAY, {"url": "/"}),
        ("lead.profile_updated", MONDAY + 10 * DAY, {"employees": 3}),
    ]
    for kind, time, data in same:
        assessment = rules.assess(lead, LeadActivity("same", "/s", kind, time, "lead-1", data))
        lead = assessment.lead
        found.append((lead.value("profile.employees"), sum(map(len, lead.signals.get("trial", {}).values()))))
        if assessment.decision is not None:
            ids.append(assessment.decision.decision_id)
    assert found == [*[(300, 0)] * 7, (3, 0)]
    assert len(ids) == 3
    assert len(set(ids)) == 1
