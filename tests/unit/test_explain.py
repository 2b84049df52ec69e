"""`scorer explain`, as the shell sees it, and what its three forms hold."""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from scorer.cli import app
from scorer.cli.explain_text import story_text
from scorer.explain.story import tell
from scorer.explain.story_model import Story
from scorer.explain.timeline import history
from scorer.report.explain_page import explain_page
from tests.contract.test_schemas import validator
from tests.factory import SMALL_RULES, activity, evaluator, ruleset_folder
from tests.unit.test_cli import ROOT, event, scorer
from tests.unit.test_report import Tags

EVIL = "</td><script>alert('1')</script><img src=x onerror=alert(1)>\" \u202eRTL\x1b[31m[bold]"


class Done(NamedTuple):
    returncode: int
    stdout: bytes
    stderr: bytes


def explain(*args: str, **environment: str) -> Done:
    """The command in this process: starting one for each takes longer than all the rest."""
    result = CliRunner(env=environment).invoke(app, ["explain", *args], prog_name="scorer")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout_bytes, result.stderr_bytes)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return ruleset_folder(tmp_path / "rules", file="small.yaml")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "activities.jsonl"
    lines = [
        event(1, url="/pricing"),
        event(1, url="/pricing"),
        event(2, "lead.qualification_updated", bant={"budget_status": "approved"}),
        event(3, url="/pricing", lead="lead-2"),
        event(4, "lead.profile_updated", employees=300, country="DE", custom={"installed_base": 2}),
        event(5, "lead.erased", lead="lead-3"),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def story_of(source: Path, rules: Path, *more: str, lead: str = "lead-1") -> Story:
    done = explain(lead, "--input", str(source), "--rules", str(rules), "--format", "json", *more)
    assert done.returncode == 0, done.stderr.decode()
    validator("story.json").validate(json.loads(done.stdout))
    return Story.model_validate_json(done.stdout)


def test_the_json_explains_every_point_with_its_event(source: Path, rules: Path) -> None:
    story = story_of(source, rules)
    assert story.score.total == sum(step.points for step in story.waterfall) == 39
    company = next(part for part in story.criteria if part.criterion == "company")
    assert (company.before_limit, company.cut, company.points) == (20, -5, 15)
    assert [(step.rule, step.points) for step in story.waterfall if step.criterion == "company"] == [
        ("large", 10),
        ("base", 5),
        ("dach", 5),
        ("cap", -5),
    ]
    budget = next(part for part in story.criteria if part.criterion == "budget").rules[0].evidence[0]
    assert (budget.field, budget.value) == ("bant.budget_status", "approved")
    assert budget.event is not None
    assert (budget.event.id, budget.event.source, budget.event.time) == ("2", "web", "2026-01-02T09:00:00Z")
    (pricing,) = story.signals
    assert (pricing.undiminished, pricing.before_limit, pricing.points, pricing.half_life_days) == (5, 4.06, 4, 10)
    assert [(day.day, day.counted, [each.id for each in day.events]) for day in pricing.days] == [
        ("2026-01-01", 1, ["1"])
    ]
    assert pricing.gone_on == "2026-02-04"


def test_the_repeated_activity_changed_nothing_and_the_timeline_says_what_did(source: Path, rules: Path) -> None:
    story = story_of(source, rules)
    assert story.timeline is not None
    assert [(each.score_before, each.score, each.rating) for each in story.timeline] == [
        (None, 5, "cold"),
        (5, 25, "warm"),
        (25, 39, "warm"),
    ]
    assert story.without_effect == 1
    last = {(each.rule, each.cause): (each.before, each.after) for each in story.timeline[-1].changes}
    assert last[("pricing", "time")] == (5, 4)
    assert last[("cap", "activity")] == (0, -5)


def test_at_judges_as_of_that_time_and_leaves_out_what_came_later(source: Path, rules: Path) -> None:
    before = story_of(source, rules, "--at", "2026-01-03")
    assert (before.as_of, before.score.total, before.latest_activity) == (
        "2026-01-03T00:00:00Z",
        24,
        "2026-01-02T09:00:00Z",
    )
    after = story_of(source, rules, "--at", "2027-06-01T12:00:00+02:00")
    assert (after.as_of, after.score.total) == ("2027-06-01T10:00:00Z", 35)
    assert after.signals[0].outside_window == 1
    assert story_of(source, rules, "--at", "now").score.total == 35


def test_gzip_and_stdin_are_read_like_a_plain_file(source: Path, rules: Path, tmp_path: Path) -> None:
    plain = story_of(source, rules)
    packed = tmp_path / "named.anything"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    assert story_of(packed, rules) == plain
    args = ("explain", "lead-1", "--input", "-", "--rules", str(rules), "--format", "json")
    assert Story.model_validate_json(scorer(*args, stdin=packed.read_bytes()).stdout) == plain
    packed.write_bytes(packed.read_bytes()[:-20])
    done = explain("lead-1", "--input", str(packed), "--rules", str(rules))
    assert done.returncode == 2
    assert b"damaged gzip file after line" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("lead", "says"),
    [
        ("nobody", "none of 6 lines is an activity of 'nobody'"),
        (
            "lead-3",
            "'lead-3': everything known of the lead was erased on its person's request, as of 2026-01-05T09:00:00Z",
        ),
        ("", "none of 6 lines is an activity of ''"),
        ("lead-1 ", "none of 6 lines is an activity of 'lead-1 '"),
        ("no\x1b[31mbody", "none of 6 lines is an activity of 'no\\x1b[31mbody'"),
    ],
)
def test_unknown_and_erased_leads_are_exit_1_and_said_so(source: Path, rules: Path, lead: str, says: str) -> None:
    done = explain(lead, "--input", str(source), "--rules", str(rules))
    assert done.returncode == 1
    assert done.stdout == b""
    assert says in done.stderr.decode()


