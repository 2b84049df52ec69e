"""A mapping file: what it can contain. `scorer.sources.mapping.compiled` says what it does."""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
    model_validator,
)

from scorer.domain.activity import TYPE_PATTERN
from scorer.rules.language import Id, MisplacedKeyError, Section, ZoneName
from scorer.sources.attributes import CONTROL
from scorer.sources.company.converter import Unfit
from scorer.sources.mapping.converters import text
from scorer.sources.mapping.expression import check_expression, check_plain
from scorer.sources.mapping.time_format import check_time_format

MAX_COLUMNS = 1_000
_INT64: Final = 1 << 63
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_VALUE, _OBJECT, _NAME, _SECTION = "[value]", "[object]", "[name]", "[section]"
"""Branches of unions. They are steps of the path of an error, but not of the file."""


def _as_path(written: object) -> object:
    return {"path": written} if isinstance(written, str) else written


def _as_list(written: object) -> object:
    return written if isinstance(written, list) else [written]


def _expression(text: str) -> str:
    check_expression(text)
    return text


def _plain(text: str) -> str:
    check_plain(text)
    return text


def _time_format(text: str) -> str:
    check_time_format(text)
    return text


def _prefix(text: str) -> str:
    if CONTROL.search(text) is not None:
        raise ValueError("expected text without control characters")
    return text


def _scalar(written: object) -> object:
    if not isinstance(written, str | int | float):
        raise ValueError("expected text, a number, true or false")
    if isinstance(written, float) and not isfinite(written):
        raise ValueError("expected a number that is finite")
    if isinstance(written, int) and not -_INT64 <= written < _INT64:
        raise ValueError("expected a number that fits in 64 bits; write a longer one as text")
    if isinstance(written, str) and _SURROGATE.search(written) is not None:
        raise ValueError("expected text without half a surrogate pair")
    return written


def _wanted(written: object) -> object:
    try:
        text(written)
    except Unfit:
        raise ValueError("expected a number with all its digits; write a longer one as text") from None
    return written


