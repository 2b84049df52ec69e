"""`scorer backtest` and the inputs of `scorer score` as commands."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars
import pytest

from scorer.backtest.run import CAUTION
from scorer.demo.market import write_jsonl
from tests.factory import SMALL_RULES
from tests.unit.test_cli import scorer, ways_to_give

NEW_RULES = SMALL_RULES.replace("hot: 40", "hot: 30")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rulesets, and a market with a few broken lines."""
    folder = tmp_path_factory.mktemp("backtest")
    for name, text in (("old", SMALL_RULES), ("new", NEW_RULES)):
        (folder / name).mkdir()
        (folder / name / "rules.yaml").write_text(text)
    write_jsonl(folder / "market.jsonl", 5, 80, datetime(2024, 1, 1, tzinfo=UTC), 1500)
    return folder


def backtest(folder: Path, *args: str, status: int = 0) -> dict[str, Any]:
    rules = ("--rules", str(folder / "new"), "--against", str(folder / "old"))
    done = scorer("backtest", *rules, "--format", "json", *args)
    assert done.returncode == status, done.stderr.decode()
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_result_does_not_depend_on_how_the_same_activities_are_given(folder: Path) -> None:
    results = [backtest(folder, *way) for way in ways_to_give(folder / "market.jsonl", 700)]
    for result in results:
        del result["input"]["files"]
    assert results[1:] == results[:1] * 2
    result = results[0]
    assert result["input"]["lines"] == 1500
    assert result["input"]["activities"] + sum(result["input"]["rejected"].values()) == 1500
    assert result["changes"]["ratings"]["changed"] > 0
    assert result["outcomes"]["won"] > 0


def test_stdin_gives_the_same_result_as_a_file(folder: Path) -> None:
    content = (folder / "market.jsonl").read_bytes()
    rules = ("--rules", str(folder / "new"))
    piped = scorer("backtest", *rules, "--format", "json", "--workers", "1", stdin=content)
    named = scorer("backtest", *rules, "--format", "json", "--workers", "1", "--input", str(folder / "market.jsonl"))
    ours, theirs = json.loads(piped.stdout), json.loads(named.stdout)
    assert ours["input"].pop("files") == ["<stdin>"]
    del theirs["input"]["files"]
    assert ours == theirs
    assert ours["old"] is ours["changes"] is None


def test_rejected_lines_are_counted_reported_and_kept(folder: Path, tmp_path: Path) -> None:
    source, rejects = tmp_path / "in.jsonl", tmp_path / "rejects.jsonl"
    good = (folder / "market.jsonl").read_bytes().splitlines()[0]
    bad = [b"{broken %d" % number for number in range(24)] + [b"\xff\xfe"]
    source.write_bytes(b"\n".join([good, *bad]))
    rules = ("--rules", str(folder / "old"), "--workers", "2")
    done = scorer("backtest", *rules, "--input", str(source), "--rejects", str(rejects))
    assert done.returncode == 0
    errors = done.stderr.decode().splitlines()
    assert errors[0].startswith(f"{source}:2: not_json: ")
    assert errors[19].startswith(f"{source}:21: not_json: ")
    assert errors[20:] == [f"… and 5 more; all of them are in {rejects}"]
    shown = " ".join(done.stdout.decode().split())
    assert shown.startswith("Caution: 25 of 26 activities could not be used.")
    assert "1 activity of 1 lead, " in shown
    assert "25 of 26 activities rejected" in shown
    kept = [json.loads(line) for line in rejects.read_bytes().splitlines()]
    assert [rejected["line"] for rejected in kept] == list(range(2, 27))
    assert kept[0]["value"].encode() == bad[0]
    assert (kept[-1]["reason"], kept[-1]["value_base64"]) == ("not_utf8", "//4=")


