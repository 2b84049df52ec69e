"""`scorer dlq`: list dead letters, send them back to the input topic, and remove those of a lead."""

import re
import sys
import time
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from scorer.cli.common import ExitStatus, is_utf8, say
from scorer.dlq.position import Place, Position
from scorer.domain.instant import from_datetime, to_text
from scorer.rules.catalogue import suggestion
from scorer.rules.duration import parse as parse_duration

if TYPE_CHECKING:
    from scorer.dlq.purge import Chosen, Plan, PurgeReport
    from scorer.dlq.queue import DeadLetterList, Filter
    from scorer.dlq.replay import ReplayReport
    from scorer.runtime.settings import Settings

app = typer.Typer(help="Dead letters: list them, send them back, remove those of a lead.", no_args_is_help=True)

REASONS: Final = (
    *("empty_value", "not_utf8", "not_json", "not_an_object", "not_a_list", "too_large", "too_deep"),
    *("number_out_of_range", "bad_header", "unsupported_content_type", "unsupported_specversion"),
    *("missing_attribute", "invalid_attribute", "unknown_type", "invalid_time", "time_in_future", "invalid_data"),
    *("null_key", "key_mismatch", "source_not_allowed", "unfitting", "internal_error"),
    *("state_too_large", "decision_too_large"),
    "unknown",
)
"""The reasons that the service gives, and `unknown` for records that it did not write."""


class Format(StrEnum):
    """How the dead letters are printed."""

    TABLE = "table"
    JSON = "json"


def _instant(text: str) -> int:
    """The time that a person wrote, in microseconds since the epoch."""
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return from_datetime(datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC))
        if re.fullmatch(r"[0-9.]+[smhdw]", text):
            return time.time_ns() // 1000 - parse_duration(text)
        return from_datetime(datetime.fromisoformat(text))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time; write 2026-01-31T09:30:00Z, 2026-01-31 (UTC), or 2h for two hours ago"
        ) from None


def _position(text: str) -> Position:
    if re.fullmatch(r"[0-9]{1,9}:[0-9]{1,18}", text) is None:
        hint = f" (or --from {text} for a place in the input)" if "#" in text else ""
        raise typer.BadParameter(f"{text!r} is not a position; write PARTITION:OFFSET, as in 0:17{hint}")
    partition, _, offset = text.partition(":")
    return Position(int(partition), int(offset))


def _place(text: str) -> Place:
    # As `dlq list` prints it. Names of topics have no colon.
    parts = re.fullmatch(r"(?:([A-Za-z0-9._-]{1,249}):)?([0-9]{1,9}):([0-9]{1,18})(?:#([0-9]{1,9}))?", text)
    if parts is None:
        raise typer.BadParameter(
            f"{text!r} is not a place in the input; write PARTITION:OFFSET, as in 4:81, or 4:81#3 in a batch, with or "
            "without TOPIC: before it"
        )
    topic, partition, offset, index = parts.groups()
    return Place(int(partition), int(offset), None if index is None else int(index), topic)


