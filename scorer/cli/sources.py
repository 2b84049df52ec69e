"""`scorer sources`: what is translated into activities, and what comes of a file."""

import gzip
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer

from scorer.cli.common import ExitStatus, RulesOption, print_columns, print_document, say, usage_error
from scorer.cli.source_input import loaded_or_exit
from scorer.domain.printable import counted, printable
from scorer.offline.place import place, place_text
from scorer.offline.source_files import CLOUDEVENTS, described, known_sources, own_files, source_file
from scorer.offline.translation import framing_of
from scorer.runtime.default_rules import default_rules
from scorer.sources.cloudevents import MAX_BYTES
from scorer.sources.framing import Record
from scorer.sources.rejected import Rejected
from scorer.sources.source import Activity, Outcome, Source, SourceError
from scorer.sources.strict_json import decode_value

app = typer.Typer(no_args_is_help=True, help="Translate what other senders emit (docs/sources.md).")

_GZIP = b"\x1f\x8b"
_NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of a source.")]


class _Told(NamedTuple):
    """What came of one event. `place`: of it in the file."""

    place: int
    outcome: Outcome


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
    content, name = _content(file)
    location = rules or default_rules()
    now = time.time_ns() // 1000
    if source is None:
        told = _best(content, location, now)
    else:
        told = list(_told(content, loaded_or_exit(source, location), now))
    for each in told:
        _print(name, each)
    _summarise([each.outcome for each in told])


def _content(file: str) -> tuple[bytes, str]:
    try:
        content, name = (sys.stdin.buffer.read(), "<stdin>") if file == "-" else (Path(file).read_bytes(), file)
    except OSError as error:
        usage_error(f"{file or 'an empty file name'}: {error.strerror}")
    if not content.startswith(_GZIP):
        return content, name
    try:
        return gzip.decompress(content), name
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        usage_error(f"{name}: damaged gzip file: {'it ends early' if isinstance(error, EOFError) else error}")


def _records(content: bytes, source: Source) -> Iterator[Record]:
    lines = content.removesuffix(b"\n").split(b"\n")
    if len(lines) > 1 and content.lstrip()[:1] in (b"{", b"["):
        try:
            decode_value(content, MAX_BYTES)
        except Rejected:
            pass  # several lines of JSON, or none
        else:
            yield Record(1, content)
            return
    framing = framing_of(source)
    yield from framing.records(1, lines)
    yield from framing.end()


def _told(content: bytes, source: Source, now: int) -> Iterator[_Told]:
    for line, value in _records(content, source):
        try:
            outcomes = source.outcomes(value, (), now, MAX_BYTES)
        except Rejected as rejected:
            yield _Told(place(line), Outcome(None, "", rejected=rejected))
        else:
            yield from (_Told(place(line, outcome.index), outcome) for outcome in outcomes)


def _best(content: bytes, location: Path, now: int) -> list[_Told]:
    """What comes of the events by the source that makes the most activities of them. Of several, the first by name."""
    by_source: dict[str, list[_Told]] = {}
    known: dict[str, int] = {}
    for name in known_sources(location):
        by_source[name] = list(_told(content, loaded_or_exit(name, location), now))
        known[name] = sum(bool(outcome.activities or outcome.held) for _, outcome in by_source[name])
    most = max(known.values())
    if not most:
        say("error: no source makes an activity of this file; --source NAME shows why (scorer sources list)")
        raise typer.Exit(ExitStatus.FINDINGS)
    best, *others = [name for name, number in known.items() if number == most]
    say(
        f"the source that fits best is {best}"
        + (f"; --source chooses another that fits as well: {', '.join(others)}" if others else "")
    )
    return by_source[best]


def _print(file: str, told: _Told) -> None:
    outcome = told.outcome
    kind = f" {outcome.kind}" if outcome.kind else ""
    text = f"{file}:{place_text(told.place)}{kind}"
    if outcome.ignored is not None:
        text += f": ignored: {outcome.ignored}"
    if outcome.rejected is not None:
        text += f": rejected: {outcome.rejected.reason}: {outcome.rejected.detail}"
    typer.echo(printable(text))
    for activity in outcome.activities:
        _print_activity("", activity)
    for activity in outcome.held:
        _print_activity("held back: ", activity)
    for key, reason in outcome.dropped:
        typer.echo(printable(f"  dropped: {key}: {reason}"))


def _print_activity(prefix: str, activity: Activity) -> None:
    event = msgspec.json.decode(activity.value)
    data = msgspec.json.encode(event.get("data", {})).decode()
    typer.echo(printable(f"  {prefix}{activity.type} of {activity.lead_id} at {event['time']} {data}"))


def _summarise(outcomes: Sequence[Outcome]) -> None:
    rejected = sum(outcome.rejected is not None for outcome in outcomes)
    parts = [
        counted(sum(len(outcome.activities) for outcome in outcomes), "activity"),
        f"{sum(len(outcome.held) for outcome in outcomes):,} held back",
        f"{sum(outcome.ignored is not None for outcome in outcomes):,} ignored",
        f"{rejected:,} rejected",
    ]
    typer.echo(f"{counted(len(outcomes), 'event')}: {', '.join(parts)}")
    if rejected:
        raise typer.Exit(ExitStatus.REJECTED)
