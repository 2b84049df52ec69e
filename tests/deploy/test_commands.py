"""The commands that the pages on deploying show: files, services, arguments and commands that they name exist."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.deploy.compose import document
from tests.deploy.dockerfile import DOCKERFILE, ROOT, stages
from tests.unit.test_cli import scorer

PAGES = [ROOT / "docs" / "deploy.md", ROOT / "deploy" / "README.md"]
COMPOSE = ("docker", "compose", "-f", "deploy/compose.yaml")
ACTIONS = {
    "up": {"--wait", "--detach"},
    "down": {"--volumes"},
    "logs": set(),
    "ps": set(),
    "run": {"--rm"},
    "exec": set(),
}


def commands() -> Iterator[list[str]]:
    """The words of each command in a block of shell."""
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                yield shlex.split(line)


COMMANDS = list(commands())


def test_every_kind_of_command_is_known() -> None:
    known = (("docker", "build"), ("docker", "buildx", "imagetools"), COMPOSE, ("export",), (".venv/bin/scorer",))
    assert len(COMMANDS) > 5
    assert [words for words in COMMANDS if not any(tuple(words[: len(each)]) == each for each in known)] == []


def test_builds_name_arguments_and_files_that_exist() -> None:
    declared = set(re.findall(r"^ARG (\w+)", DOCKERFILE.read_text(), re.MULTILINE))
    (build,) = (words for words in COMMANDS if words[:2] == ["docker", "build"])
    given = {word.partition("=")[0] for before, word in pairwise(build) if before == "--build-arg"}
    assert {"BUILD_DIGEST", "BASE_DIGEST"} <= given <= declared
    assert (ROOT / build[build.index("-f") + 1]).samefile(DOCKERFILE)
    image = document()["services"]["worker-1"]["image"]
    assert image == f"${{LEAD_SCORER_IMAGE:-{build[build.index('-t') + 1]}}}"


def test_the_digests_are_those_of_the_images_that_it_builds_on() -> None:
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)", DOCKERFILE.read_text(), re.MULTILINE))
    bases = {
        re.sub(r"\$\{(\w+)\}", lambda match: defaults[match[1]], stage[0].words[0].partition("@")[0])
        for stage in stages()
    }
    assert {words[4] for words in COMMANDS if words[1:4] == ["buildx", "imagetools", "inspect"]} == bases


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[:4] == [*COMPOSE]], ids=" ".join)
def test_compose_gets_services_and_options_that_exist(words: list[str]) -> None:
    action, *rest = words[4:]
    assert action in ACTIONS
    command: list[str] = []
    if action in ("run", "exec"):
        at = next(number for number, word in enumerate(rest) if not word.startswith("--"))
        rest, command = rest[: at + 1], rest[at + 1 :]
    options = {word for word in rest if word.startswith("--")}
    assert options <= ACTIONS[action]
    names = [word for word in rest if not word.startswith("--")]
    if command:
        # The program is that of the image with `run`, and named with `exec`.
        assert scorer(*command[action == "exec" :], "--help").returncode == 0
    assert set(names) <= set(document()["services"])


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] == ".venv/bin/scorer"], ids=" ".join)
def test_commands_of_ours_exist(words: list[str]) -> None:
    assert scorer(*words[1:], "--help").returncode == 0


def test_what_must_be_exported_is_what_compose_asks_for() -> None:
    wanted = set(re.findall(r"\$\{(\w+):\?", (ROOT / "deploy" / "compose.yaml").read_text()))
    assert {words[1].partition("=")[0] for words in COMMANDS if words[0] == "export"} == wanted


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