Reasons = Annotated[list[str] | None, typer.Option("--reason", metavar="REASON", help="Only this reason; repeatable.")]
Since = Annotated[
    int | None, typer.Option(metavar="TIME", parser=_instant, help="Only from this time on: a time, a date, or 2h.")
]
Until = Annotated[int | None, typer.Option(metavar="TIME", parser=_instant, help="Only before this time.")]
Key = Annotated[str | None, typer.Option(metavar="LEAD", help="Only for this lead.")]
Positions = Annotated[
    list[Position] | None,
    typer.Option("--offset", metavar="P:O", parser=_position, help="Only this one; repeatable."),
]
Places = Annotated[
    list[Place] | None,
    typer.Option(
        "--from",
        metavar="[T:]P:O[#I]",
        parser=_place,
        help="Only what came from this partition and offset of the input, and index of a batch, as `dlq list` prints "
        "it; repeatable.",
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the oldest N.")]


@app.command("list")
def list_(
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    key: Key = None,
    from_: Places = None,
    limit: Limit = None,
    pending: Annotated[bool, typer.Option("--pending", help="Only those not yet replayed.")] = False,
    counts: Annotated[bool, typer.Option("--counts", help="Only the number by reason.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="A table, or JSON Lines.")] = Format.TABLE,
    with_value: Annotated[
        bool, typer.Option("--with-value", help="Also the value and the headers that were sent; only with JSON.")
    ] = False,
) -> None:
    """Print the dead letters, oldest first, and their number by reason."""
    # Imported here: the offline commands start without the Kafka client.
    from scorer.cli.dlq_output import print_counts, print_letters
    from scorer.cli.kafka import run_or_exit, settings_or_exit

    as_json = format_ is Format.JSON
    if with_value and (counts or not as_json):
        say("error: --with-value needs --format json, without --counts: a table has no room for values")
        raise typer.Exit(ExitStatus.USAGE)
    settings = settings_or_exit()
    _check_reasons(reason, settings)
    wanted = _filter(reason, since, until, key, places=frozenset(from_ or ()))
    work = _find(settings, wanted, 0 if counts else limit, pending=pending, with_content=with_value)
    result = run_or_exit(work, settings, "dlq list")
    if not counts:
        print_letters(result.letters, as_json=as_json)
    # With JSON, stdout holds only records, and the counts go to people on stderr.
    print_counts(result, as_json=as_json and counts, to_stderr=as_json and not counts)


@app.command()
def replay(
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    key: Key = None,
    from_: Places = None,
    offset: Positions = None,
    all_: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    limit: Limit = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be sent.")] = False,
) -> None:
    """Send dead letters back to the input topic, unchanged, with a header `replayed-from`. Each is sent only once.

    Select them with filters, --offset or --all. Exit status 1 if one of them is not sent; the reason is printed.
    """
    from scorer.cli.auditing import audited
    from scorer.cli.dlq_output import counted, print_reasons
    from scorer.cli.kafka import run_or_exit, settings_or_exit
    from scorer.dlq.replay import ReplayReport, obstacle

    selective = bool(reason or offset or from_) or any(option is not None for option in (since, until, key))
    if selective == all_:
        say("error: select dead letters with --reason, --since, --until, --key, --from or --offset, or use --all alone")
        raise typer.Exit(ExitStatus.USAGE)
    settings = settings_or_exit()
    _check_reasons(reason, settings)
    wanted = _filter(reason, since, until, key, frozenset(offset or ()), frozenset(from_ or ()))
    result = run_or_exit(_find(settings, wanted, limit, pending=True), settings, "dlq replay")
    report = ReplayReport(already=result.replayed)
    report.refused = dict.fromkeys(result.missing, "there is no such dead letter")
    going = []
    for letter in result.letters:
        problem = obstacle(letter, settings)
        if problem is None:
            going.append(letter)
        else:
            report.refused[letter.position] = problem
    if going:
        typer.echo(f"{counted(len(going))} to send back to {settings.activity_topic}")
        print_reasons(going)
    asks = sys.stdin.isatty() and not yes
    if going and not dry_run and (not asks or typer.confirm("Send?")):
        selection = _selection(wanted, all_, limit)
        with audited(settings, "replay", topic=settings.dead_letter_topic, selection=selection) as outcome:
            try:
                run_or_exit(_send(settings, [letter.position for letter in going], report), settings, "dlq replay")
            finally:
                outcome |= {"replayed": report.replayed, "refused": len(report.refused)}
                typer.echo(f"{counted(report.replayed)} replayed")
    elif not going or not dry_run:
        typer.echo("nothing to replay" if not going else "nothing replayed")
    if report.already:
        typer.echo(f"{counted(report.already)} skipped: already replayed")
    for position, problem in sorted(report.refused.items()):
        say(f"{position} not sent: {problem}")
    if report.refused:
        raise typer.Exit(ExitStatus.FINDINGS)


@app.command()
def purge(
    lead: Annotated[str, typer.Option("--lead", metavar="LEAD", help="The id of the lead.")],
    containing: Annotated[
        bool, typer.Option("--containing", help="Also other dead letters that contain the id anywhere.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
) -> None:
    """Remove all dead letters of a lead for good, also while the service runs.

    Kafka deletes only from the beginning of a partition. So the dead letters that stay and are older than the last one
    of the lead are first copied to the end, with their key, value and headers. They get new positions, and Kafka may
    count their retention again.
    """
    from scorer.cli.auditing import audited
    from scorer.cli.dlq_output import counted, print_counts_by_reason
    from scorer.cli.kafka import run_or_exit, settings_or_exit
    from scorer.dlq.purge import Chosen, PurgeReport

    if not lead:
        say("error: --lead is empty; give the id of a lead")
        raise typer.Exit(ExitStatus.USAGE)
    if not is_utf8(lead):
        say("error: --lead is not UTF-8; the id of a lead always is")
        raise typer.Exit(ExitStatus.USAGE)
    settings = settings_or_exit()
    chosen = Chosen(lead, containing=containing)
    plan = run_or_exit(_plan_purge(settings, chosen), settings, "dlq purge")
    typer.echo(f"{counted(plan.removed.total())} of the lead in {settings.dead_letter_topic}")
    print_counts_by_reason(plan.removed)
    if plan.containing:
        only = "only contains" if plan.containing == 1 else "only contain"
        typer.echo(f"{counted(plan.containing)} {only} the id somewhere; --containing removes those too")
    if not plan.removed:
        typer.echo("nothing to remove")
        return
    if dry_run:
        typer.echo(f"{counted(plan.rewritten)} to keep would be copied to the end and get new positions")
        return
    if not yes:
        if not sys.stdin.isatty():
            say("error: this deletes records for good; look at --dry-run, then add --yes")
            raise typer.Exit(ExitStatus.USAGE)
        if not typer.confirm("Remove them for good?"):
            typer.echo("nothing removed")
            return
    report = PurgeReport()
    selection = {"lead": lead, "containing": containing}
    with audited(settings, "purge", topic=settings.dead_letter_topic, selection=selection) as outcome:
        try:
            run_or_exit(_purge(settings, chosen, report), settings, "dlq purge")
        finally:
            outcome |= {"removed": report.removed, "copied": report.copied, "arrived": report.arrived}
            typer.echo(
                f"{counted(report.removed)} of the lead removed from {settings.dead_letter_topic}; "
                f"{counted(report.copied)} to keep copied to the end"
            )
    if report.arrived:
        say(f"{counted(report.arrived)} of the lead arrived meanwhile; run it again")
        raise typer.Exit(ExitStatus.FINDINGS)


def _check_reasons(reasons: list[str] | None, settings: "Settings") -> None:
    """Exit if a reason is unknown and no dead letter has it: an empty result would hide the mistake."""
    from scorer.cli.kafka import run_or_exit

    unknown = [reason for reason in reasons or () if reason not in REASONS]
    if not unknown:
        return
    occurring = run_or_exit(
        _find(settings, _filter(unknown, None, None, None), 0, pending=False), settings, "dlq list"
    ).matching
    for reason in unknown:
        if reason not in occurring:
            hint = suggestion(reason, REASONS) or f"; the reasons are {', '.join(REASONS)}"
            say(f"error: --reason {reason!r} is unknown, and no dead letter has it{hint}")
            raise typer.Exit(ExitStatus.USAGE)


def _filter(
    reasons: list[str] | None,
    since: int | None,
    until: int | None,
    key: str | None,
    positions: frozenset[Position] = frozenset(),
    places: frozenset[Place] = frozenset(),
) -> "Filter":
    from scorer.dlq.queue import Filter

    # Dead letters can have keys that are not UTF-8, and such an argument keeps its bytes.
    lead = None if key is None else key.encode("utf-8", "surrogateescape")
    return Filter(frozenset(reasons or ()), since, until, lead, positions, places)


def _selection(wanted: "Filter", all_: bool, limit: int | None) -> dict[str, object]:
    """What was selected, for the audit log."""
    given: dict[str, object] = {
        "reasons": sorted(wanted.reasons),
        "since": None if wanted.since is None else to_text(wanted.since),
        "until": None if wanted.until is None else to_text(wanted.until),
        "lead": None if wanted.key is None else wanted.key.decode(errors="backslashreplace"),
        "offsets": sorted(map(str, wanted.positions)),
        "from": sorted(map(str, wanted.places)),
        "limit": limit,
        "all": all_,
    }
    return {name: value for name, value in given.items() if value}


async def _find(
    settings: "Settings", wanted: "Filter", limit: int | None, *, pending: bool, with_content: bool = False
) -> "DeadLetterList":
    from scorer.dlq.queue import find
    from scorer.kafka.topic_admin import topic_admin
    from scorer.kafka.topic_reader import topic_reader

    async with topic_admin(settings) as admin, topic_reader(settings) as reader:
        return await find(reader, admin, settings, wanted, limit, pending=pending, with_content=with_content)


async def _send(settings: "Settings", positions: list[Position], report: "ReplayReport") -> None:
    from rich.console import Console
    from rich.progress import Progress

    from scorer.dlq.replay import Replay
    from scorer.kafka.topic_admin import topic_admin
    from scorer.kafka.topic_reader import topic_reader

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("replaying", total=len(positions))
        async with topic_admin(settings) as admin, topic_reader(settings) as reader:
            replay = Replay(reader, admin, settings, report, lambda count: progress.advance(task, count))
            await replay.run(positions)


async def _plan_purge(settings: "Settings", chosen: "Chosen") -> "Plan":
    from scorer.dlq.purge import plan
    from scorer.kafka.topic_admin import topic_admin
    from scorer.kafka.topic_reader import topic_reader

    async with topic_admin(settings) as admin, topic_reader(settings) as reader:
        return await plan(reader, admin, settings, chosen)


async def _purge(settings: "Settings", chosen: "Chosen", report: "PurgeReport") -> None:
    from scorer.dlq.purge import Purge
    from scorer.kafka.topic_admin import topic_admin
    from scorer.kafka.topic_reader import topic_reader

    async with topic_admin(settings) as admin, topic_reader(settings) as reader:
        await Purge(reader, admin, settings, report).run(chosen)
