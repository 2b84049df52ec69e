"""`scorer test` on the command line: lines, exit status, selection, reports, coverage."""

import os
from pathlib import Path

import pytest
from junitparser import JUnitXml
from typer.testing import CliRunner, Result

from scorer.cli import app
from tests.factory import SMALL_RULES, ruleset_folder

ROOT = Path(__file__).parents[2]

STORY = """\
tests:
  - name: a visit
    activities: [{type: page_viewed, data: {url: /pricing}}]
    expect: {score: %s}
"""


def scorer(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["test", "--engine", "compiled", *map(str, args)])


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    directory = ruleset_folder(tmp_path / "rules", file="small.yaml")
    (directory / "good_test.yaml").write_text(STORY % 5)
    return directory


def shown(result: Result) -> list[str]:
    """The lines of stdout, without the run time."""
    return [line.rpartition(" in ")[0] if " passed, " in line else line for line in result.stdout.splitlines()]


def test_if_all_pass_it_prints_a_line_each_and_the_counts_and_exits_0(rules: Path) -> None:
    done = scorer(rules)
    assert (done.exit_code, done.stderr) == (0, "")
    assert shown(done) == [f"PASS  {rules}/good_test.yaml:2:5: a visit", "1 passed, 0 failed, 0 in error"]
    assert done.stdout.rstrip().endswith(" s")


def test_failures_differ_from_errors_and_exit_1(rules: Path) -> None:
    (rules / "a_test.yaml").write_text(STORY % 6)
    (rules / "b_test.yaml").write_text(STORY % "many")
    (rules / "c_test.yml").write_bytes(b"\xff")
    os.mkfifo(rules / "d_test.yaml")
    done = scorer(rules)
    assert done.exit_code == 1
    assert shown(done) == [
        f"FAIL  {rules}/a_test.yaml:2:5: a visit",
        f"      {rules}/a_test.yaml:4:14: `score` expected 6, found 5",
        "      points found: pricing +5",
        f"ERROR {rules}/b_test.yaml:2:5: a visit",
        f"      {rules}/b_test.yaml:4:14: error: score: eq takes a value of type integer, not 'many'",
        f"ERROR {rules}/c_test.yml:1:1: the file",
        f"      {rules}/c_test.yml:1:1: error: the file is not UTF-8 text; save it as UTF-8",
        f"ERROR {rules}/d_test.yaml:1:1: the file",
        f"      {rules}/d_test.yaml:1:1: error: cannot be read: not a regular file",
        f"PASS  {rules}/good_test.yaml:2:5: a visit",
        "1 passed, 1 failed, 3 in error",
    ]


@pytest.mark.parametrize("score", ["6", "many"])
def test_one_test_that_does_not_pass_causes_exit_1(rules: Path, score: str) -> None:
    (rules / "more_test.yaml").write_text(STORY % score)
    assert scorer(rules).exit_code == 1


def test_a_missing_test_file_is_reported_and_exits_1(rules: Path) -> None:
    (rules / "good_test.yaml").unlink()
    done = scorer(rules)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"error: no test file (*_test.yaml) beside {rules}\n"


def test_rules_that_do_not_load_are_reported_and_exit_1(rules: Path) -> None:
    (rules / "small.yaml").write_text(SMALL_RULES.replace("points: 15", "pionts: 15"))
    done = scorer(rules)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "small.yaml:16:36: error:" in done.stderr
    assert "unknown key `pionts`; did you mean points?" in done.stderr


def test_run_selects_by_text_or_expression_in_file_and_name(rules: Path) -> None:
    (rules / "other_test.yaml").write_text(
        (STORY % 6).replace("a visit", "a (second") + (STORY % 5).replace("tests:\n", "").replace("a visit", "third")
    )

    def chosen(pattern: str) -> list[str]:
        return [line.rpartition(": ")[2] for line in shown(scorer(rules, "--run", pattern)) if line[:1] != " "]

    assert chosen("good_test.yaml::a visit") == ["a visit", "1 passed, 0 failed, 0 in error, 2 not selected"]
    assert chosen("other_test") == ["a (second", "third", "1 passed, 1 failed, 0 in error, 1 not selected"]
    assert chosen("(") == ["a (second", "0 passed, 1 failed, 0 in error, 2 not selected"]
    assert chosen("::(third|a visit)$") == ["a visit", "third", "2 passed, 0 failed, 0 in error, 1 not selected"]
    assert chosen("(?i)THIRD") == ["third", "1 passed, 0 failed, 0 in error, 2 not selected"]
    assert scorer(rules, "--run", "third").exit_code == 0
    assert scorer(rules, "--run", "other").exit_code == 1


