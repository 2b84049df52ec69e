"""A YAML document as a model: what does not fit, in words, with its position and what was probably meant."""

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scorer.rules.catalogue import suggestion
from scorer.rules.finding import Finding, RulesetError
from scorer.rules.language import (
    CriterionSection,
    FieldSection,
    FitGrades,
    GradesSection,
    PublishSection,
    RatingsSection,
    RescoreSection,
    RoutingRuleSection,
    RuleSection,
    RulesetFile,
    SignalSection,
)
from scorer.rules.yaml_source import Document, Path

_SECTIONS: Mapping[Path, type[BaseModel]] = {
    (): RulesetFile,
    ("ratings",): RatingsSection,
    ("grades",): GradesSection,
    ("grades", "fit"): FitGrades,
    ("publish",): PublishSection,
    ("rescore",): RescoreSection,
    ("fields", "*"): FieldSection,
    ("signals", "*"): SignalSection,
    ("scoring", "*"): CriterionSection,
    ("scoring", "*", "rules", "*"): RuleSection,
    ("routing", "*"): RoutingRuleSection,
}


def rule_file(document: Document) -> RulesetFile:
    """The document as a rule file. Raises `RulesetError`."""
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        message = "a rule file is a mapping of sections: ruleset, ratings, signals, scoring, routing …"
        raise RulesetError([Finding(document.position(()), "bad-file", message)])
    try:
        return RulesetFile.model_validate(data)
    except ValidationError as error:
        raise RulesetError(findings_of(document, error, _SECTIONS)) from error


def findings_of(document: Document, error: ValidationError, sections: Mapping[Path, type[BaseModel]]) -> list[Finding]:
    """What pydantic found, in words and with positions. `sections` names the model at each generic path, so that
    an unknown key can be answered with the one that was meant."""
    return [_finding(document, each, sections) for each in error.errors()]


def _finding(document: Document, error: ErrorDetails, sections: Mapping[Path, type[BaseModel]]) -> Finding:
    path = tuple(part for part in error["loc"] if part != "[key]")
    of_key = len(path) < len(error["loc"])
    match error["type"]:
        case "extra_forbidden":
            model = sections.get(_generic(path[:-1]))
            hint = suggestion(str(path[-1]), tuple(model.model_fields)) if model else ""
            return Finding(document.position(path), "unknown-key", f"unknown key `{path[-1]}`{hint}")
        case "missing":
            parent = document.position(path[:-1])
            return Finding(parent, "missing-key", f"`{path[-1]}` is missing")
        case "value_error":
            return Finding(document.position(path, of_value=True), "bad-value", str(error["ctx"]["error"]))
    name = next((part for part in reversed(path) if isinstance(part, str)), "file")
    if name in ("half_life", "window", "respond_within") and error["type"] == "string_type":
        message = f"`{name}` must be a duration: a number and one of s, m, h, d, w, as in 14d"
        return Finding(document.position(path, of_value=True), "wrong-type", message)
    if error["type"] == "too_short":
        return Finding(document.position(path, of_value=True), "wrong-type", f"`{name}` must not be empty")
    expected = error["msg"].replace("Input should be", "must be").replace("String should", "must")
    expected = expected[0].lower() + expected[1:]
    found = error["input"]
    shown = f", not {_shown(found)}" if isinstance(found, (str, int, float)) else ""
    position = document.position(path, of_value=not of_key)
    return Finding(position, "bad-key" if of_key else "wrong-type", f"`{name}` {expected}{shown}")


def _generic(path: Path) -> Path:
    # The second level of these sections is named by people, and lists are numbered.
    named = ("fields", "signals", "scoring")
    return tuple(
        "*" if isinstance(part, int) or (depth == 1 and path[0] in named) else part for depth, part in enumerate(path)
    )


def _shown(value: str | int | float) -> str:
    # Text in quotes: the difference between 15 and "15" is the mistake.
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