Scalar = Annotated[Any, AfterValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean"]})]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=1_000), AfterValidator(_expression)]
"""JMESPath."""
PlainPath = Annotated[str, StringConstraints(min_length=1, max_length=1_000), AfterValidator(_plain)]
"""JMESPath that only names keys, such as `properties.plan` or `"smtp-id"`."""
ActivityType = Annotated[str, StringConstraints(pattern=TYPE_PATTERN, max_length=128)]
TypePrefix = Annotated[str, StringConstraints(pattern=r"^lead\.([a-z0-9_]+\.)+$", max_length=64)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
ShortText = Annotated[str, StringConstraints(max_length=64)]
Prefix = Annotated[ShortText, AfterValidator(_prefix)]
TimeFormat = Annotated[str, StringConstraints(max_length=64), AfterValidator(_time_format)]
"""As in `%d.%m.%Y %H:%M`: codes of `strptime`."""
Conversion = Literal[
    "text",
    "texts",
    "lower",
    "raw",
    "fact",
    "whole_number",
    "number",
    "boolean",
    "email",
    "email_domain",
    "email_kind",
    "country",
    "language",
    "employees",
    "revenue",
    "job_level",
    "department",
]


class LeadPath(Section):
    """A path to the id of the lead."""

    path: Expression
    as_: Literal["text", "lower", "email"] = Field("text", alias="as")
    prefix: Prefix = ""


class TimePath(Section):
    """A path to the time of the event. `unit`: what a number counts since 1970. `format`: how a text is written.
    `zone`: of a text that names none; UTC without it."""

    path: Expression
    unit: Literal["s", "ms", "us"] | None = None
    format: TimeFormat | None = None
    zone: ZoneName | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "TimePath":
        if self.unit is not None and self.format is not None:
            raise MisplacedKeyError("unit", "`unit` has no meaning beside `format`, which is about texts")
        return self


class TypeSection(Section):
    """A custom activity type from a text of the event."""

    path: Expression
    prefix: TypePrefix


class ValueSection(Section):
    """A value in the data of an activity: from a path, or a constant `value`."""

    path: Expression | None = None
    value: Scalar | None = None
    as_: Conversion | None = Field(None, alias="as")
    prefix: Prefix = ""
    values: dict[str | int, Scalar] | None = None
    empty: Literal["withdraws"] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "ValueSection":
        if self.value is not None:
            wrong = next((key for key in ("path", "as", "prefix", "values", "empty") if self._has(key)), None)
            if wrong is not None:
                raise MisplacedKeyError(wrong, f"`{wrong}` has no meaning beside `value`, which is a constant")
        elif self.path is None:
            raise ValueError("write a path, as in properties.plan, or a constant, as in {value: hard}")
        if self.values is not None and self.as_ is not None:
            raise MisplacedKeyError("as", "`as` has no meaning beside `values`, which says what each text becomes")
        if self.empty is not None and self.path is not None:
            try:
                check_plain(self.path)
            except ValueError as error:
                raise MisplacedKeyError("path", f"{error}; `empty` needs such a path") from None
        return self

    def _has(self, key: str) -> bool:
        return ("as_" if key == "as" else key) in self.model_fields_set


def _shape(written: object) -> str:
    """Whether an entry of `data` is a value or an object of values."""
    if not isinstance(written, Mapping):
        return _VALUE
    origin = written.get("path", written.get("value"))
    # `custom: {path: {path: page.path}}` is an object with the key `path`.
    return _OBJECT if origin is None or isinstance(origin, Mapping) else _VALUE


def _is_section(written: object) -> str:
    return _SECTION if isinstance(written, Mapping | Section) else _NAME


Value = Annotated[ValueSection, BeforeValidator(_as_path, json_schema_input_type=str | ValueSection)]
Entry = Annotated[
    Annotated[Value, Tag(_VALUE)] | Annotated[dict[str, Value], Tag(_OBJECT)],
    Discriminator(_shape),
]
Data = Annotated[
    Annotated[Expression, Tag(_NAME)] | Annotated[dict[str, Entry], Tag(_SECTION)], Discriminator(_is_section)
]
"""The data of an activity: its keys, or the path of an object that is the data of a custom type as it is."""
Type = Annotated[
    Annotated[ActivityType, Tag(_NAME)] | Annotated[TypeSection, Tag(_SECTION)], Discriminator(_is_section)
]
_Written = str | list[str]
"""How one path or several are written."""
Paths = Annotated[
    list[Expression],
    Field(min_length=1, max_length=16),
    BeforeValidator(_as_list, json_schema_input_type=_Written),
]
LeadPaths = Annotated[
    list[Annotated[LeadPath, BeforeValidator(_as_path)]],
    Field(min_length=1, max_length=16),
    BeforeValidator(_as_list, json_schema_input_type=str | LeadPath | list[str | LeadPath]),
]
TimePaths = Annotated[
    list[Annotated[TimePath, BeforeValidator(_as_path)]],
    Field(min_length=1, max_length=16),
    BeforeValidator(_as_list, json_schema_input_type=str | TimePath | list[str | TimePath]),
]
_Constant = str | int | float | bool
Wanted = Annotated[
    list[Annotated[Scalar, AfterValidator(_wanted)]],
    Field(min_length=1, max_length=1_000),
    BeforeValidator(_as_list, json_schema_input_type=_Constant | list[_Constant]),
]


class Conditions(Section):
    """When something applies: all that is written must hold."""

    when: dict[Expression, Wanted] = Field(default_factory=dict)
    present: Annotated[list[Expression], BeforeValidator(_as_list, json_schema_input_type=_Written)] = Field(
        default_factory=list
    )
    if_: Expression | None = Field(None, alias="if")

    @model_validator(mode="after")
    def _not_below_when(self) -> "Conditions":
        for key in ("present", "if"):
            if key in self.when:
                raise MisplacedKeyError("when", f'write `{key}` beside `when`, not in it; a field is named by "{key}"')
        return self


class ActivitySection(Conditions):
    """An activity that an event becomes."""

    type: Type
    data: Data = Field(default_factory=dict)
    lead: LeadPaths | None = None
    held: bool = False


class KindSection(Conditions):
    """A kind of event: when an event is one, and what it becomes."""

    name: Id
    each: Expression | None = None
    type: Type | None = None
    data: Data = Field(default_factory=dict)
    lead: LeadPaths | None = None
    id: Paths | None = None
    time: TimePaths | None = None
    held: bool = False
    also: Annotated[list[ActivitySection], Field(max_length=15)] = Field(default_factory=list)
    ignore: Text | None = None

    @model_validator(mode="after")
    def _activity_or_ignored(self) -> "KindSection":
        if self.ignore is None and self.type is None:
            raise ValueError("write the `type` of the activity, or `ignore` with the reason")
        if self.each is not None and self.also:
            raise MisplacedKeyError("also", "`also` has no meaning beside `each`, which makes an activity of each item")
        if self.ignore is not None:
            wrong = next(
                (
                    key
                    for key in ("each", "type", "data", "lead", "id", "time", "held", "also")
                    if key in self.model_fields_set
                ),
                None,
            )
            if wrong is not None:
                raise MisplacedKeyError(wrong, f"`{wrong}` has no meaning beside `ignore`")
        return self


class Otherwise(KindSection):
    """What an event of no kind becomes."""

    name: Id = "otherwise"

    @model_validator(mode="after")
    def _unconditional(self) -> "Otherwise":
        for key in ("when", "present", "if_"):
            if key in self.model_fields_set:
                raise MisplacedKeyError(key.removesuffix("_"), "`otherwise` takes what is left, so it has no condition")
        return self


class MappingFile(Section):
    """A mapping file."""

    description: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    extends: ShortText | None = None
    format: Literal["json", "tsv", "tsv_or_json", "csv", "form"] = "json"
    columns: Annotated[list[Annotated[str, StringConstraints(min_length=1)]], Field(max_length=MAX_COLUMNS)] | None = (
        None
    )
    separator: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
    json_text: Annotated[list[PlainPath], Field(max_length=16)] = Field(default_factory=list)
    unfold: Expression | None = None
    unfold_by_key: bool = False
    lead: LeadPaths
    id: Paths
    time: TimePaths
    kinds: Annotated[list[KindSection], Field(max_length=500)]
    otherwise: Otherwise | None = None
