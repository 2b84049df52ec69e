"""What a mapping file must hold beyond its shape: the keys of the contract, and sections that fit each other."""

from collections.abc import Iterator, Mapping
from re import fullmatch
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from scorer.domain.activity import PAYLOADS
from scorer.rules.catalogue import SLIP, suggestion
from scorer.rules.finding import Finding
from scorer.rules.yaml_source import Document, Path
from scorer.sources.fast_payload import CLOSED
from scorer.sources.mapping.language import ActivitySection, KindSection, MappingFile, ValueSection
from scorer.sources.mapping.payload import base_type
from scorer.sources.tick import TICK_TYPE

_CUSTOM: Final = "custom"
_FACT: Final = r"[a-z][a-z0-9_]{0,63}"
_MOST_FACTS: Final = 64


def check_mapping(file: MappingFile, document: Document) -> list[Finding]:
    """The mistakes in a mapping file that its model accepts."""
    return [
        Finding(document.position(path, of_value=of_value), code, message)
        for path, of_value, code, message in _mistakes(file)
    ]


def doubtful_types(file: MappingFile, document: Document) -> list[Finding]:
    """A warning for each custom type that looks like a built-in one with a slip."""
    return [
        Finding(
            document.position((*path, "type"), of_value=True),
            "mistyped-type",
            f"`{section.type}` is a custom activity type{hint}",
            "warning",
        )
        for path, section in _activities(file)
        if isinstance(section.type, str) and section.type not in PAYLOADS
        if (hint := suggestion(section.type, tuple(PAYLOADS), SLIP))
    ]


_Mistake = tuple[Path, bool, str, str]
"""The path, whether its value is meant, the code and the message."""


def _mistakes(file: MappingFile) -> Iterator[_Mistake]:
    yield from _of_format(file)
    names: dict[str, int] = {"otherwise": -1}
    unconditional: KindSection | None = None
    for index, kind in enumerate(file.kinds):
        path: Path = ("kinds", index)
        if kind.name in names:
            yield (*path, "name"), True, "duplicate-id", f"the kind `{kind.name}` is already defined"
        names[kind.name] = index
        if unconditional is not None:
            message = f"`{unconditional.name}` has no condition, so no event ever is of the kinds after it"
            yield path, False, "unreachable-rule", message
            unconditional = None
        if not (kind.when or kind.present or kind.if_):
            unconditional = kind
    for path, section in _activities(file):
        yield from _of_activity(section, path)


def _activities(file: MappingFile) -> Iterator[tuple[Path, KindSection | ActivitySection]]:
    """The sections that make activities, with their paths."""
    kinds: list[tuple[Path, KindSection]] = [(("kinds", index), kind) for index, kind in enumerate(file.kinds)]
    if file.otherwise is not None:
        kinds.append((("otherwise",), file.otherwise))
    for path, kind in kinds:
        yield path, kind
        for index, further in enumerate(kind.also):
            yield (*path, "also", index), further


def _of_format(file: MappingFile) -> Iterator[_Mistake]:
    written = file.model_fields_set
    if "columns" in written and file.format not in ("tsv", "tsv_or_json", "csv"):
        yield ("columns",), False, "bad-value", f"`columns` has no meaning for the format {file.format}"
    if "separator" in written and file.format != "csv":
        yield ("separator",), False, "bad-value", f"`separator` has no meaning for the format {file.format}"
    if file.unfold is not None and file.unfold_by_key:
        yield ("unfold_by_key",), False, "bad-value", "write either `unfold` or `unfold_by_key`"
    seen: set[str] = set()
    for index, name in enumerate(file.columns or ()):
        if name in seen:
            yield ("columns", index), True, "duplicate-key", f"the column `{name}` is named twice"
        seen.add(name)


def _of_activity(section: KindSection | ActivitySection, path: Path) -> Iterator[_Mistake]:
    kind = section.type
    if kind == TICK_TYPE:
        yield (*path, "type"), True, "bad-value", f"`{TICK_TYPE}` is of the service itself, and no activity of a lead"
    payload = PAYLOADS.get(kind) if isinstance(kind, str) else None
    if payload is None or not isinstance(kind, str):
        return
    at: Path = (*path, "data")
    if isinstance(section.data, str):
        yield at, True, "bad-value", f"`{kind}` has keys of its own; write one path for each of them"
        return
    yield from _of_keys(section.data, payload, kind, at)
    for field in msgspec.structs.fields(CLOSED[kind]):
        if field.required and field.name not in section.data:
            where = at if section.data else (*path, "type")
            yield where, False, "missing-key", f"`{kind}` needs `{field.name}` in its data"


def _of_keys(data: Mapping[str, Any], payload: type[BaseModel], kind: str, at: Path) -> Iterator[_Mistake]:
    accepted = {field.name: field.type for field in msgspec.structs.fields(CLOSED[kind])}
    for key, entry in data.items():
        path = (*at, key)
        field = payload.model_fields.get(key)
        if field is None:
            yield path, False, "unknown-key", f"`{kind}` has no `{key}`{suggestion(key, tuple(payload.model_fields))}"
            continue
        model = base_type(field.annotation)
        inner = model if isinstance(model, type) and issubclass(model, BaseModel) else None
        is_object = key == _CUSTOM or inner is not None
        if is_object is isinstance(entry, ValueSection):
            wanted = "an object; write its keys, each with a path" if is_object else "one value; write one path"
            yield path, False, "bad-value", f"`{key}` of `{kind}` is {wanted}"
        elif isinstance(entry, ValueSection):
            if entry.path is None and not _is_accepted(entry.value, accepted[key]):
                yield (*path, "value"), True, "bad-value", f"`{key}` of `{kind}` cannot have this value"
        elif inner is not None:
            for name in entry:
                if name not in inner.model_fields:
                    hint = suggestion(name, tuple(inner.model_fields))
                    yield (*path, name), False, "unknown-key", f"`{key}` has no `{name}`{hint}"
        else:
            yield from _of_facts(entry, path)


def _of_facts(facts: Mapping[str, ValueSection], path: Path) -> Iterator[_Mistake]:
    if len(facts) > _MOST_FACTS:
        yield path, False, "too-large", f"more than the {_MOST_FACTS} custom facts that an activity can have"
    for name in facts:
        if fullmatch(_FACT, name) is None:
            message = (
                f"`{name}` is no name of a custom fact; use lower-case letters, digits and _, and begin with a letter"
            )
            yield (*path, name), False, "bad-key", message


def _is_accepted(value: object, accepted: Any) -> bool:
    try:
        msgspec.convert(value, accepted)
    except msgspec.ValidationError:
        return False
    return True
