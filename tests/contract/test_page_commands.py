"""The commands that pages show exist: subcommands and options of `scorer`, targets of the Makefile, Python files."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import typer.core
import typer.main

from scorer.cli import app
from tests.contract.test_docs import PAGES, ROOT

TARGETS: Final = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SHELL: Final = ("", "sh", "console", "bash")
_INDENTED: Final = re.compile(r"^    ((?:scorer|python|\.venv/bin/\S+|make) .*)$", re.MULTILINE)
_INLINE: Final = re.compile(r"`((?:\.venv/bin/)?scorer [a-z][^`]*|make [a-z][^`]*)`")
_ASSIGNMENT: Final = re.compile(r"[A-Z_]+=\S*")
_CHANGES: Final = ("CHANGELOG.md", "docs/adr/")
"""They also name commands of the past."""


class Shown(NamedTuple):
    """A command, and the page that shows it."""

    page: str
    words: tuple[str, ...]


def lines(text: str) -> Iterator[str]:
    """What looks like a command in a page."""
    for language, block in _BLOCK.findall(text):
        if language in _SHELL:
            for line in block.replace("\\\n", " ").splitlines():
                is_prompt = line.startswith("$ ")
                if is_prompt or language in ("sh", "bash") or not re.search(r"^\$ ", block, re.MULTILINE):
                    yield line.removeprefix("$ ")
    without_blocks = _BLOCK.sub("", text)
    yield from _INDENTED.findall(without_blocks)
    yield from _INLINE.findall(without_blocks)


def commands() -> list[Shown]:
    found = set()
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        if name.startswith(_CHANGES):
            continue
        for line in lines(page.read_text()):
            for part in re.split(r"\s+(?:&&|\|)\s+", re.sub(r"(?:^|\s)#.*", "", line).partition(" -- ")[2] or line):
                try:
                    words = shlex.split(part, comments=True)
                except ValueError:  # a quotation over several lines
                    continue
                while words and _ASSIGNMENT.fullmatch(words[0]):
                    words.pop(0)
                if words and words[0].removeprefix(".venv/bin/") in ("scorer", "make", "python"):
                    found.add(Shown(name, (words[0].removeprefix(".venv/bin/"), *words[1:])))
    return sorted(found)


COMMANDS: Final = commands()


def test_pages_show_commands() -> None:
    assert len(COMMANDS) > 80
    assert {"README.md", "docs/operations.md", "docs/kubernetes.md"} <= {shown.page for shown in COMMANDS}


@pytest.mark.parametrize("shown", COMMANDS, ids=lambda shown: f"{shown.page}: {' '.join(shown.words)}"[:100])
def test_the_command_exists(shown: Shown) -> None:
    program, *words = shown.words
    if program == "make":
        targets = [word for word in words if not _ASSIGNMENT.match(word)]
        assert set(targets) <= TARGETS
    elif program == "python":
        if words[0] == "-m":
            path = Path(*words[1].split("."))
            assert words[1] == "pytest" or path.is_dir() or path.with_suffix(".py").is_file(), words[1]
        else:
            assert (ROOT / words[0]).is_file()
    else:
        check_scorer(words)


def check_scorer(words: list[str]) -> None:
    """Fail unless the subcommand is there and has all these options."""
    command = typer.main.get_command(app)
    while isinstance(command, typer.core.TyperGroup) and words and not words[0].startswith("-"):
        name, *words = words
        assert name in command.commands, name
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert options <= known | {"--help"}
