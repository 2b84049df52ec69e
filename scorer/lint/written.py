"""Comparisons with their paths in the rule file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scorer.rules.condition import All, AnyOf, Condition, Not, Op, Test
from scorer.rules.yaml_source import Path


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant in a condition: its path and its comparison."""

    path: Path
    field: str
    op: Op
    value: object


def constants(raw: Mapping[Any, Any], path: Path) -> Iterator[Constant]:
    """The constants of a valid condition, from left to right."""
    for key, value in raw.items():
        at = (*path, key)
        if key == "not":
            yield from constants(value, at)
        elif key in ("all", "any"):
            for index, item in enumerate(value):
                yield from constants(item, (*at, index))
        elif isinstance(value, Mapping):
            for op, operand in value.items():
                yield from _operand(str(key), Op(op), operand, (*at, op))
        else:
            yield Constant(at, str(key), Op.EQ, value)


def _operand(field: str, op: Op, operand: object, path: Path) -> Iterator[Constant]:
    if isinstance(operand, list):
        for index, value in enumerate(operand):
            yield Constant((*path, index), field, op, value)
    else:
        yield Constant(path, field, op, operand)


def as_written(condition: Condition) -> str:
    """A condition as in a rule file, on one line."""
    match condition:
        case Test(field, _, Op.EQ, operand):
            return f"{field}: {_value(operand)}"
        case Test(field, _, op, operand):
            return f"{field}: {{{op}: {_value(operand)}}}"
        case Not(part):
            return f"not: {{{as_written(part)}}}"
        case All(parts):
            return f"all: [{', '.join(f'{{{as_written(part)}}}' for part in parts)}]"
        case AnyOf(parts):
            return f"any: [{', '.join(f'{{{as_written(part)}}}' for part in parts)}]"


def _value(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_value(element) for element in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def example(facts: Mapping[str, object]) -> str:
    """Facts as a readable list."""
    return ", ".join(f"{field}: {_value(value)}" for field, value in facts.items())
