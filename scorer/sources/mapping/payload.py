"""The data of an activity, made of the values of an event."""

from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NamedTuple, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel

from scorer.domain.activity import DECISIVE, PAYLOADS
from scorer.sources.company.converter import Converter, Unfit
from scorer.sources.fast_payload import CLOSED
from scorer.sources.fitting import fitted
from scorer.sources.mapping.converters import text
from scorer.sources.mapping.expression import Getter, along, getter, names_in
from scorer.sources.mapping.language import ValueSection
from scorer.sources.mapping.names import as_name
from scorer.sources.rejected import Rejected
from scorer.sources.source import Dropped

Event = Mapping[str, Any]
Data = dict[str, Any]
Maker = Callable[[Event, list[Dropped]], Data]
"""The data of an event. The keys that it leaves out are added to the list. Raises `Rejected`."""

_convert: Final = msgspec.convert
_BY_TYPE: Final[Mapping[type, str]] = {bool: "boolean", int: "whole_number", float: "number", list: "texts"}


class _Step(NamedTuple):
    """How a key gets its value. `holder`: the object with the key whose null or empty text withdraws what is known;
    None if it says nothing."""

    key: str
    get: Getter
    convert: Converter
    holder: tuple[Getter, str] | None


def data_maker(kind: str | None, section: str | Mapping[str, Any], converters: Mapping[str, Converter]) -> Maker:
    """The maker of the data of an activity. `kind`: its type; None if each event names one, which is a custom one."""
    if isinstance(section, str):
        return _whole(getter(section))
    payload = None if kind is None else PAYLOADS.get(kind)
    make = _object(section, payload, converters, "")
    if payload is None or kind is None:
        return make
    built_in, accepted, decisive = kind, CLOSED[kind], DECISIVE.get(kind, frozenset())

    def checked(event: Event, dropped: list[Dropped]) -> Data:
        before = len(dropped)
        data = make(event, dropped)
        if decisive and (lost := decisive.intersection(key for key, _ in dropped[before:])):
            raise Rejected("invalid_data", f"{built_in}: data.{min(lost)} is decisive and does not fit")
        try:
            # A tenth of the time of `fitted`, which is asked only if something does not fit.
            _convert(data, accepted)
        except msgspec.ValidationError:
            return _cut_down(built_in, data, dropped, before)
        return data

    return checked


def _cut_down(kind: str, data: Data, dropped: list[Dropped], before: int) -> Data:
    """The data without what does not fit. `before`: from this place on, the list has what this activity lost."""
    lost = {key for key, _ in dropped[before:]}
    fitting, drops = fitted(kind, data)
    for drop in drops:
        key = f"{drop.section}.{drop.key}" if drop.section else drop.key
        # What could not be converted is missing, too, and is told already.
        if key not in lost:
            dropped.append(Dropped(key, drop.reason))
    return dict(fitting)


def base_type(annotation: Any) -> Any:
    """The type in the annotation of a key of a payload, without its limits and without None."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return base_type(arguments[0])
    if origin in (Union, UnionType):
        return base_type(next(branch for branch in arguments if branch is not NoneType))
    return origin or annotation


def _whole(get: Getter) -> Maker:
    """An object as it is, or one made of a list of `{name: …, value: …}`, without its nulls."""

    def whole(event: Event, dropped: list[Dropped]) -> Data:
        try:
            found = get(event)
        except Unfit as unfit:
            dropped.append(Dropped("data", unfit.reason))
            return {}
        if isinstance(found, list):
            found = _by_name(found, dropped)
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if value is not None}
        if found is not None:
            dropped.append(Dropped("data", "wrong_type"))
        return {}

    return whole


def _by_name(items: list[Any], dropped: list[Dropped]) -> Data:
    named = [
        (as_name(item["name"]), item.get("value"))
        for item in items
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    ]
    if len(named) < len(items):
        dropped.append(Dropped("data", "wrong_type"))
    return {name: value for name, value in named if name}


def _object(
    section: Mapping[str, Any], payload: type[BaseModel] | None, converters: Mapping[str, Converter], prefix: str
) -> Maker:
    """The maker of an object. `payload`: its model; None if it may have any key. `prefix`: of its keys in what was
    dropped."""
    steps: list[_Step] = []
    constants: Data = {}
    inner: list[tuple[str, Maker]] = []
    for key, entry in section.items():
        if not isinstance(entry, ValueSection):
            model = None if payload is None else base_type(payload.model_fields[key].annotation)
            nested = model if isinstance(model, type) and issubclass(model, BaseModel) else None
            inner.append((key, _object(entry, nested, converters, f"{key}.")))
        elif entry.path is None:
            constants[key] = entry.value
        else:
            steps.append(_step(key, entry, converters[entry.as_ or _usual(key, payload, prefix)]))

    def make(event: Event, dropped: list[Dropped]) -> Data:
        data = constants.copy()
        for key, get, convert, holder in steps:
            try:
                value = convert(get(event))
            except Unfit as unfit:
                dropped.append(Dropped(prefix + key, unfit.reason))
                continue
            if value is not None:
                data[key] = value
            elif holder is not None and _is_emptied(holder, event):
                data[key] = None
        for key, of_inner in inner:
            if nested := of_inner(event, dropped):
                data[key] = nested
        return data

    return make


def _usual(key: str, payload: type[BaseModel] | None, prefix: str) -> str:
    """The name of the conversion where none is written."""
    if payload is not None:
        return _BY_TYPE.get(base_type(payload.model_fields[key].annotation), "text")
    return "fact" if prefix == "custom." else "text"


def _step(key: str, entry: ValueSection, convert: Converter) -> _Step:
    path = entry.path or ""
    if entry.values is not None:
        convert = _one_of({str(name): value for name, value in entry.values.items()})
    if entry.prefix:
        convert = _prefixed(entry.prefix, convert)
    holder = None
    if entry.empty is not None:
        names = names_in(path) or ()
        holder = along(names[:-1]), names[-1]
    return _Step(key, getter(path), convert, holder)


def _one_of(values: Mapping[str, Any]) -> Converter:
    def one_of(value: object) -> object | None:
        written = text(value)
        if written is None:
            return None
        if written not in values:
            raise Unfit("not_a_choice")
        found: object = values[written]
        return found

    return one_of


def _prefixed(prefix: str, convert: Converter) -> Converter:
    def prefixed(value: object) -> object | None:
        found = text(convert(value))
        return None if found is None else prefix + found

    return prefixed


def _is_emptied(holder: tuple[Getter, str], event: Event) -> bool:
    of_holder, name = holder
    found = of_holder(event)
    return isinstance(found, dict) and name in found
