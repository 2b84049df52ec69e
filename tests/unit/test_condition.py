"""Conditions over the facts of a lead."""

from __future__ import annotations

from typing import Any

import pytest

from scorer.rules.condition import (
    OPERATORS,
    All,
    AnyOf,
    Condition,
    FieldType,
    Not,
    Op,
    Operand,
    Test,
    fields,
    known,
    predicate,
)

STRING, INTEGER, NUMBER, BOOLEAN, STRINGS = FieldType
NAN, INF = float("nan"), float("inf")
HUGE = 10**400


def holds(kind: FieldType, op: Op, operand: Operand, value: object) -> bool:
    return predicate(Test("f", kind, op, operand))({"f": value})


def always(truth: bool) -> Condition:
    return All(()) if truth else AnyOf(())


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (STRING, "x", "x"),
        (STRING, "", ""),
        (STRING, 5, None),
        (STRING, b"x", None),
        (INTEGER, 5, 5),
        (INTEGER, 5.0, 5),
        (INTEGER, 5.5, None),
        (INTEGER, "5", None),
        (INTEGER, True, None),
        (INTEGER, NAN, None),
        (INTEGER, INF, None),
        (INTEGER, HUGE, HUGE),
        (NUMBER, 1e-07, 1e-07),
        (NUMBER, HUGE, HUGE),
        (NUMBER, NAN, None),
        (NUMBER, -INF, None),
        (NUMBER, False, None),
        (BOOLEAN, True, True),
        (BOOLEAN, 1, None),
        (BOOLEAN, "true", None),
        (STRINGS, ["a", "b"], ("a", "b")),
        (STRINGS, (), ()),
        (STRINGS, ["a", 1], None),
        (STRINGS, "ab", None),
        (STRINGS, {"a"}, None),
    ],
)
def test_known_accepts_only_values_of_the_type(kind: FieldType, value: object, expected: object) -> None:
    assert known(kind, value) == expected
    assert known(kind, None) is None


@pytest.mark.parametrize(
    ("op", "operand", "yes", "no"),
    [
        (Op.EQ, 5, [5, 5.0], [4, 5.1]),
        (Op.EQ, 0, [0, -0.0], [5e-324]),
        (Op.NE, 5, [4, HUGE], [5, 5.0]),
        (Op.GT, 5, [5.1, HUGE], [5, 4, -HUGE]),
        (Op.GTE, 5, [5, 6], [4.9]),
        (Op.LT, 5, [4.9, -HUGE], [5, HUGE]),
        (Op.LTE, 5, [5, 4], [5.1]),
        (Op.BETWEEN, (1, 3), [1, 2.5, 3], [0.9, 3.1]),
        (Op.IN, (1, 3), [1, 3.0], [2]),
        (Op.IN, (), [], [1]),
        (Op.NOT_IN, (1, 3), [2], [1.0, 3]),
        (Op.NOT_IN, (), [1], []),
        (Op.EQ, 2**53, [2**53, float(2**53)], [2**53 + 1]),
        (Op.GT, 2**53, [2**53 + 1], [2**53]),
    ],
)
def test_comparisons_of_numbers(op: Op, operand: Operand, yes: list[float], no: list[float]) -> None:
    assert all(holds(NUMBER, op, operand, value) for value in yes)
    assert not any(holds(NUMBER, op, operand, value) for value in no)


@pytest.mark.parametrize(
    ("op", "operand", "yes", "no"),
    [
        (Op.EQ, "a", ["a"], ["A", "ab", ""]),
        (Op.NE, "a", ["A", ""], ["a"]),
        (Op.IN, ("a", "b"), ["b"], ["c"]),
        (Op.NOT_IN, ("a", "b"), ["c"], ["b"]),
        (Op.STARTS_WITH, "/pricing", ["/pricing", "/pricing/eu"], ["/Pricing", "x/pricing"]),
        (Op.ENDS_WITH, ".com", ["x.com"], ["x.com "]),
        (Op.CONTAINS, "CTO", ["our CTO"], ["cto"]),
        (Op.MATCHES, "^a+$", ["aaa"], ["b", "aab"]),
        (Op.MATCHES, "b", ["abc"], ["ac"]),
        (Op.MATCHES, "é", ["café"], ["cafe"]),
    ],
)
def test_comparisons_of_strings(op: Op, operand: Operand, yes: list[str], no: list[str]) -> None:
    assert all(holds(STRING, op, operand, value) for value in yes)
    assert not any(holds(STRING, op, operand, value) for value in no)


