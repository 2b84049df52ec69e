"""Shared by several commands: options, exit statuses, and loading a ruleset."""

import sys
from collections.abc import Sequence
from enum import IntEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from scorer.domain.printable import printable, printable_lines
from scorer.engines.engine import EngineName, EngineUnavailableError, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.explain.story import parse_time
from scorer.offline.ruleset_files import load_ruleset
from scorer.rules.finding import RulesetError


class ExitStatus(IntEnum):
    """Exit statuses of the commands."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    REJECTED = 3
    UNANSWERED = 3
    CLOSED_PIPE = 141
    """What a shell shows for a tool that SIGPIPE ended: `scorer … | head` has read enough."""


RulesArgument = Annotated[Path, typer.Argument(metavar="RULES", help="Ruleset directory, or one rule file.")]
RulesOption = Annotated[
    Path | None,
    typer.Option("--rules", metavar="DIR", help="Ruleset directory; left out: rules/b2b, or the built-in copy of it."),
]
EngineOption = Annotated[
    EngineName | None,
    typer.Option("--engine", help="Rule engine; default: durable, if it can be loaded."),
]


def say(message: str) -> None:
    """Print a line for people on stderr. Whatever the message quotes, it stays one line and controls no terminal."""
    typer.echo(printable(message), err=True)


def say_lines(message: str) -> None:
    """Print a message of several lines on stderr; its newlines are ours."""
    typer.echo(printable_lines(message), err=True)


def usage_error(message: str) -> NoReturn:
    """Print why the usage is wrong, and exit."""
    say(f"error: {message}")
    raise typer.Exit(ExitStatus.USAGE)


def moment_or_exit(option: str, text: str | None, now: int) -> int | None:
    """The instant that the option names: a time, a date or `now`, in microseconds since the epoch, as is `now`; None
    without the option. Exit if the text is not one."""
    if text is None or text == "now":
        return None if text is None else now
    try:
        return parse_time(text)
    except ValueError as error:
        usage_error(f"{option}: {error}, or now")


def is_utf8(argument: str) -> bool:
    """Whether an argument was UTF-8. Python keeps the bytes of another one as half surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table on stdout, its columns as wide as needed."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        typer.echo(printable("  ".join(cells).rstrip()))


def print_document(text: str) -> None:
    """Write JSON or HTML to stdout, as UTF-8 in every locale: a character that is replaced would be a wrong value."""
    stdout = sys.stdout
    if isinstance(stdout, TextIOWrapper):
        stdout.flush()
        stdout.buffer.write(text.encode())
        stdout.buffer.flush()
    else:
        stdout.write(text)


def load_or_exit(location: Path, engine: EngineName | None, *, to_stderr: bool = True) -> Evaluator:
    """Load the ruleset and compile it. If it has mistakes, print them and exit."""
    try:
        return Evaluator(load_ruleset(location), default_engine(engine))
    except RulesetError as error:
        for finding in error.findings:
            typer.echo(str(finding), err=to_stderr)
        raise typer.Exit(ExitStatus.FINDINGS) from None
    except EngineUnavailableError as error:
        say(f"error: {error}")
        raise typer.Exit(ExitStatus.USAGE) from None


def counted(number: int) -> str:
    """`1 activity`, `2,000 activities`. A line can be a batch of them."""
    return f"{number:,} {'activity' if number == 1 else 'activities'}"


def rejected_of(rejected: int, read: int) -> str:
    """How many of the activities that were read are bad."""
    return f"{rejected:,} of {counted(read)} rejected"
