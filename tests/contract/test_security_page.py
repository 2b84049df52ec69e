"""The threat model names for each threat the tests that show its defence, or says that it is accepted."""

import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[2]
TESTS: Final = ROOT / "tests"
PAGE: Final = (ROOT / "docs" / "security.md").read_text()
_ROW: Final = re.compile(r"^\| ([A-Z]\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_TEST: Final = re.compile(r"`(\w+(?:/\w+)*/test_\w+\.py)::(test_\w+)`")


class Threat(NamedTuple):
    """A row: its identifier, the threat, what prevents it, and the last cell."""

    identifier: str
    threat: str
    defence: str
    shown_by: str

    @property
    def tests(self) -> list[str]:
        return [f"{path}::{name}" for path, name in _TEST.findall(self.shown_by)]


THREATS: Final = [Threat(*found) for found in _ROW.findall(PAGE)]


def is_there(test: str) -> bool:
    """Whether a test is a function of its file that pytest collects."""
    name, _, function = test.partition("::")
    return function in functions(name)


@cache
def functions(name: str) -> frozenset[str]:
    """The functions of a file of tests; none if it does not exist."""
    path = TESTS / name
    return (
        frozenset(re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)) if path.is_file() else frozenset()
    )


def test_every_row_is_read() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| [A-Z]\d", line)]
    assert len(rows) == len(THREATS) > 70
    identifiers = [threat.identifier for threat in THREATS]
    assert len(set(identifiers)) == len(identifiers)


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.identifier)
def test_a_threat_has_a_test_or_is_accepted_with_a_reason(threat: Threat) -> None:
    if threat.shown_by == "accepted":
        assert re.match(r"Accepted[^.]*: .{20}", threat.defence), "say why, or who must prevent it"
    else:
        assert threat.tests
        # Nothing else is in the cell, such as a name that is misspelt.
        assert _TEST.sub("", threat.shown_by).strip(" ,") == ""


def test_every_named_test_exists() -> None:
    missing = {test for threat in THREATS for test in threat.tests if not is_there(test)}
    assert missing == set()


def test_every_attack_of_the_security_tests_is_in_the_model() -> None:
    named = {test.partition("::")[0] for threat in THREATS for test in threat.tests}
    assert {f"security/{path.name}" for path in (TESTS / "security").glob("test_*.py")} <= named
    identifiers = set(re.findall(r"\b([A-Z]\d+)\b", "".join(threat.defence for threat in THREATS)))
    assert identifiers - {"RE2"} <= {threat.identifier for threat in THREATS}


@pytest.mark.parametrize("name", ["SECURITY.md", "docs/licences.md"])
def test_the_pages_beside_it_exist(name: str) -> None:
    assert (ROOT / name).is_file()
