"""`scorer demo` as a user runs it: it ends correctly, prints a summary, and leaves nothing behind."""

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from scorer.demo.market import write_jsonl

ROOT = Path(__file__).parents[2]
ARGUMENTS = [sys.executable, "-m", "scorer", "demo", "--rules", str(ROOT / "rules" / "b2b")]
DEADLINE = 90.0


class Demo:
    """A demo in its own folder; its output goes to files."""

    def __init__(self, folder: Path, *options: str, terminal: int | None = None) -> None:
        self.folder = folder
        self.out = folder / "out.txt"
        self.err = folder / "err.txt"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SCORER_")}
        environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = psutil.Popen(
                [*ARGUMENTS, *options],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out if terminal is None else terminal,
                stderr=err,
            )
        self.helpers: dict[int, psutil.Process] = {}

    def wait_for(self, happened: Callable[[], bool]) -> None:
        """Wait until it happened, and record all processes started meanwhile."""
        deadline = time.monotonic() + DEADLINE
        while not happened():
            assert time.monotonic() < deadline, f"too late; {self.text()}\n{self.err.read_text()}"
            if self.process.poll() is None:
                for child in self.process.children(recursive=True):
                    self.helpers.setdefault(child.pid, child)
            time.sleep(0.02)

    def wait(self) -> int:
        """Wait until it ends. Returns its exit status."""
        self.wait_for(lambda: self.process.poll() is not None)
        return int(self.process.returncode)

    def text(self) -> str:
        return self.out.read_text()

    def helper(self, word: str) -> psutil.Process:
        """The process that it started with that word in the command line."""
        return next(p for p in self.helpers.values() if p.is_running() and word in " ".join(p.cmdline()))

    def sent(self) -> int:
        """Activities sent so far, according to the last progress line."""
        return max((int(n.replace(",", "")) for n in re.findall(r"([\d,]+) sent", self.text())), default=0)

    def assert_nothing_left(self) -> None:
        assert len(self.helpers) >= 2, "broker and service were seen"
        _, alive = psutil.wait_procs(self.helpers.values(), timeout=10)
        assert not alive
        assert not (self.folder / ".scorer-demo").exists()
        assert {entry.name for entry in self.folder.iterdir()} <= {"out.txt", "err.txt", "input.jsonl"}


