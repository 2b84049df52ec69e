"""Dead letters without a broker: reading records, filters, the command line and its output."""

import io
import json
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from rich.console import Console
from typer.testing import CliRunner

from scorer.cli import app, dlq, dlq_output
from scorer.dlq.dead_letter import INTERNAL_ERROR
from scorer.dlq.position import Place, Position
from scorer.dlq.queue import (
    UNKNOWN,
    DeadLetter,
    DeadLetterList,
    Filter,
    Origin,
    dead_letter_of,
    is_second,
    mark_of,
)
from scorer.dlq.replay import obstacle
from scorer.domain.instant import SECOND
from scorer.kafka.topic_reader import Span
from scorer.runtime.settings import Settings, load_settings
from scorer.stream.too_large import DECISION_TOO_LARGE, STATE_TOO_LARGE

TIME = 1_700_000_000 * SECOND


def record(*headers: tuple[str, bytes | None], key: bytes | None = b"lead-1", value: bytes | None = b"x") -> Any:
    """A record of the dead letter topic."""
    return SimpleNamespace(
        partition=2, offset=17, timestamp=TIME // 1000, key=key, value=value, headers=headers, topic="dlq"
    )


def letter(**fields: Any) -> DeadLetter:
    """A dead letter with these fields."""
    given: dict[str, Any] = {
        "position": Position(0, 1),
        "time": TIME,
        "reason": "not_json",
        "detail": "what was wrong",
        "key": b"lead-1",
        "size": 3,
        "origin": Origin("lead.activity", 1, 2),
        "cut_from": None,
        "replayed_from": None,
        "replayed": False,
    }
    return DeadLetter(**{**given, **fields})


def test_reads_the_headers() -> None:
    read = dead_letter_of(
        record(
            ("trace", b"1"),
            ("replayed-from", b"dlq/0/3"),
            ("dlq-reason", b"too_large"),
            ("dlq-detail", "größer".encode()),
            ("dlq-topic", b"in"),
            ("dlq-partition", b"4"),
            ("dlq-offset", b"99"),
            ("dlq-length", b"70000"),
        ),
        replayed=True,
    )
    assert read == DeadLetter(
        Position(2, 17), TIME, "too_large", "größer", b"lead-1", 1, Origin("in", 4, 99), 70000, "dlq/0/3", True
    )


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("dlq-reason", None),),
        (("dlq-reason", b"\xff\x00"), ("dlq-partition", b"-1"), ("dlq-offset", b"many"), ("dlq-topic", b"in")),
        (("dlq-reason", b"r"), ("dlq-partition", "²".encode()), ("dlq-offset", b"9" * 40), ("dlq-topic", None)),
    ],
)
def test_any_record_can_be_read(headers: tuple[tuple[str, bytes | None], ...]) -> None:
    read = dead_letter_of(record(*headers, key=None, value=None), replayed=False)
    assert read.origin is None
    assert (read.key, read.size) == (None, 0)
    assert obstacle(read, load_settings(None, rules=".")) is not None


@pytest.mark.parametrize(
    ("length", "why"),
    [(b"5", "its key or its headers were cut; the whole was at in:1:2"), (b"9", "only 5 of its 9 bytes are here")],
)
def test_a_cut_dead_letter_cannot_be_replayed(length: bytes, why: str) -> None:
    origin = (("dlq-reason", b"r"), ("dlq-topic", b"in"), ("dlq-partition", b"1"), ("dlq-offset", b"2"))
    read = dead_letter_of(record(*origin, ("dlq-length", length), key=b"k", value=b"begin"), replayed=False)
    assert (obstacle(read, load_settings(None, rules=".", activity_topic="in")) or "").startswith(why)


def test_a_mark_names_exactly_one_record() -> None:
    first, second = record(), record()
    second.timestamp += 1
    assert mark_of(first) == mark_of(record())
    assert mark_of(first) != mark_of(second)


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (Filter(), True),
        (Filter(reasons=frozenset({"not_json", "x"})), True),
        (Filter(reasons=frozenset({"x"})), False),
        (Filter(since=TIME), True),
        (Filter(since=TIME + 1), False),
        (Filter(until=TIME), False),
        (Filter(until=TIME + 1), True),
        (Filter(key=b"lead-1"), True),
        (Filter(key=b"lead-"), False),
        (Filter(positions=frozenset({Position(0, 1)})), True),
        (Filter(positions=frozenset({Position(1, 0)})), False),
        (Filter(reasons=frozenset({"not_json"}), key=b"other"), False),
        (Filter(places=frozenset({Place(1, 2)})), True),
        (Filter(places=frozenset({Place(1, 2, 0), Place(2, 1)})), False),
    ],
)
def test_filters(wanted: Filter, matches: bool) -> None:
    assert wanted.matches(letter()) is matches


