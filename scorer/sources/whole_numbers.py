"""Whole numbers that a sender writes as 400.0 or 4e2. JSON and JSON Schema do not tell them from 400; pydantic does."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

_NOT_WHOLE: Final = ("int_type", "int_from_float")


def with_whole_numbers(data: Mapping[str, object], error: ValidationError) -> Mapping[str, object] | None:
    """The data with whole numbers where the error misses them; None if the data has none there. Only what is refused
    is looked at, so usual events cost nothing."""
    changed: Any = data
    for problem in error.errors(include_url=False, include_input=False):
        if problem["type"] in _NOT_WHOLE:
            changed = _changed(changed, problem["loc"])
    return None if changed is data else changed


def _changed(data: Any, path: Sequence[int | str]) -> Any:
    """The data with a whole number at the path. The same object if there is none."""
    step, rest = path[0], path[1:]
    if not isinstance(data, Mapping) or step not in data:
        return data
    before = data[step]
    if rest:
        after = _changed(before, rest)
    else:
        after = int(before) if isinstance(before, float) and before.is_integer() else before
    return data if after is before else {**data, step: after}
