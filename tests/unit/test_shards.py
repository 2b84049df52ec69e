"""Leads spread over processes: each stays in one, answers come in order, and no process is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.offline.activity_files import Block, block_of
from scorer.offline.place import line_of
from scorer.offline.shards import ShardError, open_shards, shard_of
from scorer.sources.cloudevents import parse_line
from scorer.sources.rejected import Rejected

ROOT = Path(__file__).parents[2]


Answer = tuple[int, str, list[int], list[bytes]]
VALUES = st.recursive(st.none() | st.integers() | st.floats() | st.text(max_size=4), st.lists)


class Echo:
    """Returns its input and its process id."""

    def __init__(self, end_at: int | None = None) -> None:
        self._end_at = end_at
        self._seen: list[int] = []

    def handle(self, task: str, places: Sequence[int], lines: Sequence[bytes]) -> Answer:
        if self._end_at in [line_of(place) for place in places]:
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "fail":
            raise ValueError("a mistake of ours")
        self._seen += places
        return os.getpid(), task, list(places), list(lines)

    def finish(self, until: int | None) -> list[int]:
        return self._seen


def line(subject: str, number: int = 0) -> bytes:
    return json.dumps({"subject": subject, "id": number}).encode()


def some_blocks(count: int, size: int) -> list[Block]:
    lines = [line(f"lead-{number % 17}", number) for number in range(count * size)]
    return [block_of("f", 1 + size * i, lines[size * i : size * (i + 1)], 0) for i in range(count)]


def test_every_line_is_handled_once_in_order_and_a_lead_stays_in_its_process() -> None:
    given = some_blocks(12, 50)
    homes: dict[str, set[int]] = {}
    with open_shards(Echo, 3) as shards:
        answered = list(shards.run("task", given))
        assert [block for block, _ in answered] == given
        for block, answers in answered:
            numbered = sorted(pair for _, _, numbers, lines in answers for pair in zip(numbers, lines, strict=True))
            assert numbered == list(zip(block.places, block.lines, strict=True))
            for process, task, numbers, lines in answers:
                assert task == "task"
                assert numbers == sorted(numbers)
                for content in lines:
                    homes.setdefault(json.loads(content)["subject"], set()).add(process)
        assert sorted(line_of(place) for seen in shards.finish() for place in seen) == list(range(1, 601))
    assert {len(processes) for processes in homes.values()} == {1}
    assert len(set.union(*homes.values())) == 3
    assert os.getpid() not in set.union(*homes.values())


def test_one_shard_needs_no_other_process() -> None:
    with open_shards(Echo, 1) as shards:
        ((_, (answer,)),) = shards.run("task", some_blocks(1, 3))
    assert answer[0] == os.getpid()


def test_a_lost_process_is_an_error_and_the_others_end() -> None:
    with pytest.raises(ShardError, match="a worker process was killed"), open_shards(partial(Echo, 30), 2) as shards:
        list(shards.run("task", some_blocks(20, 5)))
    assert _children() == []


def test_an_exception_in_a_shard_is_raised_and_all_processes_end() -> None:
    with pytest.raises(ValueError, match="a mistake of ours"), open_shards(Echo, 2) as shards:
        list(shards.run("fail", some_blocks(20, 5)))
    assert _children() == []


def _children() -> list[str]:
    # The resource tracker of multiprocessing lives as long as this process.
    names = (" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True))
    return [name for name in names if "spawn_main" in name]


@given(st.text(min_size=1, max_size=20), st.integers(1, 9), st.booleans())
def test_the_shard_depends_on_the_lead_and_not_on_its_notation(subject: str, count: int, ascii_only: bool) -> None:
    event = {"data": {"subject": "other"}, "subject": subject}
    try:
        written = json.dumps(event, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    escaped = "".join(f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else letter for letter in subject)
    other = f'{{"\\u0073ubject" : "{escaped}", "x": [1e5, "\\"subject\\""]}}'.encode("utf-8", "surrogatepass")
    assert 0 <= shard_of(written, count) < count
    try:
        msgspec.json.decode(other)
        msgspec.json.decode(written)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert shard_of(written, count) == shard_of(other, count)


@given(st.binary(max_size=60) | st.sampled_from([b"{}", b'{"subject": 5}', b"[]", b"null", b'{"subject": "\xff"}']))
def test_a_line_without_a_lead_has_a_shard(content: bytes) -> None:
    assert 0 <= shard_of(content, 4) < 4


@given(
    st.fixed_dictionaries(
        {
            "specversion": st.just("1.0"),
            "id": st.text(min_size=1, max_size=5),
            "source": st.just("s"),
            "type": st.sampled_from(["lead.x", "lead.erased"]),
            "time": st.just("2026-01-01T00:00:00Z"),
            "subject": st.text(min_size=1, max_size=5),
        },
        optional={"data": st.dictionaries(st.text(max_size=3), VALUES)},
    )
)
def test_the_shard_of_an_activity_is_that_of_its_lead(event: dict[str, object]) -> None:
    written = json.dumps(event).encode()
    try:
        activity = parse_line(written, 2**61)
    except Rejected:
        return
    assert shard_of(written, 64) == shard_of(line(activity.lead_id), 64)


@pytest.fixture
def endless(tmp_path: Path) -> tuple[Path, list[str]]:
    """A pipe that stays open, and a command that reads it with two workers."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    return pipe, [sys.executable, "-m", "scorer", "score", "--input", str(pipe), "--workers", "2"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_no_worker_is_left_whichever_way_the_command_ends(
    endless: tuple[Path, list[str]], ending: signal.Signals
) -> None:
    pipe, command = endless
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    writer = os.open(pipe, os.O_RDWR)
    os.write(writer, line("lead-1") + b"\n")
    try:
        workers = _wait(lambda: _workers(process.pid) if len(_workers(process.pid)) == 2 else None)
        # A terminal sends it to all of them.
        (os.killpg if ending is signal.SIGINT else os.kill)(process.pid, ending)
        _, errors = process.communicate(timeout=60)
        _wait(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers) or None)
    finally:
        os.close(writer)
        process.kill()
    assert process.returncode == (130 if ending is signal.SIGINT else -ending)
    if ending is signal.SIGINT:
        # A parent killed during the start of its workers cannot prevent their tracebacks.
        assert b"Traceback" not in errors


def _workers(parent: int) -> list[psutil.Process]:
    try:
        children = psutil.Process(parent).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def _wait(probe: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        result = probe()
        if result is not None:
            return result
        time.sleep(0.02)
    raise AssertionError("it took longer than a minute")