@pytest.mark.parametrize("content", [b"", b"{broken\n"])
def test_input_without_a_readable_activity_exits_3(folder: Path, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(content)
    done = scorer("backtest", "--rules", str(folder / "old"), "--input", str(source), "--workers", "1")
    assert done.returncode == 3
    assert done.stdout.decode().startswith("No lead was found in the input.")
    assert done.stderr.decode().splitlines()[-1] == f"error: no activity in {source}"


def test_wrong_usage_is_reported_before_any_work(folder: Path, tmp_path: Path) -> None:
    market, rules = str(folder / "market.jsonl"), ("--rules", str(folder / "old"))
    none = str(tmp_path / "none.jsonl")
    cases = [
        (("--input", market, none), 2, f"error: {none}: No such file or directory"),
        (("--input", market, "--report", market), 2, f"error: {market}: is also the input"),
        (("--input", market, "--report", "/nowhere/r.html"), 2, "error: /nowhere/r.html: No such file"),
        (("--input", market, "--against", none), 1, f"{none}:1:1: error: there is no such file"),
    ]
    for args, status, message in cases:
        done = scorer("backtest", *rules, *args)
        assert (done.returncode, done.stdout) == (status, b"")
        assert done.stderr.decode().startswith(message)


def test_terminal_shows_the_content_of_the_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    args = ("--input", str(folder / "market.jsonl"), "--workers", "1")
    rules = ("--rules", str(folder / "new"), "--against", str(folder / "old"))
    text = scorer("backtest", *rules, *args).stdout.decode()
    result = backtest(folder, *args)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    flat = " ".join(text.split())
    for sentence in result["headline"]:
        assert sentence in flat
    assert f"{result['changes']['ratings']['changed']:,} of {sum(result['new']['ratings'].values()):,} change" in flat
    assert CAUTION in flat
    for move in result["changes"]["queues"]["moves"]:
        assert f"{move['old'] or 'none'} │ {move['new'] or 'none'} │ {move['leads']}" in flat
    for mover in result["changes"]["movers"][:10]:
        assert mover["lead_id"] in text
    assert f"{result['outcomes']['new']['auc']['value']:.3f}" in text


def test_score_gives_the_same_bytes_for_any_number_of_workers_and_any_format(folder: Path, tmp_path: Path) -> None:
    market, rules = folder / "market.jsonl", ("--rules", str(folder / "old"))
    one = scorer("score", *rules, "--input", str(market))
    assert one.returncode == 3
    assert len(one.stdout.splitlines()) > 150
    many = scorer("score", *rules, "--input", str(market), "--workers", "3")
    assert (many.returncode, many.stdout) == (3, one.stdout)
    assert places(many.stderr) == places(one.stderr)
    rows = []
    for line in market.read_bytes().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        columns = ("id", "source", "type", "time", "subject")
        rows.append({name: event.get(name) for name in columns} | {"data": json.dumps(event.get("data"))})
    table, text = tmp_path / "market.parquet", tmp_path / "same.jsonl"
    polars.DataFrame(rows, infer_schema_length=None).write_parquet(table)
    events = ({"specversion": "1.0", **row, "data": json.loads(row["data"])} for row in rows)
    text.write_text("".join(json.dumps(event) + "\n" for event in events))
    runs = [scorer("score", *rules, "--input", str(file)) for file in (table, text)]
    assert runs[0].stdout == runs[1].stdout
    assert places(runs[0].stderr.replace(str(table).encode(), str(text).encode())) == places(runs[1].stderr)


def places(errors: bytes) -> list[list[str]]:
    """File, line and reason. The rest is left out, because it may contain the time of the run."""
    return [line.split(": ")[:2] for line in errors.decode().splitlines()]


def test_one_file_cannot_be_two_outputs(folder: Path, tmp_path: Path) -> None:
    both = str(tmp_path / "both")
    done = scorer("score", "--input", str(folder / "market.jsonl"), "--output", both, "--rejects", both)
    assert done.returncode == 2
    assert done.stderr.decode() == f"error: {both}: decisions and rejected lines need separate files\n"
    assert not os.path.lexists(both)


def test_report_replaces_an_older_one_only_when_it_is_complete(folder: Path, tmp_path: Path) -> None:
    report, broken = tmp_path / "report.html", tmp_path / "broken.gz"
    report.write_text("an older report, " * 100_000)
    broken.write_bytes(gzip.compress((folder / "market.jsonl").read_bytes())[:-50])
    rules = ("--rules", str(folder / "old"), "--workers", "1", "--report", str(report))
    done = scorer("backtest", *rules, "--input", str(broken))
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"error: {broken}: damaged gzip file near its beginning")
    assert report.read_text().startswith("an older report")
    assert scorer("backtest", *rules, "--input", str(folder / "market.jsonl")).returncode == 0
    page = report.read_text()
    assert page.rstrip().endswith("</html>")
    assert "an older report" not in page


def test_an_interrupted_backtest_leaves_no_page(folder: Path, tmp_path: Path) -> None:
    source, report = tmp_path / "in.jsonl", tmp_path / "report" / "page.html"
    report.parent.mkdir()
    os.mkfifo(source)
    line = (sys.executable, "-m", "scorer", "backtest", "--rules", str(folder / "old"), "--workers", "1")
    with (
        subprocess.Popen(
            [*line, "--input", str(folder / "market.jsonl"), str(source), "--report", str(report)],
            stderr=subprocess.PIPE,
        ) as process,
        source.open("wb") as pipe,
    ):
        pipe.write((folder / "market.jsonl").read_bytes())
        pipe.flush()
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert list(report.parent.iterdir()) == []
