"""`scorer explain` as a command, and the content of its three formats."""

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
from scorer.explain.story import explain_lead
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


TOKEN = "0123456789abcdef" * 4


def explain(*args: str, **environment: str) -> Done:
    """Run the command in this process, because starting processes takes longer than everything else."""
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


def test_json_explains_every_point_with_its_event(source: Path, rules: Path) -> None:
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
    assert [(day.day, day.counted, [event.id for event in day.events]) for day in pricing.days] == [
        ("2026-01-01", 1, ["1"])
    ]
    assert pricing.gone_on == "2026-02-04"


def test_timeline_lists_the_activities_with_an_effect_and_counts_the_repeated_one(source: Path, rules: Path) -> None:
    story = story_of(source, rules)
    assert story.timeline is not None
    assert [(entry.score_before, entry.score, entry.rating) for entry in story.timeline] == [
        (None, 5, "cold"),
        (5, 25, "warm"),
        (25, 39, "warm"),
    ]
    assert story.without_effect == 1
    last = {(change.rule, change.cause): (change.before, change.after) for change in story.timeline[-1].changes}
    assert last[("pricing", "time")] == (5, 4)
    assert last[("cap", "activity")] == (0, -5)


def test_option_at_sets_the_time_and_ignores_later_activities(source: Path, rules: Path) -> None:
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


def test_gzip_file_and_stdin_give_the_same_story_as_a_plain_file(source: Path, rules: Path, tmp_path: Path) -> None:
    plain = story_of(source, rules)
    packed = tmp_path / "named.anything"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    assert story_of(packed, rules) == plain
    args = ("explain", "lead-1", "--input", "-", "--rules", str(rules), "--format", "json")
    assert Story.model_validate_json(scorer(*args, stdin=packed.read_bytes()).stdout) == plain
    packed.write_bytes(packed.read_bytes()[:-20])
    done = explain("lead-1", "--input", str(packed), "--rules", str(rules))
    assert done.returncode == 2
    assert b"damaged gzip file near its beginning" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("lead", "says"),
    [
        ("nobody", "none of 6 activities is of 'nobody'"),
        (
            "lead-3",
            "'lead-3': all data about this lead was erased at the person's request as of 2026-01-05T09:00:00Z",
        ),
        ("", "none of 6 activities is of ''"),
        ("lead-1 ", "none of 6 activities is of 'lead-1 '"),
        ("no\x1b[31mbody", "none of 6 activities is of 'no\\x1b[31mbody'"),
    ],
)
def test_unknown_and_erased_leads_exit_1_with_a_message(source: Path, rules: Path, lead: str, says: str) -> None:
    done = explain(lead, "--input", str(source), "--rules", str(rules))
    assert done.returncode == 1
    assert done.stdout == b""
    assert says in done.stderr.decode()


def test_unreadable_lines_that_may_belong_to_the_lead_are_reported_with_exit_3(source: Path, rules: Path) -> None:
    bad_other = event(8, "lead.merged", lead="lead-2")
    bad_own = event(9, "lead.merged")
    source.write_text(source.read_text() + f"{{broken\n{bad_other}\n{bad_own}\n")
    done = explain("lead-1", "--input", str(source), "--rules", str(rules), "--format", "json")
    assert done.returncode == 3
    assert Story.model_validate_json(done.stdout).score.total == 39
    lines = done.stderr.decode().splitlines()
    assert [line.split(": ")[:2] for line in lines[:2]] == [
        [f"{source}:7", "not_json"],
        [f"{source}:9", "invalid_data"],
    ]
    assert lines[2] == "2 of 9 activities rejected"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "give one of --input F"),
        (["--input", "x", "--service", "http://y"], "give one of --input F"),
        (["--input", "/nowhere/x"], "/nowhere/x: No such file or directory"),
        (["--input", "/"], "/: Is a directory"),
        (["--input", "docs/example.jsonl", "--at", "soon"], "--at: 'soon' is not a time; write 2026-01-31T09:30:00Z"),
        (["--input", "docs/example.jsonl", "--at", "2026-01-31T09:30:00"], "is not a time"),
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
def test_wrong_usage_exits_2_with_one_line(args: list[str], says: str) -> None:
    done = explain("L-1042", *args)
    assert done.returncode == 2
    assert says in done.stderr.decode()
    assert len(done.stderr.decode().splitlines()) == 1


