"""Rule tests: given activities, expect a rating, a route, points. They stand beside the rules as `*_test.yaml`.

Each test is one lead. Its activities go through `assess`, as in production; what is expected is compared with the
lead as of its last activity, or of the time that the expectation names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from scorer.assessment import Evaluation, assess, evaluate
from scorer.domain.activity import PAYLOADS, TYPE_PREFIX, LeadActivity, validate_data
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.domain.score import Rating, Route
from scorer.explanation import contributions
from scorer.rules import duration
from scorer.rules.catalogue import Catalogue, suggestion
from scorer.rules.catalogue import Field as CatalogueField
from scorer.rules.condition import FieldType, known, predicate
from scorer.rules.finding import Finding, Position, RulesetError
from scorer.rules.parse_condition import parse_condition
from scorer.rules.ruleset import BEHAVIOUR, Ruleset
from scorer.rules.validation import findings_of
from scorer.rules.yaml_source import Document, Path, read

_CHOICES = {
    "rating": tuple(Rating),
    "route": tuple(Route),
    "grade": tuple(f"{letter}{figure}" for letter in "ABCD" for figure in range(1, 5)),
}

START = 20_454 * DAY + DAY * 9 // 24
"""When every test starts: Thursday 2026-01-01, 09:00 UTC, in microseconds since the epoch."""


def _offset(value: object) -> str:
    if value == 0 or not isinstance(value, str):
        if value == 0:
            return "0"
        raise ValueError("a time is a number and one of s, m, h, d, w, as in 14d, or 0")
    duration.parse(value)
    return value


Offset = Annotated[
    str,
    BeforeValidator(_offset),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": duration.PATTERN}, {"const": 0}]}),
]
"""Time since the start of the test."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class GivenActivity(_Part):
    """An activity of the lead. Its id, source and lead are filled in."""

    type: str = Field(description="Activity type: `page_viewed`, or in full for one of your own: `lead.my_type`.")
    after: Offset | None = Field(None, description="Time since the start of the test; left out: as the one before.")
    times: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="So many different activities of this kind.")
    data: dict[str, Any] = Field(default_factory=dict, description="The payload.")


class Expectation(_Part):
    """What must hold. A constant, or a mapping of the comparison operators of the rule language."""

    after: Offset | None = Field(None, description="Time since the start; left out: at the last activity.")
    rating: Any = None
    grade: Any = None
    route: Any = None
    queue: Any = None
    routing: Any = Field(None, description="Id of the routing rule.")
    score: Any = Field(None, description="All points.")
    fit: Any = Field(None, description="Points of the criteria.")
    engagement: Any = Field(None, description="Points of the signals.")
    criteria: dict[str, Any] = Field(default_factory=dict, description="Points by criterion.")
    contributions: dict[str, Any] = Field(default_factory=dict, description="Points by rule or signal id.")
    absent: list[str] = Field(default_factory=list, description="Rules and signals that must not contribute.")

    @model_validator(mode="after")
    def _expects_something(self) -> "Expectation":
        if not self.model_fields_set - {"after"}:
            raise ValueError("nothing is expected, so the test would always pass")
        return self


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _one_or_many(schema: dict[str, Any]) -> dict[str, Any]:
    many = {key: schema.pop(key) for key in ("type", "items", "minItems")}
    return {"anyOf": [many["items"], many]}


class TestCase(_Part):
    """One lead's story."""

    __test__ = False

    name: str = Field(description="What is shown, in words.")
    activities: Annotated[list[GivenActivity], Field(min_length=1)]
    expect: Annotated[list[Expectation], Field(min_length=1), BeforeValidator(_listed)] = Field(
        description="What must hold: one mapping, or a list of them with a time each.",
        json_schema_extra=lambda schema: schema.update(_one_or_many(schema)),
    )


class RuleTestFile(_Part):
    """A file of rule tests (`*_test.yaml`)."""

    tests: Annotated[list[TestCase], Field(min_length=1)]


