"""Checks the solver, the classes of texts and the analysis of whole rulesets against brute force."""

from __future__ import annotations

import random
from itertools import product

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.lint import analyse
from scorer.lint.formula import Among, Every, Formula, Some, every, some, status
from scorer.lint.solver import Budget, solve
from scorer.lint.text import texts
from scorer.rules.condition import FieldType, Op, Test
from scorer.rules.loader import parse_with_source
from tests.factory import activity
from tests.property.oracle import holds

QUIET = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
SIZES = (2, 3, 4)
LEAVES = st.builds(lambda v, mask: Among(v, mask % (1 << SIZES[v])), st.integers(0, 2), st.integers(1, 15)).filter(
    lambda leaf: leaf.mask != 0
)
FORMULAS: st.SearchStrategy[Formula] = st.recursive(
    LEAVES,
    lambda parts: st.lists(parts, min_size=1, max_size=3).flatmap(lambda p: st.sampled_from([every(p), some(p)])),
    max_leaves=8,
)


def true(formula: Formula, choice: tuple[int, ...]) -> bool:
    match formula:
        case Among(variable, mask):
            return bool(mask >> choice[variable] & 1)
        case Every(parts):
            return all(true(part, choice) for part in parts)
        case Some(parts):
            return any(true(part, choice) for part in parts)
    return formula


@QUIET
@given(st.lists(FORMULAS, max_size=6))
def test_the_solver_finds_a_choice_exactly_if_there_is_one(formulas: list[Formula]) -> None:
    choices = list(product(*(range(size) for size in SIZES)))
    possible = [choice for choice in choices if all(true(formula, choice) for formula in formulas)]
    solution = solve(formulas, [(1 << size) - 1 for size in SIZES], Budget())
    assert (solution is not None) is bool(possible)
    if solution is not None:
        within = [c for c in choices if all(solution[v] >> atom & 1 for v, atom in enumerate(c))]
        assert within
        assert set(within) <= set(possible)


@QUIET
@given(st.lists(LEAVES, min_size=1, max_size=4))
def test_joining_comparisons_keeps_their_meaning(leaves: list[Among]) -> None:
    for choice in product(*(range(size) for size in SIZES)):
        domains = [1 << atom for atom in choice]
        assert status(every(leaves), domains) is all(true(leaf, choice) for leaf in leaves)
        assert status(some(leaves), domains) is any(true(leaf, choice) for leaf in leaves)


WORDS = st.sampled_from(["a", "ab", "b", "ba", ""])
TEXT_TESTS = st.builds(
    lambda op, word: Test("s", FieldType.STRING, op, word),
    st.sampled_from([Op.STARTS_WITH, Op.ENDS_WITH, Op.CONTAINS]),
    WORDS,
)
EVERY_TEXT = ["".join(letters) for n in range(7) for letters in product("ab#", repeat=n)]


@QUIET
@given(st.lists(TEXT_TESTS, min_size=1, max_size=3, unique=True))
def test_the_classes_of_texts_are_exactly_those_that_exist(tests: list[Test]) -> None:
    classes = texts(tests)
    assert classes is not None
    seen = {tuple(holds(test, {"s": text}) for test in tests) for text in EVERY_TEXT}
    assert {tuple(test in holding for test in tests) for holding, _ in classes} == seen
    for holding, example in classes:
        assert example is not None
        assert [holds(test, {"s": example}) for test in tests] == [test in holding for test in tests]


@QUIET
@given(st.lists(st.sampled_from(["^a", "a$", "^ab$", "b+", "a|b", "(?i)A", "b"]), min_size=1, max_size=3, unique=True))
def test_no_class_of_texts_is_missing_if_there_are_expressions(patterns: list[str]) -> None:
    tests = [Test("s", FieldType.STRING, Op.MATCHES, pattern) for pattern in patterns]
    classes = texts(tests)
    assert classes is not None
    listed = {tuple(test in holding for test in tests) for holding, _ in classes}
    assert {tuple(holds(test, {"s": text}) for test in tests) for text in EVERY_TEXT} <= listed


NEEDS = [None, "critical", "important", "useful", "none"]