def test_parquet_file_gives_the_same_story_as_a_plain_file(source: Path, rules: Path, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    events = [json.loads(line) for line in source.read_text().splitlines()]
    columns = {name: [record[name] for record in events] for name in ("id", "source", "type", "time", "subject")}
    packed = tmp_path / "named.anything"
    polars.DataFrame({**columns, "data": [json.dumps(record["data"]) for record in events]}).write_parquet(packed)
    assert story_of(packed, rules) == story_of(source, rules)
    done = explain("nobody", "--input", str(packed), "--rules", str(rules))
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == f"error: {packed}: none of 6 activities is of 'nobody'\n"


@contextmanager
def answering(
    status: int, body: bytes, seen: list[str | None] | None = None, location: str | None = None
) -> Iterator[str]:
    """Run a service that gives this answer to every request, and return its address. `seen` gets the logins."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if seen is not None:
                seen.append(self.headers["Authorization"])
            self.send_response(status)
            if location is not None:
                self.send_header("Location", location)
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
def test_service_errors_exit_1_only_for_a_lead_that_it_does_not_have(
    status: int, body: bytes, exit_status: int, says: str
) -> None:
    with answering(status, body) as address:
        done = explain("L-1 ", "--service", address)
    assert done.returncode == exit_status
    assert says in done.stderr.decode()
    assert len(done.stderr.decode().splitlines()) == 1


@pytest.mark.parametrize("content", [f"{TOKEN}\n", f"# ours\ncrm:{TOKEN}\n", f"crm:{TOKEN}:rules"])
def test_the_token_of_a_file_is_sent(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    headers: list[str | None] = []
    with answering(401, b'{"error": "this token is not valid"}', headers) as address:
        done = explain("L-1", "--service", address, "--token-file", str(tmp_path / "token"))
    assert headers == [f"Bearer {TOKEN}"]
    assert (done.returncode, done.stderr) == (3, b"error: 'L-1': this token is not valid\n")


def test_the_token_goes_to_no_other_address(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    other: list[str | None] = []
    with (
        answering(200, b"{}", other) as elsewhere,
        answering(302, b"", [], location=f"{elsewhere}/leads/L-1") as address,
    ):
        done = explain("L-1", "--service", address, "--token-file", str(tmp_path / "token"))
    assert (done.returncode, other) == (3, [])
    assert done.stderr == b"error: the service answers 302; is it a lead scorer?\n"


@pytest.mark.parametrize(
    ("option", "content", "says"),
    [
        ("--token-file", None, ": No such file or directory"),
        ("--token-file", "", ": expected one line, TOKEN or NAME:TOKEN"),
        ("--token-file", f"{TOKEN}\n{TOKEN}\n", ": expected one line, TOKEN or NAME:TOKEN"),
        ("--ca-file", None, ": No such file or directory"),
        ("--ca-file", "none", ": not usable (PEM)"),
        ("--cert-file", "none", ": not usable (PEM)"),
        ("--key-file", "none", " is for --cert-file; give both"),
    ],
)
def test_a_wrong_file_of_the_login_is_a_wrong_call(tmp_path: Path, option: str, content: str | None, says: str) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    done = explain("L-1", "--service", "https://127.0.0.1:1", option, str(path))
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"error: {option}")
    assert says in done.stderr.decode()
    assert TOKEN not in done.stderr.decode()


def test_a_login_is_for_a_service(tmp_path: Path) -> None:
    done = explain("L-1", "--input", str(tmp_path), "--token-file", "t")
    assert done.returncode == 2
    assert b"are for --service" in done.stderr


def test_service_without_an_answer_exits_3_with_one_line() -> None:
    done = explain("L-1", "--service", "http://127.0.0.1:1")
    assert done.returncode == 3
    assert re.fullmatch(r"error: http://127.0.0.1:1 does not answer: .*refused\n", done.stderr.decode())


def test_example_in_the_three_formats(tmp_path: Path) -> None:
    for format_ in ("text", "json", "html"):
        out = tmp_path / format_
        done = explain("L-1042", "--input", "docs/example.jsonl", "--format", format_, "--output", str(out))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        direct = explain("L-1042", "--input", "docs/example.jsonl", "--format", format_)
        if format_ != "text":
            assert direct.stdout == out.read_bytes()
        assert "80" in out.read_text()


@pytest.mark.parametrize("width", [80, 140])
def test_text_fits_the_width_and_its_points_add_up_to_the_score(width: int) -> None:
    text = explain("L-1042", "--input", "docs/example.jsonl", COLUMNS=str(width)).stdout.decode()
    assert max(map(len, text.splitlines())) <= width
    section = text.split("Where the points come from")[1].split("Why it goes there")[0]
    steps = re.findall(r"^ +([+-]\d+) +(-?\d+) ", section, re.MULTILINE)
    assert sum(int(points) for points, _ in steps) == int(steps[-1][1]) == 80
    assert re.search(r"^ +80 .*total", section, re.MULTILINE)
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
    return explain_lead(known.lead, rules, None, known)


def test_lead_content_does_not_become_markup_of_the_page() -> None:
    page = explain_page(evil_story())
    found = Tags(page).found
    assert not {"script", "img", "b", "i", "iframe", "object", "form"} & {tag for tag, _ in found}
    assert not any(name.startswith("on") for _, attributes in found for name in attributes)
    assert "&lt;script&gt;" in page
    page.encode()
    # Text that changes the writing direction stays within its own element.
    for match in re.finditer("\u202e", page.split("</title>")[1]):
        around = page.split("</title>")[1][: match.start()]
        assert around.rfind("<bdi>") > around.rfind("</bdi>")


def test_lead_content_does_not_control_the_terminal() -> None:
    text = story_text(evil_story())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]" in text
    assert "[red]co[/red]" in text


def test_merged_lead_is_shown_as_merged_and_has_no_suggestions() -> None:
    story = evil_story()
    assert story.merged_into == EVIL
    assert (story.routing.rule, story.targets) == ("merged", [])
    assert story.routing.because == "this is decided before all routing rules"
    for told in (story_text(story), explain_page(story)):
        assert "None of it is published before the lead does something, because it was merged." in told


def test_what_time_alone_will_change_is_said_to_be_published() -> None:
    rules = evaluator()
    known = history("a", [activity("trial_started", lead="a")], rules)
    story = explain_lead(known.lead, rules, None, known)
    for told in (story_text(story), explain_page(story)):
        assert "What changes by time is published when it changes, although the lead does nothing." in told


def facts_of(story: Story) -> dict[str, Any]:
    return {fact.field: fact.value for fact in story.known}


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
    assert [(fact.field, fact.value) for fact in story.consent] == [
        ("consent.email", "withdrawn"),
        ("consent.phone", "granted"),
    ]
    assert facts_of(story)["profile.country"] is None
    text = story_text(story)
    erased = "The person asked for their data to be erased: nothing up to 2026-01-05 09:00 UTC is kept."
    assert erased in re.sub(r"\s+", " ", text)
    assert "Consent: email withdrawn (2026-01-08 09:00 8 web), phone granted (2026-01-07 09:00 7 web)." in text
    assert "profile.country withdrawn" in re.sub(" +", " ", text)
    page = explain_page(story)
    assert "The person asked for their data to be erased" in page
    assert "Consent to email" in page


def test_documentation_shows_what_the_command_prints() -> None:
    shown = (ROOT / "docs" / "explain.md").read_text().split("```\n$ scorer ")[1].split("```")[0].splitlines()
    done = explain(*shown[0].split()[1:], COLUMNS="100")
    printed = [line.rstrip() for line in done.stdout.decode().splitlines()]
    for line in shown[1:]:
        assert line == "…" or line in printed