def test_run_without_a_match_is_reported_and_exits_1(rules: Path) -> None:
    done = scorer(rules, "--run", "nothing")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "error: no test matches --run nothing\n")
    done = scorer(rules, "--run", "[z")
    assert done.stderr.startswith("error: no test matches --run [z (searched as text; it is not an RE2 expression: ")


def test_an_expression_that_backtracks_elsewhere_does_not_hang(rules: Path) -> None:
    (rules / "good_test.yaml").write_text((STORY % 5).replace("a visit", "a" * 190))
    assert scorer(rules, "--run", "(a*)*c$").exit_code == 1


def test_an_unreadable_file_is_an_error_whatever_is_selected(rules: Path) -> None:
    (rules / "b_test.yaml").write_bytes(b"\xff")
    done = scorer(rules, "--run", "a visit")
    assert done.exit_code == 1
    assert shown(done)[-1] == "1 passed, 0 failed, 1 in error"


def test_junit_contains_the_printed_results(rules: Path, tmp_path: Path) -> None:
    (rules / "a_test.yaml").write_text(STORY % 6)
    (rules / "b_test.yaml").write_text(STORY % "many")
    report = tmp_path / "report.xml"
    report.write_text("old")
    done = scorer(rules, "--junit", report)
    assert done.exit_code == 1
    xml = JUnitXml.fromfile(str(report))
    assert (xml.tests, xml.failures, xml.errors) == (3, 1, 1)
    assert xml.time > 0
    assert all(case.time > 0 for suite in xml for case in suite)
    assert [suite.name for suite in xml] == [f"{rules}/{name}_test.yaml" for name in ("a", "b", "good")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.xml", "rules"]


def test_junit_reports_rules_that_do_not_load(rules: Path, tmp_path: Path) -> None:
    (rules / "small.yaml").write_text("ruleset: [\n")
    report = tmp_path / "report.xml"
    assert scorer(rules, "--junit", report).exit_code == 1
    xml = JUnitXml.fromfile(str(report))
    assert (xml.tests, xml.errors, xml.failures) == (1, 1, 0)
    assert "small.yaml:2:1: error: not valid YAML" in report.read_text()


def test_junit_follows_links_and_never_overwrites_rules(rules: Path, tmp_path: Path) -> None:
    link, target = tmp_path / "link.xml", tmp_path / "target.xml"
    link.symlink_to(target)
    assert scorer(rules, "--junit", link).exit_code == 0
    assert link.is_symlink()
    assert target.read_text().startswith("<?xml")
    for wrong in (rules / "small.yaml", rules / "new.yaml", rules, tmp_path / "none" / "x.xml", Path("/dev/null")):
        done = scorer(rules, "--junit", wrong)
        assert done.exit_code == 2, wrong
        assert done.stderr.startswith(f"error: --junit {wrong}: ")
    assert (rules / "small.yaml").read_text() == SMALL_RULES


def test_coverage_lists_what_no_test_exercises(rules: Path) -> None:
    done = scorer(rules, "--coverage")
    assert done.exit_code == 0
    assert shown(done)[2] == "coverage: 2 of 17 rules and signals (11.7 %)"
    assert f"  {rules}/small.yaml:15:3: signal `careers` never counted" in shown(done)
    assert f"  {rules}/small.yaml:23:10: rule `budget-planned` never held" in shown(done)
    assert f"  {rules}/small.yaml:40:6: routing rule `competitor` never applied" in shown(done)
    assert len(shown(done)) == 3 + 15


def test_min_coverage_fails_below_and_passes_at_the_bound(rules: Path) -> None:
    covered = 100 * 2 / 17
    assert scorer(rules, "--min-coverage", str(covered - 0.001)).exit_code == 0
    done = scorer(rules, "--min-coverage", str(covered + 0.001))
    assert done.exit_code == 1
    assert done.stderr == "error: the coverage is below the required 11.7657 %\n"
    assert scorer(rules, "--min-coverage", "0").exit_code == 0
    assert scorer(rules, "--min-coverage", "101").exit_code == 2


@pytest.mark.parametrize("name", ["b2b", "education"])
def test_the_shipped_tests_exercise_every_rule(name: str) -> None:
    done = scorer(ROOT / "rules" / name, "--min-coverage", "100")
    assert done.exit_code == 0, done.output
