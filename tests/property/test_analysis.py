"""Checks the analysis of a table against every combination of raw values that can make a difference.

A naive evaluator decides each combination. A dead or shadowed rule never applies, and a rule that is alive applies to
its example. Without real expressions, every rule is one or the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations, product
from math import inf, nextafter
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from scorer.engines.table import Rule, Table
from scorer.lint.atoms import Domain
from scorer.lint.solver import Budget
from scorer.lint.space import Space
from scorer.lint.tables import Fate, TableAnalysis
from scorer.rules.condition import All, AnyOf, Condition, FieldType, Not, Op, Test
from scorer.rules.condition import tests as asked_in
from scorer.rules.ruleset import HitPolicy
from tests.property.oracle import holds, matching
from tests.property.test_engines_agree import FACTS, comparisons

FIELDS = {"s": FieldType.STRING, "t": FieldType.STRING, "i": FieldType.INTEGER, "n": FieldType.NUMBER,
          "b": FieldType.BOOLEAN, "l": FieldType.STRINGS}  # fmt: skip
WORDS = ["a", "ab", "b", "ba", ""]
OPERANDS: Mapping[FieldType, st.SearchStrategy[Any]] = {
    FieldType.STRING: st.sampled_from(WORDS),
    FieldType.INTEGER: st.sampled_from([0, 1, 2, 5, 2.0]),
    FieldType.NUMBER: st.sampled_from([0, 0.5, 1, 2, 2**53, 2**53 + 1, 5e-324]),
    FieldType.BOOLEAN: st.booleans(),
    FieldType.STRINGS: st.sampled_from(WORDS),
}
OPERATORS = {
    FieldType.STRING: [Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.STARTS_WITH, Op.ENDS_WITH, Op.CONTAINS, Op.EXISTS],
    FieldType.INTEGER: [Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE, Op.BETWEEN, Op.IN, Op.NOT_IN, Op.EXISTS],
    FieldType.NUMBER: [Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE, Op.BETWEEN, Op.IN, Op.NOT_IN, Op.EXISTS],
    FieldType.BOOLEAN: [Op.EQ, Op.NE, Op.EXISTS],
    FieldType.STRINGS: [Op.CONTAINS, Op.EXISTS],
}


@st.composite
def small_comparisons(draw: st.DrawFn, fields: Sequence[str] = tuple(FIELDS)) -> Test:
    field = draw(st.sampled_from(fields))
    kind = FIELDS[field]
    op = draw(st.sampled_from(OPERATORS[kind]))
    operand: Any
    if op is Op.EXISTS:
        operand = draw(st.booleans())
    elif op in (Op.IN, Op.NOT_IN):
        operand = tuple(draw(st.lists(OPERANDS[kind], max_size=3)))
    elif op is Op.BETWEEN:
        operand = tuple(sorted((draw(OPERANDS[kind]), draw(OPERANDS[kind]))))
    else:
        operand = draw(OPERANDS[kind])
    return Test(field, kind, op, operand)


def conditions(leaf: st.SearchStrategy[Test]) -> st.SearchStrategy[Condition]:
    def combined(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        several = st.lists(parts, min_size=1, max_size=3).map(tuple)
        return several.map(All) | several.map(AnyOf) | parts.map(Not)

    return st.recursive(leaf, combined, max_leaves=6)


def tables(leaf: st.SearchStrategy[Test], *policies: HitPolicy) -> st.SearchStrategy[Table]:
    return st.builds(
        lambda rules, policy: Table(tuple(Rule(f"r{i}", c) for i, c in enumerate(rules)), policy),
        st.lists(conditions(leaf), min_size=1, max_size=4),
        st.sampled_from(policies or tuple(HitPolicy)),
    )


# Only one or two fields, because their comparisons should interact.
SMALL = st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=2, unique=True).map(small_comparisons)
SMALL_TABLES = SMALL.flatmap(tables)
FIRST_TABLES = SMALL.flatmap(lambda leaf: tables(leaf, HitPolicy.FIRST))


def asked(table: Table) -> dict[str, FieldType]:
    return {test.field: test.type for rule in table.rules if rule.condition for test in asked_in(rule.condition)}


def analysis(table: Table, domain: Callable[[str], Domain] | None = None) -> TableAnalysis:
    types = asked(table)
    conditions_of_rules = [rule.condition for rule in table.rules]
    space = Space(conditions_of_rules, domain or (lambda name: Domain(types[name])))
    return TableAnalysis(conditions_of_rules, space, Budget(), first=table.hit_policy is HitPolicy.FIRST)


def _numbers(kind: FieldType, constants: Iterable[Any]) -> Iterator[object]:
    for constant in constants:
        yield from (constant, constant - 1, constant + 1)
        if kind is FieldType.NUMBER:
            yield from (nextafter(constant, inf), nextafter(constant, -inf))


def _texts(table: Table, field: str) -> Sequence[object]:
    words = {
        str(w) for t in _tests(table, field) for w in (t.operand if isinstance(t.operand, tuple) else (t.operand,))
    }
    # Up to three of the words, with or without a separator.
    parts = [*words, "", "#"]
    triples = list(product(parts, repeat=3))
    return ["".join(triple) for triple in triples] + ["#".join(triple) for triple in triples]


def _tests(table: Table, field: str) -> list[Test]:
    return [t for rule in table.rules if rule.condition for t in asked_in(rule.condition) if t.field == field]


def values(table: Table, field: str, kind: FieldType) -> list[object]:
    """Raw values: at least one for every answer that the table's comparisons of the field can give together."""
    comparisons_of_field = _tests(table, field)
    match kind:
        case FieldType.BOOLEAN:
            raw: list[object] = [True, False]
        case FieldType.STRINGS:
            members = {str(t.operand) for t in comparisons_of_field if t.op is Op.CONTAINS}
            raw = [
                list(subset)
                for subset in chain.from_iterable(combinations(members, n) for n in range(len(members) + 1))
            ]
        case FieldType.STRING:
            raw = list(_texts(table, field))
        case _:
            flat = [
                x
                for t in comparisons_of_field
                if t.op is not Op.EXISTS
                for x in (t.operand if isinstance(t.operand, tuple) else (t.operand,))
            ]
            raw = [0, *_numbers(kind, flat)]
    # One value for each set of answers keeps the brute force finite.
    distinct: dict[tuple[bool, ...], object] = {}
    for value in [None, *raw]:
        distinct.setdefault(tuple(holds(test, {field: value}) for test in comparisons_of_field), value)
    return list(distinct.values())


