"""Validates payloads with msgspec: the common case in a tenth of pydantic's time.

The models in `domain.activity` stay the contract; the types here are generated from them when the module is loaded.
Whatever msgspec accepts, pydantic accepts with the same values (a property test checks this). Whatever msgspec refuses
goes to pydantic, which may still accept it or explains what is wrong.
"""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import msgspec
from pydantic import AfterValidator, BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from scorer.domain.activity import PAYLOADS, within_bytes

_INT64_MAX = 2**63 - 1


def _struct(model: type[BaseModel], *, closed: bool) -> type[msgspec.Struct]:
    """A struct with the keys of the payload's type; `msgspec.to_builtins` omits keys that were not sent.
    If closed, unknown keys are refused; otherwise they are dropped."""
    fields: list[Any] = []
    for name, field in model.model_fields.items():
        kind = _of_type(field.annotation, tuple(field.metadata), closed=closed)
        fields.append((name, kind) if field.is_required() else (name, kind | msgspec.UnsetType, msgspec.UNSET))
    return msgspec.defstruct(model.__name__, fields, forbid_unknown_fields=closed, gc=False, kw_only=True)


def _of_type(annotation: Any, metadata: tuple[Any, ...] = (), *, closed: bool) -> Any:
    """The msgspec type that accepts what pydantic accepts in strict mode. Raises `TypeError` for an unknown kind of
    field, because a new kind needs a decision here."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _of_type(arguments[0], (*arguments[1:], *metadata), closed=closed)
    if origin in (Union, UnionType):
        kinds = [_of_type(branch, metadata if branch is not NoneType else (), closed=closed) for branch in arguments]
        return Union[tuple(kinds)]  # noqa: UP007
    kind = annotation
    if origin is list:
        kind = list[_of_type(arguments[0], closed=closed)]  # type: ignore[misc]
    elif origin is dict:
        kind = dict[_of_type(arguments[0], closed=closed), _of_type(arguments[1], closed=closed)]  # type: ignore[misc]
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        kind = _struct(annotation, closed=closed)
    elif origin is not Literal and annotation not in (str, int, float, bool, NoneType):
        raise TypeError(f"no msgspec type is known for {annotation}")
    limits = _limits(metadata)
    return Annotated[kind, msgspec.Meta(**limits)] if limits else kind


def _limits(metadata: tuple[Any, ...]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for constraint in metadata:
        match constraint:
            case FieldInfo():
                limits |= _limits(tuple(constraint.metadata))
            case AfterValidator(func=function) if function is within_bytes:
                pass  # `usual_event` leaves every event that is large enough to break this limit to pydantic.
            case StringConstraints(min_length=low, max_length=high, pattern=pattern):
                limits |= {"min_length": low, "max_length": high}
                if isinstance(pattern, str):
                    # In Python `$` also matches before a trailing line feed; in pydantic's patterns it does not.
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
                raise TypeError(f"no msgspec limit is known for {constraint}")
    return {name: limit for name, limit in limits.items() if limit is not None}


CLOSED: Mapping[str, type[msgspec.Struct]] = {kind: _struct(model, closed=True) for kind, model in PAYLOADS.items()}
"""By activity type: unknown keys are refused."""
OPEN: Mapping[str, type[msgspec.Struct]] = {kind: _struct(model, closed=False) for kind, model in PAYLOADS.items()}
"""By activity type: unknown keys are dropped."""
