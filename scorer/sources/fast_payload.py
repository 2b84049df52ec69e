"""Payloads checked by msgspec: pydantic's answer for the common case, in a tenth of its time.

The models in `domain.activity` stay the contract; the types here are made from them when the module is loaded. What
msgspec accepts pydantic accepts, with the same values (a property test holds it); what it refuses goes to pydantic,
which may still accept it, or says in words what is wrong.
"""

from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, TypedDict, Union, get_args, get_origin

import annotated_types
import msgspec
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from scorer.domain.activity import PAYLOADS, PageViewed, path_of

Check = Callable[[dict[str, Any]], dict[str, Any]]
"""The payload with only the keys that its type names; raises `msgspec.ValidationError` where it is not sure."""

_INT64_MAX = 2**63 - 1


def _checker(model: type[BaseModel]) -> Check:
    kind: Any = _typed_dict(model)
    convert = msgspec.convert
    if model is PageViewed:

        def page_viewed(data: dict[str, Any]) -> dict[str, Any]:
            found: dict[str, Any] = convert(data, kind)
            if found.get("path") is None:
                found["path"] = path_of(found["url"])
            return found

        return page_viewed
    return lambda data: convert(data, kind)


def _typed_dict(model: type[BaseModel]) -> Any:
    keys = {
        name: _of_field(field) if field.is_required() else NotRequired[_of_field(field)]
        for name, field in model.model_fields.items()
    }
    return TypedDict(model.__name__, keys)  # type: ignore[operator]


def _of_field(field: FieldInfo) -> Any:
    return _of_type(field.annotation, tuple(field.metadata))


def _of_type(annotation: Any, metadata: tuple[Any, ...] = ()) -> Any:
    """The msgspec type that accepts what pydantic accepts in strict mode. Raises `TypeError` for what it does not
    know: a new kind of field has to be thought about here."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _of_type(arguments[0], (*arguments[1:], *metadata))
    if origin in (Union, UnionType):
        return Union[tuple(_of_type(each, metadata if each is not NoneType else ()) for each in arguments)]  # noqa: UP007
    kind = annotation
    if origin is list:
        kind = list[_of_type(arguments[0])]  # type: ignore[misc]
    elif origin is dict:
        kind = dict[_of_type(arguments[0]), _of_type(arguments[1])]  # type: ignore[misc]
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        kind = _typed_dict(annotation)
    elif origin is not Literal and annotation not in (str, int, float, bool, NoneType):
        raise TypeError(f"no msgspec type is known for {annotation}")
    limits = _limits(metadata)
    return Annotated[kind, msgspec.Meta(**limits)] if limits else kind


def _limits(metadata: tuple[Any, ...]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for each in metadata:
        match each:
            case FieldInfo():
                limits |= _limits(tuple(each.metadata))
            case StringConstraints(min_length=low, max_length=high, pattern=pattern):
                limits |= {"min_length": low, "max_length": high}
                if isinstance(pattern, str):
                    # In Python `$` also matches before a last line feed; in pydantic's expressions it does not.
                    limits["pattern"] = r"\A(?:" + pattern.removeprefix("^").removesuffix("$") + r")\Z"
            case annotated_types.Ge(ge=low):
                limits["ge"] = low
            case annotated_types.Le(le=high):
                limits["le"] = high
            case annotated_types.Lt(lt=high) if high == _INT64_MAX + 1:
                limits["le"] = _INT64_MAX
            case annotated_types.MinLen(min_length=low):
                limits["min_length"] = low
            case annotated_types.MaxLen(max_length=high):
                limits["max_length"] = high
            case _:
                raise TypeError(f"no msgspec limit is known for {each}")
    return {name: limit for name, limit in limits.items() if limit is not None}


CHECKS: Mapping[str, Check] = {kind: _checker(model) for kind, model in PAYLOADS.items()}
