"""Conditions: the `when` of a rule and the `where` of a signal.

`FieldValues` maps field names to values. A value is *unknown* if it is missing, None, NaN, infinite or not of the
field's type. A comparison with an unknown value is false, whatever the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from scorer.rules.field_type import OPERATORS, FieldType, Op, Scalar, Value, compiled, known, operand_problem, reader

__all__ = [
    "OPERATORS",
    "All",
    "AnyOf",
    "Condition",
    "FieldType",
    "FieldValues",
    "Not",
    "Op",
    "Operand",
    "Predicate",
    "Test",
    "Value",
    "fields",
    "known",
    "predicate",
    "reader",
    "tests",
]

Operand = Scalar | tuple[Scalar, ...]
FieldValues = Mapping[str, object]
Predicate = Callable[[FieldValues], bool]


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison of a field with a constant.

    The operand is a tuple for `in` and `not_in`, a pair (low, high) for `between`, a bool for `exists`, a string
    for the text operators, and a value of the field's type otherwise. Raises ValueError if type, operator and operand
    do not fit together.
    """

    # Without this, pytest tries to collect the class, because its name begins with `Test`.
    __test__: ClassVar[bool] = False

    field: str
    type: FieldType
    op: Op
    operand: Operand

    def __post_init__(self) -> None:
        problem = operand_problem(self.type, self.op, self.operand)
        if problem:
            raise ValueError(f"{self.field}: {problem}")


@dataclass(frozen=True, slots=True)
class All:
    """All parts hold; true without parts."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds; false without parts."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Condition


Condition = Test | All | AnyOf | Not


def predicate(condition: Condition) -> Predicate:
    """The condition as a function of field values. Regular expressions are compiled here, once."""
    match condition:
        case Test():
            return _test(condition)
        case All(parts):
            return _all(tuple(predicate(part) for part in parts))
        case AnyOf(parts):
            return _any(tuple(predicate(part) for part in parts))
        case Not(part):
            inner = predicate(part)
            return lambda facts: not inner(facts)


def fields(condition: Condition) -> tuple[str, ...]:
    """The fields of the condition, without duplicates, in order of first use."""
    return tuple(dict.fromkeys(test.field for test in tests(condition)))


def tests(condition: Condition) -> Iterator[Test]:
    """The comparisons of the condition, from left to right."""
    match condition:
        case Test():
            yield condition
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from tests(part)
        case Not(part):
            yield from tests(part)


def _all(parts: tuple[Predicate, ...]) -> Predicate:
    if len(parts) == 1:
        return parts[0]

    def holds(facts: FieldValues) -> bool:
        for part in parts:  # noqa: SIM110 -- a generator costs more than a short condition
            if not part(facts):
                return False
        return True

    return holds


def _any(parts: tuple[Predicate, ...]) -> Predicate:
    if len(parts) == 1:
        return parts[0]

    def holds(facts: FieldValues) -> bool:
        for part in parts:  # noqa: SIM110
            if part(facts):
                return True
        return False

    return holds


def _test(test: Test) -> Predicate:
    field, read = test.field, reader(test.type)
    if test.op is Op.EXISTS:
        wanted = test.operand
        return lambda facts: (read(facts.get(field)) is not None) is wanted
    if test.op is Op.STARTS_WITH and test.type is FieldType.STRING:
        # Most signals compare the path of a page this way; it takes a third of the time of the general code.
        prefix: Any = test.operand

        def begins(facts: FieldValues) -> bool:
            value = facts.get(field)
            return isinstance(value, str) and value.startswith(prefix)

        return begins
    compare = _comparison(test.op, test.operand)

    def holds(facts: FieldValues) -> bool:
        value = read(facts.get(field))
        return value is not None and compare(value)

    return holds


def _comparison(op: Op, operand: Any) -> Callable[[Any], bool]:
    # Any: the operand was checked against the field's type, and values are known and of that type.
    match op:
        case Op.EQ:
            return lambda value: value == operand
        case Op.NE:
            return lambda value: value != operand
        case Op.GT:
            return lambda value: value > operand
        case Op.GTE:
            return lambda value: value >= operand
        case Op.LT:
            return lambda value: value < operand
        case Op.LTE:
            return lambda value: value <= operand
        case Op.BETWEEN:
            low, high = operand
            return lambda value: low <= value <= high
        case Op.IN:
            members = frozenset(operand)
            return lambda value: value in members
        case Op.NOT_IN:
            members = frozenset(operand)
            return lambda value: value not in members
        case Op.STARTS_WITH:
            return lambda value: value.startswith(operand)
        case Op.ENDS_WITH:
            return lambda value: value.endswith(operand)
        case Op.CONTAINS:
            return lambda value: operand in value
        case Op.MATCHES:
            return _matches(operand)
        case _:
            raise AssertionError(f"{op} is not a comparison")


def _matches(pattern: str) -> Callable[[str], bool]:
    search = compiled(pattern).search

    def matches(value: str) -> bool:
        try:
            return search(value) is not None
        except UnicodeEncodeError:  # a lone surrogate has no UTF-8 form, so no pattern matches it
            return False

    return matches