def test_lines_that_could_be_the_leads_are_named_and_exit_3(source: Path, rules: Path) -> None:
    bad_other = event(8, "lead.page_viewed", lead="lead-2")
    bad_own = event(9, "lead.page_viewed")
    source.write_text(source.read_text() + f"{{broken\n{bad_other}\n{bad_own}\n")
    done = explain("lead-1", "--input", str(source), "--rules", str(rules), "--format", "json")
    assert done.returncode == 3
    assert Story.model_validate_json(done.stdout).score.total == 39
    lines = done.stderr.decode().splitlines()
    assert [line.split(": ")[:2] for line in lines[:2]] == [
        [f"{source}:7", "not_json"],
        [f"{source}:9", "invalid_data"],
    ]
    assert lines[2] == "2 of 9 lines rejected"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "give either --input F"),
        (["--input", "x", "--service", "http://y"], "give either --input F"),
        (["--input", "/nowhere/x"], "/nowhere/x: No such file or directory"),
        (["--input", "/"], "/: Is a directory"),
        (["--input", "docs/example.jsonl", "--at", "soon"], "--at: 'soon' is no time; write 2026-01-31T09:30:00Z"),
        (["--input", "docs/example.jsonl", "--at", "2026-01-31T09:30:00"], "is no time"),
        (
            ["--input", "docs/example.jsonl", "--at", "9999-12-31"],
            "--at: '9999-12-31' is too late; write a time in the years 1970 to 9000",
        ),
        (["--input", "docs/example.jsonl", "--at", "1969-12-31"], "is too early"),
        (["--service", "ftp://x"], "expected a URL"),
        (["--service", "http://x", "--rules", "rules/b2b"], "the service uses its own rules"),
        (["--input", "docs/example.jsonl", "--output", "docs/example.jsonl"], "is also the input"),
    ],
)
def test_wrong_usage_is_exit_2_and_one_line(args: list[str], says: str) -> None:
    done = explain("L-1042", *args)
    assert done.returncode == 2
    assert says in done.stderr.decode()
    assert len(done.stderr.decode().splitlines()) == 1


def test_parquet_is_read_like_a_plain_file(source: Path, rules: Path, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    events = [json.loads(line) for line in source.read_text().splitlines()]
    columns = {name: [each[name] for each in events] for name in ("id", "source", "type", "time", "subject")}
    packed = tmp_path / "named.anything"
    polars.DataFrame({**columns, "data": [json.dumps(each["data"]) for each in events]}).write_parquet(packed)
    assert story_of(packed, rules) == story_of(source, rules)
    done = explain("nobody", "--input", str(packed), "--rules", str(rules))
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == f"error: {packed}: none of 6 lines is an activity of 'nobody'\n"


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A service that answers every question so; its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "exit_status", "says"),
    [
        (404, b'{"error": "nothing is known"}', 1, "'L-1 ': nothing is known"),
        (410, b'{"error": "erased"}', 1, "'L-1 ': erased"),
        (404, b"<html>", 3, "the service answers 404; is it a lead scorer?"),
        (400, b'{"error": "at: too early"}', 2, "'L-1 ': at: too early"),
        (500, b'{"error": "cannot be read"}', 3, "'L-1 ': cannot be read"),
        (503, b'{"error": "ask again"}', 3, "'L-1 ': ask again"),
        (200, b"{}", 3, "the answer is not the story of a lead"),
    ],
)
def test_only_a_lead_that_the_service_does_not_have_is_exit_1(
    status: int, body: bytes, exit_status: int, says: str
) -> None:
    with answering(status, body) as address:
        done = explain("L-1 ", "--service", address)
    assert done.returncode == exit_status
    assert says in done.stderr.decode()
    assert len(done.stderr.decode().splitlines()) == 1


def test_a_service_that_does_not_answer_is_exit_3_and_one_line() -> None:
    done = explain("L-1", "--service", "http://127.0.0.1:1")
    assert done.returncode == 3
    assert re.fullmatch(r"error: http://127.0.0.1:1 does not answer: .*refused\n", done.stderr.decode())


