"""The data of an activity of a built-in type, cut down to what the contract accepts: one imperfect key does not cost
the whole event."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from scorer.domain.activity import PAYLOADS
from scorer.sources.company.converter import Reason
from scorer.sources.fast_payload import CLOSED
from scorer.sources.rejected import Rejected
from scorer.sources.source import Dropped

Data = dict[str, Any]
_convert: Final = msgspec.convert
_REASONS: Final[Mapping[str, Reason]] = {
    "of length": Reason.TOO_LONG,
    " >= ": Reason.OUT_OF_RANGE,
    " <= ": Reason.OUT_OF_RANGE,
    "Invalid enum": Reason.UNKNOWN,
    "matching regex": Reason.UNREADABLE,
}
"""By a part of the message of msgspec. Any other one is about a wrong type."""


def fitted(kind: str, data: Data, dropped: list[Dropped]) -> Data:
    """The data without the keys that do not fit the type of the activity, which are added to the list. A text that is
    required and too long is cut instead. Raises `Rejected` if a required key is missing."""
    try:
        _convert(data, CLOSED[kind])
    except msgspec.ValidationError:
        return _cut_down(kind, data, dropped)
    return data


def _cut_down(kind: str, data: Data, dropped: list[Dropped]) -> Data:
    kept: Data = {}
    for field in msgspec.structs.fields(CLOSED[kind]):
        name = field.name
        value = data.get(name)
        if isinstance(value, dict):
            for key, inner in value.items():
                reason = _misfit({key: inner}, field.type)
                if reason is None:
                    kept.setdefault(name, {})[key] = inner
                else:
                    dropped.append(Dropped(f"{name}.{key}", reason))
            continue
        if name not in data:
            reason = None
        else:
            reason = _misfit(value, field.type)
            if reason is None:
                kept[name] = value
            else:
                dropped.append(Dropped(name, reason))
        if field.required and name not in kept:
            if reason is Reason.TOO_LONG and isinstance(value, str):
                kept[name] = value[: _longest(kind, name)]
                continue
            problem = "missing" if reason is None else f"not one that fits ({reason})"
            raise Rejected("invalid_data", f"{kind}: data.{name} is {problem}")
    return kept


def _misfit(value: object, accepted: Any) -> Reason | None:
    try:
        _convert(value, accepted)
    except msgspec.ValidationError as error:
        message = str(error)
        return next((reason for part, reason in _REASONS.items() if part in message), Reason.WRONG_TYPE)
    return None


def _longest(kind: str, name: str) -> int:
    """The most characters of a text."""
    limits = (getattr(limit, "max_length", None) for limit in PAYLOADS[kind].model_fields[name].metadata)
    return next(most for most in limits if isinstance(most, int))
