"""Shared by the commands that read activity files: options, progress and rejected lines."""

import base64
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from scorer.cli.activities import Activities, Part
from scorer.cli.atomic import atomic_output
from scorer.cli.common import ExitStatus, say, usage_error
from scorer.cli.source_input import TranslatedFiles, say_translated
from scorer.domain.unfitting_keys import UnfittingKeys
from scorer.offline.activity_files import ActivityFile, Block, InputError, open_activities
from scorer.offline.place import Rejection, index_of, line_of, place_text
from scorer.offline.shards import ShardError
from scorer.sources.cloudevents import MAX_BYTES
from scorer.sources.source import Source


def _input_option(contents: str) -> Any:
    return typer.Option("--input", metavar="F|-", help=f"{contents}; - is stdin. Repeatable.")


InputOption = Annotated[list[str] | None, _input_option("Activities: JSON Lines (plain or gzipped) or Parquet")]
RecordsOption = Annotated[
    list[str] | None, _input_option("Records of the sender: JSON, JSON Lines, CSV … (plain or gzipped)")
]
MoreInputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[F]...", help="More input files, so that --input *.jsonl works.", show_default=False),
]
TopicOption = Annotated[
    str | None,
    typer.Option(
        "--topic",
        metavar="NAME",
        help="Read this input topic of the service instead, up to its end now (SCORER_* as for the service).",
    ),
]
RejectsOption = Annotated[
    str | None, typer.Option("--rejects", metavar="F", help="Write rejected lines to this file, with place and reason.")
]
_UNFITTING: Final = 10
"""Kinds of keys that do not fit which are printed."""
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="TIME",
        help="Also decide what time alone changes until this time, date or now, after a lead's last activity.",
    ),
]


def no_activity(names: Sequence[str]) -> NoReturn:
    """Print that the files or the topic contain no activity, and exit."""
    say(f"error: no activity in {', '.join(names)}")
    raise typer.Exit(ExitStatus.REJECTED)


class _Files:
    """All files as one part."""

    log_time: Final = None
    translated: Final = None

    def __init__(self, files: Sequence[ActivityFile]) -> None:
        self._files = files

    def blocks(self) -> Iterator[Block]:
        for file in self._files:
            yield from file.blocks()


def inputs_or_exit(
    input_: Sequence[str] | None, more: Sequence[str] | None, topic: str | None, written: Sequence[str | None]
) -> list[str]:
    """The paths of --input, none with --topic; exit if there are both, or if an output is one of the inputs."""
    inputs = [*(input_ or ()), *(more or ())]
    if topic is not None:
        if inputs:
            usage_error("give either files of activities or --topic, not both")
        return []
    inputs = inputs or ["-"]
    for output in written:
        refuse_same_file(inputs, output)
    return inputs


@contextmanager
def opened(
    paths: Sequence[str],
    topic: str | None,
    now: int,
    command: str,
    *,
    source: Source | None = None,
    only: str | None = None,
    rereadable: bool = False,
    says_dropped: bool = True,
) -> Iterator[Activities]:
    """Open the input: the topic, if there is one, or else the files. Exit if it cannot be read.

    `now`: in microseconds since the epoch. `command`: its name among `access.NEEDS`. `source`: translates the files;
    what came of their records beside activities is printed at the end, if it concerns the lead `only`. None: all leads.
    `says_dropped`: also print the keys that translation left out.
    """
    if topic is not None:
        with opened_topic(topic, now, command) as activities:
            yield activities
        return
    try:
        with open_activities(paths, rereadable=rereadable) as files:
            sizes = [file.size for file in files if file.size is not None]
            size = sum(sizes) if len(sizes) == len(files) else None
            translated = None if source is None else TranslatedFiles(files, source, now, only)
            try:
                yield Activities([file.name for file in files], size, MAX_BYTES, [translated or _Files(files)])
            except typer.Exit:
                # Nothing is left of a file perhaps because all of it is ignored.
                _say_translated(translated, says_dropped=says_dropped)
                raise
            _say_translated(translated, says_dropped=says_dropped)
    except InputError as error:
        usage_error(str(error))


def _say_translated(files: TranslatedFiles | None, *, says_dropped: bool) -> None:
    if files is None:
        return
    say_translated(files.translated)
    if says_dropped:
        say_unfitting(files.translated.dropped, files.translated.events, "event")


