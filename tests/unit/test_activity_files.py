"""Activity files: every format gives the same lines, with the line numbers of the file."""

import gzip
import io
import json
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from scorer.cli import app
from scorer.offline import activity_files
from scorer.offline.activity_files import Block, InputError, line_blocks, open_activities
from scorer.offline.place import index_of, line_of, place, place_text
from scorer.sources.tick import tick

ROOT = Path(__file__).parents[2]
PAGE = (
    b'{"specversion":"1.0","type":"lead.page_viewed","source":"/web","id":"1","time":"2026-01-01T00:00:00Z",'
    b'"subject":"lead-1","data":{"url":"/"}}'
)

LINES = [json.dumps({"id": str(number), "subject": f"lead-{number}"}).encode() for number in range(5000)]


def blocks(*paths: Path | str, rereadable: bool = False) -> list[Block]:
    with open_activities([str(path) for path in paths], rereadable=rereadable) as files:
        return [block for file in files for block in file.blocks()]


def lines(*paths: Path | str) -> list[bytes]:
    return [line for block in blocks(*paths) for line in block.lines]


def parquet(path: Path, **columns: list[object]) -> Path:
    rows = len(next(iter(columns.values())))
    given = {
        "id": [str(number) for number in range(rows)],
        "source": ["web"] * rows,
        "type": ["lead.page_viewed"] * rows,
        "time": ["2026-01-01T00:00:00Z"] * rows,
        "subject": ["lead-1"] * rows,
        "data": ["{}"] * rows,
        **columns,
    }
    polars.DataFrame(given).write_parquet(path)
    return path


