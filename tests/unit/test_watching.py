"""`scorer test --watch`: again whenever a file of the ruleset changes."""

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


def test_watch_runs_where_a_content_differs_and_only_there(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test, told = rules / "good_test.yaml", list[object]()

    def occasions(*_: object, **__: object) -> Iterator[set[str]]:
        test.touch()
        yield {"touched"}
        (rules / "notes.txt").write_text("not of the rules")
        yield {"another file"}
        test.write_text(STORY % 6)
        (rules / "small.yaml").write_text(SMALL_RULES + "# changed")
        yield set()  # nothing was told, but it is seen all the same
        yield {"told late"}
        (rules / "more_test.yml").write_text(STORY % 7)
        yield {"a new file"}
        test.unlink()
        yield {"a file gone"}
        raise KeyboardInterrupt

    monkeypatch.setattr("scorer.cli.watching.watch", occasions)
    with pytest.raises(KeyboardInterrupt):
        watch_rules(rules, lambda: told.append("run"), told.append)
    both = [str(test), str(rules / "small.yaml")]
    assert told == ["run", both, "run", [str(rules / "more_test.yml")], "run", [str(test)], "run"]


def test_what_changes_during_a_run_is_run_again(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test, told = rules / "good_test.yaml", list[object]()

    def run() -> None:
        told.append("run")
        if len(told) == 1:
            test.write_text(STORY % 6)

    def occasions(*_: object, **__: object) -> Iterator[set[str]]:
        yield set()
        yield set()
        raise KeyboardInterrupt

    monkeypatch.setattr("scorer.cli.watching.watch", occasions)
    with pytest.raises(KeyboardInterrupt):
        watch_rules(rules, run, told.append)
    assert told == ["run", [str(test)], "run"]


class Watched:
    """`scorer test --watch` in a process, its output read as it comes."""

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
        """The lines up to the first that is wanted."""
        seen = []
        while True:
            seen.append(self._lines.get(timeout=60))
            if wanted(seen[-1]):
                return seen
            assert seen[-1] != "<end>", seen


@pytest.fixture
def watched(rules: Path) -> Iterator[Watched]:
    found = Watched(rules)
    yield found
    if found.process.poll() is None:
        found.process.kill()
    found.process.wait()


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

    # As editors do it: another file takes the place.
    other = rules / "small.yaml.swp"
    other.write_text(SMALL_RULES.replace("points: 5\n", "points: 6\n"))
    other.replace(small)
    assert watched.until(counts)[-1].startswith("1 passed, 0 failed")

    (rules / "new_test.yaml").write_text(STORY % 7)
    assert watched.until(counts)[-1].startswith("1 passed, 1 failed")

    os.killpg(watched.process.pid, signal.SIGINT)
    assert watched.process.wait(60) == 130
    assert "Traceback" not in "\n".join(watched.until(lambda line: line == "<end>"))


def test_watch_looks_at_the_content_and_survives_a_directory_that_goes_and_comes(rules: Path, watched: Watched) -> None:
    watched.until(counts)
    (rules / "small.yaml").touch()
    (rules / "notes.txt").write_text("not of the rules")
    aside = rules.with_name("aside")
    rules.rename(aside)
    told = watched.until(lambda line: "there is no such file or directory" in line)
    assert not any(map(counts, told))
    aside.rename(rules)
    assert watched.until(counts)[-1].startswith("1 passed, 0 failed")
