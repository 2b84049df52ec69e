"""`scorer topics`: create missing topics, check their settings and what the brokers allow, write one to a file."""

import time
from contextlib import ExitStack
from typing import Annotated

import typer

from scorer.cli.activity_input import (
    Rejects,
    RejectsOption,
    counted_blocks,
    no_activity,
    open_output,
    opened_topic,
    show_progress,
)
from scorer.cli.common import ExitStatus, counted, print_columns, rejected_of, say, usage_error
from scorer.domain.instant import to_text
from scorer.domain.printable import printable

app = typer.Typer(help="The topics of the service.", no_args_is_help=True)


@app.callback()
def topics() -> None:
    """The topics of the service."""


@app.command()
def ensure(
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, metavar="N", help="Of a new input topic; default: SCORER_TOPIC_PARTITIONS."),
    ] = None,
    replication_factor: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="N", help="Of each topic; default: 3, or one per broker if fewer."),
    ] = None,
    sources: Annotated[
        bool, typer.Option("--sources", help="Also create topics of other senders (SCORER_SOURCES).")
    ] = False,
) -> None:
    """Create missing topics and report settings that differ, one line each.

    Existing topics are not changed. Topics of other senders are theirs: a missing one is only reported, unless
    --sources is given. Exit status 1 if somebody must act: `differs` or `failed`.
    """
    # Imported here: the offline commands start without the Kafka client.
    from scorer.cli.kafka import run_or_exit, settings_or_exit
    from scorer.kafka.topics import TopicStatus, ensure_and_report

    settings = settings_or_exit()
    report = ensure_and_report(settings, partitions, replication_factor, sources=sources)
    findings = run_or_exit(report, settings, "topics ensure")
    statuses = max(len(finding.status) for finding in findings)
    names = max(len(finding.topic) for finding in findings)
    for finding in findings:
        typer.echo(printable(f"{finding.status:{statuses}}  {finding.topic:{names}}  {finding.text}"))
    if any(finding.status in (TopicStatus.DIFFERS, TopicStatus.FAILED) for finding in findings):
        raise typer.Exit(ExitStatus.FINDINGS)


@app.command()
def check_access(
    command: Annotated[
        str, typer.Option("--for", metavar="COMMAND", help="The command to check: run, 'dlq replay', ...")
    ] = "run",
) -> None:
    """Check what the brokers allow us (ACLs), and print how to grant what is missing. Changes nothing.

    One line for each permission that the command needs. Exit status 1 if a needed one is denied.
    """
    from scorer.cli.kafka import run_or_exit, settings_or_exit
    from scorer.kafka.access import NEEDS, Verdict, check
    from scorer.kafka.denied import grant

    if command not in NEEDS:
        raise typer.BadParameter(f"{command!r} is none of: {', '.join(NEEDS)}", param_hint="--for")
    settings = settings_or_exit()
    findings = run_or_exit(check(settings, NEEDS[command](settings)), settings, command)
    rows = [("resource", "name", "operation", "result", "grant it with")]
    for permission, verdict in findings:
        result = verdict.value if permission.required or verdict is Verdict.ALLOWED else f"{verdict} (not required)"
        name = f"{permission.name}*" if permission.prefixed else permission.name
        fix = "" if verdict is Verdict.ALLOWED else grant(settings, permission)
        rows.append((permission.resource.value, name, permission.operation.value, result, fix))
    print_columns(rows)
    if any(verdict is Verdict.DENIED and permission.required for permission, verdict in findings):
        raise typer.Exit(ExitStatus.FINDINGS)


@app.command()
def dump(
    topic: Annotated[
        str | None, typer.Argument(metavar="[TOPIC]", help="Input topic; default: SCORER_ACTIVITY_TOPIC.")
    ] = None,
    output: Annotated[str, typer.Option("--output", metavar="F|-", help="Activities, JSON Lines; - is stdout.")] = "-",
    rejects: RejectsOption = None,
) -> None:
    """Write the activities of the input topic to a file, each with its arrival (`arrivedat`), for offline commands.

    It reads what is committed, up to the end of the topic now, one partition after the other. Ticks are left out.
    Records that are not activities are printed on stderr and left out; the exit status is then 3.
    """
    if rejects is not None and rejects == output:
        usage_error(f"{output}: activities and rejected records need separate files")
    read, log_times = 0, []
    with ExitStack() as stack:
        activities = stack.enter_context(opened_topic(topic, time.time_ns() // 1000, "topics dump"))
        sink = open_output(output, stack)
        rejected = Rejects(None if rejects is None else open_output(rejects, stack))
        progress = show_progress(activities.size, "reading", stack)
        for part in activities.parts:
            for block in counted_blocks(part, progress):
                read += len(block.lines) + len(block.refused)
                sink.writelines(line + b"\n" for line in block.lines)
                rejected.add(block, ())
            log_times += [] if part.log_time is None else [part.log_time]
        sink.flush()
        if not read:
            no_activity(activities.names)
    reached = f"; the log has reached {to_text(max(log_times))}" if log_times else ""
    say(f"{counted(read - rejected.total)} of {', '.join(activities.names)}{reached}")
    if rejected.total:
        say(rejected_of(rejected.total, read))
        raise typer.Exit(ExitStatus.REJECTED)
