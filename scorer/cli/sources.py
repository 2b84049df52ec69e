"""`scorer sources`: what is translated into activities, and what comes of a file."""

from pathlib import Path
from typing import Annotated

import typer

from scorer.cli.common import ExitStatus, RulesOption, print_columns, print_document, say, usage_error
from scorer.cli.source_trial import Trial
from scorer.offline.activity_files import ActivityFile, InputError, open_activities
from scorer.offline.source_files import CLOUDEVENTS, described, known_sources, own_files, source_file
from scorer.runtime.default_rules import default_rules
from scorer.sources.source import SourceError

app = typer.Typer(no_args_is_help=True, help="Translate what other senders emit (docs/sources.md).")

_NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of a source.")]


@app.command("list")
def list_sources(rules: RulesOption = None) -> None:
    """List the sources: those that are built in, and those of the ruleset (`sources/*.yaml` in its folder)."""
    location = rules or default_rules()
    own = own_files(location)
    rows = [("name", "from", "what it is")]
    for name in known_sources(location):
        try:
            text = " ".join(described(name, location).split())
        except SourceError as error:
            text = f"has mistakes: {error.findings[0]}"
        rows.append((name, str(own.get(name, "built in")), text))
    print_columns(rows)


@app.command()
def show(name: _NameArgument, rules: RulesOption = None) -> None:
    """Show the mapping file of a source, as a start for one of your own."""
    if name == CLOUDEVENTS:
        usage_error("cloudevents is our own format and has no mapping file (scorer schema activity)")
    try:
        path = source_file(name, rules or default_rules())
        print_document(path.read_text("utf-8"))
    except SourceError as error:
        usage_error(error.findings[0].message)
    except (OSError, ValueError) as error:
        usage_error(f"{name}: its file cannot be read: {error}")


@app.command("test")
def try_out(
    file: Annotated[
        str, typer.Argument(metavar="F|-", help="Records of a sender: JSON, JSON Lines, CSV …; - is stdin.")
    ],
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="The source; left out: the one that fits best.")
    ] = None,
    rules: RulesOption = None,
) -> None:
    """Show what would come of the records in a file: per event the activities, or why there are none.

    A file that is one JSON document is one record; otherwise each line is one. The exit status is 3 if an event is
    rejected, and 1 if no source fits.
    """
    location = rules or default_rules()
    try:
        with open_activities([file], rereadable=True) as (opened,):
            trial = _best(opened, location) if source is None else Trial(opened, source, location)
            trial.show()
            trial.give_hints(rules)
    except InputError as error:
        usage_error(str(error))
    trial.exit_if_rejected()


def _best(file: ActivityFile, location: Path) -> Trial:
    """The trial of the source that makes the most activities. Of those that make the same, a ruleset's own comes first,
    and a source before one that extends it."""
    own = own_files(location)
    trials = [Trial(file, name, location) for name in known_sources(location)]
    most = max(trial.fitting for trial in trials)
    if not most:
        say("error: no source makes an activity of this file; --source NAME shows why (scorer sources list)")
        raise typer.Exit(ExitStatus.FINDINGS)
    fitting = [trial for trial in trials if trial.fitting == most]
    best, *others = sorted(fitting, key=lambda trial: (trial.name not in own, trial.extends is not None, trial.name))
    different = [trial.name for trial in others if trial.made() != best.made()]
    say(
        f"the source that fits best is {best.name}"
        + (f"; --source chooses another that fits as well: {', '.join(different)}" if different else "")
    )
    return best