_SECTIONS: Mapping[Path, type[BaseModel]] = {
    (): RuleTestFile,
    ("tests", "*"): TestCase,
    ("tests", "*", "activities", "*"): GivenActivity,
    ("tests", "*", "expect", "*"): Expectation,
}


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one test. `error` means that the test itself is wrong; `details` are lines for people."""

    name: str
    position: Position
    outcome: Literal["pass", "fail", "error"]
    details: tuple[str, ...] = ()
    fired: frozenset[str] = frozenset()


def run_tests(file: str, content: bytes, ruleset: Ruleset) -> Iterator[Result]:
    """Run the tests of a file, in order. A file that cannot be read gives one result of outcome `error`."""
    try:
        document = read(file, content)
        tests = _parse(document)
    except RulesetError as error:
        details = tuple(map(str, error.findings))
        yield Result(file, error.findings[0].position, "error", details)
        return
    for index, test in enumerate(tests.tests):
        yield _run(test, ("tests", index), document, ruleset)


def _parse(document: Document) -> RuleTestFile:
    if not isinstance(document.data, dict):
        position = document.position(())
        raise RulesetError([Finding(position, "bad-file", "a test file is a mapping with the key `tests`")])
    try:
        return RuleTestFile.model_validate(document.data)
    except ValidationError as error:
        raise RulesetError(findings_of(_with_lists(document), error, _SECTIONS)) from error


def _with_lists(document: Document) -> Document:
    """The document with the positions of a single `expect` as those of a list of one."""

    def listed(path: Path) -> Path:
        tests = document.data.get("tests")
        if len(path) > 3 and path[2] == "expect" and isinstance(tests[path[1]].get("expect"), dict):
            return (*path[:3], 0, *path[3:])
        return path

    keys = {listed(path): position for path, position in document.keys.items()}
    values = {listed(path): position for path, position in document.values.items()}
    return Document(document.file, document.data, keys, values)


def _run(test: TestCase, path: Path, document: Document, ruleset: Ruleset) -> Result:
    problems: list[str] = []
    failures: list[str] = []
    fired: set[str] = set()

    def report(where: Path, code: str, message: str) -> None:
        problems.append(str(Finding(document.position(where), code, message)))

    activities = list(_activities(test, path, ruleset, report))
    single = (*path, "expect", 0) not in document.values
    for index, expected in enumerate(test.expect):
        moment = _moment(expected.after)
        at: Path = (*path, "expect") if single else (*path, "expect", index)
        lead = Lead("test")
        for activity in activities:
            if moment is None or activity.time <= moment:
                assessment = assess(lead, activity, ruleset)
                lead = assessment.lead
                fired.update(rule for _, rule in assessment.hits)
                fired.update(() if assessment.evaluation is None else (assessment.evaluation.routing.id,))
        evaluation = evaluate(lead, ruleset, lead.clock if moment is None else moment)
        fired.add(evaluation.routing.id)
        differences = list(_differences(expected, at, evaluation, lead, ruleset, report))
        failures += [f"{_place(document, where)}: {message}" for where, message in differences]
        if differences:
            failures.append(_points(evaluation, lead))
    position = document.position(path)
    if problems:
        return Result(test.name, position, "error", tuple(problems))
    outcome: Literal["pass", "fail"] = "fail" if failures else "pass"
    return Result(test.name, position, outcome, tuple(failures), frozenset(fired))


def _activities(test: TestCase, path: Path, ruleset: Ruleset, report: Any) -> Iterator[LeadActivity]:
    time = START
    for index, given in enumerate(test.activities):
        at: Path = (*path, "activities", index)
        if given.after is not None:
            time = START + _microseconds(given.after)
        kind = given.type if given.type.startswith(TYPE_PREFIX) else TYPE_PREFIX + given.type
        if not given.type.startswith(TYPE_PREFIX) and kind not in PAYLOADS:
            names = tuple(name.removeprefix(TYPE_PREFIX) for name in PAYLOADS)
            hint = suggestion(given.type, names) or f"; write a type of your own in full, as in {kind}"
            report((*at, "type"), "unknown-activity", f"unknown activity type `{given.type}`{hint}")
            continue
        try:
            data = validate_data(kind, given.data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            report((*at, "data"), "wrong-type", f"data.{where}: {first['msg']}")
            continue
        _check_custom(data, at, ruleset, report)
        for number in range(given.times):
            yield LeadActivity(f"{index}-{number}", "test", kind, time, "test", data)


def _check_custom(data: Mapping[str, object], path: Path, ruleset: Ruleset, report: Any) -> None:
    # In production such a value is unknown and nothing more; in a test it is a slip.
    custom = data.get("custom")
    for name, value in custom.items() if isinstance(custom, Mapping) else ():
        at: Path = (*path, "data", "custom", name)
        field = ruleset.own_fields.get(name)
        if field is None:
            hint = suggestion(name, tuple(ruleset.own_fields)) or "; declare it under `fields`"
            report(at, "unknown-field", f"unknown field `{name}`{hint}")
        elif value is not None and known(field.type, value) is None:
            report(at, "wrong-type", f"`{name}` is of type {field.type}, not {value!r}")
        elif field.choices and value is not None and value not in field.choices:
            hint = suggestion(str(value), field.choices) or f"; it is one of {', '.join(field.choices)}"
            report(at, "impossible-value", f"`{name}` is never `{value}`{hint}")


def _differences(
    expected: Expectation, path: Path, evaluation: Evaluation, lead: Lead, ruleset: Ruleset, report: Any
) -> Iterator[tuple[Path, str]]:
    found = _found(evaluation, lead)
    for name in expected.model_fields_set - {"after", "criteria", "contributions", "absent"}:
        yield from _compare((*path, name), name, getattr(expected, name), found, report)
    for name, wanted in expected.criteria.items():
        known = {f"criteria.{criterion.name}" for criterion in ruleset.criteria} | {f"criteria.{BEHAVIOUR}"}
        if f"criteria.{name}" not in known:
            report((*path, "criteria", name), "unknown-criterion", f"no criterion `{name}` in the ruleset")
            continue
        yield from _compare((*path, "criteria", name), f"criteria.{name}", wanted, found, report)
    ids = rule_ids(ruleset)
    for name, wanted in expected.contributions.items():
        if name not in ids:
            report((*path, "contributions", name), "unknown-rule", _no_rule(name, ids))
        elif f"contributions.{name}" not in found:
            yield (*path, "contributions", name), f"`{name}` did not contribute"
        else:
            yield from _compare((*path, "contributions", name), f"contributions.{name}", wanted, found, report)
    for index, name in enumerate(expected.absent):
        if name not in ids:
            report((*path, "absent", index), "unknown-rule", _no_rule(name, ids))
        elif f"contributions.{name}" in found:
            yield (*path, "absent", index), f"`{name}` contributed {found[f'contributions.{name}']} points"


def _compare(
    path: Path, name: str, wanted: object, found: Mapping[str, object], report: Any
) -> Iterator[tuple[Path, str]]:
    value = found.get(name)
    if wanted is None:
        if value is not None:
            yield path, f"`{name}` expected nothing, found {value}"
        return
    kind = FieldType.STRING if name in ("rating", "grade", "route", "queue", "routing") else FieldType.INTEGER
    catalogue: Catalogue = {name: CatalogueField(name, kind, choices=_CHOICES.get(name, ()))}
    problems: list[str] = []

    def collect(where: Path, code: str, message: str) -> None:
        problems.append(message)
        report((*path, *where[1:]), code, message)

    condition = parse_condition({name: wanted}, (), catalogue, collect)
    if not problems and not predicate(condition)(found):
        shown = "nothing" if value is None else value
        yield path, f"`{name}` expected {_shown(wanted)}, found {shown}"


def _found(evaluation: Evaluation, lead: Lead) -> dict[str, object]:
    scored, routing = evaluation
    found: dict[str, object] = {
        "rating": scored.rating.value,
        "grade": str(scored.grade),
        "route": routing.route.value,
        "queue": routing.queue,
        "routing": routing.id,
        "score": scored.score.total,
        "fit": scored.score.fit,
        "engagement": scored.score.engagement,
        f"criteria.{BEHAVIOUR}": scored.score.engagement,
    }
    found |= {f"criteria.{rated.criterion.name}": rated.points for rated in scored.criteria}
    found |= {f"contributions.{each.rule}": each.points for each in contributions(scored, lead)}
    return found


def rule_ids(ruleset: Ruleset) -> frozenset[str]:
    """Ids of every scoring rule and signal."""
    rules = {rule.id for criterion in ruleset.criteria for rule in criterion.rules}
    return frozenset(rules | set(ruleset.signals))


def _no_rule(name: str, ids: frozenset[str]) -> str:
    return f"no rule or signal `{name}` in the ruleset{suggestion(name, tuple(sorted(ids)))}"


def _points(evaluation: Evaluation, lead: Lead) -> str:
    found = contributions(evaluation.scored, lead)
    points = ", ".join(f"{each.rule} {each.points:+}" for each in found) or "none"
    return f"points found: {points}"


def _moment(after: str | None) -> int | None:
    return None if after is None else START + _microseconds(after)


def _microseconds(offset: str) -> int:
    return 0 if offset == "0" else duration.parse(offset)


def _place(document: Document, path: Path) -> str:
    file, line, _ = document.position(path)
    return f"{file}:{line}"


def _shown(wanted: object) -> str:
    if isinstance(wanted, Mapping):
        return " and ".join(f"{operator} {value}" for operator, value in wanted.items())
    return str(wanted)