@pytest.mark.parametrize(
    ("place", "matches"),
    [
        (Place(1, 2, 3), True),
        (Place(1, 2), True),
        (Place(1, 2, 4), False),
        (Place(1, 3), False),
        (Place(1, 2, 3, "lead.activity"), True),
        (Place(1, 2, None, "lead.activity"), True),
        (Place(1, 2, 3, "other"), False),
        (Place(1, 2, None, "other"), False),
    ],
)
def test_an_event_of_a_batch_is_selected_by_its_place(place: Place, matches: bool) -> None:
    origin = Origin("lead.activity", 1, 2, 3)
    assert str(origin) == "lead.activity:1:2#3"
    assert Filter(places=frozenset({place})).matches(letter(origin=origin)) is matches
    assert Filter(places=frozenset({place})).matches(letter(origin=None)) is False


@pytest.mark.parametrize(
    "origin", [Origin("lead.activity", 4, 81), Origin("lead.activity", 4, 81, 3), Origin("eu-west_1.in", 0, 0, 0)]
)
def test_the_list_prints_places_that_from_accepts(origin: Origin, capsys: pytest.CaptureFixture[str]) -> None:
    dlq_output.print_letters([letter(origin=origin)], as_json=False)
    heading, row = capsys.readouterr().out.splitlines()
    shown = row[heading.index("from") :].split()[0]
    assert shown == str(origin)
    assert Filter(places=frozenset({dlq._place(shown)})).matches(letter(origin=origin))
    without_topic = shown.removeprefix(f"{origin.topic}:")
    assert Filter(places=frozenset({dlq._place(without_topic)})).matches(letter(origin=origin))


