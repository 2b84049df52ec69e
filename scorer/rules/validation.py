"""A YAML document as a model. A finding says what does not fit, where, and what the author probably meant."""

from collections.abc import Callable, Mapping
from re import findall

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scorer.rules.catalogue import suggestion
from scorer.rules.finding import Finding, RulesetError
from scorer.rules.language import (
    PATTERNS,
    ActionSection,
    CalendarSection,
    CategorySection,
    CriterionSection,
    EscalationSection,
    FieldSection,
    FitGrades,
    GradesSection,
    LifecycleSection,
    MisplacedKeyError,
    PhasesSection,
    PublishSection,
    RatingsSection,
    RescoreSection,
    RetentionSection,
    RoutingRuleSection,
    RuleSection,
    RulesetFile,
    SignalSection,
    TargetsSection,
)
from scorer.rules.yaml_source import Document, Path

_SECTIONS: Mapping[Path, type[BaseModel]] = {
    (): RulesetFile,
    ("ratings",): RatingsSection,
    ("grades",): GradesSection,
    ("grades", "fit"): FitGrades,
    ("publish",): PublishSection,
    ("rescore",): RescoreSection,
    ("retention",): RetentionSection,
    ("calendar",): CalendarSection,
    ("fields", "*"): FieldSection,
    ("signals", "*"): SignalSection,
    ("scoring", "*"): CriterionSection,
    ("scoring", "*", "rules", "*"): RuleSection,
    ("routing", "*"): RoutingRuleSection,
    ("lifecycle",): LifecycleSection,
    ("lifecycle", "phases"): PhasesSection,
    ("lifecycle", "categories", "*"): CategorySection,
    ("lifecycle", "actions", "*"): ActionSection,
    ("targets",): TargetsSection,
    ("routing", "*", "escalate", "*"): EscalationSection,
}
_DURATIONS = ("half_life", "window", "respond_within", "tolerance", "inactive", "after_erasure", "after")


def rule_file(document: Document) -> RulesetFile:
    """The document as a rule file. Raises `RulesetError`."""
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        message = "a rule file is a mapping of sections: ruleset, ratings, signals, scoring, routing …"
        raise RulesetError([Finding(document.position(()), "bad-file", message)])
    try:
        return RulesetFile.model_validate(data)
    except ValidationError as error:
        raise RulesetError(findings_of(document, error, lambda path: _SECTIONS.get(_generic(path)))) from error


ModelAt = Callable[[Path], type[BaseModel] | None]
"""The model of what is at a path of a file; None if it is not one of a single model."""


def by_generic_path(models: Mapping[Path, type[BaseModel]]) -> ModelAt:
    """The models by their paths, in which `*` stands for any place in a list."""
    return lambda path: models.get(tuple("*" if isinstance(part, int) else part for part in path))


def findings_of(document: Document, error: ValidationError, model_at: ModelAt) -> list[Finding]:
    """The errors of pydantic as findings with positions. With the model of a section, the finding about an unknown key
    can suggest a known one. A step in brackets, such as `[key]` or the tag of a union, is no step of the document."""
    return [_finding(document, details, model_at) for details in error.errors()]


def _finding(document: Document, error: ErrorDetails, model_at: ModelAt) -> Finding:
    path = _written(document, error["loc"])
    of_key = error["loc"][-1:] == ("[key]",)
    match error["type"]:
        case "extra_forbidden":
            model = model_at(path[:-1])
            hint = suggestion(str(path[-1]), _keys(model)) if model else ""
            if error["input"] is None and " " in str(path[-1]):
                # {reason: polite, but wants no calls}: YAML reads the text after the comma as a key without a value.
                hint = "; text with a comma needs quotes"
            return Finding(document.position(path), "unknown-key", f"unknown key `{path[-1]}`{hint}")
        case "missing":
            parent = document.position(path[:-1])
            return Finding(parent, "missing-key", f"`{path[-1]}` is missing")
        case "value_error":
            mistake = error["ctx"]["error"]
            if isinstance(mistake, MisplacedKeyError):
                return Finding(document.position((*path, mistake.key)), "bad-value", str(mistake))
            return Finding(document.position(path, of_value=True), "bad-value", str(mistake))
    name = next((part for part in reversed(path) if isinstance(part, str)), "file")
    if name in _DURATIONS and error["type"] == "string_type":
        message = f"`{name}` must be a duration: a number and one of s, m, h, d, w, y, as in 14d"
        return Finding(document.position(path, of_value=error["input"] is not None), "wrong-type", message)
    if error["type"] == "too_short":
        return Finding(document.position(path, of_value=True), "wrong-type", f"`{name}` must not be empty")
    if error["type"] == "too_long" and isinstance(error["input"], list):
        message = f"`{name}` can have at most {error['ctx']['max_length']} entries, not {len(error['input'])}"
        return Finding(document.position(path), "bad-value", message)
    value = error["input"]
    shown = f", not {_shown(value)}" if isinstance(value, (str, int, float)) else ""
    # YAML places an empty value at the start of the next line, so the finding points to the key.
    position = document.position(path, of_value=not of_key and value is not None)
    code = "bad-key" if of_key else "wrong-type"
    if error["type"] in ("enum", "literal_error") and isinstance(value, str):
        # Among a few words, less similarity is enough: `some` for `sum`.
        shown += suggestion(value, _choices(error), cutoff=0.5)
        code = "bad-key" if of_key else "bad-value"
    return Finding(position, code, f"`{name}` {_expected(error)}{shown}")


def _written(document: Document, location: tuple[str | int, ...]) -> Path:
    """The steps of the document: without tags, and without the place in a list where one entry is written alone."""
    path = tuple(part for part in location if not _is_tag(part))
    if path in document.keys or path in document.values:
        return path
    here = document.data
    alone: Path = ()
    for part in path:
        if isinstance(part, int) and isinstance(here, dict):
            continue
        alone = (*alone, part)
        here = here[part] if _has(here, part) else None
    return alone


def _has(here: object, part: str | int) -> bool:
    return part in here if isinstance(here, dict) else isinstance(here, list) and part in range(len(here))


def _is_tag(part: str | int) -> bool:
    return isinstance(part, str) and part.startswith("[") and part.endswith("]")


def _keys(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _expected(error: ErrorDetails) -> str:
    """The expected value, in the terms of YAML."""
    match error["type"]:
        case "dict_type" | "model_type" | "model_attributes_type":
            return "must be a mapping, as in {field: value}"
        case "list_type":
            return "must be a list, as in [a, b]"
        case "bool_type" | "bool_parsing":
            return "must be a boolean; write true or false"
        case "string_pattern_mismatch" if words := PATTERNS.get(error["ctx"]["pattern"]):
            return f"must be {words}"
    expected = error["msg"].replace("Input should be", "must be").replace("String should", "must")
    return expected[0].lower() + expected[1:]


def _choices(error: ErrorDetails) -> tuple[str, ...]:
    # pydantic lists them only in a sentence: 'a', 'b' or 'c'.
    return tuple(findall(r"'([^']*)'", error["ctx"]["expected"]))


def _generic(path: Path) -> Path:
    # Authors choose the names on the second level of these sections; lists have numbers.
    named = ("fields", "signals", "scoring")
    return tuple(
        "*"
        if isinstance(part, int) or (depth == 1 and path[0] in named) or path[:depth] == ("lifecycle", "actions")
        else part
        for depth, part in enumerate(path)
    )


def _shown(value: str | int | float) -> str:
    # Quotes, because the mistake can be the difference between 15 and "15".
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
