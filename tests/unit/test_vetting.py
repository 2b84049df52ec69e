"""Any directory of rules gives a report with positions or files, without a traceback and without waiting."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorer.offline.ruleset_files import read_rule_file
from scorer.service import vetting
from scorer.service.vetting import VettingReport, examine, vet
from tests.factory import SMALL_RULES, evaluator, ruleset_folder

TESTS = """
tests:
  - name: planned budget
    activities: [{type: qualification_updated, data: {bant: {budget_status: planned}}}]
    expect: {contributions: {budget-planned: 10}}
"""
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read twice without a pause, because nothing changes meanwhile."""
    monkeypatch.setattr(vetting, "_PAUSE", 0)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Valid rules with a test that passes."""
    folder = ruleset_folder(tmp_path / "rules", file="small.yaml")
    (folder / "small_test.yaml").write_text(TESTS)
    return folder


def test_valid_rules_are_returned_byte_for_byte(rules: Path) -> None:
    report = asyncio.run(vet(rules, "compiled"))
    assert report.findings == []
    assert report.named_files() == {str(rules / "small.yaml"): SMALL_RULES.encode()}
    assert report.revision == evaluator().ruleset.revision
    assert report.tests == 1


def truncated(rules: Path) -> None:
    (rules / "small.yaml").write_text(SMALL_RULES[: len(SMALL_RULES) // 2])


def cut_off(rules: Path) -> None:
    (rules / "small.yaml").write_text(SMALL_RULES[:700] + '"')


def empty_file(rules: Path) -> None:
    (rules / "small.yaml").write_text("")


def empty(rules: Path) -> None:
    for path in rules.iterdir():
        path.unlink()


def gone(rules: Path) -> None:
    empty(rules)
    rules.rmdir()


def a_file_instead(rules: Path) -> None:
    gone(rules)
    rules.write_bytes(b"\x00")


def bomb(rules: Path) -> None:
    (rules / "bomb.yaml").write_text(BOMB)


def large(rules: Path) -> None:
    (rules / "large.yaml").write_text("# " + "x" * 10_000_000)


def large_test(rules: Path) -> None:
    (rules / "large_test.yaml").write_text("# " + "x" * 10_000_000)


def binary(rules: Path) -> None:
    (rules / "small.yaml").write_bytes(bytes(range(256)) * 20)


def nulls(rules: Path) -> None:
    (rules / "small.yaml").write_bytes(b"\x00" * 5000)


def circle(rules: Path) -> None:
    (rules / "a.yaml").symlink_to("b.yaml")
    (rules / "b.yaml").symlink_to("a.yaml")


def dangling(rules: Path) -> None:
    (rules / "a.yaml").symlink_to("nowhere.yaml")


def pipe(rules: Path) -> None:
    os.mkfifo(rules / "pipe.yaml")


def pipe_test(rules: Path) -> None:
    os.mkfifo(rules / "pipe_test.yaml")


def duplicate(rules: Path) -> None:
    (rules / "zz.yaml").write_text("signals: {trial: {activity: trial_started, points: 1}}\n")


def duplicate_rule(rules: Path) -> None:
    (rules / "zz.yaml").write_text("scoring: {other: {rules: [{id: decider, points: 1}]}}\n")


def deep(rules: Path) -> None:
    (rules / "deep.yaml").write_text("scoring: " + "[" * 3_000)


def odd_name(rules: Path) -> None:
    (rules / os.fsdecode(b"\xff\xfe.yaml")).write_text("nonsense: 1\n")


def failing_test(rules: Path) -> None:
    (rules / "small_test.yaml").write_text(TESTS.replace("10}", "11}"))


def wrong_test(rules: Path) -> None:
    (rules / "small_test.yaml").write_text(TESTS.replace("budget-planned: 10", "budget-plan: 10"))


@pytest.mark.parametrize(
    ("spoil", "where", "what"),
    [
        (truncated, "small.yaml:", ""),
        (cut_off, "small.yaml:", "not valid YAML"),
        (empty_file, "small.yaml:1:1", "missing"),
        (empty, "rules:1:1", "there is no rule file"),
        (gone, "rules:1:1", "there is no such file or directory"),
        (a_file_instead, "rules:1:1", ""),
        (bomb, "bomb.yaml:", "once its aliases are expanded"),
        (large, "large.yaml:1:1", "larger than the 262,144 bytes"),
        (large_test, "large_test.yaml:1:1", "larger than the 262,144 bytes"),
        (binary, "small.yaml:2:118", "not UTF-8"),
        (nulls, "small.yaml:1:1", "special characters are not allowed"),
        (circle, "a.yaml:1:1", "cannot be read: Too many levels of symbolic links"),
        (dangling, "a.yaml:1:1", "cannot be read: No such file or directory"),
        (pipe, "pipe.yaml:1:1", "not a regular file"),
        (pipe_test, "pipe_test.yaml:1:1", "not a regular file"),
        (duplicate, "zz.yaml:1:11", "is already defined in"),
        (duplicate_rule, "zz.yaml:1:32", "the id `decider` is already used in"),
        (deep, "deep.yaml:", ""),
        (odd_name, ".yaml:1:1", "unknown key `nonsense`"),
        (failing_test, "small_test.yaml:3:5", "the test `planned budget` failed"),
        (wrong_test, "small_test.yaml:5:30", "no rule or signal `budget-plan`"),
    ],
)
def test_a_finding_names_its_place(rules: Path, spoil: Callable[[Path], None], where: str, what: str) -> None:
    spoil(rules)
    report = examine(rules, "compiled")
    assert report.findings
    assert where in report.findings[0]
    assert what in report.findings[0]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes_give_a_report(rules: Path, data: st.DataObject) -> None:
    text = bytearray(SMALL_RULES.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 30))
        text[start:end] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"&a ", b"*a", b"{", b"]", b"\t", b": ", b"\n"])
        )
    (rules / "small.yaml").write_bytes(text)
    report = examine(rules, "compiled")
    assert report.findings or report.revision
    for finding in report.findings:
        assert finding.startswith(str(rules))


def test_files_that_are_being_replaced_are_read_until_they_are_stable(
    rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the old rules and one of the new rules would be a ruleset that nobody wrote."""
    (rules / "more.yaml").write_text("signals: {call: {activity: call_logged, points: 1}}\n")
    read: list[str] = []

    def swapped_meanwhile(path: Path) -> bytes:
        content = read_rule_file(path)
        read.append(path.name)
        if len(read) == 1:
            (rules / "more.yaml").write_text("signals: {call: {activity: call_logged, points: 2}}\n")
            (rules / "small.yaml").write_text(SMALL_RULES.replace("hot: 40", "hot: 41"))
        return content

    monkeypatch.setattr(vetting, "read_rule_file", swapped_meanwhile)
    report = examine(rules, "compiled")
    files = report.named_files()
    assert b"points: 2" in files[str(rules / "more.yaml")]
    assert b"hot: 41" in files[str(rules / "small.yaml")]