def leads(table: Table) -> Iterator[dict[str, object]]:
    types = asked(table)
    lists = [values(table, field, kind) for field, kind in types.items()]
    for combination in product(*lists):
        yield dict(zip(types, combination, strict=True))


QUIET = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@QUIET
@given(SMALL_TABLES)
def test_a_rule_is_dead_exactly_if_no_lead_meets_it(table: Table) -> None:
    fired: set[int] = set()
    held: set[int] = set()
    for lead in leads(table):
        fired.update(matching(table, lead))
        held.update(i for i, rule in enumerate(table.rules) if rule.condition and holds(rule.condition, lead))
    for i, reachability in enumerate(analysis(table).reachability()):
        if reachability.fate is Fate.ALIVE:
            assert i in fired
            assert reachability.facts is not None
            assert i in matching(table, reachability.facts)
        else:
            assert reachability.fate is (Fate.SHADOWED if i in held else Fate.DEAD)
            assert i not in fired


@QUIET
@given(SMALL_TABLES)
def test_the_reason_is_true_and_minimal(table: Table) -> None:
    all_leads = list(leads(table))
    for i, reachability in enumerate(analysis(table).reachability()):
        if reachability.fate is Fate.SHADOWED:
            condition = table.rules[i].condition
            assert condition is not None
            meeting = [lead for lead in all_leads if holds(condition, lead)]

            def covered(by: Iterable[int], meeting: list[dict[str, object]] = meeting) -> bool:
                earlier = [c for j in by if (c := table.rules[j].condition) is not None]
                return all(any(holds(part, lead) for part in earlier) for lead in meeting)

            assert covered(reachability.by)
            assert not any(covered(set(reachability.by) - {j}) for j in reachability.by)
        if reachability.fate is Fate.DEAD:
            parts = reachability.because
            assert not any(all(holds(part, lead) for part in parts) for lead in all_leads)
            for left_out in range(len(parts)):
                fewer = [part for k, part in enumerate(parts) if k != left_out]
                assert any(all(holds(part, lead) for part in fewer) for lead in all_leads)


