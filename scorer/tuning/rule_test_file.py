"""The form of a file of rule tests (`*_test.yaml`), and how it is read: test by test, so that a slip in one of them
does not hide what the others say. `schemas/rule-tests.json` is generated from these models.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from scorer.rules import duration
from scorer.rules.catalogue import suggestion
from scorer.rules.finding import Finding, Position, RulesetError
from scorer.rules.validation import findings_of
from scorer.rules.yaml_source import Document, Path, Slip, read_with_slips


def _offset(value: object) -> str:
    if value == 0 and not isinstance(value, bool):
        return "0"
    if not isinstance(value, str):
        raise ValueError("a time is a number and one of s, m, h, d, w, as in 14d, or 0")
    duration.parse(value)
    return value


def _words(name: str) -> str:
    if not name.strip():
        raise ValueError("a test needs a name that says what it shows")
    if printable(name) != name:
        raise ValueError("a name is one line of text")
    return name


Offset = Annotated[
    str,
    BeforeValidator(_offset),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": duration.PATTERN}, {"const": 0}]}),
]
"""Time since the start of the test."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_words)]


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
    present: list[str] = Field(default_factory=list, description="Rules and signals that must contribute.")
    absent: list[str] = Field(default_factory=list, description="Rules and signals that must not contribute.")
    published: bool | None = Field(None, description="Whether the last activity until then published a decision.")

    @model_validator(mode="after")
    def _expects_something(self) -> "Expectation":
        said = self.model_fields_set - {"after"}
        if not said or not any(name in _SCALARS or getattr(self, name) for name in said):
            raise ValueError("nothing is expected, so the test would always pass")
        return self


_COLLECTIONS = ("criteria", "contributions", "present", "absent")
_SCALARS = frozenset(Expectation.model_fields) - {"after", *_COLLECTIONS}


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _one_or_many(schema: dict[str, Any]) -> dict[str, Any]:
    many = {key: schema.pop(key) for key in ("type", "items", "minItems", "maxItems")}
    return {"anyOf": [many["items"], many]}


class TestCase(_Part):
    """One lead's story."""

    __test__ = False

    name: Name = Field(description="What is shown, in words; each name once in a file.")
    activities: Annotated[list[GivenActivity], Field(min_length=1)]
    expect: Annotated[list[Expectation], Field(min_length=1, max_length=100), BeforeValidator(_listed)] = Field(
        description="What must hold: one mapping, or a list of them with a time each.",
        json_schema_extra=lambda schema: schema.update(_one_or_many(schema)),
    )


class RuleTestFile(_Part):
    """A file of rule tests (`*_test.yaml`)."""

    tests: Annotated[list[TestCase], Field(min_length=1)]


_SECTIONS: Mapping[Path, type[BaseModel]] = {
    (): TestCase,
    ("activities", "*"): GivenActivity,
    ("expect", "*"): Expectation,
}


@dataclass(frozen=True, slots=True)
class ReadTest:
    """A test as read: `case`, or the `findings` that say why there is none. `document` holds the positions, with paths
    that begin at the test; a single expectation stands at `("expect", 0)` there."""

    name: str
    document: Document
    case: TestCase | None
    findings: tuple[Finding, ...] = ()

    @property
    def position(self) -> Position:
        """Where the test begins."""
        return self.document.position(())


@dataclass(frozen=True, slots=True)
class ReadFile:
    """The tests of a file in its order, and what is wrong with the file as a whole."""

    tests: tuple[ReadTest, ...]
    findings: tuple[Finding, ...] = ()


def read_test_file(file: str, content: bytes) -> ReadFile:
    """Read a test file. Never raises: mistakes are findings, on the test they are in or on the file."""
    try:
        document, slips = read_with_slips(file, content)
    except RulesetError as error:
        read = _salvaged(file, content, error)
    else:
        read = _file(document, slips)
    return ReadFile(tuple(_with_each_name_once(read.tests)), read.findings)


