"""JSON Schemas of the contracts, generated from the models. `scorer schema` prints them, `schemas/` stores them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from scorer.domain.activity import PAYLOADS, TYPE_PATTERN, Envelope, ProfileUpdated
from scorer.domain.decision import RoutingDecision
from scorer.domain.enrichment import COMPANY_KEYS
from scorer.explain.story_model import Story
from scorer.figures.report_model import Report
from scorer.rules.catalogue import LEAD_FIELDS, Field
from scorer.rules.condition import OPERATORS, FieldType, Op
from scorer.rules.language import CONDITION_MARK, RulesetFile
from scorer.rules.routing_facts import COMMON, routing_catalogue
from scorer.ruletests.run import RuleTestFile
from scorer.sources.company.job_titles import JobTitlesFile
from scorer.sources.mapping.language import MappingFile

Schema = dict[str, Any]
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def activity() -> Schema:
    """An activity: a CloudEvents 1.0 event in structured mode whose `data` depends on its type."""
    schema = _model(Envelope, "Lead activity")
    definitions: Schema = {}
    branches = []
    for name, payload in PAYLOADS.items():
        data = payload.model_json_schema(ref_template="#/$defs/{model}")
        definitions |= data.pop("$defs", {})
        definitions[payload.__name__] = data
        condition = {"properties": {"type": {"const": name}}, "required": ["type"]}
        branches.append({"if": condition, "then": {"properties": {"data": {"$ref": f"#/$defs/{payload.__name__}"}}}})
    schema["properties"]["type"]["pattern"] = TYPE_PATTERN
    schema["properties"]["type"]["examples"] = list(PAYLOADS)
    schema["properties"]["data"] = {"type": "object", "description": "The payload. Its content depends on `type`."}
    return {**schema, "allOf": branches, "$defs": definitions}


def decision() -> Schema:
    """A routing decision."""
    return _model(RoutingDecision, "Routing decision")


def tolerant_decision() -> Schema:
    """A routing decision of any version, for consumers that must outlive the next one. Other keys are allowed
    everywhere, lists of values are open, and only keys that every version has are required."""
    schema: Schema = _tolerant(decision())
    schema["description"] = tolerant_decision.__doc__
    return {**schema, "title": "Routing decision of any version"}


def company_profile() -> Schema:
    """What is known of a company: the value of a record whose key is the company key. Other keys are dropped."""
    schema = ProfileUpdated.model_json_schema()
    properties = {name: schema["properties"][name] for name in COMPANY_KEYS}
    return {
        "$schema": _DIALECT,
        "title": "Company profile",
        "description": company_profile.__doc__,
        "type": "object",
        "properties": properties,
    }


def dead_letter() -> Schema:
    """The headers of a dead letter. Its key and value are the original bytes, and it keeps the original headers."""
    texts = {
        "dlq-reason": "Short, stable code of the reason.",
        "dlq-detail": "What is wrong, in a sentence.",
        "dlq-topic": "Topic of the record.",
        "dlq-partition": "Partition of the record.",
        "dlq-offset": "Offset of the record.",
        "dlq-timestamp": "Timestamp of the record, in milliseconds since the epoch.",
    }
    optional = {
        "dlq-index": "Index in the array, from 0, if the record is a batch and the dead letter one event of it."
    }
    return {
        "$schema": _DIALECT,
        "title": "Dead letter headers",
        "description": dead_letter.__doc__,
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in (texts | optional).items()},
        "required": list(texts),
    }


def ruleset() -> Schema:
    """A rule file, for editors with YAML completion and validation."""
    schema: Schema = _with_conditions(_model(RulesetFile, "Lead scoring rules"))
    schema["$defs"] |= _conditions()
    return schema


def rule_tests() -> Schema:
    """A file of rule tests."""
    return _model(RuleTestFile, "Lead scoring rule tests")


def mapping() -> Schema:
    """A mapping file, `sources/*.yaml` beside the rules."""
    schema: Schema = _any_of(_model(MappingFile, "Mapping file"))
    # What a file extends has the rest.
    return {key: part for key, part in schema.items() if key != "required"}


def job_titles() -> Schema:
    """A table of job titles, `job_titles.yaml` beside the rules."""
    return _model(JobTitlesFile, "Job titles")


def story() -> Schema:
    """The output of `scorer explain --format json` and of `GET /leads/{id}`."""
    return _model(Story, "Story of a lead")


def report() -> Schema:
    """The output of `scorer report --format json`."""
    return _model(Report, "Key figures")


SCHEMAS: Mapping[str, Callable[[], Schema]] = {
    "activity": activity,
    "decision": decision,
    "decision-tolerant": tolerant_decision,
    "dead-letter": dead_letter,
    "company-profile": company_profile,
    "ruleset": ruleset,
    "rule-tests": rule_tests,
    "job-titles": job_titles,
    "mapping": mapping,
    "story": story,
    "report": report,
}


def _model(model: type, title: str) -> Schema:
    return {"$schema": _DIALECT, **TypeAdapter(model).json_schema(), "title": title}


def _any_of(schema: Any) -> Any:
    """The schema with alternatives of which several may fit. A constant such as {value: hard} also looks like an
    object with the key `value`."""
    if isinstance(schema, list):
        return [_any_of(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {"anyOf" if key == "oneOf" else key: _any_of(part) for key, part in schema.items()}


_CLOSING: Final = frozenset({"enum", "const", "pattern", "maximum"})
"""Keywords that a later version may have to break."""
_OPEN: Final = "Other values may come."


def _tolerant(schema: Any) -> Any:
    """The part of a generated schema without what a later version may have to break. Known values become examples."""
    if isinstance(schema, list):
        return [_tolerant(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in _CLOSING}
    for group in ("properties", "$defs"):
        if group in kept:
            kept[group] = {name: _tolerant(part) for name, part in kept[group].items()}
    for key in ("items", "anyOf"):
        if key in kept:
            kept[key] = _tolerant(kept[key])
    others = kept.get("additionalProperties")
    # Either no other key is allowed, or the values are evidence, which is for people and may become anything.
    if others is False or (others is not None and "anyOf" in others):
        del kept["additionalProperties"]
    if "enum" in schema:
        kept["examples"] = schema["enum"]
    if not _CLOSING.isdisjoint(schema):
        kept["description"] = f"{schema.get('description', '')} {_OPEN}".strip()
    return kept


def _with_conditions(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_with_conditions(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get(CONDITION_MARK):
        kept = {key: value for key, value in schema.items() if key in ("description", "default")}
        return {"$ref": "#/$defs/Condition", **kept}
    return {key: _with_conditions(value) for key, value in schema.items()}


def _conditions() -> Schema:
    condition = {"$ref": "#/$defs/Condition"}
    fields = {**LEAD_FIELDS, **routing_catalogue(COMMON)}
    return {
        "Condition": {
            "type": "object",
            "minProperties": 1,
            "description": "All fields of a mapping must match (AND). `all`, `any` and `not` combine conditions.",
            "properties": {
                "all": {"type": "array", "minItems": 1, "items": condition, "description": "All conditions hold."},
                "any": {
                    "type": "array",
                    "minItems": 1,
                    "items": condition,
                    "description": "At least one condition holds.",
                },
                "not": {**condition, "description": "The condition does not hold."},
                **{name: _comparison(field) for name, field in fields.items()},
            },
            # `scorer check` checks the ruleset's own fields, payload keys in `where`, and computed facts.
            "additionalProperties": {"type": ["string", "number", "boolean", "object"]},
        }
    }


def _comparison(field: Field) -> Schema:
    constant: Schema = {"type": "string"} if field.type is FieldType.STRINGS else {"type": field.type.value}
    if field.choices:
        constant["enum"] = list(field.choices)
    operators: Schema = {}
    for operator in Op:
        if operator not in OPERATORS[field.type]:
            continue
        match operator:
            case Op.EXISTS:
                operators[operator.value] = {"type": "boolean"}
            case Op.IN | Op.NOT_IN:
                operators[operator.value] = {"type": "array", "items": constant}
            case Op.BETWEEN:
                operators[operator.value] = {"type": "array", "items": constant, "minItems": 2, "maxItems": 2}
            case Op.STARTS_WITH | Op.ENDS_WITH | Op.CONTAINS | Op.MATCHES:
                operators[operator.value] = {"type": "string"}
            case _:
                operators[operator.value] = constant
    alternatives = [{"type": "object", "minProperties": 1, "properties": operators, "additionalProperties": False}]
    if Op.EQ in OPERATORS[field.type]:
        alternatives.insert(0, constant)
    return {"description": field.description, "anyOf": alternatives}
