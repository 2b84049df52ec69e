"""What is wrong with the `data` of an activity, in the words of JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from scorer.domain.printable import counted
from scorer.sources.contract_names import CONTRACT_NAMES
from scorer.sources.rejected import described, described_name

_KEY: Final = "[key]"
"""The last step of the path of an error about a key, not about its value."""
_CUSTOM_VALUE: Final = "expected a string, number, boolean or list of strings"
_TYPES: Final = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}

_Path = tuple[str, ...]


def summary(error: ValidationError, kind: str, data: Mapping[str, object]) -> str:
    """One sentence about the first invalid key of an activity of this type."""
    # Without the input, which a message must not quote.
    errors = error.errors(include_url=False, include_input=False)
    first = errors[0]
    path, value = _locate(first["loc"], data)
    others = {_locate(other["loc"], data)[0] for other in errors} - {path}
    if first["type"] == "missing":
        sentence = f"{'.'.join(('data', *path, _show_key(first['loc'][-1])))} is missing"
    elif is_about_key(first):
        length = counted(len(str(first["loc"][-2])), "character")
        sentence = f"{'.'.join(('data', *path))} has a key of {length}; {expected(first)}"
    else:
        same = [other for other in errors if _locate(other["loc"], data)[0] == path]
        sentence = f"{'.'.join(('data', *path))} is {described(value)}; {_wanted(same)}"
    more = f" (and {len(others)} more)" if others else ""
    return f"{kind}: {sentence}{more}"


def is_about_key(error: ErrorDetails) -> bool:
    """Whether the error is about the name of a key, and not about its value."""
    return error["loc"][-1] == _KEY


def _wanted(errors: Sequence[ErrorDetails]) -> str:
    """What the value should be. Pydantic lists one error for each branch of a union."""
    first = errors[0]
    if len(errors) == 1:
        return expected(first)
    # A value of the right type breaks another rule, and the other branches of the union say nothing about it.
    broken = next((other for other in errors if other["type"] not in _TYPES), None)
    if broken is None:
        return _CUSTOM_VALUE
    return f"{expected(broken)}{' in each item' if isinstance(broken['loc'][-1], int) else ''}"


def expected(error: ErrorDetails) -> str:
    """The expected value, as `expected …`. Pydantic's own words are those of Python."""
    kind, bounds = error["type"], error.get("ctx", {})
    if kind in _TYPES:
        return f"expected {_TYPES[kind]}"
    match kind:
        case "literal_error":
            return f"expected {bounds['expected']}"
        case "string_pattern_mismatch":
            return f"expected {_PATTERNS[bounds['pattern']]}"
        case "string_too_short":
            return f"expected at least {counted(bounds['min_length'], 'character')}"
        case "string_too_long":
            return f"expected at most {counted(bounds['max_length'], 'character')}"
        case "too_long":
            unit = "item" if bounds["field_type"] == "List" else "key"
            return f"expected at most {counted(bounds['max_length'], unit)}"
        case "greater_than_equal":
            return f"expected at least {bounds['ge']:g}"
        case "less_than_equal":
            return f"expected at most {bounds['le']:g}"
        case "less_than":
            return f"expected less than {bounds['lt']}"
    # A message of our own.
    return error["msg"]


_PATTERNS: Final[Mapping[str, str]] = {
    "^[A-Z]{2}$": "two capital letters (ISO 3166-1 alpha-2)",
    "^[a-z][a-z0-9_]{0,63}$": "a name of at most 64 characters of a-z, 0-9 and _, the first one of a-z",
}
"""What the patterns of the contract mean."""


def _locate(loc: tuple[int | str, ...], data: object) -> tuple[_Path, Any]:
    """The part of an error's path that exists in the data, and the value at its end. The path of an error about a key
    ends at the object that has the key."""
    if loc[-1] == _KEY:
        loc = loc[:-2]
    path: list[str] = []
    for step in loc:
        if (isinstance(data, Mapping) and step in data) or (
            isinstance(data, list) and isinstance(step, int) and step < len(data)
        ):
            data = data[step]  # type: ignore[index]
        else:
            break
        path.append(_show_key(step))
    return tuple(path), data


def _show_key(step: int | str) -> str:
    return str(step) if isinstance(step, int) or step in CONTRACT_NAMES else described_name(step)