def printable(text: str) -> str:
    """The text on one line, without what would control a terminal or has no UTF-8 form."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def _file(document: Document, slips: Sequence[Slip], before: int = 0) -> ReadFile:
    data, findings = document.data, [finding for path, finding in slips if len(path) < 2]
    if not isinstance(data, dict):
        finding = Finding(document.position(()), "bad-file", "a test file is a mapping with the key `tests`")
        return ReadFile((), (*findings, finding))
    for key in data:
        if key != "tests":
            message = f"unknown key `{printable(str(key))}`{suggestion(str(key), ('tests',))}"
            findings.append(Finding(document.position((key,)), "unknown-key", message))
    tests = data.get("tests")
    if not isinstance(tests, list) or not tests:
        missing = "tests" not in data
        message = "`tests` is missing" if missing else "`tests` must be a list of tests, and not an empty one"
        findings.append(Finding(document.position(("tests",)), "missing-key" if missing else "wrong-type", message))
        return ReadFile((), tuple(findings))
    slipped: dict[int, list[Finding]] = {}
    for path, finding in slips:
        if len(path) > 1 and path[0] == "tests" and isinstance(path[1], int):
            slipped.setdefault(path[1], []).append(finding)
    parts = _parts_of(document, tests)
    read = (_test(before + index, part, slipped.get(index, [])) for index, part in enumerate(parts))
    return ReadFile(tuple(read), tuple(findings))


def _parts_of(document: Document, tests: Sequence[object]) -> list[Document]:
    """A document for each test, its paths beginning there."""
    parts = [Document(document.file, data, {}, {}) for data in tests]
    for whole, places in ((document.keys, "keys"), (document.values, "values")):
        for path, position in whole.items():
            if len(path) > 1 and path[0] == "tests" and isinstance(path[1], int):
                getattr(parts[path[1]], places)[_listed_path(path[2:], tests[path[1]])] = position
    return parts


def _listed_path(path: Path, test: object) -> Path:
    # A single `expect` is read as a list of one.
    single = len(path) > 1 and path[0] == "expect" and isinstance(test, dict) and isinstance(test["expect"], dict)
    return (path[0], 0, *path[1:]) if single else path


def _test(index: int, document: Document, slips: Sequence[Finding]) -> ReadTest:
    data = document.data
    said = data.get("name") if isinstance(data, dict) else None
    name = printable(said[:200]) if isinstance(said, str) and said.strip() else f"test {index + 1}, without a name"
    if slips:
        return ReadTest(name, document, None, tuple(slips))
    if not isinstance(data, dict):
        finding = Finding(document.position(()), "bad-file", "a test is a mapping with name, activities and expect")
        return ReadTest(name, document, None, (finding,))
    try:
        return ReadTest(name, document, TestCase.model_validate(data))
    except ValidationError as error:
        return ReadTest(name, document, None, tuple(findings_of(document, error, _SECTIONS)))


def _with_each_name_once(tests: Sequence[ReadTest]) -> Iterator[ReadTest]:
    lines: dict[str, int] = {}
    for test in tests:
        if test.name not in lines:
            lines[test.name] = test.position.line
            yield test
            continue
        message = f"the name `{test.name}` is used in line {lines[test.name]} already"
        finding = Finding(test.document.position(("name",)), "duplicate-name", message)
        yield ReadTest(test.name, test.document, None, (*test.findings, finding))


def _salvaged(file: str, content: bytes, error: RulesetError) -> ReadFile:
    """What can be read of a file that is no YAML as a whole: its tests one by one."""
    whole = tuple(error.findings)
    if whole[0].code != "not-yaml":
        return ReadFile((), whole)
    lines = content.decode("utf-8-sig").split("\n")
    starts = _starts(lines)
    tests: list[ReadTest] = []
    findings: list[Finding] = []
    for begin, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        read = _piece(file, lines, begin, end, len(tests))
        tests += read.tests
        findings += read.findings
    found = findings or [finding for test in tests for finding in test.findings]
    # Each of them may be fine by itself: then the mistake is in between.
    return ReadFile(tuple(tests), tuple(findings) if found else whole) if tests else ReadFile((), whole)


def _starts(lines: Sequence[str]) -> list[int]:
    """Indexes of the lines in which a test begins: those that are indented like the first."""
    header = next((i for i, line in enumerate(lines) if re.match(r"tests\s*:\s*(#.*)?$", line)), None)
    if header is None:
        return []
    first = next((line for line in lines[header + 1 :] if line.strip() and not line.lstrip().startswith("#")), "")
    indent = re.match(r" *- ", first)
    if indent is None:
        return []
    return [i for i, line in enumerate(lines) if i > header and line.startswith(indent.group())]


def _piece(file: str, lines: Sequence[str], begin: int, end: int, index: int) -> ReadFile:
    text = "\n".join(("tests:", *lines[begin:end]))
    shift = begin - 1
    try:
        document, slips = read_with_slips(file, text.encode())
    except RulesetError as error:
        said = re.search(r"^ *(?:- +)?[{ ]*name: *[\"']?([^\"',}\n]*)", text, re.MULTILINE)
        name = printable(said[1].strip()[:200]) if said else ""
        place = Document(file, None, {}, {(): Position(file, begin + 1, lines[begin].index("-") + 3)})
        findings = tuple(_explained(_moved(finding, shift)) for finding in error.findings)
        return ReadFile((ReadTest(name or f"test {index + 1}, without a name", place, None, findings),))
    moved = Document(
        file,
        document.data,
        {path: _down(position, shift) for path, position in document.keys.items()},
        {path: _down(position, shift) for path, position in document.values.items()},
    )
    return _file(moved, [(path, _moved(finding, shift)) for path, finding in slips], index)


def _explained(finding: Finding) -> Finding:
    if "undefined alias" not in finding.message:
        return finding
    return Finding(finding.position, finding.code, "not run: it uses an alias, and another test is not valid YAML")


def _moved(finding: Finding, lines: int) -> Finding:
    return Finding(_down(finding.position, lines), finding.code, finding.message, finding.level)


def _down(position: Position, lines: int) -> Position:
    return position._replace(line=position.line + lines)
