"""The JSON of a decision is assembled from templates. It equals the encoding of its attributes, byte for byte."""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import RoutingDecision, read_decision
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.engines import cache as memory
from scorer.state.codec import decode_lead, encode_lead
from tests.factory import SMALL_RULES, activity, evaluator

ALWAYS = SMALL_RULES.replace("publish: {on: change, score_step: 10}", "publish: {on: activity}")
# Evidence of every type, of no field and of several fields, text that JSON must escape, and points that tie.
MORE = """
  evidence:
    hit_policy: sum
    max: 11
    rules:
      - {id: Named, when: {profile.company: {exists: true}}, points: 5, reason: "“Says” \\\\ \\"x\\" \\u0001é🚀"}
      - {id: named, when: {profile.company: {matches: "."}}, points: -5}
      - {id: nobody, when: {profile.company: {exists: false}}, points: 5}
      - {id: uses, when: {profile.technologies: {contains: kafka}}, points: 3}
      - {id: rival, when: {profile.is_competitor: {exists: true}}, points: 2}
      - {id: likely, when: {assessment.probability: {gte: 0}}, points: 2}
      - {id: small, when: {profile.employees: {lt: 400}, profile.company: {not_in: [x]}}, points: 2}
      - {id: lately, when: {days_since.trial_started: {lt: 9}}, points: 1}
      - {id: own, when: {not: {installed_base: 7}}, points: 1}
      - {id: both, when: {not: {installed_base: 7, profile.company: x}}, points: 1}
  always:
    hit_policy: sum
    rules:
      - {id: anybody, when: {not: {profile.is_customer: true}}, points: 5}
routing:
"""
ALL = evaluator(ALWAYS.replace("daily_cap: 2", "daily_cap: 5").replace("routing:\n", MORE.lstrip("\n")))
# The same leads under rules that count less of their behaviour.
LESS = evaluator(
    ALWAYS.replace("daily_cap: 2", "daily_cap: 1\n    window: 4d").replace("window: 90d", "window: 2d, daily_cap: 1")
)

_texts = st.sampled_from(["Aé", "B\u2028<\x1f\x7f🚀", 'C"\\/', "\ufffd"])
# Characters that take 1, 2, 3, 4 and 6 bytes in JSON, so many that the bound of evidence lies near.
_long_names = st.builds(
    lambda character, size, end: character * size + end,
    st.sampled_from(["a", '"', "é", "€", "🚀", "\x01"]),
    st.sampled_from([1, 160, 169, 170, 171, 200, 255]),
    st.sampled_from(["", "b", "\x02"]),
)
_long_texts = st.builds(
    lambda character, size, end: character * size + end,
    st.sampled_from(["a", '"', "é", "€", "🚀", "\x01"]),
    st.sampled_from([169, 170, 171, 254, 255, 256, 510, 511, 512, 1019, 1020, 1021, 1022, 1023, 2047]),
    st.sampled_from(["", "b"]),
)
_lists = st.lists(_long_names, max_size=3) | st.builds(
    lambda names, size: [*names, *(f"name {number}" for number in range(size))],
    st.lists(_long_names, max_size=3),
    st.sampled_from([0, 1, 30, 60]),
)
_kinds: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.just("page_viewed"), st.fixed_dictionaries({"url": st.sampled_from(["/pricing", "/careers", "/"])})),
    st.tuples(st.just("trial_started"), st.just({})),
    st.tuples(
        st.just("assessment_recorded"),
        st.fixed_dictionaries({"probability": st.sampled_from([0, 0.0, -0.0, 0.1, 0.3333333333333333, 1])}),
    ),
    st.tuples(
        st.just("profile_updated"),
        st.fixed_dictionaries(
            {},
            optional={
                "company": st.none() | _texts | _long_names,
                "employees": st.none() | st.sampled_from([0, 100, 250, 2**53]),
                "is_competitor": st.booleans(),
                "technologies": st.lists(st.sampled_from(["kafka", 'sap "4"', "é"]), max_size=2)
                | _lists.map(lambda names: ["kafka", *names]),
                "custom": st.fixed_dictionaries(
                    {},
                    optional={
                        "installed_base": st.sampled_from([0, -1, 1, 1.0, 2.5, 1e300, True]) | _long_texts | _lists
                    },
                ),
            },
        ),
    ),
)


@st.composite
def stories(draw: st.DrawFn) -> list[LeadActivity]:
    days = st.sampled_from([0, 0.1, 0.2, 0.5, 1, 1.5, 3, 4, 5, 9, 10.5])
    return [
        activity(*draw(_kinds), day=draw(days), id=f"{number:02}", source=draw(st.sampled_from(["a", 'b"é'])))
        for number in range(draw(st.integers(1, 14)))
    ]


def plain(decision: RoutingDecision) -> bytes:
    """The encoding of the decision's attributes."""
    return msgspec.json.encode(msgspec.structs.replace(decision, contributions=list(decision.contributions)))


@settings(max_examples=200, deadline=None)
@given(stories(), st.integers(-12, 12))
def test_the_json_equals_the_encoding_of_the_attributes(story: Sequence[LeadActivity], quarters: int) -> None:
    lead = Lead('lead-"1é')
    for event in story:
        assessment = ALL.assess(lead, event)
        if assessment.decision is not None:
            assert assessment.decision.to_json() == plain(assessment.decision)
            for contribution in assessment.decision.contributions:
                assert (
                    max([len(msgspec.json.encode(value)) for value in contribution.evidence.values()], default=0)
                    <= 1024
                )
            assert read_decision(assessment.decision.to_json()) == assessment.decision
        lead = decode_lead(lead.id, encode_lead(assessment.lead))
    for rules in (ALL, LESS):
        for now in (lead.clock, lead.clock + quarters * DAY // 4):
            decision = rules.reassess(lead, now, "time").decision
            assert decision is not None
            assert decision.to_json() == plain(decision)
            assert decision.to_json() == decision.to_json()


def test_the_templates_of_a_ruleset_are_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "ROOM", 8)
    rules = evaluator(ALWAYS.replace("routing:\n", MORE.lstrip("\n")))
    lead = Lead("lead-1")
    for number in range(100):
        profile = {"company": f"Company {number}", "employees": number}
        decision = rules.assess(lead, activity("profile_updated", profile, day=number)).decision
        assert decision is not None
        assert decision.to_json() == plain(decision)
        visit = activity("page_viewed", {"url": "/pricing"}, day=number, id=f"{number}")
        assessment = rules.assess(lead, visit)
        assert assessment.decision is not None
        assert assessment.decision.to_json() == plain(assessment.decision)
        lead = assessment.lead
    templates = rules._templates
    sizes = [
        len(templates.reasons),
        len(templates.signals),
        len(templates.days),
        *(len(template.known) for template in templates.reasons.values()),
    ]
    assert max(sizes) <= 8
    assert min(len(templates.signals), len(templates.days)) > 0
