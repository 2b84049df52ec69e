"""No activity gives a state or a decision above the computed bounds, and the worst ones come near to them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity, validate_data
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.largest_decision import largest_decision
from scorer.evaluation.largest_state import UNNUMBERED, largest_state
from scorer.evaluation.largest_value import built_in_values
from scorer.rules.catalogue import Catalogue
from scorer.rules.field_type import FieldType
from scorer.rules.loader import parse_ruleset
from scorer.sources.attributes import EARLIEST
from scorer.state import codec
from scorer.state.codec import encode_lead

WIDE = "\U0010ffff"
LEAD = WIDE * 256
NAMES = [chr(ord("a") + number % 26) + "n" * 255 for number in range(64)]
"""16,384 bytes, the most that a list has."""

FACTS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    *(
        ("profile_updated", key, {key: WIDE * 256})
        for key in ("company", "industry", "language", "job_title", "department", "email_domain", "lead_source")
    ),
    ("profile_updated", "employees", {"employees": 2**63 - 1}),
    ("profile_updated", "annual_revenue", {"annual_revenue": 1.7976931348623157e308}),
    ("profile_updated", "country", {"country": "DE"}),
    ("profile_updated", "job_level", {"job_level": "executive"}),
    ("profile_updated", "email_kind", {"email_kind": "university"}),
    ("profile_updated", "technologies", {"technologies": NAMES}),
    ("profile_updated", "is_competitor", {"is_competitor": False}),
    ("profile_updated", "is_customer", {"is_customer": False}),
    *(
        ("qualification_updated", key, {section: {key: value}})
        for section, key, value in (
            ("bant", "budget_status", "requested"),
            ("bant", "budget_amount", 1.1),
            ("bant", "authority", "decision_maker"),
            ("bant", "need", "important"),
            ("bant", "timeline_months", 1.1),
            ("competition", "position", "preferred"),
            ("competition", "competitors", NAMES),
            ("project", "resources", "available"),
            ("project", "start_in_months", 1.1),
        )
    ),
    ("assessment_recorded", "rating", {"rating": "cold"}),
    ("assessment_recorded", "probability", {"probability": 0.1}),
    ("assessment_recorded", "by", {"by": WIDE * 256}),
    ("consent_changed", "email.other", {"channel": "email", "status": "granted"}),
    ("consent_changed", "phone.other", {"channel": "phone", "status": "granted"}),
    ("consent_changed", "email", {"channel": "email", "status": "withdrawn"}),
    ("consent_changed", "phone", {"channel": "phone", "status": "withdrawn"}),
    ("stage_changed", "stage", {"stage": WIDE * 256}),
    ("merged", "into", {"into": WIDE * 255}),
    ("demo_requested", "", {}),
    ("trial_started", "", {}),
    ("meeting_held", "", {}),
    ("call_logged", "", {"outcome": "reached"}),
    ("sales_accepted", "", {}),
    ("sales_returned", "", {"reason": WIDE * 2048}),
    ("opportunity_won", "", {"value": 1.1}),
    ("opportunity_lost", "", {}),
    ("handed_over", "", {}),
)
"""An event for each fact that a lead can have, with its largest value."""


def event(kind: str, data: Mapping[str, Any], number: int, time: int) -> LeadActivity:
    """An event with the longest attributes, all different."""
    source, identity = WIDE * 1020 + f"{number:04}", WIDE * 250 + f"{number:06}"
    return LeadActivity(identity, source, f"lead.{kind}", time, LEAD, validate_data(f"lead.{kind}", data))


LARGEST: Mapping[FieldType, Any] = {
    FieldType.BOOLEAN: False,
    FieldType.INTEGER: -1.7976931348623157e308,
    FieldType.NUMBER: -1.7976931348623157e308,
    FieldType.STRING: WIDE * 2048,
    FieldType.STRINGS: NAMES,
}


def all_facts(own: Catalogue) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Everything that can be stated about a lead, each fact by an event of its own."""
    for name, field in own.items():
        yield "profile_updated", {"custom": {name: LARGEST[field.type]}}
    for kind, _, data in sorted(FACTS, key=lambda fact: fact[0] == "merged"):
        yield kind, data


