"""What coverage calls idle never applied, and what it calls covered did apply. The test counts independently, from
the decisions that `assess` publishes."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity, validate_data
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.ruletests.coverage import coverage
from scorer.ruletests.run import START, run_tests
from tests.factory import SMALL_RULES, evaluator

# Publish on every activity, so that the decisions show every state.
TEXT = SMALL_RULES.replace("on: change", "on: activity")
RULES = evaluator(TEXT)
IDS = {
    *(rule.id for criterion in RULES.ruleset.criteria for rule in criterion.rules),
    *RULES.ruleset.signals,
    *(rule.id for rule in RULES.ruleset.routing),
}

ACTIVITY = st.sampled_from(
    [
        ("lead.page_viewed", {"url": "/pricing"}),
        ("lead.page_viewed", {"url": "/careers"}),
        ("lead.page_viewed", {"url": "/"}),
        ("lead.trial_started", {}),
        ("lead.booth_visited", {"minutes": 4}),
        ("lead.booth_visited", {"minutes": 5}),
        ("lead.qualification_updated", {"bant": {"budget_status": "approved", "authority": "decision_maker"}}),
        ("lead.qualification_updated", {"bant": {"budget_status": "planned", "authority": "influencer"}}),
        ("lead.profile_updated", {"employees": 300, "country": "DE", "custom": {"installed_base": 5}}),
        ("lead.profile_updated", {"email_kind": "free"}),
        ("lead.profile_updated", {"is_competitor": True}),
        ("lead.sales_returned", {}),
        ("lead.erased", {}),
    ]
)
STORY = st.lists(st.tuples(ACTIVITY, st.integers(0, 400)), min_size=1, max_size=8)


def at_work(stories: list[list[tuple[tuple[str, dict[str, Any]], int]]]) -> set[str]:
    """Ids in the decisions of the stories; each story is one lead."""
    ids = set()
    for story in stories:
        lead = Lead("x")
        for number, ((kind, data), day) in enumerate(story):
            activity = LeadActivity(str(number), "x", kind, START + day * DAY, "x", validate_data(kind, data))
            assessment = RULES.assess(lead, activity)
            lead = assessment.lead
            if assessment.decision is not None:
                ids.add(assessment.decision.routing.rule)
                ids |= {contribution.rule for contribution in assessment.decision.contributions}
    return ids & IDS


@settings(max_examples=40, deadline=None)
@given(stories=st.lists(STORY, min_size=1, max_size=3))
def test_idle_rules_are_those_that_no_decision_mentions(
    stories: list[list[tuple[tuple[str, dict[str, Any]], int]]],
) -> None:
    tests = [
        {
            "name": f"story {number}",
            "activities": [
                {"type": kind, "after": f"{day}d" if day else 0, "data": data} for (kind, data), day in story
            ],
            # Half of them fail, which makes no difference.
            "expect": {"score": {"gte": 0}},
        }
        for number, story in enumerate(stories)
    ]
    # JSON is YAML.
    report = run_tests({"a_test.yaml": json.dumps({"tests": tests}).encode()}, RULES)
    assert report.errors == ()
    fired = {name for result in report.results for name in result.fired}
    covered = coverage(RULES.ruleset, fired, {"rules.yaml": TEXT.encode()})
    idle = {rule.id for rule in covered.idle}
    worked = at_work(stories)
    assert idle <= IDS
    assert not idle & worked
    # A signal counts with its activity, even if its rounded points are 0 or the window is over.
    silent = (IDS - idle) - worked
    assert silent <= set(RULES.ruleset.signals)
    kinds = {kind for story in stories for (kind, _), _ in story}
    assert all(RULES.ruleset.signals[name].activity in kinds for name in silent)
    for rule in covered.idle:
        line = TEXT.split("\n")[rule.position.line - 1]
        assert rule.id in line[rule.position.column - 1 :]
