"""How a table becomes codes, and which values the codes distinguish."""

from __future__ import annotations

from typing import Any

import pytest

from scorer.engines.column import ColumnKind
from scorer.engines.expression import And, In
from scorer.engines.table import OrdinalTable, Rule, Table
from scorer.rules.condition import All, AnyOf, Condition, FieldType, Not, Op, Operand, Test
from scorer.rules.ruleset import HitPolicy


def number(op: Op, operand: Operand, field: str = "amount") -> Test:
    return Test(field, FieldType.NUMBER, op, operand)


def string(op: Op, operand: Operand, field: str = "country") -> Test:
    return Test(field, FieldType.STRING, op, operand)


def compiled(*conditions: Condition | None, hit_policy: HitPolicy = HitPolicy.FIRST) -> OrdinalTable:
    return Table(tuple(Rule(f"r{i}", c) for i, c in enumerate(conditions)), hit_policy).compile()


def codes(table: OrdinalTable, field: str, values: list[Any]) -> list[int]:
    return [table.encode({field: value})[0] for value in values]


def cardinalities(table: OrdinalTable) -> list[int]:
    return [column.cardinality for column in table.columns]


def test_numbers_become_ranks_among_the_constants() -> None:
    table = compiled(number(Op.GTE, 10), number(Op.GT, 20), number(Op.EQ, 20))
    assert codes(table, "amount", [None, -5, 9.99, 10, 15, 20, 20.01, 10**400]) == [0, 0, 0, 1, 1, 2, 3, 3]
    (column,) = table.columns
    assert (column.field, column.kind, column.cardinality) == ("amount", ColumnKind.RANK, 4)


@pytest.mark.parametrize(
    ("op", "operand", "below", "at", "above", "unknown"),
    [
        (Op.GTE, 10, 0, 1, 1, 0),
        (Op.GT, 10, 0, 0, 1, 0),
        (Op.LT, 10, 0, 1, 1, 1),
        (Op.LTE, 10, 0, 0, 1, 1),
        (Op.EQ, 10, 0, 1, 0, 0),
        (Op.NE, 10, 0, 1, 0, 1),
        (Op.NOT_IN, (10,), 0, 1, 0, 1),
    ],
)
def test_one_comparison_needs_two_codes(
    op: Op, operand: Operand, below: int, at: int, above: int, unknown: int
) -> None:
    table = compiled(number(op, operand))
    assert cardinalities(table) == [2]
    assert codes(table, "amount", [9, 10, 11, float("nan")]) == [below, at, above, unknown]


def test_integers_have_nothing_between_neighbours() -> None:
    def whole(op: Op, operand: int) -> Test:
        return Test("size", FieldType.INTEGER, op, operand)

    # For integers, above 4 is the same as 5 or above, so the two rules need two codes, not three.
    assert cardinalities(compiled(whole(Op.GT, 4), whole(Op.GTE, 5))) == [2]
    assert cardinalities(compiled(number(Op.GT, 4), number(Op.GTE, 5))) == [3]
    assert codes(compiled(whole(Op.GT, 4), whole(Op.GTE, 5)), "size", [4, 5.0, 4.5, "5"]) == [0, 1, 0, 0]


def test_integers_of_any_size_are_distinguished() -> None:
    constants = (float(2**60), 2**60 + 3, 10**400, -0.0)
    table = compiled(*(Test("size", FieldType.INTEGER, Op.GTE, constant) for constant in constants))
    values = [-1, 0, 2**60 - 1, 2**60, 2**60 + 2, 2**60 + 3, 10**400 - 1, 10**400]
    assert codes(table, "size", values) == [0, 1, 1, 2, 2, 3, 3, 4]
    neighbours = compiled(*(Test("size", FieldType.INTEGER, Op.EQ, c) for c in (float(2**60), 2**60 + 3)))
    assert codes(neighbours, "size", [2**60 - 1, 2**60, 2**60 + 1, 2**60 + 3]) == [0, 1, 0, 2]