def test_comparisons_of_booleans_and_lists() -> None:
    assert holds(BOOLEAN, Op.EQ, True, True)
    assert holds(BOOLEAN, Op.NE, True, False)
    assert not holds(BOOLEAN, Op.EQ, True, 1)
    assert holds(STRINGS, Op.CONTAINS, "a", ["b", "a"])
    assert not holds(STRINGS, Op.CONTAINS, "a", ["ab"])
    assert not holds(STRINGS, Op.CONTAINS, "a", "a")


def test_text_without_a_utf8_form_matches_no_expression() -> None:
    assert not holds(STRING, Op.MATCHES, "a", "a\ud800")
    assert holds(STRING, Op.STARTS_WITH, "a", "a\ud800")


@pytest.mark.parametrize("unknown", [None, NAN, INF, -INF, True, "5", [], {}, b"5", object()])
@pytest.mark.parametrize("op", sorted(OPERATORS[NUMBER] - {Op.EXISTS}))
def test_no_comparison_holds_for_an_unknown_value(op: Op, unknown: object) -> None:
    operand: Any = (1, 9) if op in (Op.IN, Op.NOT_IN, Op.BETWEEN) else 5
    assert not holds(NUMBER, op, operand, unknown)
    assert predicate(Not(Test("f", NUMBER, op, operand)))({"f": unknown})


@pytest.mark.parametrize("kind", list(FieldType))
def test_exists_tests_whether_a_value_is_known(kind: FieldType) -> None:
    value = {STRING: "", INTEGER: 0, NUMBER: 0.5, BOOLEAN: False, STRINGS: []}[kind]
    assert holds(kind, Op.EXISTS, True, value)
    assert not holds(kind, Op.EXISTS, False, value)
    assert not holds(kind, Op.EXISTS, True, None)
    assert predicate(Test("f", kind, Op.EXISTS, False))({})


def test_all_any_and_not() -> None:
    for left in (True, False):
        for right in (True, False):
            pair = (always(left), always(right))
            assert predicate(All(pair))({}) is (left and right)
            assert predicate(AnyOf(pair))({}) is (left or right)
        assert predicate(Not(always(left)))({}) is not left
        assert predicate(All((always(left),)))({}) is left
        assert predicate(AnyOf((always(left),)))({}) is left


def test_fields_are_listed_once_in_order_of_first_use() -> None:
    a, b = Test("a", NUMBER, Op.GT, 1), Test("b", STRING, Op.EQ, "x")
    assert fields(All((b, Not(AnyOf((a, b)))))) == ("b", "a")
    assert fields(All(())) == ()


@pytest.mark.parametrize(
    ("kind", "op", "operand", "message"),
    [
        (BOOLEAN, Op.GT, True, "operator gt does not fit a field of type boolean; use one of eq, ne, exists"),
        (STRINGS, Op.EQ, "a", "operator eq does not fit"),
        (NUMBER, Op.EQ, "5", "eq takes a value of type number, not '5'"),
        (NUMBER, Op.GT, True, "gt takes a value of type number, not True"),
        (NUMBER, Op.GT, NAN, "gt takes a value of type number, not nan"),
        (INTEGER, Op.EQ, 2.5, "eq takes a value of type integer, not 2.5"),
        (NUMBER, Op.BETWEEN, (3, 1), "between: low 3 is above high 1"),
        (NUMBER, Op.BETWEEN, (1,), "between takes a pair"),
        (NUMBER, Op.BETWEEN, (1, INF), "between takes two values of type number"),
        (STRING, Op.IN, "abc", "in takes a tuple"),
        (STRING, Op.IN, ("a", 1), "in: 1 is not of type string"),
        (STRING, Op.EXISTS, "yes", "exists takes true or false"),
        (STRING, Op.MATCHES, "((", "'((' is not an RE2 expression: missing )"),
        (STRING, Op.MATCHES, r"(a)\1", "is not an RE2 expression"),
        (STRING, Op.MATCHES, "\ud800", "is not an RE2 expression"),
    ],
)
def test_a_comparison_that_does_not_fit_is_refused(kind: FieldType, op: Op, operand: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^f: ") as caught:
        Test("f", kind, op, operand)
    assert message in str(caught.value)


def test_a_hostile_expression_does_not_take_exponential_time() -> None:
    # A backtracking matcher would not finish.
    assert not holds(STRING, Op.MATCHES, "^(a+)+$", "a" * 5000 + "b")
