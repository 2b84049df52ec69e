"""What the analysis says of a table, against every combination of raw values that could make a difference.

The naive evaluator decides each combination. A rule that is called dead or shadowed never applies, one that is called
alive applies to its example, and where no real expression is involved every rule is one or the other.
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
        lambda found, policy: Table(tuple(Rule(f"r{i}", c) for i, c in enumerate(found)), policy),
        st.lists(conditions(leaf), min_size=1, max_size=4),
        st.sampled_from(policies or tuple(HitPolicy)),
    )


# One or two fields, so that their comparisons meet.
SMALL = st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=2, unique=True).map(small_comparisons)
SMALL_TABLES = SMALL.flatmap(tables)
FIRST_TABLES = SMALL.flatmap(lambda leaf: tables(leaf, HitPolicy.FIRST))


def asked(table: Table) -> dict[str, FieldType]:
    return {test.field: test.type for rule in table.rules if rule.condition for test in asked_in(rule.condition)}


def analysis(table: Table, domain: Callable[[str], Domain] | None = None) -> TableAnalysis:
    types = asked(table)
    found = [rule.condition for rule in table.rules]
    space = Space(found, domain or (lambda name: Domain(types[name])))
    return TableAnalysis(found, space, Budget(), first=table.hit_policy is HitPolicy.FIRST)


def _numbers(kind: FieldType, constants: Iterable[Any]) -> Iterator[object]:
    for each in constants:
        yield from (each, each - 1, each + 1)
        if kind is FieldType.NUMBER:
            yield from (nextafter(each, inf), nextafter(each, -inf))


def _texts(table: Table, field: str) -> Sequence[object]:
    words = {
        str(w) for t in _tests(table, field) for w in (t.operand if isinstance(t.operand, tuple) else (t.operand,))
    }
    # Up to three of the words, apart or run together.
    parts = [*words, "", "#"]
    return ["".join(each) for each in product(parts, repeat=3)] + ["#".join(each) for each in product(parts, repeat=3)]


def _tests(table: Table, field: str) -> list[Test]:
    return [t for rule in table.rules if rule.condition for t in asked_in(rule.condition) if t.field == field]


def values(table: Table, field: str, kind: FieldType) -> list[object]:
    """Raw values, one at least for whatever the table's comparisons of the field can tell apart."""
    found = _tests(table, field)
    match kind:
        case FieldType.BOOLEAN:
            raw: list[object] = [True, False]
        case FieldType.STRINGS:
            members = {str(t.operand) for t in found if t.op is Op.CONTAINS}
            raw = [
                list(each) for each in chain.from_iterable(combinations(members, n) for n in range(len(members) + 1))
            ]
        case FieldType.STRING:
            raw = list(_texts(table, field))
        case _:
            flat = [
                x
                for t in found
                if t.op is not Op.EXISTS
                for x in (t.operand if isinstance(t.operand, tuple) else (t.operand,))
            ]
            raw = [0, *_numbers(kind, flat)]
    # One of each kind is enough for a brute force that ends.
    distinct: dict[tuple[bool, ...], object] = {}
    for value in [None, *raw]:
        distinct.setdefault(tuple(holds(test, {field: value}) for test in found), value)
    return list(distinct.values())


def leads(table: Table) -> Iterator[dict[str, object]]:
    types = asked(table)
    lists = [values(table, field, kind) for field, kind in types.items()]
    for each in product(*lists):
        yield dict(zip(types, each, strict=True))


QUIET = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@QUIET
@given(SMALL_TABLES)
def test_a_rule_is_called_dead_exactly_if_no_lead_meets_it(table: Table) -> None:
    fired: set[int] = set()
    held: set[int] = set()
    for lead in leads(table):
        fired.update(matching(table, lead))
        held.update(i for i, rule in enumerate(table.rules) if rule.condition and holds(rule.condition, lead))
    for i, verdict in enumerate(analysis(table).verdicts()):
        if verdict.fate is Fate.ALIVE:
            assert i in fired
            assert verdict.facts is not None
            assert i in matching(table, verdict.facts)
        else:
            assert verdict.fate is (Fate.SHADOWED if i in held else Fate.DEAD)
            assert i not in fired


@QUIET
@given(SMALL_TABLES)
def test_the_reason_is_true_and_nothing_in_it_is_idle(table: Table) -> None:
    everybody = list(leads(table))
    for i, verdict in enumerate(analysis(table).verdicts()):
        if verdict.fate is Fate.SHADOWED:
            condition = table.rules[i].condition
            assert condition is not None
            meeting = [lead for lead in everybody if holds(condition, lead)]

            def covered(by: Iterable[int], meeting: list[dict[str, object]] = meeting) -> bool:
                earlier = [c for j in by if (c := table.rules[j].condition) is not None]
                return all(any(holds(each, lead) for each in earlier) for lead in meeting)

            assert covered(verdict.by)
            assert not any(covered(set(verdict.by) - {j}) for j in verdict.by)
        if verdict.fate is Fate.DEAD:
            parts = verdict.because
            assert not any(all(holds(part, lead) for part in parts) for lead in everybody)
            for left_out in range(len(parts)):
                fewer = [part for k, part in enumerate(parts) if k != left_out]
                assert any(all(holds(part, lead) for part in fewer) for lead in everybody)


@QUIET
@given(SMALL_TABLES)
def test_a_gap_is_a_lead_that_no_rule_holds_for(table: Table) -> None:
    found = analysis(table)
    facts = found.gap()
    uncovered = [lead for lead in leads(table) if not any(holds(r.condition, lead) for r in table.rules if r.condition)]
    assert found.uncovered() is bool(uncovered)
    if facts is not None:
        assert facts.keys() == asked(table).keys()
        assert not any(holds(rule.condition, facts) for rule in table.rules if rule.condition)


@QUIET
@given(
    SMALL.flatmap(lambda leaf: st.lists(conditions(leaf), min_size=1, max_size=4)),
    st.lists(st.integers(-3, 3), min_size=4),
)
def test_the_extremes_of_a_sum_are_those_of_all_leads(found: list[Condition], points: list[int]) -> None:
    table = Table(tuple(Rule(f"r{i}", c) for i, c in enumerate(found)), HitPolicy.SUM)
    sums = [sum(points[i] for i in matching(table, lead)) for lead in leads(table)]
    assert analysis(table).extremes(points[: len(found)]) == (min(sums), max(sums))


@QUIET
@given(FIRST_TABLES, st.data())
def test_a_rule_that_is_called_removable_changes_nothing(table: Table, data: st.DataObject) -> None:
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
def test_rules_called_the_same_are(table: Table) -> None:
    assume(len(table.rules) > 1)
    one, other = (rule.condition for rule in table.rules[:2])
    assert one is not None
    assert other is not None
    if analysis(table).same(0, 1):
        assert all(holds(one, lead) == holds(other, lead) for lead in leads(table))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables(comparisons()), st.data())
def test_nothing_is_called_dead_that_some_odd_value_meets(table: Table, data: st.DataObject) -> None:
    """The generator of the engines' test: expressions, lone surrogates, huge numbers, several fields of each kind."""
    verdicts = analysis(table).verdicts()
    for facts in data.draw(st.lists(FACTS, min_size=20, max_size=20)):
        for i in matching(table, facts):
            assert verdicts[i].fate in (Fate.ALIVE, Fate.POSSIBLE)
    for i, verdict in enumerate(verdicts):
        if verdict.facts is not None:
            assert i in matching(table, verdict.facts)