def test_constants_with_the_same_use_share_a_code() -> None:
    hundred = tuple(f"c{i}" for i in range(100))
    table = compiled(string(Op.IN, hundred))
    assert cardinalities(table) == [2]
    assert codes(table, "country", ["c0", "c99", "other", 5]) == [0, 0, 1, 1]


def test_comparisons_joined_in_one_rule_share_a_code() -> None:
    either = AnyOf((string(Op.EQ, "de"), string(Op.EQ, "at")))
    assert cardinalities(compiled(either)) == [2]
    assert cardinalities(compiled(either, string(Op.EQ, "at"))) == [3]


def test_every_other_predicate_has_its_own_column() -> None:
    starts, matches, equal = string(Op.STARTS_WITH, "d"), string(Op.MATCHES, "e$"), string(Op.EQ, "de")
    table = compiled(equal, AnyOf((starts, matches)), starts)
    assert [column.kind for column in table.columns] == [
        ColumnKind.INDEX,
        ColumnKind.PREDICATE,
        ColumnKind.PREDICATE,
    ]
    assert table.encode({"country": "de"}) == (0, 1, 1)
    assert table.encode({"country": "dk"}) == (1, 1, 0)
    assert table.encode({}) == (1, 0, 0)


def test_exists_uses_an_existing_column() -> None:
    with_constants = compiled(number(Op.GTE, 10), number(Op.EXISTS, False))
    assert cardinalities(with_constants) == [3]
    alone = compiled(number(Op.EXISTS, False))
    assert [(c.kind, c.cardinality) for c in alone.columns] == [(ColumnKind.PREDICATE, 2)]


def test_a_field_that_cannot_change_the_answer_has_no_column() -> None:
    impossible = All((number(Op.GT, 5), number(Op.LT, 5)))
    certain = AnyOf((number(Op.EXISTS, True), number(Op.EXISTS, False)))
    table = compiled(impossible, certain, All(()), AnyOf(()), None)
    assert table.columns == ()
    assert table.rules == (False, True, True, False, True)
    assert table.encode({"amount": 3}) == ()


def test_negations_become_codes() -> None:
    table = compiled(Not(AnyOf((number(Op.GTE, 10), Not(string(Op.EQ, "de"))))))
    (rule,) = table.rules
    assert isinstance(rule, And)
    assert all(isinstance(part, In) for part in rule.parts)
    by_field = {column.field: i for i, column in enumerate(table.columns)}
    low = table.encode({"amount": 3, "country": "de"})
    assert {part.column for part in rule.parts if isinstance(part, In)} == set(by_field.values())
    assert all(low[part.column] in part.codes for part in rule.parts if isinstance(part, In))


def test_equal_logic_has_an_equal_hash_with_any_names() -> None:
    one = compiled(All((number(Op.GTE, 10), string(Op.EQ, "de"))), None)
    same = compiled(All((number(Op.GTE, 99, "revenue"), string(Op.EQ, "fr", "language"))), None)
    assert one.content_hash == same.content_hash
    others = [
        compiled(AnyOf((number(Op.GTE, 10), string(Op.EQ, "de"))), None),
        compiled(All((number(Op.GTE, 10), string(Op.EQ, "de")))),
        compiled(None, All((number(Op.GTE, 10), string(Op.EQ, "de")))),
        compiled(All((number(Op.GTE, 10), string(Op.EQ, "de"))), None, hit_policy=HitPolicy.SUM),
    ]
    assert len({one.content_hash, *(other.content_hash for other in others)}) == 5


def test_a_field_with_two_types_is_read_as_each_type() -> None:
    table = compiled(number(Op.EQ, 5, "x"), string(Op.EQ, "5", "x"))
    assert len({table.encode({"x": value}) for value in (5, "5", None)}) == 3


def test_a_field_is_read_once_per_column() -> None:
    class Counting(dict[str, object]):
        reads = 0

        def get(self, key: str, default: object = None) -> Any:
            Counting.reads += 1
            return super().get(key, default)

    table = compiled(number(Op.BETWEEN, (1, 5)), number(Op.GT, 3), string(Op.IN, ("a", "b")))
    table.encode(Counting(amount=2))
    assert Counting.reads == len(table.columns) == 2
