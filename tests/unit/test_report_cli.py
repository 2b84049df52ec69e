"""`scorer report` as a command, and its page."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from scorer.domain.instant import DAY, to_text
from scorer.figures.report_model import Report
from scorer.keyfigures.headline import amount
from scorer.report.keyfigures_page import keyfigures_page
from tests.factory import SMALL_RULES
from tests.lives import LIFE_RULES, START, event_line, lives
from tests.unit.test_cli import scorer, ways_to_give
from tests.unit.test_keyfigures import HOT, UNTIL, at, handed_over
from tests.unit.test_report import EVIL, Tags
from tests.unit.test_report_figures import reported

DAYS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rules, and the lives of a few leads."""
    folder = tmp_path_factory.mktemp("report")
    for name, text in (("life", LIFE_RULES), ("small", SMALL_RULES)):
        (folder / name).mkdir()
        (folder / name / "rules.yaml").write_text(text)
    (folder / "lives.jsonl").write_bytes(b"\n".join(lives(4, 60, DAYS)) + b"\n")
    return folder


def run(folder: Path, *args: str, rules: str = "life", status: int = 0) -> dict[str, Any]:
    done = scorer("report", "--rules", str(folder / rules), "--format", "json", *args)
    assert done.returncode == status, done.stderr.decode()
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_the_result_does_not_depend_on_how_the_same_activities_are_given(folder: Path) -> None:
    source = folder / "lives.jsonl"
    lines = source.read_bytes().splitlines()
    results = [run(folder, *way) for way in ways_to_give(source, 300)]
    for result in results:
        del result["input"]["files"]
    assert results[1:] == results[:1] * 2
    assert results[0]["total"]["won"] > 0
    assert results[0]["input"]["lines"] == results[0]["input"]["activities"] == len(lines)
    piped = scorer("report", "--rules", str(folder / "life"), "--format", "json", stdin=source.read_bytes())
    assert json.loads(piped.stdout)["periods"] == results[0]["periods"]


@pytest.mark.parametrize("rules", ["life", "small"])
def test_the_output_matches_its_schema(folder: Path, rules: str) -> None:
    schema = json.loads(scorer("schema", "report").stdout)
    Draft202012Validator.check_schema(schema)
    result = run(folder, "--input", str(folder / "lives.jsonl"), rules=rules)
    Draft202012Validator(schema).validate(result)
    assert Report.model_validate(result).model_dump(mode="json") == result


def test_the_figures_are_of_the_latest_arrival_or_of_until(folder: Path) -> None:
    source = str(folder / "lives.jsonl")
    latest = run(folder, "--input", source)
    later = run(folder, "--input", source, "--until", to_text(START + 200 * DAY))
    earlier = run(folder, "--input", source, "--until", to_text(START))
    assert earlier == latest
    assert later["input"]["as_of"] == to_text(START + 200 * DAY)
    assert later["periods"][-1]["label"] == "2025-07"
    assert sum(queue["open"] for queue in later["responses"]) == 0


def test_bad_lines_are_counted_reported_and_kept(folder: Path, tmp_path: Path) -> None:
    source, rejects = tmp_path / "in.jsonl", tmp_path / "rejects.jsonl"
    source.write_bytes(b"\n".join([*handed_over("a"), *[b"{broken"] * 24, b"\xff"]))
    rules = ("--rules", str(folder / "life"), "--workers", "2")
    done = scorer("report", *rules, "--input", str(source), "--rejects", str(rejects))
    assert done.returncode == 0
    errors = done.stderr.decode().splitlines()
    assert errors[0].startswith(f"{source}:3: not_json: ")
    assert errors[20:] == [f"… and 5 more; all of them are in {rejects}"]
    assert done.stdout.decode().startswith("Caution: 25 of 27 activities could not be used.")
    assert len(rejects.read_bytes().splitlines()) == 25


@pytest.mark.parametrize("content", [b"", b"{broken\n"])
def test_an_input_without_an_activity_exits_3(folder: Path, tmp_path: Path, content: bytes) -> None:
    source, page = tmp_path / "in.jsonl", tmp_path / "page.html"
    source.write_bytes(content)
    done = scorer("report", "--rules", str(folder / "life"), "--input", str(source), "--report", str(page))
    assert done.returncode == 3
    assert done.stdout.decode().startswith("No lead was found in the input.")
    assert done.stderr.decode().splitlines()[-1] == f"error: no activity in {source}"
    assert "No lead was found" in page.read_text()
    assert run(folder, "--input", str(source), status=3)["periods"] == []


def test_wrong_usage_is_reported_before_any_work(folder: Path, tmp_path: Path) -> None:
    source, rules = str(folder / "lives.jsonl"), ("--rules", str(folder / "life"))
    none = str(tmp_path / "none.jsonl")
    cases = [
        (("--input", none), "No such file or directory"),
        (("--input", source, "--report", source), "is also the input"),
        (("--input", source, "--report", "/nowhere/r.html"), "No such file"),
        (("--input", source, "--report", none, "--rejects", none), "need separate files"),
        (("--input", source, "--topic", "lead.activity"), "not both"),
        (("--input", source, "--until", "soon"), "--until"),
    ]
    for args, message in cases:
        done = scorer("report", *rules, *args)
        assert (done.returncode, done.stdout) == (2, b""), args
        assert message in done.stderr.decode(), args


