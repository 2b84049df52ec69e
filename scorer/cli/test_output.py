"""The output of `scorer test`."""

import os
import sys
from collections.abc import Sequence

import typer

from scorer.domain.printable import printable, printable_lines
from scorer.ruletests.run import Result

_COLOURS = {"pass": typer.colors.GREEN, "fail": typer.colors.RED, "error": typer.colors.MAGENTA}


def show(result: Result) -> None:
    """Print a line for a test, and its details below."""
    file, line, column = result.position
    word = f"{result.outcome.upper():5}"
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        word = typer.style(word, fg=_COLOURS[result.outcome])
    typer.echo(f"{word} {printable(f'{file}:{line}:{column}: {result.name}')}")
    for detail in result.details:
        typer.echo(f"      {printable(detail)}")


def summary(results: Sequence[Result], left_out: int, seconds: float) -> str:
    """The counts and the time on one line."""
    outcomes = [result.outcome for result in results]
    counts = f"{outcomes.count('pass')} passed, {outcomes.count('fail')} failed, {outcomes.count('error')} in error"
    chosen = f", {left_out} not selected" if left_out else ""
    return f"{counts}{chosen} in {seconds:.2f} s"


def tell(text: str) -> None:
    """Print lines on stdout, flushed, because with `--watch` somebody waits for them."""
    typer.echo(printable_lines(text))


def complain(text: str) -> None:
    """Print a line on stderr."""
    typer.echo(printable(text), err=True)
