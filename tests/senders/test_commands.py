"""What the commands make of files of the platforms: `convert` and `--source` agree, and what is dropped is counted."""

import json
import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner, Result

from scorer.cli import app
from tests.senders.dirty import damaged
from tests.senders.samples import Sample, outcomes, platforms, samples

EVENTS = 300
SENTENCE = re.compile(r"`([\w.]+)` (.*) in ([\d,]+) of ([\d,]+) events?(, e\.g\. .{1,40})?")


def run(*arguments: str) -> Result:
    """The command with these arguments."""
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def on_one_line(sample: Sample, value: bytes) -> bytes:
    """A record as a line of a file."""
    return json.dumps(json.loads(value)).encode() if sample.path.suffix == ".json" else value


def stream(platform: str) -> list[bytes]:
    """Records of which every fifth has one bad key."""
    random = Random(platform)
    chosen = random.choices(samples(platform), k=EVENTS)
    return [
        on_one_line(sample, damaged(sample, random) if number % 5 == 0 else sample.value)
        for number, sample in enumerate(chosen)
    ]


@pytest.mark.parametrize("platform", platforms())
def test_converted_records_score_like_the_records_themselves(platform: str, tmp_path: Path) -> None:
    path, converted = tmp_path / "records", tmp_path / "activities"
    path.write_bytes(b"".join(on_one_line(sample, sample.value) + b"\n" for sample in samples(platform)))
    assert run("convert", "--source", platform, "--input", str(path), "--output", str(converted)).exit_code == 0
    done = run("score", "--source", platform, "--input", str(path), "--until", "2026-12-01")
    assert done.exit_code == 0
    assert done.stdout_bytes == run("score", "--input", str(converted), "--until", "2026-12-01").stdout_bytes
    assert done.stdout_bytes.count(b"\n") > 0


@pytest.mark.parametrize("platform", platforms())
def test_score_counts_each_key_that_translation_drops_from_a_dirty_stream(platform: str, tmp_path: Path) -> None:
    records = stream(platform)
    path = tmp_path / "records"
    path.write_bytes(b"\n".join(records))
    events = [outcome for record in records for outcome in outcomes(platform, record)]
    counts = Counter(dropped.key for outcome in events for dropped in set(outcome.dropped))
    assert counts
    lines = run("score", "--source", platform, "--input", str(path)).stderr.splitlines()
    told = [found for line in lines if (found := SENTENCE.fullmatch(line))]
    assert told
    assert {found[4] for found in told} == {f"{len(events):,}"}
    said: Counter[str] = Counter()
    for key, _, number, _, _ in (found.groups() for found in told):
        said[key] += int(number)
    assert all(said[key] <= counts[key] for key in said)
    assert len(told) <= 10
    if not any(line.startswith("… and ") for line in lines):
        assert said == counts


@pytest.mark.parametrize("platform", ["segment", "hubspot", "snowplow"])
def test_the_summaries_quote_what_was_sent_and_stay_readable(platform: str, tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(b"\n".join(stream(platform)))
    lines = run("score", "--source", platform, "--input", str(path)).stderr.splitlines()
    for line in lines:
        assert line.isprintable()
        assert len(line) < 250
    assert any("e.g. " in line for line in lines)
    read = json.loads(run("backtest", "--source", platform, "--input", str(path), "--format", "json").stdout)["input"]
    assert [key["activities"] for key in read["dropped"]] == sorted(
        (key["activities"] for key in read["dropped"]), reverse=True
    )
    assert all(key["example"] for key in read["dropped"] if key["field"] not in ("each", "also"))