def test_plain_and_gzipped_files_give_the_same_lines(tmp_path: Path) -> None:
    plain, packed, twice = tmp_path / "a.jsonl", tmp_path / "named-otherwise", tmp_path / "b.gz"
    content = b"\n".join(LINES)
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content + b"\n"))
    # The output of `cat a.gz b.gz`.
    half = content.index(b"\n", len(content) // 2) + 1
    twice.write_bytes(gzip.compress(content[:half]) + gzip.compress(content[half:]))
    assert lines(plain) == lines(packed) == lines(twice) == LINES


def test_lines_are_numbered_per_file(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_bytes(b"\n".join(LINES) + b"\n")
    second.write_bytes(b"x\n\ny")
    numbered = {
        (block.file, line_of(place)): line
        for block in blocks(first, second)
        for place, line in zip(block.places, block.lines, strict=True)
    }
    assert numbered[str(first), 5000] == LINES[-1]
    assert (str(first), 5001) not in numbered
    assert [numbered[str(second), number] for number in (1, 2, 3)] == [b"x", b"", b"y"]


@given(
    content=st.lists(st.sampled_from([b"a", b"\n", b"\r", b"bcd", b"\n\n", b"e" * 9]), max_size=60).map(b"".join),
    size=st.integers(1, 12),
)
def test_block_boundaries_do_not_change_the_lines(content: bytes, size: int) -> None:
    read = list(line_blocks(io.BytesIO(content), "f", size))
    expected = content.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert [line for block in read for line in block.lines] == expected
    places = [place_text(place) for block in read for place in block.places]
    assert places == [str(number) for number in range(1, len(expected) + 1)]
    assert sum(block.size for block in read) <= len(content)


def test_a_very_long_line_is_cut_and_the_next_line_keeps_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_files, "MAX_LINE", 5000)
    content = b"first\n" + b"x" * 54_321 + b"\nthird\n" + b"y" * 20_000
    read = list(line_blocks(io.BytesIO(content), "f", 1000))
    assert [line for block in read for line in block.lines] == [b"first", b"x" * 5000, b"third", b"y" * 5000]
    assert [line_of(block.places[0]) for block in read if b"third" in block.lines] == [3]


def test_a_batch_is_one_line_for_each_event(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"a":1}\n [ {"b": [2]} ,{"c":"]"}]\n[]\n[1,\n[[3]]\n{}')
    read = [pair for block in blocks(file) for pair in zip(block.places, block.lines, strict=True)]
    assert [(place_text(place), line) for place, line in read] == [
        ("1", b'{"a":1}'),
        ("2#0", b'{"b": [2]}'),
        ("2#1", b'{"c":"]"}'),
        # Not one event, so the whole line is rejected.
        ("3", b"[]"),
        ("4", b"[1,"),
        ("5#0", b"[3]"),
        ("6", b"{}"),
    ]


@given(st.integers(1, 1 << 39), st.none() | st.integers(0, (1 << 20) - 2))
def test_a_place_is_a_line_and_an_index(line: int, index: int | None) -> None:
    where = place(line, index)
    assert (line_of(where), index_of(where)) == (line, index)
    assert place(line) <= where < place(line + 1)


def test_a_rereadable_pipe_can_be_read_twice(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = gzip.compress(b"\n".join(LINES))
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    with open_activities([str(pipe)], rereadable=True) as (file,):
        passes = [[line for block in file.blocks() for line in block.lines] for _ in range(2)]
    writer.join()
    assert passes == [LINES, LINES]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(b"\n".join(LINES) * 50)[:-2000], "damaged gzip file after line"),
        (gzip.compress(b"\n".join(LINES))[:20] + b"\x00" * 50, "damaged gzip file near its beginning: "),
        (b"\x1f\x8b", "damaged gzip file near its beginning: it ends early"),
        (b"\x28\xb5\x2f\xfd....", "is compressed with zstd; use: zstd -dc FILE"),
        (b"PAR1 and then nothing of the kind", "cannot be read as Parquet"),
    ],
    ids=["cut", "damaged", "empty", "zstd", "parquet"],
)
def test_the_error_names_a_damaged_file(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "damaged"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        lines(file)
    assert str(caught.value).startswith(f"{file}: {reason}")


def test_the_error_names_a_path_that_cannot_be_opened(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=f"{path}: {reason}"):
            lines(path)


def test_a_parquet_row_becomes_an_event(tmp_path: Path) -> None:
    data = ['{"url": "/pricing"}', '{\n  "url": "/",\n  "seconds": null\n}', None]
    file = parquet(tmp_path / "a.parquet", data=list(data), more=[1, 2, 3])
    events = [json.loads(line) for line in lines(file)]
    assert events[0] == {
        "specversion": "1.0",
        "id": "0",
        "source": "web",
        "type": "lead.page_viewed",
        "time": "2026-01-01T00:00:00Z",
        "subject": "lead-1",
        "data": {"url": "/pricing"},
    }
    # In a JSON string, null withdraws a value, as in JSON Lines.
    assert [event["data"] for event in events[1:]] == [{"url": "/", "seconds": None}, None]
    assert all(b"\n" not in line for line in lines(file))


def test_a_struct_contains_only_its_known_values(tmp_path: Path) -> None:
    data = [
        {"url": "/a", "seconds": None, "deep": {"x": 1.5, "y": None}},
        {"url": "/b", "seconds": float("nan"), "deep": None},
    ]
    file = parquet(tmp_path / "a.parquet", data=list(data))
    assert [json.loads(line)["data"] for line in lines(file)] == [{"url": "/a", "deep": {"x": 1.5}}, {"url": "/b"}]


def test_timestamps_in_any_zone_become_utc(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
    times = polars.Series([moment]).dt.convert_time_zone("Europe/Berlin")
    file = parquet(tmp_path / "a.parquet", time=times)  # type: ignore[arg-type]
    assert json.loads(lines(file)[0])["time"] == "2026-01-01T12:30:00+00:00"


def test_the_last_hour_of_the_year_9999_has_a_form_in_every_zone(tmp_path: Path) -> None:
    moment = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    times = polars.Series([moment]).dt.convert_time_zone("Asia/Tokyo")
    file = parquet(tmp_path / "a.parquet", time=times)  # type: ignore[arg-type]
    assert json.loads(lines(file)[0])["time"] == "9999-12-31T23:59:59+00:00"


@pytest.mark.parametrize("unit", ["us", "ms"])
def test_a_time_that_python_cannot_hold_is_an_input_error(tmp_path: Path, unit: Literal["us", "ms"]) -> None:
    times = polars.Series([0, 1 << 60]).cast(polars.Datetime(unit, "UTC"))
    for file in (
        parquet(tmp_path / "a.parquet", time=times),  # type: ignore[arg-type]
        parquet(tmp_path / "b.parquet", data=polars.DataFrame({"until": times}).to_struct("data")),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match=r"rows 1 to 2,000 hold .* a time outside the years 1 to 9999"):
            lines(file)


def test_infinity_does_not_withdraw_a_value(tmp_path: Path) -> None:
    """JSON has no infinity, and null would withdraw."""
    data = [{"annual_revenue": 5e6, "more": [1.0]}, {"annual_revenue": float("-inf"), "more": [float("inf")]}]
    _, line = lines(parquet(tmp_path / "a.parquet", data=list(data)))
    assert b'"data":{"annual_revenue":1e999,"more":[1e999]}' in line


def test_data_cannot_change_other_attributes(tmp_path: Path) -> None:
    bad = ['{}, "subject": "lead-2"', "not json", '"text"', "[1]", "{} {}"]
    file = parquet(tmp_path / "a.parquet", data=list(bad))
    for line in lines(file):
        event = json.loads(line)
        assert event["subject"] == "lead-1"
        assert not isinstance(event["data"], dict)


def test_many_rows_keep_their_numbers(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", id=[f"e{number}" for number in range(7000)])
    numbered = [
        (line_of(place), json.loads(line)["id"])
        for block in blocks(file)
        for place, line in zip(block.places, block.lines, strict=True)
    ]
    assert numbered == [(number + 1, f"e{number}") for number in range(7000)]
    assert sum(block.size for block in blocks(file)) == file.stat().st_size


def test_parquet_without_a_column_or_a_zone_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    polars.DataFrame({"id": ["1"], "type": ["lead.x"]}).write_parquet(file)
    with pytest.raises(InputError, match="has no column source, time, subject, data; expected id, source"):
        lines(file)
    polars.read_parquet(parquet(file, id=["1"])).drop("data").write_parquet(file)
    with pytest.raises(InputError, match=r"has no column data; expected id, source, type, time, subject, data$"):
        lines(file)
    parquet(file, time=[datetime(2026, 1, 1)])
    with pytest.raises(InputError, match="the column time has no time zone; write it as UTC"):
        lines(file)


def test_without_polars_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = parquet(tmp_path / "a.parquet", id=["1"])
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(InputError, match=r"reading Parquet needs polars: pip install 'lead-scorer\[parquet\]'"):
        lines(file)


def written_again(line: bytes) -> bytes:
    """As other tools write JSON: with spaces, and in another order."""
    return json.dumps(dict(reversed(json.loads(line).items()))).encode()


@pytest.mark.parametrize("line", [tick("nobody"), written_again(tick("nobody"))])
@pytest.mark.parametrize("compressed", [False, True])
def test_ticks_in_a_dump_of_the_topic_are_neither_activities_nor_rejected(
    tmp_path: Path, line: bytes, compressed: bool
) -> None:
    file = tmp_path / "dump.jsonl"
    for content in ([line, line, b""], [line, PAGE, line]):
        text = b"\n".join(content)
        file.write_bytes(gzip.compress(text) if compressed else text)
        read = [pair for block in blocks(file) for pair in zip(block.places, block.lines, strict=True)]
        assert read == [(place(number), text) for number, text in enumerate(content, 1) if text == PAGE]
        arguments = ["score", "--input", str(file), "--rules", str(ROOT / "rules" / "b2b")]
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        if PAGE in content:
            assert (done.exit_code, len(done.stdout.splitlines()), done.stderr) == (0, 1, "")
        else:
            assert done.stderr == f"error: no activity in {file}\n"
