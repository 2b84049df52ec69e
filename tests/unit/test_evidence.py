"""Evidence in a decision is bounded, says that it was cut, and is whole where somebody asks why."""

import json
from typing import Any

import msgspec
import pytest

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import read_decision
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.evidence import EVIDENCE_BYTES, within_bound
from scorer.explain.story import explain_lead
from scorer.rules.loader import parse_ruleset
from tests.factory import activity

NAMES = [f"{number:02}-" + "n" * 253 for number in range(64)]


def size(value: object) -> int:
    return len(msgspec.json.encode(value))


@pytest.mark.parametrize(
    "text", ["a" * 1022, '"' * 511, "é" * 511, "€" * 340, "🚀" * 255, "\x01" * 170, ""], ids=lambda text: text[:1]
)
def test_a_text_that_fits_stays_and_one_more_character_cuts_it(text: str) -> None:
    assert within_bound(text) == text
    longer = (text or "a" * 1022) + (text[:1] or "a")
    cut = within_bound(longer)
    assert isinstance(cut, str)
    assert cut.endswith("…")
    assert longer.startswith(cut.removesuffix("…"))
    # One more character would not fit.
    assert EVIDENCE_BYTES - size(longer[0]) + 2 < size(cut) <= EVIDENCE_BYTES


def test_a_list_keeps_the_first_names_that_fit_and_counts_the_others() -> None:
    cut = within_bound(NAMES)
    assert cut == [*NAMES[:3], "… and 61 more"]
    assert within_bound(NAMES[:3]) == NAMES[:3]
    assert within_bound([]) == []


@pytest.mark.parametrize("others", [[], ["b"], ["b"] * 63])
def test_a_first_name_that_is_too_long_is_cut_itself(others: list[str]) -> None:
    cut = within_bound(["\x01" * 256, *others])
    assert isinstance(cut, list)
    first, *rest = cut
    assert first.endswith("\x01…")
    assert rest == ([f"… and {len(others)} more"] if others else [])
    assert EVIDENCE_BYTES - 6 < size(cut) <= EVIDENCE_BYTES


@pytest.mark.parametrize("value", [True, False, 0, -(2**63), 1.5, -2.2250738585072014e-308])
def test_numbers_and_booleans_stay(value: Any) -> None:
    assert within_bound(value) is value


def sixty_four_rules() -> Evaluator:
    rules = "\n".join(
        f"      - {{id: uses-{number}, when: {{profile.technologies: {{contains: {json.dumps(name)}}}}}, points: 1}}"
        for number, name in enumerate(NAMES)
    )
    text = f"""
ruleset: technologies
ratings: {{warm: 10, hot: 20}}
scoring:
  technologies:
    hit_policy: sum
    rules:
{rules}
routing: [{{id: rest, route: nurture}}]
"""
    return Evaluator(parse_ruleset({"rules.yaml": text.encode()}), default_engine())


def large_event() -> LeadActivity:
    return activity("profile_updated", {"technologies": NAMES})


def test_a_large_list_under_many_rules_gives_a_small_decision() -> None:
    decision = sixty_four_rules().assess(Lead("lead-1"), large_event()).decision
    assert decision is not None
    content = decision.to_json()
    assert len(content) < 80_000
    assert read_decision(content) == decision
    assert decision.score.total == 64
    for part in decision.contributions:
        assert part.evidence == {"profile.technologies": [*NAMES[:3], "… and 61 more"]}


def test_the_explanation_shows_the_whole_list() -> None:
    rules = sixty_four_rules()
    story = explain_lead(rules.assess(Lead("lead-1"), large_event()).lead, rules)
    assert [value.value for part in story.criteria for rule in part.rules for value in rule.evidence] == [NAMES] * 64