def test_the_example_in_the_three_forms(tmp_path: Path) -> None:
    for form in ("text", "json", "html"):
        out = tmp_path / form
        done = explain("L-1042", "--input", "docs/example.jsonl", "--format", form, "--output", str(out))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        direct = explain("L-1042", "--input", "docs/example.jsonl", "--format", form)
        if form != "text":
            assert direct.stdout == out.read_bytes()
        assert "80" in out.read_text()


@pytest.mark.parametrize("width", [80, 140])
def test_text_fits_the_width_and_its_points_add_up(width: int) -> None:
    text = explain("L-1042", "--input", "docs/example.jsonl", COLUMNS=str(width)).stdout.decode()
    assert max(map(len, text.splitlines())) <= width
    section = text.split("Where the points come from")[1].split("Why it goes there")[0]
    steps = re.findall(r"^ +([+-]\d+) +(-?\d+) ", section, re.MULTILINE)
    assert sum(int(points) for points, _ in steps) == int(steps[-1][1]) == 80
    assert re.search(r"^ +80 .*points in all", section, re.MULTILINE)
    for line in (
        "qualification updated",
        "warm → hot",
        "nurture → sales",
        "consent.email is withdrawn (it is unknown)",
    ):
        assert line in text


def evil_story() -> Story:
    text = SMALL_RULES.replace("Budget is approved", '"<b>Budget</b> & [red]co[/red]"').replace(
        "installed_base: {type: integer}", "installed_base: {type: integer, description: <i>How many</i>}"
    )
    rules = evaluator(text)
    story = [
        activity("qualification_updated", {"bant": {"budget_status": "approved"}}, lead=EVIL, id=EVIL, source=EVIL),
        activity("profile_updated", {"company": EVIL, "custom": {"installed_base": EVIL, "list": [EVIL]}}, lead=EVIL),
        activity("page_viewed", {"url": "/pricing"}, lead=EVIL, id=f"x{EVIL}", day=1),
        activity("consent_changed", {"channel": "email", "status": "withdrawn"}, lead=EVIL, day=2),
        activity("merged", {"into": EVIL}, lead=EVIL, day=3),
    ]
    known = history(EVIL, story, rules)
    return tell(known.lead, rules, None, known)


def test_nothing_of_a_lead_becomes_markup_of_the_page() -> None:
    page = explain_page(evil_story())
    found = Tags(page).found
    assert not {"script", "img", "b", "i", "iframe", "object", "form"} & {tag for tag, _ in found}
    assert not any(name.startswith("on") for _, attributes in found for name in attributes)
    assert "&lt;script&gt;" in page
    page.encode()
    # Text that turns the direction of writing stays within its own element.
    for match in re.finditer("\u202e", page.split("</title>")[1]):
        around = page.split("</title>")[1][: match.start()]
        assert around.rfind("<bdi>") > around.rfind("</bdi>")


def test_nothing_of_a_lead_steers_a_terminal() -> None:
    text = story_text(evil_story())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]" in text
    assert "[red]co[/red]" in text


def test_a_merged_lead_says_so_and_needs_no_advice() -> None:
    story = evil_story()
    assert story.merged_into == EVIL
    assert (story.routing.rule, story.targets) == ("merged", [])
    assert story.routing.because == "this comes before all routing rules"


def facts_of(story: Story) -> dict[str, Any]:
    return {each.field: each.value for each in story.known}


def test_consent_withdrawal_and_erasure_are_shown(rules: Path, source: Path) -> None:
    lines = [
        event(3, "lead.profile_updated", company="Before GmbH"),
        event(5, "lead.erased"),
        event(6, "lead.profile_updated", country="DE"),
        event(7, "lead.consent_changed", channel="phone", status="granted"),
        event(8, "lead.unsubscribed"),
        event(9, "lead.profile_updated", country=None),
    ]
    source.write_text("\n".join(lines))
    story = story_of(source, rules)
    assert story.erased_at == "2026-01-05T09:00:00Z"
    assert "Before GmbH" not in story.model_dump_json()
    assert [(each.field, each.value) for each in story.consent] == [
        ("consent.email", "withdrawn"),
        ("consent.phone", "granted"),
    ]
    assert facts_of(story)["profile.country"] is None
    text = story_text(story)
    assert "erased on request: nothing up to 2026-01-05 09:00 UTC is kept" in text
    assert "Consent: email withdrawn (2026-01-08 09:00 8 web), phone granted (2026-01-07 09:00 7 web)." in text
    assert "profile.country withdrawn" in re.sub(" +", " ", text)
    page = explain_page(story)
    assert "The person asked to be forgotten" in page
    assert "Consent to mail" in page


def test_the_documentation_shows_what_the_command_prints() -> None:
    shown = (ROOT / "docs" / "explain.md").read_text().split("```\n$ scorer ")[1].split("```")[0].splitlines()
    done = explain(*shown[0].split()[1:], COLUMNS="100")
    printed = [line.rstrip() for line in done.stdout.decode().splitlines()]
    for line in shown[1:]:
        assert line == "…" or line in printed
