"""The audit log: one line of JSON for each event, wherever it goes, and a loud failure if it cannot be written."""

import json
import os
import resource
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from scorer.runtime.audit import Audit, AuditError
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings, SettingsError

NOON = datetime(2026, 3, 4, 14, 0, tzinfo=timezone(timedelta(hours=2)))


def _settings(path: Path | None, **others: Any) -> Settings:
    return Settings(audit_file=path, **others)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_what_happened_when_and_in_which_worker(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    audit = Audit(_settings(path, group="emea", instance="scorer-0"), now=lambda: NOON)
    audit.write("lead_read", lead="L-1", who="crm", status=200)
    (line,) = _lines(path)
    assert line.pop("host")
    assert line == {
        "time": "2026-03-04T12:00:00.000Z",
        "log": "audit",
        "event": "lead_read",
        "service": "lead-scorer",
        "instance": "scorer-0",
        "group": "emea",
        "lead": "L-1",
        "who": "crm",
        "status": 200,
    }


def test_without_a_file_the_lines_go_to_stderr_and_say_that_they_are_of_the_audit_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Audit(_settings(None)).write("lead_read", lead="L-1")
    line = json.loads(capsys.readouterr().err)
    assert (line["log"], line["event"], line["lead"]) == ("audit", "lead_read", "L-1")


def test_a_descriptor_can_be_named(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        Audit(_settings(Path(f"/dev/fd/{writing}"))).write("lead_read", lead="L-1")
        assert json.loads(os.read(reading, 10_000))["lead"] == "L-1"
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    "text", ["two\nlines", "\x1b[2J", "right\u202eto left", "half \ud800", '{"event":"forged"}', "\x85"]
)
def test_no_value_breaks_the_line_or_reaches_a_terminal(tmp_path: Path, text: str) -> None:
    path = tmp_path / "audit.log"
    Audit(_settings(path)).write("lead_read", lead=text)
    written = path.read_bytes()
    assert written.count(b"\n") == 1
    assert all(32 <= byte < 127 for byte in written.rstrip(b"\n"))
    assert json.loads(written)["lead"] == text


def test_values_of_any_size_and_kind_become_a_line_of_limited_size(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    deep: dict[str, object] = {}
    deep["self"] = deep
    Audit(_settings(path)).write(
        "replay_ended", lead="x" * 100_000, many=list(range(10_000)), deep=deep, number=float("nan"), some={"b", "a"}
    )
    (line,) = _lines(path)
    assert len(line["lead"]) == 256
    assert line["many"][-1] == "… 9800 more"
    assert (line["number"], line["some"]) == ("nan", ["a", "b"])
    assert path.stat().st_size < 4096


def test_several_processes_append_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    first, second = Audit(_settings(path, instance="a")), Audit(_settings(path, instance="b"))
    for audit in (first, second, first):
        audit.write("lead_read", lead="L-1")
    assert [line["instance"] for line in _lines(path)] == ["a", "b", "a"]


def test_only_the_owner_may_read_a_file_that_it_creates(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    Audit(_settings(path))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_rotated_away_is_created_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    audit = Audit(_settings(path))
    audit.write("lead_read", lead="L-1")
    path.rename(tmp_path / "audit.log.1")
    audit.write("lead_read", lead="L-2")
    assert [line["lead"] for line in _lines(path)] == ["L-2"]


def test_a_line_after_one_that_was_cut_off_begins_on_its_own(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text('{"event": "lead_')
    Audit(_settings(path)).write("lead_read", lead="L-1")
    assert json.loads(path.read_text().splitlines()[1])["lead"] == "L-1"


@pytest.mark.parametrize(("name", "why"), [("none/audit.log", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_opened_is_a_wrong_setting(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(SettingsError, match=f"^SCORER_AUDIT_FILE is '.*', which cannot be written: {why}"):
        Audit(_settings(tmp_path / name))


def test_a_pipe_that_nobody_reads_is_an_error_and_not_an_endless_wait(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(SettingsError, match="No such device or address"):
        Audit(_settings(path))


def test_a_line_that_cannot_be_written_is_counted_logged_and_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "there"
    directory.mkdir()
    path = directory / "audit.log"
    metrics = Metrics()
    audit = Audit(_settings(path), metrics.audit_failed)
    path.unlink()
    directory.rmdir()
    for _ in range(2):
        with pytest.raises(AuditError, match="cannot be written: No such file or directory"):
            audit.write("lead_read", lead="L-1")
    assert b"scorer_audit_failures_total 2.0" in metrics.render()
    assert capsys.readouterr().out.count("audit_failed") == 1
    directory.mkdir()
    audit.write("lead_read", lead="L-2")
    assert [line["lead"] for line in _lines(path)] == ["L-2"]
    assert capsys.readouterr().out.count("audit_works_again") == 1


def test_a_line_that_only_partly_fits_on_the_disk_is_refused_and_does_not_spoil_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "audit.log"
    audit = Audit(_settings(path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, before[1]))
    try:
        with pytest.raises(AuditError, match="only 40 of"):
            audit.write("lead_read", lead="L-1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    audit.write("lead_read", lead="L-2")
    assert json.loads(path.read_text().splitlines()[1])["lead"] == "L-2"


def test_a_closed_stderr_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    with pytest.raises(AuditError, match="stderr"):
        Audit(_settings(None)).write("lead_read", lead="L-1")


def test_an_event_or_a_field_that_nobody_expects_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    audit = Audit(_settings(tmp_path / "audit.log"))
    with pytest.raises(ValueError, match="lead_seen is no event"):
        audit.write("lead_seen")
    with pytest.raises(ValueError, match="has group already"):
        audit.write("lead_read", group="other")


def test_times_are_utc(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    before = datetime.now(UTC).replace(microsecond=0)
    Audit(_settings(path)).write("lead_read")
    assert before <= datetime.fromisoformat(_lines(path)[0]["time"]) <= datetime.now(UTC)
