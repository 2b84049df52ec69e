"""From a condition in YAML to a checked `Condition`.

A mapping means AND. `all`, `any` and `not` combine conditions. A field has a constant, which means equality, or a
mapping of operators, which means AND.
"""

from collections.abc import Callable, Mapping
from typing import Any

from scorer.rules.catalogue import Catalogue, Field, suggestion
from scorer.rules.condition import OPERATORS, All, AnyOf, Condition, FieldType, Not, Op, Test
from scorer.rules.yaml_source import Path

Report = Callable[[Path, str, str], None]
"""Takes the path of the mistake, the code of the finding and its message."""

_COMBINATORS = ("all", "any", "not")
_LOGIC = {"and": "all", "or": "any"}


def parse_condition(raw: object, path: Path, catalogue: Catalogue | None, report: Report) -> Condition:
    """The condition. `report` gets every mistake; parsing continues after a mistake, so that the author sees all of
    them at once. Without a catalogue any field is allowed, and the constants determine its type."""
    return _Parser(catalogue, report).condition(raw, path)


class _Parser:
    def __init__(self, catalogue: Catalogue | None, report: Report) -> None:
        self._catalogue = catalogue
        self._report = report

    def condition(self, raw: object, path: Path) -> Condition:
        if not isinstance(raw, Mapping):
            self._report(path, "bad-condition", f"a condition is a mapping of fields, not {_kind(raw)}")
            return All(())
        if not raw:
            self._report(path, "empty-condition", "an empty condition always holds; if you mean that, leave it out")
        parts = [self._entry(str(key), value, (*path, key)) for key, value in raw.items()]
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _entry(self, key: str, value: object, path: Path) -> Condition:
        if key == "not":
            return Not(self.condition(value, path))
        if key in _COMBINATORS:
            if not isinstance(value, list) or not value:
                self._report(path, "bad-condition", f"`{key}` takes a list of conditions, not {_kind(value)}")
                return All(())
            parts = tuple(self.condition(item, (*path, index)) for index, item in enumerate(value))
            return All(parts) if key == "all" else AnyOf(parts)
        return self._comparison(key, value, path)

    def _comparison(self, name: str, value: object, path: Path) -> Condition:
        field = self._field(name, value, path)
        if field is None:
            return All(())
        if not isinstance(value, Mapping):
            return self._test(field, Op.EQ, value, path)
        if not value:
            self._report(path, "bad-condition", f"`{name}` needs at least one operator")
        parts = [self._operator(field, op, value, path) for op in value]
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _operator(self, field: Field, key: str | int, operands: Mapping[Any, Any], path: Path) -> Condition:
        name, operand, path = str(key), operands[key], (*path, key)
        try:
            operator = Op(name)
        except ValueError:
            allowed = tuple(op.value for op in Op if op in OPERATORS[field.type])
            hint = _ungrouped(name, operands) or suggestion(name, allowed) or f"; use one of {', '.join(allowed)}"
            self._report(path, "unknown-operator", f"unknown operator `{name}`{hint}")
            return All(())
        return self._test(field, operator, operand, path)

    def _test(self, field: Field, operator: Op, operand: Any, path: Path) -> Condition:
        if isinstance(operand, list):
            if operator is Op.EQ:
                hint = "contains" if field.type is FieldType.STRINGS else "in: [...]"
                self._report(path, "wrong-type", f"`{field.name}` is compared with a list; write {{{hint}}}")
                return All(())
            operand = tuple(operand)
        if operand is None:
            message = f"`{field.name}` is compared with nothing; to test for a missing value write {{exists: false}}"
            self._report(path, "wrong-type", message)
            return All(())
        try:
            test = Test(field.name, field.type, operator, operand)
        except (ValueError, TypeError) as error:
            self._report(path, "wrong-type", _plain(str(error)))
            return All(())
        self._check_choices(field, operator, operand, path)
        return test

    def _check_choices(self, field: Field, operator: Op, operand: Any, path: Path) -> None:
        if not field.choices or operator not in (Op.EQ, Op.NE, Op.IN, Op.NOT_IN):
            return
        for value in operand if isinstance(operand, tuple) else (operand,):
            if value not in field.choices:
                hint = suggestion(value, field.choices) or f"; it is one of {', '.join(field.choices)}"
                self._report(path, "impossible-value", f"`{field.name}` is never `{value}`{hint}")

    def _field(self, name: str, value: object, path: Path) -> Field | None:
        if self._catalogue is None:
            return Field(name, _inferred(value))
        field = self._catalogue.get(name)
        if field is None:
            hint = suggestion(name, tuple(self._catalogue) + _COMBINATORS)
            if name in _LOGIC:
                hint = f"; did you mean {_LOGIC[name]}?"
            hint = hint or "; declare a custom field under `fields`"
            self._report(path, "unknown-field", f"unknown field `{name}`{hint}")
        return field


def _inferred(value: object) -> FieldType:
    constants = list(value.values()) if isinstance(value, Mapping) else [value]
    if isinstance(value, Mapping) and list(value) == ["exists"]:
        return FieldType.STRING
    sample = constants[0] if constants else ""
    if isinstance(sample, list):
        sample = sample[0] if sample else ""
    if isinstance(sample, bool):
        return FieldType.BOOLEAN
    return FieldType.NUMBER if isinstance(sample, (int, float)) else FieldType.STRING


def _ungrouped(name: str, operands: Mapping[Any, Any]) -> str:
    """The hint for `{gte: 50,000}`, which YAML reads as two keys: `gte` with 50, and `000` (as 0) without a value."""
    number = ""
    groups: list[str] = []
    for key, value in operands.items():
        if isinstance(value, int) and not isinstance(value, bool) and -1000 < value < 1000:
            number, groups = str(value), []
        elif number and value is None and str(key).isdecimal() and len(str(key)) <= 3:
            number += f"{key:0>3}"
            groups.append(str(key))
        elif name in groups:
            break
        else:
            number, groups = "", []
    return f"; a number has no commas: write {number}" if name in groups else ""


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case list():
            return "a list" if value else "an empty list"
        case Mapping():
            return "a mapping"
        case bool() | int() | float():
            return f"`{str(value).lower()}`"
        case _:
            return f"`{value}`"


def _plain(message: str) -> str:
    # The message shows constants in Python's notation; the author wrote YAML.
    message = message.replace("a tuple of values", "a list of values").replace("a pair (low, high)", "[low, high]")
    return message.replace("True", "true").replace("False", "false")