def beside(run: Demo, *command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a command on the broker of a demo."""
    broker = re.search(r"SCORER_BOOTSTRAP_SERVERS=(127\.0\.0\.1:\d+)$", run.text(), re.MULTILINE)
    assert broker is not None
    environment = {"PYTHONPATH": str(ROOT), "SCORER_BOOTSTRAP_SERVERS": broker[1], **settings}
    return subprocess.run(
        [*ARGUMENTS[:3], *command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def start(*options: str, terminal: int | None = None) -> Demo:
        started.append(Demo(tmp_path, *options, terminal=terminal))
        return started[-1]

    yield start
    for run in started:
        for process in (run.process, *run.helpers.values()):
            if process.is_running():
                process.kill()


def test_a_number_of_events_is_played_and_summarised(demo: Callable[..., Demo]) -> None:
    run = demo("--events", "500", "--rate", "0")
    assert run.wait() == 0, run.err.read_text()
    text = run.text()
    assert "500 of 500 activities processed" in text
    summary = text[text.index("500 of 500") :]
    table = {line.split()[0]: line.split()[1:] for line in summary.splitlines()[4:9]}
    assert table["leads"] == ["sales", "nurture", "discard", "all"]
    ratings = [int(table[rating][3]) for rating in ("hot", "warm", "cold")]
    assert all(ratings)
    assert sum(ratings) == int(table["all"][3])
    assert re.search(r"^  [A-D][1-4] +\d+  .+\(L-\d{6}\), ", summary, re.MULTILINE)
    run.assert_nothing_left()


def test_a_file_is_played_to_its_end_and_bad_lines_are_counted(demo: Callable[..., Demo], tmp_path: Path) -> None:
    path = tmp_path / "input.jsonl"
    write_jsonl(path, 7, 40, datetime(2025, 1, 1, tzinfo=UTC), 300)
    good = path.read_bytes().splitlines(keepends=True)
    good = [line for line in good if b'"subject"' in line and line.isascii() and line.endswith(b"}\n")]
    good = [line for line in good if b"2199-" not in line and b'"crm.' not in line and b'"url":404' not in line]
    path.write_bytes(b"".join(good) + b"nonsense\n" + b'{"specversion": "1.0"}\n' + b"\n")
    run = demo("--input", str(path), "--rate", "0")
    assert run.wait() == 0, run.err.read_text()
    total = len(good) + 3
    assert f"{total} of {total} activities processed" in run.text()
    reasons = re.search(r"3 dead letters: (.*)", run.text())
    assert reasons is not None
    assert sorted(reasons[1].split(", ")) == ["empty_value 1", "missing_attribute 1", "not_json 1"]
    run.assert_nothing_left()


def test_a_line_too_large_for_the_broker_is_reported_and_skipped(demo: Callable[..., Demo], tmp_path: Path) -> None:
    path = tmp_path / "input.jsonl"
    # The largest that the broker accepts, one too large for it, and one too large for the client.
    path.write_bytes(b"\n".join([b"bad", b"x" * 1_048_400, b"x" * 1_048_600, b"x" * (1 << 24), b"bad"]))
    run = demo("--input", str(path), "--rate", "0")
    assert run.wait() == 0, run.err.read_text()
    assert run.err.read_text().splitlines() == [
        f"{path}:{line}: too large for the embedded broker, not played" for line in (3, 4)
    ]
    assert "3 of 3 activities processed" in run.text()
    assert run.text().endswith("\n2 lines too large, not played\n")
    run.assert_nothing_left()


def test_it_names_its_broker_and_shows_refused_and_changed_rules(demo: Callable[..., Demo], tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules" / "b2b", rules)
    run = demo("--rules", str(rules))
    run.wait_for(lambda: run.sent() > 0 or run.process.poll() is not None)
    topics = beside(run, "topics", "ensure")
    assert "lead.routing" in topics.stdout, topics.stderr
    before = set(re.findall(r"^rules b2b ([0-9a-f]{12})", run.text(), re.MULTILINE))
    text = (rules / "b2b.yaml").read_text()
    (rules / "b2b.yaml").write_text(text + "\nnonsense: 1\n")
    run.wait_for(lambda: "\nreload refused: " in run.text())
    (rules / "b2b.yaml").write_text(re.sub(r"hysteresis: \d+", "hysteresis: 1", text))
    run.wait_for(lambda: len(set(re.findall(r"^rules b2b ([0-9a-f]{12})", run.text(), re.MULTILINE)) - before) == 1)
    shutil.rmtree(rules)
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 0, run.err.read_text()
    (last,) = re.findall(r"processed in .*\nrules b2b ([0-9a-f]{12})", run.text())
    assert last not in before
    run.assert_nothing_left()


def test_a_second_worker_refuses_and_the_demo_goes_on(demo: Callable[..., Demo]) -> None:
    run = demo("--rate", "20")
    run.wait_for(lambda: run.sent() > 0 or run.process.poll() is not None)
    second = beside(run, "run", SCORER_RULES=str(ROOT / "rules" / "b2b"), SCORER_HTTP_PORT="0")
    assert second.returncode == 1
    assert "run one worker only" in second.stdout + second.stderr
    sent = run.sent()
    run.wait_for(lambda: run.sent() > sent + 20 or run.process.poll() is not None)
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 0, run.err.read_text()
    run.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_plays_ends_it_cleanly(demo: Callable[..., Demo], number: signal.Signals) -> None:
    run = demo()
    run.wait_for(lambda: run.sent() > 0 or run.process.poll() is not None)
    run.process.send_signal(number)
    assert run.wait() == 0, run.err.read_text()
    assert re.search(r"^[\d,]+ of [\d,]+ activities processed in ", run.text(), re.MULTILINE)
    assert run.err.read_text() == ""
    run.assert_nothing_left()


def test_a_signal_while_it_starts_ends_it_cleanly(demo: Callable[..., Demo]) -> None:
    run = demo()
    run.wait_for(lambda: "starting the service" in run.text() and len(run.helpers) >= 2)
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 0, run.err.read_text()
    run.assert_nothing_left()


def test_a_terminal_shows_the_live_view_and_is_restored(demo: Callable[..., Demo]) -> None:
    ours, theirs = pty.openpty()
    run = demo(terminal=theirs)
    os.close(theirs)
    os.set_blocking(ours, False)
    shown = bytearray()

    def read(until: bytes) -> Callable[[], bool]:
        def happened() -> bool:
            with contextlib.suppress(OSError):  # no data yet, or the end
                shown.extend(os.read(ours, 1 << 16))
            return until in shown

        return happened

    for part in (
        "engine durable · playing",
        "leads by rating and route",
        "/health/live",
        "BOOTSTRAP_SERVERS=127.0.0.1:",
    ):
        run.wait_for(read(part.encode()))
    run.process.send_signal(signal.SIGINT)
    run.wait_for(read(b"activities processed in"))
    end = read(b"\x00never")
    run.wait_for(lambda: end() or run.process.poll() is not None)
    end()
    assert run.process.returncode == 0, run.err.read_text()
    entered, left = shown.index(b"\x1b[?1049h"), shown.index(b"\x1b[?1049l")
    assert entered < left < shown.index(b"activities processed in")
    os.close(ours)
    run.assert_nothing_left()


@pytest.mark.parametrize(
    ("victim", "message"),
    [("scorer run", "the service ended with status -9; its last log lines:"), ("noida", "the embedded broker ended")],
)
def test_a_helper_that_dies_ends_the_demo_with_the_reason(demo: Callable[..., Demo], victim: str, message: str) -> None:
    run = demo()
    run.wait_for(lambda: run.sent() > 0 or run.process.poll() is not None)
    run.helper(victim).kill()
    assert run.wait() == 1
    assert f"error: {message}" in run.err.read_text()
    run.assert_nothing_left()


def test_a_second_demo_in_the_same_folder_is_rejected(demo: Callable[..., Demo], tmp_path: Path) -> None:
    first = demo()
    first.wait_for(lambda: (tmp_path / ".scorer-demo" / "lock").exists())
    second = subprocess.run([*ARGUMENTS], cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert second.returncode == 1
    assert "another demo is running" in second.stderr
    assert first.process.poll() is None
    first.wait_for(lambda: first.sent() > 0 or first.process.poll() is not None)
    first.process.send_signal(signal.SIGINT)
    assert first.wait() == 0
    first.assert_nothing_left()


def test_the_next_demo_clears_the_remains_of_a_killed_one(demo: Callable[..., Demo], tmp_path: Path) -> None:
    remains = tmp_path / ".scorer-demo" / "broker-old"
    remains.mkdir(parents=True)
    (remains / "data").write_text("old")
    (tmp_path / ".scorer-demo" / "lock").write_text("scorer demo holds this file while it runs\n")
    run = demo("--events", "50", "--rate", "0")
    assert run.wait() == 0, run.err.read_text()
    run.assert_nothing_left()


def test_a_foreign_folder_is_rejected_with_one_line(demo: Callable[..., Demo], tmp_path: Path) -> None:
    theirs = tmp_path / ".scorer-demo" / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("mine")
    run = demo("--events", "50")
    assert run.wait() == 1
    (line,) = run.err.read_text().splitlines()
    assert line.startswith(f"error: {theirs.parent} holds files that no demo made")
    assert theirs.read_text() == "mine"


def test_invalid_rules_end_it_before_anything_starts(tmp_path: Path) -> None:
    result = subprocess.run(
        [*ARGUMENTS[:4], "--rules", str(tmp_path / "none")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert result.returncode == 1
    assert "error: there is no such file or directory" in result.stderr
    assert not list(tmp_path.iterdir())
