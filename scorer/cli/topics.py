"""`scorer topics`: create missing topics and check their settings."""

from typing import Annotated

import typer

from scorer.cli.common import ExitStatus
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
) -> None:
    """Create missing topics and report settings that differ, one line each.

    Existing topics are not changed. Exit status 1 if somebody must act: `differs` or `failed`.
    """
    # Imported here: the offline commands start without the Kafka client.
    from scorer.cli.kafka import run_or_exit, settings_or_exit
    from scorer.kafka.topics import TopicStatus, ensure_and_report

    settings = settings_or_exit()
    findings = run_or_exit(ensure_and_report(settings, partitions, replication_factor), settings)
    statuses = max(len(finding.status) for finding in findings)
    names = max(len(finding.topic) for finding in findings)
    for finding in findings:
        typer.echo(printable(f"{finding.status:{statuses}}  {finding.topic:{names}}  {finding.text}"))
    if any(finding.status in (TopicStatus.DIFFERS, TopicStatus.FAILED) for finding in findings):
        raise typer.Exit(ExitStatus.FINDINGS)
