"""Shared by the commands that read activity files: options, progress and rejected lines."""

import base64
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from scorer.cli.atomic import atomic_output
from scorer.cli.common import ExitStatus, say
from scorer.explain.story import parse_time
from scorer.offline.activity_files import ActivityFile, Block, InputError, open_activities
from scorer.offline.decisions import Rejection
from scorer.offline.place import index_of, line_of, place_text
from scorer.offline.shards import ShardError

InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="F|-",
        help="Activities: JSON Lines (plain or gzipped) or Parquet; - is stdin. Repeatable.",
    ),
]
MoreInputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[F]...", help="More input files, so that --input *.jsonl works.", show_default=False),
]
RejectsOption = Annotated[
    str | None, typer.Option("--rejects", metavar="F", help="Write rejected lines to this file, with place and reason.")
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="TIME",
        help="Also decide what time alone changes until this time, date or now, after a lead's last activity.",
    ),
]


def until_or_exit(text: str | None) -> int | None:
    """The instant of --until, in microseconds since the epoch; exit if it is not one."""
    if text is None or text == "now":
        return None if text is None else time.time_ns() // 1000
    try:
        return parse_time(text)
    except ValueError as error:
        usage_error(f"--until: {error}, or now")


def usage_error(message: str) -> NoReturn:
    """Print why the usage is wrong, and exit."""
    say(f"error: {message}")
    raise typer.Exit(ExitStatus.USAGE)


def no_activity(files: Sequence[str]) -> NoReturn:
    """Print that the files contain no activity, and exit."""
    say(f"error: no activity in {', '.join(files)}")
    raise typer.Exit(ExitStatus.REJECTED)


@contextmanager
def opened(paths: Sequence[str], *, rereadable: bool = False) -> Iterator[list[ActivityFile]]:
    """Open the input files; exit if one cannot be read."""
    try:
        with open_activities(paths, rereadable=rereadable) as files:
            yield files
    except InputError as error:
        usage_error(str(error))


def blocks(files: Sequence[ActivityFile], progress: Callable[[int], None]) -> Iterator[Block]:
    """All lines of all files, in order."""
    for file in files:
        for block in file.blocks():
            progress(block.size)
            yield block


def show_progress(files: Sequence[ActivityFile], task: str, stack: ExitStack, passes: int = 1) -> Callable[[int], None]:
    """A callback for the number of bytes read. It shows nothing unless stderr is a terminal."""
    console = Console(stderr=True)
    sizes = [file.size for file in files if file.size is not None]
    if not console.is_terminal or len(sizes) < len(files):
        return lambda size: None
    total = passes * sum(sizes)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    shown = stack.enter_context(Progress(*columns, console=console, transient=True))
    task_id = shown.add_task(task, total=total)
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
        """Record the rejected lines of a block."""
        for place, reason, detail in rejected:
            if self._shown is None or self.total < self._shown:
                say(f"{block.file}:{place_text(place)}: {reason}: {detail}")
            self.reasons[reason] += 1
            if self._sink is not None:
                index = index_of(place)
                entry: dict[str, Any] = {"file": block.file, "line": line_of(place)}
                if index is not None:
                    entry["index"] = index
                entry |= {"reason": reason, "detail": detail}
                value = block.lines[bisect_left(block.places, place)]
                self._sink.write(msgspec.json.encode(entry | _value(value)) + b"\n")

    def unnamed(self) -> int:
        """How many were counted but not printed."""
        return 0 if self._shown is None else max(0, self.total - self._shown)


def _value(line: bytes) -> dict[str, str]:
    try:
        return {"value": line.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(line).decode()}
