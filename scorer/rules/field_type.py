"""Field types, their operators and their values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import re2

Scalar = str | int | float | bool
Value = Scalar | tuple[str, ...]


class FieldType(StrEnum):
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    STRINGS = "strings"


class Op(StrEnum):
    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    BETWEEN = "between"
    IN = "in"
    NOT_IN = "not_in"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    CONTAINS = "contains"
    MATCHES = "matches"
    EXISTS = "exists"


_NUMERIC: Final = frozenset({Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE, Op.BETWEEN, Op.IN, Op.NOT_IN, Op.EXISTS})
_TEXT: Final = (Op.STARTS_WITH, Op.ENDS_WITH, Op.CONTAINS, Op.MATCHES)

OPERATORS: Final[Mapping[FieldType, frozenset[Op]]] = MappingProxyType(
    {
        FieldType.STRING: frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.EXISTS, *_TEXT}),
        FieldType.INTEGER: _NUMERIC,
        FieldType.NUMBER: _NUMERIC,
        FieldType.BOOLEAN: frozenset({Op.EQ, Op.NE, Op.EXISTS}),
        FieldType.STRINGS: frozenset({Op.CONTAINS, Op.EXISTS}),
    }
)
"""The operators that fit each field type."""


def known(type: FieldType, value: object) -> Value | None:  # noqa: A002 -- the field's term
    """The value if it is of the type, else None, which means *unknown*.

    A bool is not a number, a number is not a bool, and text is never read as a number. A whole float is an integer. A
    list of strings is returned as a tuple.
    """
    return _READERS[type](value)


def reader(type: FieldType) -> Callable[[object], Value | None]:  # noqa: A002
    """`known` for one type, for code where speed matters."""
    return _READERS[type]


def _read_string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _read_number(value: object) -> int | float | None:
    if isinstance(value, float):
        return value if -math.inf < value < math.inf else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _read_integer(value: object) -> int | float | None:
    if isinstance(value, float):
        return value if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _read_boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _read_strings(value: object) -> tuple[str, ...] | None:
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return None


_READERS: Final[Mapping[FieldType, Callable[[object], Value | None]]] = MappingProxyType(
    {
        FieldType.STRING: _read_string,
        FieldType.INTEGER: _read_integer,
        FieldType.NUMBER: _read_number,
        FieldType.BOOLEAN: _read_boolean,
        FieldType.STRINGS: _read_strings,
    }
)


_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?")
"""A number as JSON writes it (RFC 8259, section 6), with a bounded number of digits."""


def number_in_text(text: str) -> int | float | None:
    """The number that a text is, written as in JSON: no spaces, no thousands separators, a point for the decimals. None
    if it is none, or if it needs more than 64 bits."""
    written = _NUMBER.fullmatch(text)
    if written is None:
        return None
    if written[2] is None and written[3] is None:
        whole = int(text)
        return whole if -(2**63) <= whole < 2**63 else None
    return _read_number(float(text))


def operand_problem(kind: FieldType, op: Op, operand: object) -> str | None:
    """Why a field of this type cannot be compared with this operator and operand; None if it can."""
    if op not in OPERATORS[kind]:
        fitting = ", ".join(candidate for candidate in Op if candidate in OPERATORS[kind])
        return f"operator {op} does not fit a field of type {kind}; use one of {fitting}"
    item = FieldType.STRING if kind is FieldType.STRINGS else kind
    match op:
        case Op.EXISTS:
            return None if isinstance(operand, bool) else f"{op} takes true or false, not {operand!r}"
        case Op.IN | Op.NOT_IN:
            if not isinstance(operand, tuple):
                return f"{op} takes a tuple of values, not {operand!r}"
            misfits = [value for value in operand if known(item, value) is None]
            return f"{op}: {misfits[0]!r} is not of type {item}" if misfits else None
        case Op.BETWEEN:
            if not isinstance(operand, tuple) or len(operand) != 2:
                return f"{op} takes a pair (low, high), not {operand!r}"
            low, high = (known(item, bound) for bound in operand)
            if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
                return f"{op} takes two values of type {item}, not {operand!r}"
            return None if low <= high else f"{op}: low {low!r} is above high {high!r}"
        case _:
            if known(item, operand) is None:
                hint = "; write true or false" if item is FieldType.BOOLEAN else ""
                return f"{op} takes a value of type {item}, not {operand!r}{hint}"
    return _bad_pattern(operand) if op is Op.MATCHES else None


def _bad_pattern(pattern: object) -> str | None:
    try:
        compiled(pattern)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        return f"{Op.MATCHES}: {pattern!r} is not an RE2 expression: {reason}"
    return None


def compiled(pattern: object) -> Any:
    """The compiled RE2 expression. Raises re2.error, or UnicodeEncodeError if the pattern has no UTF-8 form."""
    return re2.compile(pattern, _RE2)


def _re2_options() -> re2.Options:
    options = re2.Options()
    options.never_capture = True  # only whether the expression matches is needed
    options.log_errors = False  # errors are raised; RE2 would write them to stderr as well
    return options


_RE2: Final = _re2_options()
