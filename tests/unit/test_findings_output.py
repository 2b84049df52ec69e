"""`scorer check` as text, as JSON and for GitHub, and what fails it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from scorer.cli import app
from scorer.cli.findings import as_github, as_text
from scorer.rules.finding import Finding, Position
from tests.factory import SMALL_RULES

SOUND = f"{SMALL_RULES}retention: {{inactive: 2y}}\n"
WARNS = SOUND.replace("profile.country: {in: [AT, CH, DE]}", "profile.country: {in: [AT, CH, Germany]}")


def check(tmp_path: Path, text: str, *options: str) -> tuple[int, str]:
    (tmp_path / "r.yaml").write_text(text)
    result = CliRunner().invoke(app, ["check", str(tmp_path), "--engine", "compiled", *options])
    return result.exit_code, result.stdout.replace(str(tmp_path), "rules")


def test_a_warning_is_shown_and_fails_the_check_only_with_strict(tmp_path: Path) -> None:
    status, text = check(tmp_path, WARNS)
    assert status == 0
    first, line, marks, last = text.splitlines()
    assert first == (
        "rules/r.yaml:36:58: warning[suspicious-constant]: `Germany` is not a country code (ISO 3166-1 alpha-2); "
        "did you mean DE?"
    )
    assert line[marks.index("^") : marks.index("^") + marks.count("^")] == "Germany"
    assert last.startswith("ok: 13 rules, 4 signals, revision ")
    assert last.endswith("; 1 warning")
    assert check(tmp_path, WARNS, "--strict") == (1, text)
    assert check(tmp_path, WARNS, "--strict", "--level", "error")[0] == 1
    assert check(tmp_path, SOUND, "--strict")[0] == 0


def test_the_level_selects_the_findings_shown(tmp_path: Path) -> None:
    assert "info[gap]" not in check(tmp_path, SOUND)[1]
    assert "info[gap]" in check(tmp_path, SOUND, "--level", "info")[1]
    assert "warning" not in check(tmp_path, WARNS, "--level", "error")[1]


def test_json_has_everything_that_the_text_has(tmp_path: Path) -> None:
    status, text = check(tmp_path, WARNS, "--format", "json")
    document = json.loads(text)
    assert status == 0
    assert document["ruleset"]["name"] == "small"
    assert len(document["ruleset"]["revision"]) == 64
    assert document["findings"] == [
        {
            "file": "rules/r.yaml",
            "line": 36,
            "column": 58,
            "level": "warning",
            "code": "suspicious-constant",
            "message": "`Germany` is not a country code (ISO 3166-1 alpha-2); did you mean DE?",
        }
    ]
    status, text = check(tmp_path, "colour: red", "--format", "json")
    assert (status, json.loads(text)["ruleset"]) == (1, None)


def test_github_annotations(tmp_path: Path) -> None:
    status, text = check(tmp_path, WARNS, "--format", "github")
    assert status == 0
    assert text.splitlines()[0] == (
        "::warning file=rules/r.yaml,line=36,col=58,title=suspicious-constant::`Germany` is not a country code "
        "(ISO 3166-1 alpha-2); did you mean DE?"
    )
    assert check(tmp_path, "colour: red", "--format", "github")[1].startswith("::error file=rules/r.yaml,line=1,col=1,")


def test_workflow_control_characters_are_escaped() -> None:
    finding = Finding(Position("a,b:c%\n.yaml", 2, 3), "gap", "100 %\r\n::error::x, y: z", "info")
    assert as_github(finding) == (
        "::notice file=a%2Cb%3Ac%25\\n.yaml,line=2,col=3,title=gap::100 %25\\r\\n::error::x, y: z"
    )


@pytest.mark.parametrize(
    ("line", "column", "marked"),
    [
        ("  when: {profile.country: Germany}", 27, "Germany"),
        ("  when: {profile.country: 'New Germany'}", 27, "'New Germany'"),
        ("  when: {a: 1}", 9, "{"),
        ("  when: 'never closed", 9, "'never"),
        ("  größe: 😀 x", 10, "😀"),
        ("\tx: red", 2, "x"),
        ("- " * 500 + "red", 1001, "red"),
        ("a: \x1b[31mred", 4, "\\x1b"),
    ],
)
def test_the_position_is_underlined(line: str, column: int, marked: str) -> None:
    finding = Finding(Position("f.yaml", 2, column), "x", "y")
    shown = as_text(finding, {"f.yaml": f"first\r\n{line}\r\nlast".encode()}).plain.splitlines()
    assert len(shown) == 3
    assert len(shown[1]) <= 140
    assert shown[1].isprintable()
    before = shown[1].index(marked)
    assert cell_len(shown[1][:before]) == shown[2].index("^")
    assert shown[2].count("^") >= cell_len(marked)


def test_a_position_outside_the_file_has_no_excerpt() -> None:
    for position in (Position("f.yaml", 9, 1), Position("f.yaml", 1, 9), Position("g.yaml", 1, 1)):
        assert "\n" not in as_text(Finding(position, "x", "y"), {"f.yaml": b"short"}).plain


def test_one_rule_is_singular(tmp_path: Path) -> None:
    text = "ruleset: r\nratings: {warm: 1, hot: 2}\nrouting: [{id: rest, route: nurture}]\n"
    assert check(tmp_path, text)[1].splitlines()[-1].startswith("ok: 1 rule, 0 signals, revision ")
