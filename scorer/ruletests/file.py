"""Reads the tests of a rule test file one by one, so that a mistake in one does not hide the others. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import BaseModel, ValidationError

from scorer.domain.printable import printable
from scorer.rules.catalogue import suggestion
from scorer.rules.finding import Finding, Position, RulesetError
from scorer.rules.validation import by_generic_path, findings_of
from scorer.rules.yaml_source import Document, Path, Slip, read_with_slips
from scorer.ruletests.model import Expectation, GivenActivity, TestCase, one_line

MAX_SALVAGED = 5000
"""The number of tests that are read one by one. Each costs almost a millisecond, and a broken file of a hundred
thousand dashes must not take minutes."""

_SECTIONS: Mapping[Path, type[BaseModel]] = {
    (): TestCase,
    ("activities", "*"): GivenActivity,
    ("expect", "*"): Expectation,
}


@dataclass(frozen=True, slots=True)
class ReadTest:
    """A test as read: `case`, or the `findings` that say why there is none. `document` holds the positions: its
    paths begin at the test, and a single expectation is at `("expect", 0)`."""

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
    """The tests of a file, in order, and the findings about the file as a whole."""

    tests: tuple[ReadTest, ...]
    findings: tuple[Finding, ...] = ()


def read_test_file(file: str, content: bytes) -> ReadFile:
    """Read a test file. Never raises: mistakes become findings of their test or of the file."""
    try:
        document, slips = read_with_slips(file, content)
    except RulesetError as error:
        read = _salvaged(file, content, error)
    else:
        read = _file(document, slips)
    return ReadFile(tuple(_with_each_name_once(read.tests)), read.findings)


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
        message = "`tests` is missing" if missing else "`tests` must be a list of one or more tests"
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
    """A document for each test; its paths begin at the test."""
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
    text = data.get("name") if isinstance(data, dict) else None
    name = one_line(text[:200]) if isinstance(text, str) and text.strip() else f"test {index + 1}, without a name"
    if slips:
        return ReadTest(name, document, None, tuple(slips))
    if not isinstance(data, dict):
        finding = Finding(document.position(()), "bad-file", "a test is a mapping with name, activities and expect")
        return ReadTest(name, document, None, (finding,))
    try:
        return ReadTest(name, document, TestCase.model_validate(data))
    except ValidationError as error:
        return ReadTest(name, document, None, tuple(findings_of(document, error, by_generic_path(_SECTIONS))))


def _with_each_name_once(tests: Sequence[ReadTest]) -> Iterator[ReadTest]:
    lines: dict[str, int] = {}
    for test in tests:
        if test.name not in lines:
            lines[test.name] = test.position.line
            yield test
            continue
        message = f"the name `{test.name}` is already used in line {lines[test.name]}"
        finding = Finding(test.document.position(("name",)), "duplicate-name", message)
        name = f"{test.name} (again, in line {test.position.line})"
        yield ReadTest(name, test.document, None, (*test.findings, finding))


def _salvaged(file: str, content: bytes, error: RulesetError) -> ReadFile:
    """Read the tests one by one if the file as a whole is not valid YAML."""
    whole = tuple(error.findings)
    if whole[0].code != "not-yaml":
        return ReadFile((), whole)
    lines = content.decode("utf-8-sig").split("\n")
    starts = _starts(lines)
    tests: list[ReadTest] = []
    findings: list[Finding] = []
    for begin, end in pairwise([*starts, len(lines)]):
        read = _piece(file, lines, begin, end, len(tests))
        tests += read.tests
        findings += read.findings
    codes = (finding.code for test in tests for finding in (*findings, *test.findings))
    # If every test is valid by itself, the mistake is between them.
    return ReadFile(tuple(tests), (*findings, *(() if "not-yaml" in codes else whole)))


def _starts(lines: Sequence[str]) -> list[int]:
    """Indexes of the lines where a test begins: those with the indentation of the first test."""
    header = next((i for i, line in enumerate(lines) if re.match(r"tests\s*:\s*(#.*)?$", line)), None)
    if header is None:
        return []
    first = next((line for line in lines[header + 1 :] if line.strip() and not line.lstrip().startswith("#")), "")
    indent = re.match(r" *- ", first)
    if indent is None:
        return []
    starts = [i for i, line in enumerate(lines) if i > header and line.startswith(indent.group())]
    return starts if len(starts) <= MAX_SALVAGED else []


def _piece(file: str, lines: Sequence[str], begin: int, end: int, index: int) -> ReadFile:
    text = "\n".join(("tests:", *lines[begin:end]))
    shift = begin - 1
    try:
        document, slips = read_with_slips(file, text.encode())
    except RulesetError as error:
        match = re.search(r"^ *(?:- +)?[{ ]*name: *[\"']?([^\"',}\n]*)", text, re.MULTILINE)
        name = one_line(match[1].strip()[:200]) if match else ""
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
