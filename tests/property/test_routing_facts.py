"""What the analysis and the explanation rely on: each routing fact is steady in the points, and routing decides by the
value that the explanation shows."""

from functools import cache
from random import Random

import pytest

from scorer.domain.activity import LeadActivity
from scorer.domain.lead import Lead
from scorer.domain.score import Rating, Score
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.routing import behaviour_input, criteria_input
from scorer.rules.routing_facts import RoutingFact, RoutingInput, routing_facts_of, value_of
from scorer.rules.ruleset import Ruleset
from tests.factory import SMALL_RULES, activity, evaluator, ruleset

RULES = ruleset()
FACTS = {fact.name: fact for fact in routing_facts_of(RULES)}


def given(rules: Ruleset, points: dict[str, int], signals: dict[str, int], published: Rating | None) -> RoutingInput:
    score = Score(sum(points.values()), sum(signals.values()))
    return RoutingInput(
        criteria_input(rules, score.fit, points), behaviour_input(rules, score, published, None, signals)
    )


def rank(fact: RoutingFact, value: object) -> float:
    if fact.choices:
        return fact.choices.index(str(value))
    assert isinstance(value, (int, float))
    return value


@pytest.mark.parametrize("name", [name for name, fact in FACTS.items() if fact.always_known])
def test_the_value_rises_or_falls_steadily_with_the_points(name: str) -> None:
    fact, random, directions = FACTS[name], Random(name), set[bool]()
    for _ in range(200):
        points = {criterion.name: random.randint(-60, 40) for criterion in RULES.criteria}
        signals = {signal: random.randint(-60, 40) for signal in RULES.signals}
        published = random.choice([None, *Rating])
        before = rank(fact, value_of(fact, given(RULES, points, signals, published)))
        for _ in range(30):
            raised = random.choice([points, signals])
            raised[random.choice(list(raised))] += random.randint(1, 9)
            after = rank(fact, value_of(fact, given(RULES, points, signals, published)))
            if after != before:
                directions.add(after > before)
            before = after
    assert len(directions) == 1, "a value that never changes, or that rises and falls"


@cache
def deciding_by(name: str, literal: str) -> Evaluator:
    head = SMALL_RULES.split("routing:")[0]
    rule = f"  - {{id: asked, when: {{{name}: {literal}}}, route: sales}}\n"
    return evaluator(f"{head}routing:\n{rule}  - {{id: rest, route: nurture}}\n")


@pytest.mark.parametrize("name", FACTS)
def test_routing_decides_by_the_value_that_the_explanation_shows(name: str) -> None:
    random, seen = Random(name), set[object]()
    for _ in range(60):
        lead, rules = Lead("lead-1"), deciding_by(name, "{exists: true}")
        for day in range(random.randint(1, 12)):
            lead = rules.assess(lead, an_event(random, day)).lead
        value = rules.routing_facts(rules.evaluate(lead, lead.clock))[name]
        seen.add(value)
        for other in {value, *random.sample(sorted(seen, key=str), min(3, len(seen)))}:
            asked = deciding_by(name, "{exists: false}" if other is None else str(other))
            evaluation = asked.evaluate(lead, lead.clock)
            shown = asked.routing_facts(evaluation)[name]
            assert (evaluation.routing.id == "asked") == (shown == other)
    assert len(seen) > 1, "the leads are too much alike"


def an_event(random: Random, day: float) -> LeadActivity:
    kinds: list[tuple[str, dict[str, object]]] = [
        ("page_viewed", {"url": random.choice(["/pricing", "/careers", "/"])}),
        ("trial_started", {}),
        ("sales_returned", {}),
        ("qualification_updated", {"bant": {"budget_status": random.choice(["approved", "planned", "none"])}}),
        ("qualification_updated", {"bant": {"authority": random.choice(["decision_maker", "influencer", "none"])}}),
        ("profile_updated", {"employees": random.choice([10, 300]), "country": random.choice(["DE", "US"])}),
        ("profile_updated", {"email_kind": random.choice(["free", "business"])}),
        ("booth_visited", {"minutes": random.choice([1, 10])}),
    ]
    kind, data = random.choice(kinds)
    return activity(kind, data, day=day)
