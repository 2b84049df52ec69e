"""The tutorial, command by command."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from scorer.demo.broker import free_port
from tests.deploy.monitoring import until
from tests.integration.service import ROOT

PAGE: Final = (ROOT / "docs" / "tutorial.md").read_text()
BLOCKS: Final = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SECONDS: Final = 90.0
ADDRESS: Final = "127.0.0.1:45249"


class Reader:
    """Somebody who follows the page in a folder that has what a clone has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blocks = list(BLOCKS)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
        self.environment["PYTHONPATH"] = str(ROOT)
        for name in ("docs", "rules"):
            (folder / name).symlink_to(ROOT / name)

    @property
    def left(self) -> int:
        """The number of blocks that are not read yet."""
        return len(self._blocks)

    def next(self, language: str) -> str:
        """The next block, which is in that language."""
        found, text = self._blocks.pop(0)
        assert found == language, text
        return str(text)

    def run(self, line: str) -> str:
        """What a command prints, which succeeds."""
        done = subprocess.run(
            self._command(line),
            cwd=self._folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def running(self, line: str) -> Iterator[Path]:
        """A command in another terminal, which Ctrl-C ends. Gives the file with what it prints."""
        output = self._folder / f"{len(list(self._folder.glob('*.txt')))}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                self._command(line), cwd=self._folder, env=self.environment, stdout=file, stderr=file
            )
        try:
            yield output
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS) == 0, output.read_text()
        finally:
            process.kill()
            process.wait()

    def _command(self, line: str) -> list[str]:
        first, *rest = shlex.split(line)
        return [sys.executable, "-m", "scorer", *rest] if first == "scorer" else [first, *rest]


@pytest.mark.timeout(400)
def test_the_tutorial(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    install, activate, version = reader.next("sh").splitlines()
    assert (install, activate) == ("make install", ". .venv/bin/activate"), "the tests run in what these make"
    assert reader.run(version).startswith("lead-scorer ")
    assert "decisions" in reader.run(reader.next("sh").strip())
    assert "hot" in reader.run(reader.next("sh").strip())
    reader.run(reader.next("sh").strip())
    rules, tests = (tmp_path / ".cache" / "mine" / name for name in ("rules.yaml", "rules_test.yaml"))
    for path in (rules, tests):
        assert f"`{path.relative_to(tmp_path)}`" in PAGE
        path.write_text(reader.next("yaml"))
    printed = "".join(reader.run(line) for line in reader.next("sh").splitlines())
    assert without_times(printed) == without_times(reader.next("text"))
    explained, compared = (reader.run(line) for line in reader.next("sh").splitlines())
    assert "Has 200 employees or more" in explained
    assert "mine" in compared
    with reader.running(reader.next("sh").strip()) as demo:
        shown = re.compile(r"SCORER_BOOTSTRAP_SERVERS=([\d.:]+)")
        address = until(lambda: shown.search(demo.read_text()), SECONDS, demo.read_text)
        assert address is not None
        *exports, ensure, run = reader.next("sh").splitlines()
        assert f"SCORER_BOOTSTRAP_SERVERS={ADDRESS}" in exports[0]
        for line in exports:
            name, _, value = line.removeprefix("export ").partition("=")
            reader.environment[name] = address[1] if value == ADDRESS else value
        port = str(free_port())
        reader.environment["SCORER_HTTP_PORT"] = port
        reader.run(ensure)
        with reader.running(run) as log:
            ready, agree = (line.replace(":8080/", f":{port}/") for line in reader.next("sh").splitlines())
            assert reader.left == 0
            until(lambda: '"http_listening"' in log.read_text(), SECONDS, log.read_text)
            until(lambda: json.loads(answer(ready)).get("status") == "ready", SECONDS, log.read_text)
            wanted = ("scorer_shadow_decisions_total{", "scorer_shadow_divergences_total{")
            until(lambda: all(name in answer(agree) for name in wanted), SECONDS, log.read_text)
            replace_once(rules, "points: 25\n    max_points: 25", "points: 40\n    max_points: 40")
            replace_once(tests, "score: 45", "score: 60")
            until(lambda: '"shadow_rules_reloaded"' in log.read_text(), SECONDS, log.read_text)


def without_times(text: str) -> str:
    return re.sub(r"in \d+\.\d+ s", "", text)


def answer(command: str) -> str:
    """What a command with curl prints; `{}` while there is no good answer."""
    url = next(word for word in command.split() if word.startswith("localhost"))
    try:
        with urllib.request.urlopen(f"http://{url}", timeout=5) as response:
            return str(response.read().decode())
    except OSError:
        return "{}"


def replace_once(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))