@contextmanager
def opened_topic(topic: str | None, now: int, command: str, only: bytes | None = None) -> Iterator[Activities]:
    """Open an input topic. Exit if it cannot be read.

    `topic`: None for `SCORER_ACTIVITY_TOPIC`. `now` and `command`: as in `opened`. `only`: the key of the records to
    read.
    """
    # Imported here: without a topic, the commands start without the Kafka client.
    from scorer.cli.topic_input import open_topic

    with open_topic(topic, now, command, only) as activities:
        yield activities


def counted_blocks(part: Part, progress: Callable[[int], None]) -> Iterator[Block]:
    """The blocks of a part; `progress` is told the size of each."""
    for block in part.blocks():
        progress(block.size)
        yield block


def show_progress(size: int | None, task: str, stack: ExitStack, passes: int = 1) -> Callable[[int], None]:
    """A callback for the sizes of blocks, which add up to `size` in each pass. It shows nothing unless stderr is a
    terminal and the size is known."""
    console = Console(stderr=True)
    if not console.is_terminal or size is None:
        return lambda size: None
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    shown = stack.enter_context(Progress(*columns, console=console, transient=True))
    task_id = shown.add_task(task, total=passes * size)
    return lambda size: shown.advance(task_id, size)


@contextmanager
def lost_worker() -> Iterator[None]:
    """Exit if a worker process is lost."""
    try:
        yield
    except ShardError as error:
        say(f"error: {error}")
        raise typer.Exit(ExitStatus.FINDINGS) from None


def refuse_same_file(inputs: Sequence[str], output: str | None) -> None:
    """Exit if writing the output would empty an input."""
    if output in (None, "-") or not Path(output or "").exists():
        return
    written = Path(output or "")
    for path in inputs:
        if path != "-" and Path(path).exists() and written.is_file() and Path(path).samefile(written):
            usage_error(f"{output}: is also the input; writing would empty it")


def open_output(name: str, stack: ExitStack) -> BinaryIO:
    """The output file, or stdout for `-`; exit if it cannot be written. The file replaces the one of that name when the
    stack ends without an error."""
    if name == "-":
        if sys.__stdout__ is None:
            usage_error("stdout is closed; name a file")
        return sys.stdout.buffer
    try:
        return stack.enter_context(atomic_output(Path(name)))
    except OSError as error:
        usage_error(f"{name or 'an empty file name'}: {error.strerror}")


def say_unfitting(unfitting: UnfittingKeys, total: int, unit: str = "activity") -> None:
    """Print on stderr what was dropped from `total` activities, or whatever the `unit` is."""
    found = list(unfitting)
    for key in found[:_UNFITTING]:
        say(key.sentence(total, unit))
    if len(found) > _UNFITTING:
        say(f"… and {len(found) - _UNFITTING:,} more kinds of keys that do not fit")


class Rejects:
    """Counts rejected lines, prints them (`file:line: reason: detail`) on stderr, and writes them to a file."""

    def __init__(self, sink: BinaryIO | None, shown: int | None = None) -> None:
        """`shown`: the number of lines to print at most; None prints all."""
        self.reasons: Counter[str] = Counter()
        self._sink = sink
        self._shown = shown

    @property
    def total(self) -> int:
        """The number of rejected lines."""
        return self.reasons.total()

    def add(self, block: Block, rejected: Sequence[Rejection]) -> None:
        """Record the rejected lines of a block, and the records that are none."""
        values = {refused.rejection: refused.value for refused in block.refused}
        for rejection in sorted([*rejected, *values]):
            place, reason, detail = rejection
            if self._shown is None or self.total < self._shown:
                say(f"{block.file}:{place_text(place)}: {reason}: {detail}")
            self.reasons[reason] += 1
            if self._sink is not None:
                index = index_of(place)
                entry: dict[str, Any] = {"file": block.file, "line": line_of(place)}
                if index is not None:
                    entry["index"] = index
                entry |= {"reason": reason, "detail": detail}
                is_line = rejection not in values
                value = block.lines[bisect_left(block.places, place)] if is_line else values[rejection]
                self._sink.write(msgspec.json.encode(entry | _value(value)) + b"\n")

    def unnamed(self) -> int:
        """How many were counted but not printed."""
        return 0 if self._shown is None else max(0, self.total - self._shown)


def _value(line: bytes | None) -> dict[str, str | None]:
    if line is None:
        return {"value": None}
    try:
        return {"value": line.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(line).decode()}
