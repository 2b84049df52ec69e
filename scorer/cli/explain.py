"""`scorer explain`: one lead's whole story, from an activity file, a topic, or the running service."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import msgspec
import typer
from pydantic import ValidationError

from scorer.cli.activities import Activities
from scorer.cli.activity_input import TopicOption, opened, opened_topic
from scorer.cli.api_login import Login, LoginError
from scorer.cli.atomic import write_atomically
from scorer.cli.common import (
    EngineOption,
    ExitStatus,
    RulesOption,
    counted,
    is_utf8,
    load_or_exit,
    moment_or_exit,
    print_document,
    rejected_of,
    say,
)
from scorer.cli.source_input import SourceOption, source_or_exit
from scorer.domain.activity import LeadActivity
from scorer.domain.instant import to_text
from scorer.domain.lead import Lead
from scorer.domain.printable import printable
from scorer.engines.engine import EngineName
from scorer.explain.story import NothingToExplain, explain_lead
from scorer.explain.story_model import Story
from scorer.explain.timeline import History
from scorer.offline.place import activity_at, place_text
from scorer.runtime.default_rules import default_rules
from scorer.sources.cloudevents import Rejected
from scorer.sources.source import Source

_TIMEOUT = 30.0
_MOST_SIMILAR = 5


def explain(
    lead_id: Annotated[str, typer.Argument(metavar="LEAD_ID", help="The lead's id: `subject` of its activities.")],
    input_: Annotated[
        str | None,
        typer.Option("--input", metavar="F|-", help="JSON Lines (plain or gzipped) or Parquet; - is stdin."),
    ] = None,
    topic: TopicOption = None,
    source: SourceOption = None,
    service: Annotated[
        str | None,
        typer.Option("--service", metavar="URL", help="Ask a running service instead, such as http://127.0.0.1:8090."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="F", help="With --service: a file with one token.")
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option("--ca-file", metavar="F", help="With https: its CA (PEM); default: those of the system."),
    ] = None,
    cert_file: Annotated[
        Path | None, typer.Option("--cert-file", metavar="F", help="With https: our certificate (PEM).")
    ] = None,
    key_file: Annotated[Path | None, typer.Option("--key-file", metavar="F", help="Its key (PEM).")] = None,
    rules: RulesOption = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Evaluate as of this time, date or now; default: last activity."),
    ] = None,
    format_: Annotated[Literal["text", "json", "html"], typer.Option("--format", help="Output format.")] = "text",
    output: Annotated[str, typer.Option("--output", metavar="F|-", help="Output file; - is stdout.")] = "-",
    engine: EngineOption = None,
) -> None:
    """Explain one lead: every point of its score, the reason for its route, what changed it, and what would change it.

    Exit status 1 if the lead is unknown or was erased. Exit status 3 if a line cannot be read (it is printed on
    stderr), or if the service does not answer.
    """
    if sum(given is not None for given in (input_, topic, service)) != 1:
        _fail(
            "give one of --input F (an activity file), --topic NAME (an input topic) and --service URL (a running "
            "service)",
            ExitStatus.USAGE,
        )
    now = time.time_ns() // 1000
    moment = moment_or_exit("--at", at, now)
    rejected = 0
    login = Login(token_file, ca_file, cert_file, key_file)
    if service is None and any(login):
        _fail("--token-file, --ca-file, --cert-file and --key-file are for --service", ExitStatus.USAGE)
    if service is not None:
        if rules is not None or engine is not None or source is not None:
            _fail("--rules, --engine and --source are for files; the service uses its own rules", ExitStatus.USAGE)
        if not is_utf8(lead_id):
            _fail("the id of the lead is not UTF-8; the id of a lead always is", ExitStatus.USAGE)
        story = _ask(service, lead_id, None if moment is None else to_text(moment), login)
    else:
        if input_ is not None:
            _refuse_same_file(input_, output)
        translator = source_or_exit(source, rules, topic)
        with _opened(input_, topic, lead_id, now, translator) as activities:
            story, rejected = _read(activities, lead_id, rules or default_rules(), engine, moment, now)
    _write(story, format_, output)
    if rejected:
        raise typer.Exit(ExitStatus.REJECTED)


@contextmanager
def _opened(
    input_: str | None, topic: str | None, lead_id: str, now: int, translator: Source | None
) -> Iterator[Activities]:
    if topic is None:
        of_lead = opened([input_ or ""], None, now, "explain", source=translator, only=lead_id, says_dropped=False)
        with of_lead as activities:
            yield activities
    else:
        # Keys that no lead has are not read, so they need not be UTF-8.
        with opened_topic(topic, now, "explain", lead_id.encode("utf-8", "surrogateescape")) as activities:
            yield activities


def _read(
    activities: Activities, lead_id: str, rules: Path, engine: EngineName | None, moment: int | None, now: int
) -> tuple[Story, int]:
    evaluator = load_or_exit(rules, engine)
    reader = _Reader(activities, lead_id, moment, now, evaluator.admit)
    found = History(evaluator, Lead(lead_id))
    for activity, arrival in reader.activities():
        found.add(activity, arrival)
    for part in activities.parts:
        if part.translated is not None:
            found.unfitting.add(part.translated.dropped)
    if reader.rejected:
        say(rejected_of(reader.rejected, reader.read))
    try:
        return explain_lead(found.lead, evaluator, moment, found), reader.rejected
    except NothingToExplain as error:
        if error.reason == "unknown":
            until = "" if moment is None else f" until {to_text(moment)}"
            where = ", ".join(activities.names)
            # Of a topic, only the records with the key of the lead are read.
            which = f"none of {counted(reader.read)}" if reader.read else "no activity"
            meant = " or ".join(map(_quoted, sorted(reader.similar)))
            _fail(f"{where}: {which} is of {_quoted(lead_id)}{until}{f'; did you mean {meant}?' if meant else ''}")
        _fail(f"{_quoted(lead_id)}: {error}")


class _Reader:
    """The activities of one lead in a file or a topic. A line is skipped as soon as its subject names another lead. A
    line without a readable subject could belong to this lead: it is read in full, and reported if it is no activity. An
    activity of this lead that the rules refuse (`admit`) is reported too. `similar`: a few ids of others that could be
    meant."""

    def __init__(
        self,
        activities: Activities,
        lead_id: str,
        moment: int | None,
        now: int,
        admit: Callable[[LeadActivity], None],
    ) -> None:
        self.read = 0
        self.rejected = 0
        self.similar: set[str] = set()
        self._activities = activities
        self._lead_id = lead_id
        self._wanted = lead_id.strip().lower()
        self._moment = moment
        self._now = now
        self._admit = admit

    def activities(self) -> Iterator[tuple[LeadActivity, int]]:
        for part in self._activities.parts:
            for block in part.blocks():
                self.read += len(block.lines) + len(block.refused)
                for rejection, _ in block.refused:
                    self._reject(block.file, *rejection)
                for place, line in zip(block.places, block.lines, strict=True):
                    other = _other_lead(line, self._lead_id)
                    if other is None:
                        yield from self._read(block.file, place, line)
                    elif len(self.similar) < _MOST_SIMILAR and self._is_similar(other):
                        self.similar.add(other)

    def _is_similar(self, other: str) -> bool:
        """Whether it is this id with the prefix of a source, or in another case."""
        lower = other.lower()
        return lower == self._wanted or lower.endswith(f":{self._wanted}")

    def _read(self, file: str, place: int, line: bytes) -> Iterator[tuple[LeadActivity, int]]:
        try:
            activity, arrival = activity_at(place, line, self._now, self._activities.max_bytes)
            wanted = activity.lead_id == self._lead_id and (self._moment is None or arrival <= self._moment)
            if wanted:
                self._admit(activity)
        except Rejected as error:
            self._reject(file, place, error.reason, error.detail)
            return
        if wanted:
            yield activity, arrival

    def _reject(self, file: str, place: int, reason: str, detail: str) -> None:
        self.rejected += 1
        say(f"{file}:{place_text(place)}: {reason}: {detail}")


class _Subject(msgspec.Struct):
    subject: str


_subject = msgspec.json.Decoder(_Subject).decode


def _other_lead(line: bytes, lead_id: str) -> str | None:
    """The id of the lead that the line is of, if it is another one."""
    try:
        subject = _subject(line).subject
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if subject == lead_id else subject


def _quoted(lead_id: str) -> str:
    # In quotes, because a space at the end of an id would be invisible.
    return f"'{printable(lead_id)}'"


def _ask(service: str, lead_id: str, at: str | None, login: Login) -> Story:
    parts = urllib.parse.urlsplit(service)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        _fail(f"--service {printable(service)}: expected a URL, as in http://127.0.0.1:8090", ExitStatus.USAGE)
    url = f"{service.rstrip('/')}/leads/{urllib.parse.quote(lead_id, safe='')}"
    if at is not None:
        url += f"?at={urllib.parse.quote(at, safe='')}"
    try:
        opener, request = login.opener(), urllib.request.Request(url, headers=login.headers())
    except LoginError as error:
        _fail(str(error), ExitStatus.USAGE)
    try:
        with opener.open(request, timeout=_TIMEOUT) as response:
            return Story.model_validate_json(response.read())
    except urllib.error.HTTPError as error:
        _refused(lead_id, error)
    except ValidationError:
        _fail(
            f"{service}: the answer is not the story of a lead; is that another version of the service?",
            ExitStatus.UNANSWERED,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        _fail(f"{service} does not answer: {reason}", ExitStatus.UNANSWERED)


_STATUSES = {400: ExitStatus.USAGE, 404: ExitStatus.FINDINGS, 410: ExitStatus.FINDINGS}


def _refused(lead_id: str, error: urllib.error.HTTPError) -> NoReturn:
    try:
        body = json.loads(error.read())
        text = printable(str(body.pop("error")))
    except (ValueError, KeyError, AttributeError, OSError):
        _fail(f"the service answers {error.code}; is it a lead scorer?", ExitStatus.UNANSWERED)
    partitions = body.get("partitions")
    if error.code == 404 and isinstance(partitions, dict):
        held = ", ".join(map(str, partitions)) or "none"
        text += f" (this worker holds partitions: {printable(held)}; the lead's default is {body.get('partition')})"
    _fail(f"{_quoted(lead_id)}: {text}", _STATUSES.get(error.code, ExitStatus.UNANSWERED))


def _write(story: Story, format_: str, output: str) -> None:
    try:
        if output == "-":
            if format_ == "text":
                from scorer.cli.explain_text import print_story

                print_story(story)
            else:
                print_document(_rendered(story, format_))
            return
        write_atomically(Path(output), _rendered(story, format_).encode())
    except OSError as error:
        if output == "-":
            raise
        _fail(f"{output or 'an empty file name'}: {error.strerror}", ExitStatus.USAGE)


def _rendered(story: Story, format_: str) -> str:
    # Imported here so that the other commands start without them.
    if format_ == "json":
        return story.model_dump_json(indent=2) + "\n"
    if format_ == "html":
        from scorer.report.explain_page import explain_page

        return explain_page(story)
    from scorer.cli.explain_text import story_text

    return story_text(story)


def _refuse_same_file(input_: str, output: str) -> None:
    if "-" in (input_, output) or not (Path(input_).exists() and Path(output).exists()):
        return
    if Path(input_).samefile(output) and Path(output).is_file():
        _fail(f"{output}: is also the input; writing would empty it", ExitStatus.USAGE)


def _fail(message: str, status: ExitStatus = ExitStatus.FINDINGS) -> NoReturn:
    say(f"error: {message}")
    raise typer.Exit(status)
