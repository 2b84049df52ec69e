"""Both engines agree with the oracle on every table and all facts."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorer.engines.compiled_engine import CompiledEngine
from scorer.engines.engine import MemoEngine, RuleEngine, default_engine
from scorer.engines.table import Rule, Table
from scorer.rules.condition import OPERATORS, All, AnyOf, Condition, FieldType, Not, Op, Test, predicate
from scorer.rules.ruleset import HitPolicy
from tests.property.oracle import holds, matching

# 300 tables with 40 sets of facts: 12,000 cases.
TABLES = 300
FACTS_PER_TABLE = 40

# Few values that are easy to confuse, so that facts often equal constants.
INTEGERS: list[int | float] = [0, -0.0, 1, 2, 3, 5.0, -7, 2**53, 2**53 + 1, float(2**53), 10**400, -(10**400)]
NUMBERS: list[int | float] = [*INTEGERS, 0.1, 1e-07, 5e-324, -5e-324, 2.5, 1.7976931348623157e308, -1e300]
STRINGS = ["", "a", "A", "ab", "abc", "5", "True", "é", "é", "😀", "\ud800", "a\ud800", "line\nline", "0", "x" * 300]
ALIENS: list[object] = [None, True, False, "5", 1, 1.5, float("nan"), float("inf"), float("-inf"), [], {}, b"a"]
ALIENS += [["a", 1], ["a", None], ("a", "b"), Decimal(1), 1j, object(), [["a"]], {"a"}]
# Expressions with the same meaning in RE2 and in the standard library.
PATTERNS = ["a", "^a", "b+", "[0-9]", "^(a|ab)c", "", "line.line", "x{3}", "é|A"]

FIELDS = {
    "s1": FieldType.STRING,
    "s2": FieldType.STRING,
    "i": FieldType.INTEGER,
    "n1": FieldType.NUMBER,
    "n2": FieldType.NUMBER,
    "b": FieldType.BOOLEAN,
    "l": FieldType.STRINGS,
}
VALUES: Mapping[FieldType, st.SearchStrategy[Any]] = {
    FieldType.STRING: st.sampled_from(STRINGS) | st.text(max_size=3),
    FieldType.INTEGER: st.sampled_from(INTEGERS) | st.integers(-4, 4),
    FieldType.NUMBER: st.sampled_from(NUMBERS) | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    FieldType.BOOLEAN: st.booleans(),
    FieldType.STRINGS: st.lists(st.sampled_from(STRINGS), max_size=3),
}
ALIKE = {Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE}


@st.composite
def comparisons(draw: st.DrawFn) -> Test:
    field = draw(st.sampled_from(sorted(FIELDS)))
    kind = FIELDS[field]
    op = draw(st.sampled_from(sorted(OPERATORS[kind])))
    value = VALUES[FieldType.STRING if kind is FieldType.STRINGS else kind]
    operand: Any
    if op is Op.EXISTS:
        operand = draw(st.booleans())
    elif op in (Op.IN, Op.NOT_IN):
        operand = tuple(draw(st.lists(value, max_size=5)))
    elif op is Op.BETWEEN:
        operand = tuple(sorted((draw(value), draw(value))))
    elif op is Op.MATCHES:
        operand = draw(st.sampled_from(PATTERNS))
    else:
        operand = draw(value)
    return Test(field, kind, op, operand)


def _combined(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(parts, max_size=4).map(tuple)
    return several.map(All) | several.map(AnyOf) | parts.map(Not)


CONDITIONS: st.SearchStrategy[Condition] = st.recursive(comparisons(), _combined, max_leaves=8)
RULES = st.lists(st.none() | CONDITIONS | CONDITIONS | CONDITIONS, max_size=7)
TABLE = st.builds(
    lambda conditions, policy: Table(tuple(Rule(f"r{i}", c) for i, c in enumerate(conditions)), policy),
    RULES,
    st.sampled_from(HitPolicy),
)
FACTS = st.fixed_dictionaries(
    {}, optional={field: VALUES[kind] | st.sampled_from(ALIENS) for field, kind in FIELDS.items()}
)

# One instance of each engine for the whole module, because one table must not affect the next.
ENGINES: list[RuleEngine] = [CompiledEngine()]
if sys.version_info < (3, 13):  # durable_rules cannot be imported in later versions
    ENGINES += [default_engine("durable").engine, MemoEngine(default_engine("durable").engine, size=50)]


@settings(max_examples=TABLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(table=TABLE, many=st.lists(FACTS, min_size=FACTS_PER_TABLE, max_size=FACTS_PER_TABLE))
def test_engines_agree_with_the_oracle(table: Table, many: list[dict[str, object]]) -> None:
    ordinal = table.compile()
    for facts in many:
        expected = matching(table, facts)
        codes = ordinal.encode(facts)
        assert len(codes) == len(ordinal.columns)
        assert all(0 <= c < column.cardinality for c, column in zip(codes, ordinal.columns, strict=True))
        for engine in ENGINES:
            assert engine.match(ordinal, codes) == expected, engine.name


@settings(max_examples=1000, deadline=None)
@given(condition=CONDITIONS, facts=FACTS)
def test_predicates_agree_with_the_oracle(condition: Condition, facts: dict[str, object]) -> None:
    assert predicate(condition)(facts) is holds(condition, facts)


def test_engines_agree_on_large_rules() -> None:
    """Rules far larger than one ruleset of durable_rules: up to 150 comparisons, deeply nested."""
    rng = random.Random(20240817)  # the same tables each run
    colours = [f"k{i}" for i in range(9)]

    def condition(leaves: int) -> Condition:
        if leaves <= 1:
            field = f"s{rng.randrange(6)}"
            if rng.random() < 0.5:
                return Test(field, FieldType.STRING, Op.EQ, rng.choice(colours))
            return Test(field, FieldType.STRING, Op.IN, tuple(rng.sample(colours, 4)))
        width = rng.choice([2, 3, leaves])
        parts = tuple(condition(max(1, leaves // width)) for _ in range(width))
        joined: Condition = All(parts) if rng.random() < 0.34 else AnyOf(parts)
        return Not(joined) if rng.random() < 0.2 else joined

    hits = 0
    for policy in (*HitPolicy,) * 15:
        rules = tuple(Rule(f"r{i}", condition(rng.choice([1, 20, 60, 150]))) for i in range(rng.choice([1, 3, 12])))
        table = Table(rules, policy)
        ordinal = table.compile()
        for _ in range(60):
            facts = {f"s{i}": rng.choice([*colours, "other", None]) for i in range(6)}
            codes = ordinal.encode(facts)
            expected = matching(table, facts)
            hits += bool(expected)
            for engine in ENGINES:
                assert engine.match(ordinal, codes) == expected, engine.name
    assert 300 < hits < 1700, "the tables should neither always nor never match"