def test_the_bound_names_every_fact_that_a_state_numbers() -> None:
    assert set(built_in_values()) == {*codec._NAMES, *UNNUMBERED}


def quoted(text: str) -> str:
    """The text as YAML."""
    return json.dumps(text, ensure_ascii=False)


WORST = f"""
ruleset: {"w" * 64}
ratings: {{warm: -10000, hot: 10000}}
publish: {{on: activity}}
fields:
  {"o" * 64}: {{type: boolean}}
  {"p" * 64}: {{type: strings}}
signals:
  {"s" * 64}: {{activity: page_viewed, points: -10000, daily_cap: 2, window: 730d, reason: {quoted('"' * 500)}}}
  {"t" * 64}: {{activity: page_viewed, points: 10000, daily_cap: 1, window: 730d, reason: {quoted('"' * 500)}}}
scoring:
  {"c" * 64}:
    hit_policy: sum
    max: 5
    rules:
      - id: {"a" * 64}
        when: {{not: {{{"o" * 64}: true, {"p" * 64}: {{contains: x}}}}}}
        points: 10000
        reason: {quoted(chr(0x1F680) * 500)}
      - {{id: {"b" * 64}, when: {{profile.technologies: {{exists: true}}}}, points: 10000}}
  {"d" * 64}:
    rules:
      - {{id: {"d" * 63}, when: {{not: {{profile.company: x}}}}, points: 1, reason: {quoted('"' * 500)}}}
      - {{id: {"e" * 64}, points: 1}}
routing:
  - {{id: {"q" * 64}, route: nurture, queue: {"q" * 64}, respond_within: 1h, reason: {quoted('"' * 500)}}}
"""