def test_the_terminal_and_the_page_show_the_figures_of_the_json(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    source, page = str(folder / "lives.jsonl"), tmp_path / "page.html"
    result = run(folder, "--input", source)
    done = scorer("report", "--rules", str(folder / "life"), "--input", source, "--report", str(page))
    text, html = done.stdout.decode(), page.read_text()
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    words = " ".join(re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)).split())
    for shown in (flat, words):
        for sentence in result["headline"]:
            assert sentence in shown
        for worth in result["closing_rate"]:
            assert amount(worth["plus"]) in shown
        for ranking in ("reasons_lost", "competitors", "reasons_returned"):
            for named in result[ranking]["named"]:
                assert named["name"] in shown
    for queue in result["responses"]:
        fates = [queue[name] for name in ("kept", "late", "missed", "open", "withdrawn", "unmeasured")]
        assert sum(fates) == queue["promises"]
        shown_fates = fates if any(other["unmeasured"] for other in result["responses"]) else fates[:-1]
        row = " │ ".join([queue["queue"], *(f"{count:,}" for count in (queue["promises"], *shown_fates))])
        assert row in " ".join(flat.split())
        for fate in ("late", "never", "open", "withdrawn"):
            assert f'data-name="{fate}">' in html
    labels = [period["label"] for period in result["periods"]]
    assert re.findall(r'<th scope="row">(\d{4}-\d\d)', html) == labels[-24:], "as in the terminal: the oldest first"
    for phase in result["funnel"]:
        assert f"{phase['phase']} │ {phase['reached']:,} │" in flat
        assert f"{phase['phase']} {phase['reached']:,}" in words
    for unusual in result["unusual"]:
        assert f"{unusual['before']} {unusual['after']} {unusual['times']}" in words
    for kind in ("ratings", "statuses", "stages"):
        for row in result[kind]["counts"].values():
            for count in filter(None, row.values()):
                assert f">{count:,}<small>" in html
    assert "None" not in words.replace("None.", "")


def test_invented_names_do_not_blow_up_the_result_or_the_page() -> None:
    lines = [line for number in range(200) for line in handed_over(f"l{number}")]
    for number in range(10_000):
        lead = f"l{number % 200}"
        day = 1 + number / 1000
        lines.append(at(lead, 100 + 3 * number, "stage_changed", day, stage=f"stage {number}"))
        lost: dict[str, object] = {"reason": f"reason {number}", "competitor": f"rival {number}"}
        lines.append(at(lead, 101 + 3 * number, "opportunity_lost", day + 1e-4, **lost))
    lines += [at(f"l{number}", 99, "opportunity_lost", 20, reason="price") for number in range(200)]
    result = reported(lines, until=UNTIL)
    assert result.stages is not None
    assert set(result.stages.names) <= {
        "none",
        "Open",
        "Qualified",
        "Working",
        "Proposal",
        "Negotiation",
        "Signed",
        "other",
    }
    assert result.reasons_lost.total == 10_200
    assert (result.reasons_lost.named[0].name, result.reasons_lost.named[0].times) == ("price", 200)
    assert len(result.reasons_lost.named) == len(result.competitors.named) == 10
    assert result.competitors.other == 10_000 - 10
    assert len(result.model_dump_json()) < 40_000
    assert len(keyfigures_page(result)) < 60_000


def test_names_from_outside_are_escaped() -> None:
    lines = [
        *handed_over("a"),
        at("a", 4, "opportunity_lost", 1, reason=EVIL, competitor=EVIL),
        at("a", 5, "sales_returned", 2, reason=EVIL),
    ]
    result = reported(lines, until=UNTIL)
    evil = result.model_copy(
        update={
            "ruleset": EVIL,
            "input": result.input.model_copy(update={"files": [EVIL], "rejected": {EVIL: 1}}),
            "responses": [queue.model_copy(update={"queue": EVIL}) for queue in result.responses],
        }
    )
    page = keyfigures_page(evil)
    tags = Tags(page).found
    assert not {"script", "img"} & {tag for tag, _ in tags}
    assert not any(name.startswith("on") for _, attributes in tags for name in attributes)
    assert page.count("&lt;script&gt;") >= 6


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [at("a", 1, "page_viewed", 1, url="/")],
        handed_over("a"),
        [at("a", 1, "opportunity_won", 1)],
        [at("a", 1, "erased", 1)],
        [event_line("x", "a", "qualification_updated", START, dict(HOT))],
    ],
)
@pytest.mark.parametrize("rules", [LIFE_RULES, SMALL_RULES])
def test_there_is_a_page_for_every_result(lines: list[bytes], rules: str) -> None:
    page = keyfigures_page(reported(lines, rules, until=UNTIL))
    assert page.rstrip().endswith("</html>")
    assert "None" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).replace("None.", "")
