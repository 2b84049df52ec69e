"""`scorer offsets`: show where the group is in its input, and choose where it continues."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from scorer.cli.common import ExitStatus, print_columns, say

if TYPE_CHECKING:
    from scorer.runtime.settings import Settings
    from scorer.stream.input_log import InputLog
    from scorer.stream.offset_reset import Target

app = typer.Typer(help="Where the service is in its input.", no_args_is_help=True)

_RESET: Final = "offsets reset"

Partitions = Annotated[
    list[int] | None, typer.Option("--partition", min=0, metavar="P", help="Only this one; repeatable.")
]


Topic = Annotated[
    str | None, typer.Option("--topic", metavar="NAME", help="Of another sender (SCORER_SOURCES); default: the input.")
]


@app.command()
def show(partition: Partitions = None, topic: Topic = None) -> None:
    """Print for each partition what is committed, what the input has, and whether both fit together.

    Exit status 1 if the service cannot continue a partition.
    """
    # Imported here: the offline commands start without the Kafka client.
    from scorer.cli.kafka import run_or_exit, settings_or_exit
    from scorer.stream.offset_reset import group_problem, survey, survey_source
    from scorer.stream.partition_name import name_of

    settings = settings_or_exit()
    source = _source(topic, settings)
    chosen = frozenset(partition or ())
    others = [source] if source is not None else [] if topic or chosen else settings.source_topics
    logs = [] if source is not None else run_or_exit(survey(settings, chosen), settings, "offsets show")
    for other in others:
        logs += run_or_exit(survey_source(settings, other, chosen), settings, "offsets show")
    _notice(run_or_exit(group_problem(settings), settings, "offsets show"))
    rows = [("partition", "committed", "first", "end", "to read", "status")]
    rows += [
        (
            str(name_of(log.partition, settings)),
            _committed(log),
            str(log.span.first),
            str(log.span.end),
            _left(log),
            log.change or "ok",
        )
        for log in logs
    ]
    print_columns(rows)
    if _explain(logs):
        raise typer.Exit(ExitStatus.FINDINGS)


@app.command()
def reset(
    to: Annotated[str, typer.Option(metavar="WHERE", help="earliest, latest, or an offset of one partition.")],
    partition: Partitions = None,
    topic: Topic = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it; without it, only show what would change.")] = False,
) -> None:
    """Choose the offset from which the service continues. Stop all workers first.

    The states of leads stay. Without --yes nothing is changed.
    """
    from scorer.cli.auditing import audited
    from scorer.cli.kafka import run_or_exit, settings_or_exit
    from scorer.stream.offset_reset import ResetError, group_problem, members_problem, plan, survey, survey_source
    from scorer.stream.offset_reset import reset as reset_offsets

    target = _target(to)
    settings = settings_or_exit()
    source, chosen = _source(topic, settings), frozenset(partition or ())
    work = survey(settings, chosen) if source is None else survey_source(settings, source, chosen)
    logs = run_or_exit(work, settings, _RESET)
    if isinstance(target, int) and len(logs) > 1:
        raise typer.BadParameter("an offset belongs to one partition: add --partition", param_hint="--to")
    try:
        moves = plan(logs, target)
    except ResetError as error:
        say(f"error: {error}")
        raise typer.Exit(ExitStatus.FINDINGS) from None
    rows = [("partition", "committed", "new", "to read", "effect")]
    rows += [
        (
            str(move.log.partition.partition),
            _committed(move.log),
            str(move.target),
            str(move.log.span.end - move.target),
            move.effect,
        )
        for move in moves
    ]
    print_columns(rows)
    _notice(run_or_exit(group_problem(settings), settings, _RESET))
    _explain(logs)
    if not yes:
        problem = run_or_exit(members_problem(settings), settings, _RESET)
        typer.echo(f"nothing was changed; --yes {'does it' if problem is None else f'will refuse: {problem}'}")
        return
    changes = [
        {"partition": move.log.partition.partition, "from": move.log.offset, "to": move.target} for move in moves
    ]
    with audited(settings, "offsets_reset", topic=source or settings.activity_topic, selection=to, changes=changes):
        run_or_exit(reset_offsets(settings, moves), settings, _RESET)
    changed = sum(move.changes for move in moves)
    typer.echo(f"{changed} {'partition' if changed == 1 else 'partitions'} changed")


def _notice(problem: str | None) -> None:
    """Say what may be a mistake, and may be meant: a new group has no offsets either."""
    if problem is not None:
        say(f"note: {problem}")


def _source(topic: str | None, settings: "Settings") -> str | None:
    """The topic of another sender; None for the input."""
    if topic is None or topic == settings.activity_topic:
        return None
    if topic not in settings.source_topics:
        known = ", ".join([settings.activity_topic, *settings.source_topics])
        raise typer.BadParameter(f"{topic!r} is not read by the group; it reads {known}", param_hint="--topic")
    return topic


def _target(text: str) -> "Target":
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise typer.BadParameter(f"{text!r} is not earliest, latest or an offset", param_hint="--to")


def _committed(log: "InputLog") -> str:
    return "-" if log.offset is None else str(log.offset)


def _left(log: "InputLog") -> str:
    if log.change is not None:
        return "?"
    return str(log.span.end - (log.span.first if log.offset is None else log.offset))


def _explain(logs: "Sequence[InputLog]") -> bool:
    """Say what is wrong. Returns whether anything is."""
    wrong = [log for log in logs if log.change is not None]
    for log in wrong:
        say(f"{log.partition.topic}-{log.partition.partition}: {log.problem}")
    return bool(wrong)
