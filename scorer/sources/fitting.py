"""What becomes of a payload with keys that do not fit: such a key is corrected or dropped, and the rest counts.

So it is with keys that the contract requires: the activity counts without them. Only a decisive one costs the event.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError, create_model
from pydantic_core import ErrorDetails

from scorer.domain.activity import (
    DECISIVE,
    LISTING,
    MOST_CUSTOM,
    PAYLOADS,
    TEXT_LENGTH,
    TOO_MANY_BYTES,
    TYPE_PREFIX,
    Payload,
    path_of,
    validate_data,
)
from scorer.domain.unfitting import CUSTOM, Drop, Reason, distinct, unknown
from scorer.sources.payload_errors import is_about_key, summary
from scorer.sources.rejected import Rejected

_ASSESSMENT: Final = "lead.assessment_recorded"
_PAGE_VIEWED: Final = "lead.page_viewed"
_STATEMENTS: Final = LISTING | {_ASSESSMENT}
"""The types in which null withdraws a value, so that an empty text does too."""
_PREFIXES: Final = {"lead.profile_updated": "profile.", "lead.qualification_updated": "", _ASSESSMENT: "assessment."}
_COUNTRY: Final = re.compile("[A-Za-z]{2}")
_QUERY: Final = re.compile("[?#]")
_NOT_WHOLE: Final = ("int_type", "int_from_float")
_MOST_UNKNOWN: Final = 32
"""Unknown keys of an activity that are looked at."""
_REASONS: Final[Mapping[str, Reason]] = {
    "literal_error": "not_a_choice",
    "string_pattern_mismatch": "malformed",
    "string_too_short": "malformed",
    "string_too_long": "too_long",
    "too_long": "too_long",
    TOO_MANY_BYTES: "too_long",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "finite_number": "out_of_range",
}
"""By the type of a pydantic error. All others are about the type of the value."""

_Path = tuple[str, ...]


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model of the object that a key holds; None if it holds none."""
    for branch in (annotation, *get_args(annotation)):
        if isinstance(branch, type) and issubclass(branch, BaseModel):
            return branch
    return None


_NAMES: Final = {kind: frozenset(payload.model_fields) for kind, payload in PAYLOADS.items()}
_SECTIONS: Final = {
    kind: {
        name: frozenset(section.model_fields)
        for name, field in payload.model_fields.items()
        if (section := _section(field.annotation)) is not None
    }
    for kind, payload in PAYLOADS.items()
}
"""By type: the keys that hold an object with keys of its own."""
_EXPECTED: Final = {
    kind: [
        name
        for name, field in payload.model_fields.items()
        if field.is_required() and name not in DECISIVE.get(kind, ())
    ]
    for kind, payload in PAYLOADS.items()
}
"""By type: the keys that senders must send, and without which an activity counts all the same."""


def _tolerant(kind: str, payload: type[Payload]) -> type[BaseModel]:
    """The type of the payload of which only decisive keys are required."""
    optional: dict[str, Any] = {
        name: (payload.model_fields[name].rebuild_annotation(), None) for name in _EXPECTED[kind]
    }
    return create_model(payload.__name__, __base__=payload, **optional)


_TOLERANT: Final = {kind: _tolerant(kind, payload) for kind, payload in PAYLOADS.items()}


def fitted(kind: str, data: Mapping[str, object]) -> tuple[Mapping[str, object], tuple[Drop, ...]]:
    """The payload of an activity of this type, and what was dropped from it or is missing. Raises `Rejected` if a
    decisive key is missing or does not fit."""
    try:
        return validate_data(kind, data), unknown_keys(kind, data)
    except ValidationError:
        draft = _Draft(kind, data)
    while True:
        try:
            valid = draft.validated()
        except ValidationError as error:
            if not draft.correct(error):
                raise Rejected("invalid_data", summary(error, kind, draft.data)) from None
        else:
            strange = unknown_keys(kind, data)
            return valid, distinct((*draft.drops, *_missing(kind, data, strange), *strange))


def _missing(kind: str, data: Mapping[str, object], strange: Iterable[Drop]) -> Iterator[Drop]:
    """The required keys that were not sent. One that was misspelt was."""
    misspelt = {drop.field for drop in strange}
    for name in _EXPECTED[kind]:
        field = f"{_prefix(kind)}{name}"
        if name not in data and field not in misspelt:
            yield Drop(field, "missing", name, None)


def unknown_keys(kind: str, data: Mapping[str, object]) -> tuple[Drop, ...]:
    """The keys that the type does not name. They are never kept. A type of one's own may have any key."""
    names = _NAMES.get(kind)
    if names is None or (data.keys() <= names and not _SECTIONS[kind]):
        return ()
    return distinct(islice(_unknown(kind, names, data), _MOST_UNKNOWN))


