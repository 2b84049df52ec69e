"""`scorer test --watch` runs again whenever a file of the ruleset changes."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scorer.cli.watching import watch_rules
from tests.factory import SMALL_RULES
from tests.unit.test_cli_test import ROOT, STORY, rules

__all__ = ["rules"]  # the fixture


def test_watch_runs_only_if_the_content_of_a_file_changes(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test, calls = rules / "good_test.yaml", list[object]()

    def occasions(*_: object, **__: object) -> Iterator[set[str]]:
        test.touch()
        yield {"touched"}
        (rules / "notes.txt").write_text("not of the rules")
        yield {"another file"}
        test.write_text(STORY % 6)
        (rules / "small.yaml").write_text(SMALL_RULES + "# changed")
        yield set()  # no event, but the change is seen anyway
        yield {"a late event"}
        (rules / "more_test.yml").write_text(STORY % 7)
        yield {"a new file"}
        test.unlink()
        yield {"a file gone"}
        raise KeyboardInterrupt

    monkeypatch.setattr("scorer.cli.watching.watch", occasions)
    with pytest.raises(KeyboardInterrupt):
        watch_rules(rules, lambda: calls.append("run"), calls.append)
    both = [str(test), str(rules / "small.yaml")]
    assert calls == ["run", both, "run", [str(rules / "more_test.yml")], "run", [str(test)], "run"]


def test_a_change_during_a_run_starts_another_run(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test, calls = rules / "good_test.yaml", list[object]()

    def run() -> None:
        calls.append("run")
        if len(calls) == 1:
            test.write_text(STORY % 6)

    def occasions(*_: object, **__: object) -> Iterator[set[str]]:
        yield set()
        yield set()
        raise KeyboardInterrupt

    monkeypatch.setattr("scorer.cli.watching.watch", occasions)
    with pytest.raises(KeyboardInterrupt):
        watch_rules(rules, run, calls.append)
    assert calls == ["run", [str(test)], "run"]


class Watched:
    """`scorer test --watch` in a process; its output is read line by line."""

    def __init__(self, rules: Path) -> None:
        command = [sys.executable, "-m", "scorer", "test", str(rules), "--watch", "--engine", "compiled"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, start_new_session=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("<end>")

    def until(self, wanted: Callable[[str], bool]) -> list[str]:
        """The lines up to the first wanted one."""
        seen = []
        while True:
            seen.append(self._lines.get(timeout=60))
            if wanted(seen[-1]):
                return seen
            assert seen[-1] != "<end>", seen


@pytest.fixture
def watched(rules: Path) -> Iterator[Watched]:
    process = Watched(rules)
    yield process
    if process.process.poll() is None:
        process.process.kill()
    process.process.wait()


def counts(line: str) -> bool:
    return " passed, " in line


def test_watch_runs_again_when_a_rule_or_a_test_changes_and_ends_with_ctrl_c(rules: Path, watched: Watched) -> None:
    assert watched.until(counts)[-1].startswith("1 passed, 0 failed")

    test = rules / "good_test.yaml"
    test.write_text(STORY % 6)
    assert f"changed: {test}" in watched.until(lambda line: line.startswith("changed: "))
    assert watched.until(counts)[-1].startswith("0 passed, 1 failed")

    small = rules / "small.yaml"
    small.write_text("ruleset: [\n")
    assert f"changed: {small}" in watched.until(lambda line: line.startswith("changed: "))
    watched.until(lambda line: f"{small}:2:1: error: not valid YAML" in line)

    # Editors do this: a new file replaces the old one.
    other = rules / "small.yaml.swp"
    other.write_text(SMALL_RULES.replace("points: 5\n", "points: 6\n"))
    other.replace(small)
    assert watched.until(counts)[-1].startswith("1 passed, 0 failed")

    (rules / "new_test.yaml").write_text(STORY % 7)
    assert watched.until(counts)[-1].startswith("1 passed, 1 failed")

    os.killpg(watched.process.pid, signal.SIGINT)
    assert watched.process.wait(60) == 130
    assert "Traceback" not in "\n".join(watched.until(lambda line: line == "<end>"))


def test_watch_compares_contents_and_survives_a_missing_directory(rules: Path, watched: Watched) -> None:
    watched.until(counts)
    (rules / "small.yaml").touch()
    (rules / "notes.txt").write_text("not of the rules")
    aside = rules.with_name("aside")
    rules.rename(aside)
    shown = watched.until(lambda line: "there is no such file or directory" in line)
    assert not any(map(counts, shown))
    aside.rename(rules)
    assert watched.until(counts)[-1].startswith("1 passed, 0 failed")
