"""Text from outside controls no terminal, whichever command prints it."""

import io
import json
import logging
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from rich.console import Console
from typer.testing import CliRunner

from scorer.backtest.impact import Move
from scorer.cli import app, backtest_output
from scorer.cli.common import say
from scorer.demo.screen import LineScreen
from scorer.demo.state import DemoState, Service
from scorer.demo.summary import progress_line, summary
from scorer.demo.view import render
from scorer.domain.decision import Routing
from scorer.domain.printable import NAME_WIDTH, printable, printable_lines, shortened
from scorer.domain.score import Rating, Route
from scorer.runtime.logs import configure_logs
from tests.factory import SMALL_RULES
from tests.unit.test_backtest import HOT, NEW, OLD, event, run
from tests.unit.test_demo_view import decision

HOSTILE = "Evil\x1b[2J\x1b]0;x\x07 \u202eoc\u2028x\u2029\x85\x9b31m\r\n\u2066\u200e\x00\x08[red]:boom:[/red]"
LONG = HOSTILE + "n" * 256


def assert_harmless(text: str) -> None:
    """No control, format, line or paragraph character but newline; something of the hostile text is shown."""
    assert "Evil" in text
    wrong = {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs")}
    assert not wrong
    assert not any(line.startswith(("\u2066", "x\u2029")) for line in text.splitlines())


def test_escapes_are_readable_and_stay_when_escaped_again() -> None:
    assert printable("a\x1b\u202e\u2028\n\udcffé上") == "a\\x1b\\u202e\\u2028\\n\\udcffé上"
    assert printable(printable(HOSTILE)) == printable(HOSTILE)
    assert printable_lines("a\nb\r\n") == "a\nb\\r\n"
    assert shortened("n" * NAME_WIDTH) == "n" * NAME_WIDTH
    assert shortened("n" * 256) == "n" * (NAME_WIDTH - 1) + "…"
    assert len(shortened("\x1b" * 256)) == NAME_WIDTH


def hostile_state() -> DemoState:
    state = DemoState(service=Service(LONG, HOSTILE, HOSTILE, "http://x", "x:1", refused=HOSTILE), phase=HOSTILE)
    told = decision(LONG, Rating.HOT, Route.SALES, HOSTILE, [(20, HOSTILE)])
    told.routing = Routing(rule="rule", reason=HOSTILE)
    told.grade = HOSTILE
    state.decide(told)
    state.companies[LONG] = LONG
    state.dead_letters[HOSTILE] = 1
    state.left_out.append(HOSTILE)
    return state


@pytest.mark.parametrize("width", [40, 80, 120, 160])
def test_demo(width: int) -> None:
    state = hostile_state()
    out = io.StringIO()
    console = Console(file=out, width=width, height=60, color_system=None)
    console.print(render(state, width))
    assert_harmless(out.getvalue())
    assert "n" * (NAME_WIDTH + 1) not in out.getvalue()
    assert "…" in out.getvalue()
    LineScreen(console).show(state)
    assert_harmless(out.getvalue())
    for text in (summary(state), summary(state, width), progress_line(state)):
        assert_harmless(text)


def test_backtest() -> None:
    lines = [event("lead", "qualification_updated", 1, **HOT), event("other", "page_viewed", 1, url="/pricing")]
    result = run(lines, NEW, OLD)
    assert result.changes is not None
    changes = result.changes
    (mover,) = changes.movers
    result = replace(
        result,
        headline=[HOSTILE],
        new=replace(result.new, name=LONG),
        changes=replace(
            changes,
            movers=[replace(mover, lead_id=LONG, rules=[mover.rules[0]._replace(rule=LONG)])],
            rules=[replace(changes.rules[0], rule=LONG)],
            queues=replace(changes.queues, changed=1, moves=[Move(LONG, HOSTILE, 1)]),
        ),
    )
    out = io.StringIO()
    backtest_output.show(result, Console(file=out, width=300, color_system=None))
    assert_harmless(out.getvalue())
    assert "[red]:boom:[/red]" in out.getvalue()
    assert "n" * NAME_WIDTH not in out.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rules, a test and activities with hostile texts wherever a file can hold them."""
    rules = SMALL_RULES.replace("reason: Budget is approved", f"reason: {json.dumps(HOSTILE)}")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "small.yaml").write_text(rules)
    names = (HOSTILE, HOSTILE.replace("\x1b", "").replace("\n", ""), "Evil \u202ename\u2066")
    tests = [{"name": name, "activities": [{"type": "trial_started"}], "expect": {"score": 0}} for name in names]
    (tmp_path / "rules" / "evil_test.yaml").write_text(json.dumps({"tests": tests}))
    lead = "Evil \u202elead\u2066"
    lines = [
        event(lead, "qualification_updated", 1, **HOT),
        event(lead, "profile_updated", 2, company=HOSTILE[:200], custom={HOSTILE[:20]: HOSTILE}),
        event(lead, "sales_returned", 3, by=HOSTILE[:60], reason=HOSTILE),
    ]
    (tmp_path / f"Evil{chr(0x202E)}.jsonl").write_bytes(b"\n".join([*lines, b"{Evil \x1b[2J"]))
    return tmp_path


@pytest.mark.parametrize("command", ["check", "broken check", "test", "backtest", "report", "explain", "score"])
def test_commands(folder: Path, command: str) -> None:
    rules, source = str(folder / "rules"), str(next(folder.glob("*.jsonl")))
    if command == "broken check":
        broken = SMALL_RULES.replace("ruleset: small", f"ruleset: small\n{json.dumps(HOSTILE)}: 1")
        (folder / "rules" / "small.yaml").write_text(broken)
    arguments = {
        "check": ["check", rules, "--level", "info"],
        "broken check": ["check", rules],
        "test": ["test", rules],
        "backtest": ["backtest", "--rules", rules, "--workers", "1", "--input", source],
        "report": ["report", "--rules", rules, "--workers", "1", "--input", source],
        "explain": ["explain", "Evil \u202elead\u2066", "--rules", rules, "--input", source],
        "score": ["score", "--rules", rules, "--input", source, "--output", str(folder / "decisions")],
    }
    done = CliRunner().invoke(app, arguments[command])
    assert done.output.strip()
    assert_harmless(done.output + ("Evil" if command == "check" else ""))


def test_a_message_quotes_what_it_likes(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"error: {HOSTILE}: no such file")
    shown = capsys.readouterr().err
    assert_harmless(shown)
    assert shown.count("\n") == 1


@pytest.fixture
def logs() -> Iterator[None]:
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    configure_logs("INFO", "console")
    yield
    root.handlers[:], root.level = kept
    structlog.reset_defaults()


def test_log_lines_for_people(logs: None) -> None:
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(out := io.StringIO())
    structlog.get_logger().info("told", lead="Evil\x1b[2J\u202e")
    logging.getLogger("client").warning("%s", HOSTILE)
    assert_harmless(out.getvalue())
    assert out.getvalue().count("\n") == 2
