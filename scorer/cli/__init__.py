"""The command line.

Exit status: 0 success, 1 findings or failed tests, 2 wrong usage or settings, 3 some input was rejected, 141 the reader
of the output is gone.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from scorer.cli import dlq, offsets, sources, topics
from scorer.cli.backtest import run_backtest
from scorer.cli.check import check
from scorer.cli.common import ExitStatus
from scorer.cli.convert import convert
from scorer.cli.demo import demo
from scorer.cli.explain import explain
from scorer.cli.report import run_report
from scorer.cli.retention import retention
from scorer.cli.run import run
from scorer.cli.schema import schema
from scorer.cli.score import score
from scorer.cli.test import run_rule_tests


class _Group(TyperGroup):
    """All commands."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            # pydantic, which reads the options, puts this before the message of a `ValueError`.
            error.message = error.message.removeprefix("Value error, ")
            raise
        except BrokenPipeError:
            # Otherwise typer ends with 1, which says that something was found.
            raise typer.Exit(ExitStatus.CLOSED_PIPE) from None


app = typer.Typer(
    name="scorer",
    cls=_Group,
    help="Rule-based lead scoring and routing on Kafka.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            number = version("lead-scorer")
        except PackageNotFoundError:
            number = "(not installed)"
        typer.echo(f"lead-scorer {number}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Those of `scorer` itself."""


for name, command in (
    ("run", run),
    ("demo", demo),
    ("check", check),
    ("test", run_rule_tests),
    ("score", score),
    ("convert", convert),
    ("explain", explain),
    ("backtest", run_backtest),
    ("report", run_report),
    ("schema", schema),
    ("retention", retention),
):
    app.command(name)(command)
app.add_typer(dlq.app, name="dlq")
app.add_typer(offsets.app, name="offsets")
app.add_typer(sources.app, name="sources")
app.add_typer(topics.app, name="topics")
