"""What does not fit is said by `score`, `backtest` and `explain`, with an example that is safe to print."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from scorer.cli import app
from tests.factory import SMALL_RULES, ruleset_folder

LOUD = "40\u001b[2J\u202e"
SENT: list[tuple[str, dict[str, Any]]] = [
    ("profile_updated", {"country": "DE", "custom": {"installed_base": LOUD}}),
    ("profile_updated", {"custom": {"instaled_base": 3}}),
    ("page_viewed", {"url": "/", "seconds": "4"}),
    ("page_viewed", {"url": "/"}),
]
FOUND = [
    '`installed_base` was probably meant by another key in 1 of 4 activities, e.g. "instaled_base"',
    r'`installed_base` was text in 1 of 4 activities, e.g. "40\u001b[2J\u202e"',
    '`page_viewed.seconds` was text in 1 of 4 activities, e.g. "4"',
]


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """The options: rules, and a file of activities of two leads."""
    rules = ruleset_folder(tmp_path / "rules")
    lines = [
        json.dumps(
            {"specversion": "1.0", "id": str(number), "source": "/crm", "type": f"lead.{kind}", "data": data}
            | {"time": "2026-01-31T09:30:00Z", "subject": f"L-{number % 2}"}
        )
        for number, (kind, data) in enumerate(SENT)
    ]
    file = tmp_path / "activities.jsonl"
    file.write_text("\n".join(lines))
    return ["--rules", str(rules), "--input", str(file)]


def run(*arguments: str) -> Result:
    """The command with these arguments."""
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


@pytest.mark.parametrize("workers", ["1", "2"])
def test_score_says_it_on_stderr_and_succeeds(given: list[str], workers: str) -> None:
    done = run("score", *given, "--workers", workers)
    assert done.exit_code == 0
    assert done.stderr.splitlines() == FOUND
    assert all(json.loads(line) for line in done.stdout.splitlines())


def test_backtest_says_it_below_the_answer(given: list[str]) -> None:
    done = run("backtest", *given)
    assert done.exit_code == 0
    for sentence in FOUND:
        assert sentence in done.stdout
    as_json = json.loads(run("backtest", *given, "--format", "json", "--workers", "2").stdout)
    assert as_json["input"]["unfitting"][2] == {
        "field": "page_viewed.seconds",
        "reason": "wrong_type",
        "found": "text",
        "activities": 1,
        "example": '"4"',
    }


def test_explain_quotes_what_the_lead_did_not_keep(given: list[str]) -> None:
    done = run("explain", "L-0", *given)
    assert done.exit_code == 0
    assert r'Not used: `installed_base` was text in 1 of 2 activities, e.g. "40\u001b[2J\u202e".' in done.stdout
    assert "Not used" in run("explain", "L-0", *given, "--format", "html").stdout
    assert "instaled_base" not in done.stdout, "that was another lead"


def test_rules_that_set_them_aside_name_the_lines(given: list[str], tmp_path: Path) -> None:
    strict = ruleset_folder(tmp_path / "strict", SMALL_RULES + "unfitting: dead_letter\n")
    done = run("score", "--rules", str(strict), *given[2:])
    assert done.exit_code == 3
    assert "activities.jsonl:1: unfitting: installed_base (a string of 7 characters) is of another type" in done.stderr
    assert done.stderr.count(": unfitting: ") == 3
    assert LOUD not in done.stderr
    explained = run("explain", "L-0", "--rules", str(strict), *given[2:])
    assert ":1: unfitting: " in explained.stderr
