"""The largest values that the contract of activities lets anybody state, in a state and in a decision."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, TypeAdapter

from scorer.domain.activity import (
    NAMES_BYTES,
    AssessmentRecorded,
    Name,
    Names,
    ProfileUpdated,
    QualificationUpdated,
    Text,
)
from scorer.domain.consent import CHANNELS, other
from scorer.domain.enrichment import COMPANY_PROFILE, LONGEST_MARK
from scorer.domain.lifecycle import TIMES_RETURNED
from scorer.domain.statements import FIRST_LEAD_SOURCE, MILESTONES, RETURN_REASON, VALUE
from scorer.evaluation.evidence import EVIDENCE_BYTES
from scorer.rules.catalogue import LEAD_FIELDS, Catalogue
from scorer.rules.field_type import FieldType

_UTF8: Final = 4
"""The most bytes of a character in UTF-8."""
_ESCAPED: Final = 6
"""The most bytes of a character in JSON."""
_PATTERN_LENGTHS: Final = {"^[A-Z]{2}$": 2}
"""The length of texts whose pattern is their only bound."""


class LargestValue(NamedTuple):
    """The size of the largest value of a field, in bytes: as msgpack in a state, and as JSON in the evidence of a
    decision."""

    state: int
    evidence: int


NUMBER: Final = LargestValue(9, len("-1.7976931348623157e+308"))


def text_size(length: int) -> int:
    """The bytes of a text with `length` bytes of UTF-8 in msgpack. `length` is at most 65,535."""
    return length + (1 if length < 32 else 2 if length < 256 else 3)


@cache
def custom_value(type_: FieldType) -> LargestValue:
    """The largest value of an own field of this type. A value of another type is not kept."""
    match type_:
        case FieldType.INTEGER | FieldType.NUMBER:
            # A whole float is an integer too.
            return NUMBER
        case FieldType.BOOLEAN:
            return _of({"type": "boolean"})
        case FieldType.STRING:
            return _of(TypeAdapter[Any](Text).json_schema())
        case FieldType.STRINGS:
            return _of(TypeAdapter[Any](Names).json_schema())


def own_values(catalogues: Iterable[Catalogue]) -> Mapping[str, LargestValue]:
    """The largest value of each own field of rulesets that judge the same leads. Where they declare different types for
    a name, values of each of them are kept."""
    values: dict[str, LargestValue] = {}
    for catalogue in catalogues:
        for name, field in catalogue.items():
            value = custom_value(field.type)
            known = values.get(name, value)
            values[name] = LargestValue(max(value.state, known.state), max(value.evidence, known.evidence))
    return values


@cache
def built_in_values() -> Mapping[str, LargestValue]:
    """The largest value of each fact that a lead can have without own fields of a ruleset, by the name of the fact."""
    name = _of(TypeAdapter[Any](Name).json_schema())
    values = dict(_values_of_models())
    for channel in CHANNELS:
        values[channel] = values[other(channel)] = _choices(LEAD_FIELDS[channel].choices)
    values["lifecycle.status"] = _choices(LEAD_FIELDS["lifecycle.status"].choices)
    values |= {"lifecycle.stage": name, "lifecycle.merged_into": name, FIRST_LEAD_SOURCE: values["profile.lead_source"]}
    values[RETURN_REASON] = _of(TypeAdapter[Any](Text).json_schema())
    values |= {VALUE: NUMBER, TIMES_RETURNED: _of({"type": "integer"})}
    values[COMPANY_PROFILE] = LargestValue(text_size(LONGEST_MARK), LONGEST_MARK + 2)
    return values | {f"at.{milestone}": _of({"type": "boolean"}) for milestone in MILESTONES}


def _values_of_models() -> Iterator[tuple[str, LargestValue]]:
    sections: Mapping[str, type[BaseModel]] = {
        "profile.": ProfileUpdated,
        "bant.": QualificationUpdated.Bant,
        "competition.": QualificationUpdated.Competition,
        "project.": QualificationUpdated.Project,
        "assessment.": AssessmentRecorded,
    }
    for prefix, model in sections.items():
        for key, schema in model.model_json_schema()["properties"].items():
            if key != "custom":
                yield f"{prefix}{key}", _of(schema)


def _of(schema: Mapping[str, Any]) -> LargestValue:
    """The largest value that a JSON Schema of the contract allows. Raises `ValueError` for one without a bound."""
    if "anyOf" in schema:
        states, evidence = zip(*map(_of, schema["anyOf"]), strict=True)
        return LargestValue(max(states), max(evidence))
    match schema:
        case {"type": "null"}:
            return LargestValue(1, 0)
        case {"type": "boolean"}:
            return LargestValue(1, len("false"))
        case {"type": "integer"}:
            return LargestValue(9, len(str(-(2**63))))
        case {"type": "number"}:
            return NUMBER
        case {"type": "string", "enum": choices}:
            return _choices(choices)
        case {"type": "string", "maxLength": length}:
            return LargestValue(text_size(_UTF8 * length), min(EVIDENCE_BYTES, _ESCAPED * length + 2))
        case {"type": "string", "pattern": pattern} if pattern in _PATTERN_LENGTHS:
            return LargestValue(text_size(_PATTERN_LENGTHS[pattern]), _PATTERN_LENGTHS[pattern] + 2)
        case {"type": "array", "maxItems": number, "items": {"maxLength": length}}:
            together = min(NAMES_BYTES, number * _UTF8 * length)
            heads = number * (text_size(_UTF8 * length) - _UTF8 * length)
            return LargestValue(3 + heads + together, EVIDENCE_BYTES)
    raise ValueError(f"the contract has no bound for {schema}")


def _choices(choices: tuple[str, ...]) -> LargestValue:
    length = max(map(len, choices))
    return LargestValue(text_size(length), length + 2)
