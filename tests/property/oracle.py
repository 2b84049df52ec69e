"""The answer of a table, computed slowly from the raw facts.

It shares no code with scorer.rules except the data classes of conditions. Numbers are compared as exact fractions;
expressions are searched with the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from scorer.engines.table import Table
from scorer.rules.condition import All, AnyOf, Condition, Not, Test

_ABSENT = object()


def matching(table: Table, facts: Mapping[str, object]) -> tuple[int, ...]:
    hits = [i for i, rule in enumerate(table.rules) if rule.condition is None or holds(rule.condition, facts)]
    return tuple(hits[:1] if table.hit_policy == "first" else hits)


def holds(condition: Condition, facts: Mapping[str, object]) -> bool:
    if isinstance(condition, All):
        return all(holds(part, facts) for part in condition.parts)
    if isinstance(condition, AnyOf):
        return any(holds(part, facts) for part in condition.parts)
    if isinstance(condition, Not):
        return not holds(condition.part, facts)
    return _compares(condition, _read(condition.type, facts.get(condition.field, _ABSENT)))


def _read(type_name: str, raw: object) -> object:
    """The value in one form per type, or _ABSENT."""
    if type_name == "string":
        return raw if type(raw) is str else _ABSENT
    if type_name == "boolean":
        return raw if raw is True or raw is False else _ABSENT
    if type_name == "strings":
        if not isinstance(raw, (list, tuple)):
            return _ABSENT
        return raw if all(type(item) is str for item in raw) else _ABSENT
    if not isinstance(raw, (int, float)) or raw is True or raw is False or repr(raw) in ("nan", "inf", "-inf"):
        return _ABSENT
    exact = Fraction(raw)
    return _ABSENT if type_name == "integer" and exact.denominator != 1 else exact


def _compares(test: Test, value: object) -> bool:
    name = str(test.op.value)
    if name == "exists":
        return (value is not _ABSENT) == test.operand
    if value is _ABSENT:
        return False
    if isinstance(value, Fraction):
        return _number(name, value, test.operand)
    if isinstance(value, (list, tuple)):
        return any(item == test.operand for item in value)
    if isinstance(value, bool):
        return (value == test.operand) == (name == "eq")
    assert isinstance(value, str)
    return _text(name, value, test.operand)


def _number(name: str, value: Fraction, operand: Any) -> bool:
    bounds = [Fraction(constant) for constant in (operand if isinstance(operand, tuple) else (operand,))]
    if name in ("in", "not_in"):
        return any(value == bound for bound in bounds) == (name == "in")
    if name == "between":
        return not value < bounds[0] and not value > bounds[1]
    sign = (value > bounds[0]) - (value < bounds[0])
    return sign in {"eq": (0,), "ne": (-1, 1), "gt": (1,), "gte": (0, 1), "lt": (-1,), "lte": (-1, 0)}[name]


def _text(name: str, value: str, operand: object) -> bool:
    if isinstance(operand, tuple):
        return (value in list(operand)) == (name == "in")
    assert isinstance(operand, str)
    if name in ("eq", "ne"):
        return (value == operand) == (name == "eq")
    if name == "starts_with":
        return value[: len(operand)] == operand
    if name == "ends_with":
        return value[len(value) - len(operand) :] == operand if len(operand) <= len(value) else False
    if name == "contains":
        return value.find(operand) >= 0
    assert name == "matches"
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in value):
        return False
    return re.search(operand, value) is not None