def test_files_that_keep_changing_are_refused(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter(range(1000))
    monkeypatch.setattr(vetting, "read_rule_file", lambda path: f"# {next(counts)}".encode())
    (finding,) = examine(rules, "compiled").findings
    assert "keep changing" in finding


def test_a_directory_without_permission_is_named(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path) -> list[Path]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(vetting, "rule_files", forbidden)
    assert examine(rules, "compiled").findings == [f"{rules}:1:1: error: cannot be read: Permission denied"]


def test_files_that_are_too_large_together_are_refused(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vetting, "_MAX_BYTES", 1000)
    (finding,) = examine(rules, "compiled").findings
    assert "larger than 1,000 bytes together" in finding


def test_a_check_that_takes_too_long_is_ended(rules: Path) -> None:
    (finding,) = asyncio.run(vet(rules, "compiled", seconds=0.01)).findings
    assert finding == f"{rules}:1:1: error: not read, checked and tested within 0.01 seconds"


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("import os; os.kill(os.getpid(), 11)", "status -11: it printed nothing"),
        ("raise SystemExit('no more')", "status 1: no more"),
        ("print('what is this')", "status 0: it printed nothing"),
    ],
)
def test_a_check_that_dies_is_a_finding(
    rules: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, shown: str
) -> None:
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    (finding,) = asyncio.run(vet(rules, "compiled")).findings
    assert finding.endswith(shown)


def test_a_report_can_have_file_names_that_are_not_text(rules: Path) -> None:
    (rules / os.fsdecode(b"\xff.yaml")).write_text("fields: {extra: {type: integer}}\n")
    report: VettingReport = asyncio.run(vet(rules, "compiled"))
    assert report.findings == []
    assert str(rules / os.fsdecode(b"\xff.yaml")) in report.named_files()
    (rules / os.fsdecode(b"\xff.yaml")).write_text("extra: 1\n")
    (finding,) = asyncio.run(vet(rules, "compiled")).findings
    assert r"\udcff.yaml:1:1: error: unknown key" in finding
