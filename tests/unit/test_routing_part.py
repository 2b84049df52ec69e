"""The explanation of the route, with the words and values of the rules."""

import pytest

from scorer.domain.activity import LeadActivity
from scorer.explain.story import explain_lead
from scorer.explain.story_model import RoutingPart
from scorer.explain.timeline import history
from scorer.explain.wording import because, condition_part, condition_text
from scorer.rules.condition import All, AnyOf, Condition, FieldType, Not, Op, Test
from tests.factory import activity, evaluator

RULES = evaluator()


def routing(*activities: LeadActivity) -> RoutingPart:
    known = history("lead-1", activities, RULES)
    return explain_lead(known.lead, RULES).routing


def test_score_since_return_counts_new_rules_and_behaviour_of_later_days() -> None:
    visit = {"url": "/pricing"}
    part = routing(
        activity("qualification_updated", {"bant": {"budget_status": "approved"}}),
        activity("page_viewed", visit, day=4.2),
        activity("sales_returned", day=4.5),
        activity("page_viewed", visit, day=4.8),
        activity("page_viewed", visit, day=5.1),
        activity("qualification_updated", {"bant": {"authority": "influencer", "budget_status": "approved"}}, day=5.2),
    )
    assert (part.rule, part.route) == ("returned", "nurture")
    # 5 for the influencer and 5 for the visit on the next day. Sales knew the budget and the visits until the return.
    assert part.because == "lifecycle.status is returned; score.since_return is below 15 (10)"


def test_earlier_rules_say_why_they_do_not_hold_and_later_rules_are_listed() -> None:
    part = routing(activity("qualification_updated", {"bant": {"budget_status": "approved"}}))
    assert part.because == "it always holds"
    assert {rule.rule: rule.because for rule in part.passed_over} == {
        "competitor": "it does not hold: profile.is_competitor is true (it is unknown)",
        "returned": "it does not hold: lifecycle.status is returned (it is nurturing)",
        "ready": "it does not hold: rating is hot (it is warm)",
        "hot": "it does not hold: rating is hot (it is warm)",
    }
    assert part.not_asked == []
    assert routing(activity("profile_updated", {"is_competitor": True})).not_asked == [
        "returned",
        "ready",
        "hot",
        "keep-warm",
    ]


A = Test("a", FieldType.INTEGER, Op.GTE, 1000)
B = Test("b", FieldType.STRING, Op.IN, ("x", "y z"))
C = Test("c", FieldType.BOOLEAN, Op.EXISTS, False)


@pytest.mark.parametrize(
    ("condition", "text", "reason"),
    [
        (A, "a is at least 1,000", "it does not hold: a is at least 1,000 (it is 5)"),
        (B, 'b is one of x, "y z"', 'b is one of x, "y z" (x)'),
        (C, "c is unknown", "c is unknown"),
        (AnyOf((A, B)), 'a is at least 1,000 or b is one of x, "y z"', 'b is one of x, "y z" (x)'),
        (
            All((A, Not(B))),
            'a is at least 1,000 and not (b is one of x, "y z")',
            "it does not hold: a is at least 1,000 (it is 5)",
        ),
        (
            AnyOf((A, Not(C))),
            "a is at least 1,000 or not (c is unknown)",
            "it does not hold: a is at least 1,000 (it is 5); it must not be true that c is unknown",
        ),
        (
            Not(AnyOf((A, A))),
            "not (a is at least 1,000 or a is at least 1,000)",
            "it is not true that a is at least 1,000 (it is 5)",
        ),
    ],
)
def test_conditions_in_words(condition: Condition, text: str, reason: str) -> None:
    assert condition_text(condition) == text
    assert because(condition_part(condition, {"a": 5, "b": "x"})) == reason