@pytest.mark.parametrize(
    ("option", "text", "hint"),
    [("--offset", "0:17#3", "or --from 0:17#3 for a place in the input"), ("--from", "0:17#", "4:81#3 in a batch")],
)
def test_a_wrong_place_is_explained(option: str, text: str, hint: str) -> None:
    result = CliRunner().invoke(app, ["dlq", "replay", option, text], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert hint in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["dlq", "replay"],
        ["dlq", "replay", "--limit", "3"],
        ["dlq", "replay", "--yes"],
        ["dlq", "replay", "--all", "--reason", "not_json"],
        ["dlq", "replay", "--all", "--offset", "0:1"],
        ["dlq", "replay", "--offset", "17"],
        ["dlq", "replay", "--offset", "0:-1"],
        ["dlq", "list", "--since", "yesterday"],
        ["dlq", "list", "--since", "2026-01-31T09:30:00"],
        ["dlq", "list", "--until", "2026-02-31"],
        ["dlq", "list", "--until", "0d"],
        ["dlq", "list", "--limit", "0"],
        ["dlq", "list", "--format", "xml"],
        ["dlq", "list", "--with-value"],
        ["dlq", "list", "--with-value", "--counts", "--format", "json"],
        ["dlq", "purge"],
        ["dlq", "purge", "--lead", ""],
        ["topics", "ensure", "--partitions", "0"],
        ["topics", "ensure", "--replication-factor", "none"],
    ],
)
def test_wrong_usage_exits_2_without_a_connection(arguments: list[str]) -> None:
    # Nothing listens on this port, so a connection would end with status 1.
    result = CliRunner().invoke(app, arguments, env={"SCORER_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_a_wrong_setting_exits_2() -> None:
    result = CliRunner().invoke(app, ["dlq", "list"], env={"SCORER_BOOTSTRAP_SERVERS": "nowhere"})
    assert (result.exit_code, result.stdout) == (2, "")
    assert "SCORER_BOOTSTRAP_SERVERS has 'nowhere'" in result.stderr


def test_the_known_reasons_are_those_in_the_code_and_in_the_manual() -> None:
    root = Path(__file__).parents[2]
    given = {INTERNAL_ERROR, UNKNOWN, STATE_TOO_LARGE, DECISION_TOO_LARGE}
    refusing = {*(root / "scorer" / "evaluation").glob("*.py"), *(root / "scorer" / "sources").rglob("*.py")}
    # A profile of a company is no activity, so one that is refused has no dead letter.
    for source in refusing - {root / "scorer" / "sources" / "company" / "profile.py"}:
        given.update(re.findall(r'(?:Rejected|__init__)\(\s*"([a-z0-9_]+)"', source.read_text()))
    assert set(dlq.REASONS) == given
    manual = (root / "docs" / "operations.md").read_text()
    assert [reason for reason in dlq.REASONS if reason != UNKNOWN and f"`{reason}`" not in manual] == []


@pytest.mark.parametrize("command", [["list"], ["replay", "--dry-run"]])
@pytest.mark.parametrize(
    ("reason", "status", "message"),
    [
        ("not_jsn", 2, "error: --reason 'not_jsn' is unknown, and no dead letter has it; did you mean not_json?\n"),
        ("qqqqq", 2, "error: --reason 'qqqqq' is unknown, and no dead letter has it; the reasons are empty_value, "),
        ("theirs", 0, ""),
        ("too_deep", 0, ""),
    ],
)
def test_an_unknown_reason_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, command: list[str], reason: str, status: int, message: str
) -> None:
    async def find(_: Settings, wanted: Filter, __: int | None, **___: bool) -> DeadLetterList:
        # One old dead letter with a foreign reason.
        foreign = letter(reason="theirs")
        return DeadLetterList([], Counter([foreign.reason] if wanted.matches(foreign) else []), 0, [])

    monkeypatch.setattr(dlq, "_find", find)
    result = CliRunner().invoke(app, ["dlq", *command, "--since", "1d", "--reason", "null_key", "--reason", reason])
    assert result.exit_code == status, result.output
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == (1 if message else 0)


@pytest.mark.parametrize("key", [b"k" * 5000, b"\xff" * 5000])
def test_a_long_key_does_not_pad_the_table(capsys: pytest.CaptureFixture[str], key: bytes) -> None:
    letters = [letter(key=key), letter(key=b"k" * 40)]
    dlq_output.print_letters(letters, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 160
    assert "k" * 40 in lines[2]
    assert "…" in lines[1]
    dlq_output.print_letters(letters[:1], as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["key"] == key.decode() if key.isascii() else len(shown["key_base64"]) > 5000


NASTY = "\x1b[31m [bold]x[/bold]\r\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_records_cannot_control_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=250, color_system=None)
    monkeypatch.setattr(dlq_output, "Console", lambda: console)
    letters = [
        letter(detail=NASTY, key=NASTY.encode(), reason=NASTY),
        letter(key=b"\xff"),
        letter(key=None, origin=None),
    ]
    dlq_output.print_letters(letters, as_json=False)
    shown = out.getvalue() if terminal else capsys.readouterr().out
    if terminal:
        shown = shown.replace("\x1b[1m", "").replace("\x1b[0m", "")
    lines = shown.splitlines()
    assert len(lines) == 4
    assert "\x1b" not in shown
    assert lines[1].count("\\x1b[31m [bold]x[/bold]\\r\\n") == 3
    assert "b'\\xff'" in lines[2]


def test_json_has_all_fields(capsys: pytest.CaptureFixture[str]) -> None:
    dlq_output.print_letters([letter(detail=NASTY, replayed_from="dlq/0/3", cut_from=9)], as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    shown = json.loads(line)
    assert (shown["detail"], shown["replayed_from"], shown["cut_from"]) == (NASTY, "dlq/0/3", 9)


def test_counts_are_ranked_and_include_all_matches(capsys: pytest.CaptureFixture[str]) -> None:
    result = DeadLetterList([letter()], Counter({"b": 2, "c": 1200, "a": 2}), 3, [])
    dlq_output.print_counts(result, as_json=False, to_stderr=False)
    assert capsys.readouterr().out.splitlines() == [
        "  1,200  c",
        "      2  a",
        "      2  b",
        "1,204 dead letters, 1 shown; 3 replayed",
    ]


def test_a_copy_keeps_its_mark_and_its_time() -> None:
    first = record()
    copy = record(("dlq-first-position", mark_of(first)), ("dlq-copied-from", b"16"))
    copy.timestamp += 5
    assert mark_of(copy) == mark_of(first)
    assert dead_letter_of(copy, replayed=False).time == TIME


@pytest.mark.parametrize(
    ("copied_from", "first", "second"),
    [
        (b"16", 16, True),
        (b"16", 0, True),
        (b"16", 17, False),
        # Anybody may write such a header. It can hide no record but a copy of one before it.
        (b"17", 0, False),
        (b"99", 0, False),
        (b"-1", 0, False),
        (b"\xff", 0, False),
        (b"", 0, False),
        (None, 0, False),
    ],
)
def test_a_copy_counts_once_its_original_is_gone(copied_from: bytes | None, first: int, second: bool) -> None:
    spans = {TopicPartition("dlq", 2): Span(first, 100)}
    assert is_second(record(("dlq-copied-from", copied_from)), spans) is second


@pytest.mark.parametrize("position", [b"", b"\xff", b"0/1/" + b"9" * 19, b"x/y/z", b"1/2/-3"])
def test_a_strange_first_position_does_not_matter(capsys: pytest.CaptureFixture[str], position: bytes) -> None:
    dlq_output.print_letters([dead_letter_of(record(("dlq-first-position", position)), replayed=False)], as_json=True)
    assert json.loads(capsys.readouterr().out)["time"] == "2023-11-14T22:13:20Z"