def test_the_worst_state_and_decision_come_near_the_bounds() -> None:
    ruleset = parse_ruleset({"rules.yaml": WORST.encode()})
    rules = Evaluator(ruleset, default_engine("compiled"))
    state, decision = largest_state([ruleset]), largest_decision(ruleset)
    # Days before 1790 have the longest numbers. A merged lead has a short decision, so that event comes last.
    events: list[tuple[str, Mapping[str, Any]]] = [("erased", {}), *all_facts(ruleset.own_fields)]
    *stated, merged = events
    lead, largest = Lead(LEAD), 0
    stated += [("stage_changed", {"stage": WIDE * 255 + chr(number)}) for number in range(0x10000, 0x10000 + 24)]
    for number, (kind, data) in enumerate(stated):
        lead = rules.assess(lead, event(kind, data, number, EARLIEST + number)).lead
    facts = len(encode_lead(replace(lead, recent=None, lifecycle=None)))
    for number in range(1000, 1000 + 740 * 5):
        time = EARLIEST + (number // 5 - 190) * DAY + 1
        assessment = rules.assess(lead, event("page_viewed", {"url": "/"}, number, time))
        lead = assessment.lead
        if number > 4500 and assessment.decision is not None:
            largest = max(largest, len(assessment.decision.to_json()))
    counts = len(encode_lead(replace(lead, recent=None, lifecycle=None))) - facts
    assert 0.99 < counts / sum(state.signals.values()) <= 1
    assert 0.9 < largest / decision.total <= 1
    lead = rules.assess(lead, event(*merged, 999_999, time + 1)).lead
    # Not every fact has an event of its own here, as the bound allows.
    assert 0.9 < len(encode_lead(lead)) / state.total <= 1


fields = st.sampled_from(
    ["profile.technologies", "profile.company", "profile.employees", "days_since.trial_started", "own_a", "own_b"]
)
reasons = st.sampled_from(["x", '"' * 500, "\\" * 500, "🚀" * 500, "\x01" * 500])
points = st.sampled_from([-10_000, -1, 0, 1, 10_000])


@st.composite
def rulesets(draw: st.DrawFn) -> str:
    """Rulesets of every shape, most of whose rules hold for most leads."""
    lines = ["ruleset: any", "ratings: {warm: 1, hot: 20}", "publish: {on: activity}"]
    types = [draw(st.sampled_from(FieldType)) for _ in range(2)]
    lines += [f"fields: {{own_a: {{type: {types[0]}}}, own_b: {{type: {types[1]}}}}}", "signals:"]
    for number in range(draw(st.integers(1, 3))):
        limit = draw(st.sampled_from(["", ", max_points: 7", ", half_life: 30d"]))
        lines.append(
            f"  s{number}: {{activity: page_viewed, points: {draw(points)}, daily_cap: {draw(st.integers(1, 3))}{limit}"
            f", window: {draw(st.sampled_from(['1d', '730d']))}, reason: {quoted(draw(reasons))}}}"
        )
    lines.append("scoring:")
    for number in range(draw(st.integers(1, 3))):
        policy = draw(st.sampled_from(["first", "sum", "sum\n    max: 3", "sum\n    min: -3"]))
        lines += [f"  c{number}:", f"    hit_policy: {policy}", "    rules:"]
        for rule in range(draw(st.integers(1, 4))):
            used = draw(st.lists(fields, min_size=1, max_size=3, unique=True))
            when = ", ".join(f"{{{name}: {{exists: true}}}}" for name in used)
            lines.append(
                f"      - {{id: r{number}-{rule}, points: {draw(points)}, reason: {quoted(draw(reasons))}, "
                f"when: {{not: {{all: [{when}, {{profile.country: AT}}]}}}}}}"
            )
    lines += ["routing:", f"  - {{id: rest, route: sales, queue: q, reason: {quoted(draw(reasons))}}}"]
    return "\n".join(lines)


hostile = st.one_of(
    st.sampled_from([(kind, data) for kind, _, data in FACTS]),
    st.just(("page_viewed", {"url": "/"})),
    st.just(("erased", {})),
    st.builds(
        lambda names, value: ("profile_updated", {"custom": dict.fromkeys(names, value)}),
        st.lists(st.sampled_from(["own_a", "own_b"]), min_size=1, max_size=2, unique=True),
        st.sampled_from([NAMES, WIDE * 2048, "\x01" * 2048, ["\x01" * 256] * 64, -(2**63), 1e300, True, None]),
    ),
)


@settings(max_examples=40, deadline=None)
@given(rulesets(), st.lists(st.tuples(hostile, st.integers(0, 1500)), min_size=1, max_size=25))
def test_no_activity_passes_the_bounds(text: str, story: list[tuple[tuple[str, Mapping[str, Any]], int]]) -> None:
    ruleset = parse_ruleset({"rules.yaml": text.encode()})
    rules = Evaluator(ruleset, default_engine("compiled"))
    state, decision = largest_state([ruleset]).total, largest_decision(ruleset).total
    lead = Lead(LEAD)
    for number, ((kind, data), day) in enumerate(story):
        assessment = rules.assess(lead, event(kind, data, number, EARLIEST + day * DAY + number))
        lead = assessment.lead
        assert len(encode_lead(lead)) <= state
        if assessment.decision is not None:
            assert len(assessment.decision.to_json()) <= decision


@settings(max_examples=20, deadline=None)
@given(rulesets())
def test_a_full_lead_passes_no_bound(text: str) -> None:
    ruleset = parse_ruleset({"rules.yaml": text.encode()})
    rules = Evaluator(ruleset, default_engine("compiled"))
    lead = Lead(LEAD)
    stages = [("stage_changed", {"stage": WIDE * 255 + chr(number)}) for number in range(0x10000, 0x10000 + 24)]
    for number, (kind, data) in enumerate([*stages, *all_facts(ruleset.own_fields)]):
        assessment = rules.assess(lead, event(kind, data, number, EARLIEST + number))
        assert assessment.decision is not None
        assert len(assessment.decision.to_json()) <= largest_decision(ruleset).total
        lead = assessment.lead
    state = largest_state([ruleset])
    assert 0.9 < len(encode_lead(lead)) / (state.total - sum(state.signals.values())) <= 1