@QUIET
@given(SMALL_TABLES)
def test_a_gap_is_a_lead_for_which_no_rule_holds(table: Table) -> None:
    table_analysis = analysis(table)
    facts = table_analysis.gap()
    uncovered = [lead for lead in leads(table) if not any(holds(r.condition, lead) for r in table.rules if r.condition)]
    assert table_analysis.uncovered() is bool(uncovered)
    if facts is not None:
        assert facts.keys() == asked(table).keys()
        assert not any(holds(rule.condition, facts) for rule in table.rules if rule.condition)


@QUIET
@given(
    SMALL.flatmap(lambda leaf: st.lists(conditions(leaf), min_size=1, max_size=4)),
    st.lists(st.integers(-3, 3), min_size=4),
)
def test_the_extremes_of_a_sum_are_those_of_all_leads(parts: list[Condition], points: list[int]) -> None:
    table = Table(tuple(Rule(f"r{i}", c) for i, c in enumerate(parts)), HitPolicy.SUM)
    sums = [sum(points[i] for i in matching(table, lead)) for lead in leads(table)]
    assert analysis(table).extremes(points[: len(parts)]) == (min(sums), max(sums))


@QUIET
@given(FIRST_TABLES, st.data())
def test_a_removable_rule_changes_nothing(table: Table, data: st.DataObject) -> None:
    assume(len(table.rules) > 1)
    points = data.draw(st.lists(st.sampled_from([1, 2]), min_size=len(table.rules), max_size=len(table.rules)))
    index = data.draw(st.integers(0, len(table.rules) - 2))
    alike = [j for j in range(index + 1, len(points)) if points[j] == points[index]]
    without = Table(tuple(rule for i, rule in enumerate(table.rules) if i != index), HitPolicy.FIRST)
    fewer = [p for i, p in enumerate(points) if i != index]

    def given_points(asked_of: Table, worth: list[int], lead: Mapping[str, object]) -> int:
        return sum(worth[i] for i in matching(asked_of, lead))

    same = all(given_points(table, points, lead) == given_points(without, fewer, lead) for lead in leads(table))
    assert analysis(table).removable(index, alike) is same


@QUIET
@given(SMALL_TABLES)
def test_rules_reported_as_the_same_are_the_same(table: Table) -> None:
    assume(len(table.rules) > 1)
    one, other = (rule.condition for rule in table.rules[:2])
    assert one is not None
    assert other is not None
    if analysis(table).same(0, 1):
        assert all(holds(one, lead) == holds(other, lead) for lead in leads(table))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables(comparisons()), st.data())
def test_no_rule_is_dead_if_an_odd_value_meets_it(table: Table, data: st.DataObject) -> None:
    """Uses the generator of the engines' test: expressions, lone surrogates, huge numbers, many fields of each kind."""
    reachabilities = analysis(table).reachability()
    for facts in data.draw(st.lists(FACTS, min_size=20, max_size=20)):
        for i in matching(table, facts):
            assert reachabilities[i].fate in (Fate.ALIVE, Fate.POSSIBLE)
    for i, reachability in enumerate(reachabilities):
        if reachability.facts is not None:
            assert i in matching(table, reachability.facts)