def _unknown(kind: str, names: frozenset[str], data: Mapping[str, object]) -> Iterator[Drop]:
    prefix = _prefix(kind)
    for key in data:
        if key not in names:
            yield unknown(key, data[key], names, data.keys(), prefix)
    for name, inner in _SECTIONS[kind].items():
        section = data.get(name)
        if isinstance(section, Mapping):
            for key in section:
                if key not in inner:
                    yield unknown(key, section[key], inner, section.keys(), f"{name}.", name)


def _prefix(kind: str) -> str:
    return _PREFIXES.get(kind, f"{kind.removeprefix(TYPE_PREFIX)}.")


class _Draft:
    """A copy of a payload that loses the keys that do not fit."""

    def __init__(self, kind: str, data: Mapping[str, object]) -> None:
        self.data: dict[str, Any] = dict(data)
        self.drops: list[Drop] = []
        self._kind = kind
        self._sent: dict[_Path, object] = {}

    def validated(self) -> Mapping[str, object]:
        """The payload as it is now. Raises `ValidationError`."""
        return _TOLERANT[self._kind].model_validate(self.data).model_dump(exclude_unset=True)

    def correct(self, error: ValidationError) -> bool:
        """Correct or drop the keys that the error is about, except decisive ones. Whether there was one."""
        problems: dict[_Path, list[ErrorDetails]] = {}
        # Without the input, of which an error about a large list would contain every item.
        for problem in error.errors(include_url=False, include_input=False):
            if problem["loc"][0] in self.data and problem["loc"][0] not in DECISIVE.get(self._kind, ()):
                problems.setdefault(self._path(problem), []).append(problem)
        for path in problems:
            if len(path) == 1 or path[:1] not in problems:
                self._correct(path, problems[path])
        return bool(problems)

    def _path(self, problem: ErrorDetails) -> _Path:
        """The key that is wrong. A value below it is a part of it."""
        top, *rest = problem["loc"]
        key, section = str(top), self.data.get(str(top))
        if not rest or not isinstance(section, Mapping) or rest[0] not in section:
            return (key,)
        # Of too many own facts nobody can say which ones are meant.
        has_keys = len(section) <= MOST_CUSTOM if key == CUSTOM else key in _SECTIONS[self._kind]
        return (key, str(rest[0])) if has_keys else (key,)

    def _correct(self, path: _Path, problems: list[ErrorDetails]) -> None:
        *above, key = path
        holder = self.data
        if above:
            holder = self.data[above[0]] = dict(self.data[above[0]])
        value = holder[key]
        if path not in self._sent:
            self._sent[path] = value
            kinds = {problem["type"] for problem in problems}
            if isinstance(value, float) and value.is_integer() and not kinds.isdisjoint(_NOT_WHOLE):
                # JSON and JSON Schema do not tell 400.0 and 4e2 from 400; pydantic does.
                holder[key] = int(value)
                return
            if key == "country" and isinstance(value, str) and _COUNTRY.fullmatch(value):
                holder[key] = value.upper()
                return
        value = self._sent[path]
        self.drops.append(Drop(self._field(path), _reason(value, problems), key, value, "".join(above)))
        if value == "" and self._kind in _STATEMENTS and path[0] != CUSTOM:
            holder[key] = None
        else:
            del holder[key]
        if self._kind == _PAGE_VIEWED and key == "url" and isinstance(value, str) and self.data.get("path") is None:
            # Long addresses are long because of their query. The path is what rules compare.
            address = _QUERY.split(value, maxsplit=1)[0]
            if len(address) <= TEXT_LENGTH:
                self.data["path"] = path_of(address)

    def _field(self, path: _Path) -> str:
        if path[0] == CUSTOM:
            return CUSTOM
        return ".".join(path) if len(path) > 1 else f"{_prefix(self._kind)}{path[0]}"


def _reason(value: object, problems: list[ErrorDetails]) -> Reason:
    if any(is_about_key(problem) for problem in problems):
        return "undeclared"
    if value == "":
        return "empty"
    if isinstance(value, Mapping) and len(value) > MOST_CUSTOM:
        return "too_long"
    # Of a union there is one problem for each branch. A branch of the right type says more than the others.
    known = (_REASONS[problem["type"]] for problem in problems if problem["type"] in _REASONS)
    reason: Reason = next(known, "wrong_type")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and any(problem["type"] == "float_type" for problem in problems):
        return "out_of_range"
    return "wrong_type" if reason == "not_a_choice" and not isinstance(value, str) else reason