def a_ruleset(rng: random.Random) -> str:
    """A small ruleset in which ratings, grades, groups and caps may or may not be reached."""
    needs = NEEDS[1:]
    first = [f"{{id: f{n}, points: {rng.randint(-9, 9)}, when: {{bant.need: {rng.choice(needs)}}}}}" for n in range(3)]
    size = "{{profile.employees: {{gte: {}}}}}"
    sums = [f"{{id: s{n}, points: {rng.randint(-9, 9)}, when: {size.format(rng.randint(0, 3))}}}" for n in range(3)]
    warm, points = rng.randint(-12, 15), rng.choice([-4, 4])
    low, high = sorted(rng.sample(range(-12, 20), 2))
    choices = [
        "rating: {rating}", "score.total: {{{op}: {n}}}", "score.fit: {{{op}: {n}}}", "score.engagement: {{{op}: {n}}}",
        "grade.fit: {letter}", "grade.engagement: {figure}", "groups.g.met: {{{op}: {met}}}",
        "criteria.s: {{{op}: {n}}}",
        "signals.v: {{{op}: {n}}}", "bant.need: {need}", "criteria.behaviour: {{{op}: {n}}}",
    ]  # fmt: skip

    def when() -> str:
        parts = [
            text.format(
                rating=rng.choice(["cold", "warm", "hot"]),
                op=rng.choice(["lt", "lte", "gt", "gte", "eq"]),
                n=rng.randint(-15, 20),
                letter=rng.choice("ABCD"),
                figure=rng.randint(1, 4),
                met=rng.randint(0, 2),
                need=rng.choice(needs),
            )
            for text in rng.sample(choices, rng.randint(1, 3))
        ]
        return f"{{{rng.choice(['all', 'any'])}: [{', '.join(f'{{{part}}}' for part in parts)}]}}"

    routes = "".join(f"  - {{id: t{n}, route: sales, when: {when()}}}\n" for n in range(5))
    return f"""
ruleset: r
ratings: {{warm: {warm}, hot: {warm + rng.randint(1, 9)}, hysteresis: {rng.randint(0, 5)}}}
grades: {{fit: {{A: {high + 1}, B: {high}, C: {low}}}, engagement: {{1: {high + 1}, 2: {high}, 3: {low}}}}}
signals:
  v: {{activity: page_viewed, points: {points}, daily_cap: 2, max_points: {rng.randint(1, 9)}, half_life: 2d}}
scoring:
  f: {{group: g, met_at: {rng.randint(-5, 9)}, rules: [{", ".join(first)}]}}
  s: {{group: g, hit_policy: sum, min: {low}, max: {high}, rules: [{", ".join(sums)}]}}
routing:
{routes}  - {{id: rest, route: nurture}}
"""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_no_lead_does_what_a_finding_calls_impossible(seed: int) -> None:
    """Whole rulesets, and leads over several days, because routing facts are coupled and hysteresis needs a history."""
    rng = random.Random(seed)
    rules, source = parse_with_source({"r.yaml": a_ruleset(rng).encode()})
    evaluator = Evaluator(rules, default_engine("compiled"))
    reported = analyse(rules, source)
    never = {f.message.split("`")[1] for f in reported if f.code in ("never-fires", "shadowed")}
    unrated = {
        rating for f in reported if f.code == "rating-unreachable" for rating in ("cold", "warm", "hot")
        if f" {rating}" in f.message.partition(":")[0]
    }  # fmt: skip
    ungraded = [f.message.partition(" for ") for f in reported if f.code == "grade-unreachable"]
    unfit, idle = (
        {g for text, _, of in ungraded if of.startswith(name) for g in text.split("graded ")[1].split(" or ")}
        for name in ("fit", "engagement")
    )
    no_sales = any(f.code == "no-sales" for f in reported)
    unmet = {f.message.split("`")[1] for f in reported if f.code == "met-unreachable"}
    for _ in range(6):
        lead, day = Lead("lead-1"), 0.0
        for _ in range(12):
            day += rng.choice([0, 0.1, 1, 3])
            lead_activity = rng.choice(
                [
                    activity("page_viewed", {"url": "/"}, day=day),
                    activity("profile_updated", {"employees": rng.randint(0, 4)}, day=day),
                    activity("qualification_updated", {"bant": {"need": rng.choice(NEEDS)}}, day=day),
                ]
            )
            assessed = evaluator.assess(lead, lead_activity)
            lead = assessed.lead
            if assessed.evaluation is None:
                continue
            scored, route = assessed.evaluation, assessed.evaluation.routing
            assert route.id not in never
            assert scored.rating.value not in unrated
            assert scored.grade.fit not in unfit
            assert str(scored.grade.engagement) not in idle
            assert not (no_sales and route.route == "sales")
            for rated in scored.criteria:
                assert not {rule.id for rule in rated.rules} & never
                assert not (rated.criterion.name in unmet and rated.points >= rated.criterion.met_at)
                if rated.criterion.name == "s":
                    reached = sum(rule.points for rule in rated.rules)
                    for f in reported:
                        if f.code == "cap-unreachable":
                            bound = int(f.message.split("`")[1].split(": ")[1])
                            assert reached < bound if "max" in f.message else reached > bound
