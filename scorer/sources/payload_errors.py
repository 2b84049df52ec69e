"""What is wrong with the `data` of an activity, in the words of JSON."""

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from scorer.domain.printable import counted
from scorer.sources.rejected import described

_KEY: Final = "[key]"
"""The last step of the path of an error about a key, not about its value."""
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


def summary(error: ValidationError, kind: str, data: Mapping[str, object]) -> str:
    """One sentence about the first key of an activity of this type that it needs and that does not fit."""
    # Without the input, which a message must not quote.
    errors = error.errors(include_url=False, include_input=False)
    first = errors[0]
    key = str(first["loc"][0])
    others = {other["loc"][0] for other in errors if other["loc"][0] in data or other["type"] == "missing"} - {key}
    problem = "is missing" if first["type"] == "missing" else f"is {described(data[key])}; {expected(first)}"
    more = f" (and {len(others)} more)" if others else ""
    return f"{kind}: data.{key} {problem}{more}"


def is_about_key(error: ErrorDetails) -> bool:
    """Whether the error is about the name of a key, and not about its value."""
    return error["loc"][-1] == _KEY


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
