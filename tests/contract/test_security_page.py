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
PENDING: Final = {
    "integration/test_api_schema.py",
    "integration/test_logins.py",
    "integration/test_tracing.py",
    "unit/test_allowed_sources.py",
    "unit/test_audit.py",
    "unit/test_rules_source.py",
    "unit/test_turns.py",
    "security/test_api_access.py",
    "security/test_personal_values.py",
}
"""Files of tests that are named already and come with their defence."""
PENDING_TESTS: Final = {
    "integration/test_dlq.py::test_nothing_is_done_that_the_audit_log_cannot_record",
    "integration/test_dlq.py::test_the_audit_log_says_who_replayed_what_and_how_many",
    "integration/test_reload.py::test_the_audit_log_says_which_rules_are_in_effect_and_what_was_refused",
    "security/test_http_exhaustion.py::test_a_flood_of_the_listener_for_lead_data_reaches_neither_health_nor_the_descriptors",
    "unit/test_lead_explanations.py::test_the_open_listener_has_no_lead_data",
    "unit/test_lead_explanations.py::test_what_cannot_be_recorded_is_not_shown",
}
"""The same for tests in files that exist."""


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
    assert {test for test in missing if test.partition("::")[0] not in PENDING} == PENDING_TESTS
    assert {test.partition("::")[0] for test in missing - PENDING_TESTS} == PENDING


def test_every_attack_of_the_security_tests_is_in_the_model() -> None:
    named = {test.partition("::")[0] for threat in THREATS for test in threat.tests}
    assert {f"security/{path.name}" for path in (TESTS / "security").glob("test_*.py")} <= named
    identifiers = set(re.findall(r"\b([A-Z]\d+)\b", "".join(threat.defence for threat in THREATS)))
    assert identifiers - {"RE2"} <= {threat.identifier for threat in THREATS}


@pytest.mark.parametrize("name", ["SECURITY.md", "docs/licences.md"])
def test_the_pages_beside_it_exist(name: str) -> None:
    assert (ROOT / name).is_file()
