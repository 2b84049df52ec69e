"""Shared by the commands that replay past activities in two passes: `backtest` and `report`."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import Annotated, Any, BinaryIO, Final

import typer
from rich.console import Console
from rich.text import Text

from scorer.backtest.replay import FIND_OUTCOMES, REPLAY, may_be_outcomes
from scorer.backtest.run import Input, plural
from scorer.cli.activities import Activities, Part
from scorer.cli.activity_input import (
    Rejects,
    counted_blocks,
    inputs_or_exit,
    lost_worker,
    no_activity,
    open_output,
    opened,
    show_progress,
)
from scorer.cli.common import say, usage_error
from scorer.domain.printable import printable
from scorer.figures.report_model import ReportInput
from scorer.offline.place import Rejection
from scorer.offline.shards import Maker, open_shards, usable_cores
from scorer.offline.translation import Translated
from scorer.sources.source import Source

_NAMED: Final = 20
"""The number of rejected lines to print; the rest are counted, and written to the file of --rejects."""


class OutputFormat(StrEnum):
    """The form of the output."""

    TEXT = "text"
    JSON = "json"


PageOption = Annotated[str | None, typer.Option("--report", metavar="F", help="Also write the report as an HTML page.")]
FormatOption = Annotated[OutputFormat, typer.Option("--format", help="Output format.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, max=256, help="Processes; default: one per core."),
]


class Replay:
    """Activities that are read twice, and where the page and the rejected lines go. `now`: when it began, in
    microseconds since the epoch. `lines`: how many were read, good or bad. `translated`: as in `Part`."""

    def __init__(self, activities: Activities, now: int, page: BinaryIO | None, rejects: BinaryIO | None) -> None:
        self.now = now
        self.max_bytes = activities.max_bytes
        self.names = activities.names
        self.lines = 0
        self.translated: Translated | None = None
        self._activities = activities
        self._page = page
        self._rejects = Rejects(rejects, shown=_NAMED)

    @property
    def rejected(self) -> dict[str, int]:
        """The rejected lines by reason."""
        return dict(self._rejects.reasons)

    def run(
        self,
        make: Maker,
        workers: int | None,
        task: str,
        refused: Callable[[Any], Sequence[Rejection]],
        until: Callable[[Part], int | None],
    ) -> Any:
        """The sum (`add`) of what the shards count. Exit if a process is lost.

        `task`: what the progress is called. `refused`: the lines that an answer refuses. `until`: the instant until
        which time alone decides in a part of which all is read.
        """
        total: Any = None
        with ExitStack() as working:
            working.enter_context(lost_worker())
            shards = working.enter_context(open_shards(make, workers or usable_cores()))
            progress = show_progress(self._activities.size, task, working, passes=2)
            for part in self._activities.parts:
                for _ in shards.run(FIND_OUTCOMES, map(may_be_outcomes, counted_blocks(part, progress))):
                    pass
                for block, answers in shards.run(REPLAY, counted_blocks(part, progress)):
                    self.lines += len(block.lines) + len(block.refused)
                    self._rejects.add(block, sorted(line for answer in answers for line in refused(answer)))
                self.translated = part.translated
                for counts in shards.finish(until(part)):
                    if total is None:
                        total = counts
                    else:
                        total.add(counts)
        return total

    def write_page(self, page: Callable[[], str]) -> None:
        """Write the page if it is wanted."""
        if self._page is not None:
            self._page.write(page().encode())

    def say_unnamed(self, rejects: str | None) -> None:
        """Say how many rejected lines were not printed. `rejects`: the file in which all of them are."""
        if unnamed := self._rejects.unnamed():
            written = f"all of them are in {rejects}" if rejects else "--rejects F writes all of them"
            say(f"… and {unnamed:,} more; {written}")

    def exit_without(self, activities: int) -> None:
        """Exit if there was no good activity."""
        if not activities:
            no_activity(self.names)


def replay_inputs(
    input_: Sequence[str] | None, more: Sequence[str] | None, topic: str | None, page: str | None, rejects: str | None
) -> list[str]:
    """The paths of --input, none with --topic. Exit if the inputs and outputs exclude each other."""
    inputs = inputs_or_exit(input_, more, topic, [page, rejects])
    if page is not None and page == rejects:
        usage_error(f"{page}: the report and the rejected lines need separate files")
    return inputs


@contextmanager
def opened_replay(
    inputs: Sequence[str],
    topic: str | None,
    command: str,
    page: str | None,
    rejects: str | None,
    source: Source | None,
    *,
    says_dropped: bool = True,
) -> Iterator[Replay]:
    """Open the inputs and outputs, or exit. The outputs are there when the context ends without an error. `command`:
    its name among `access.NEEDS`. `source`: translates the files, if they are of another sender. `says_dropped`: as in
    `opened`."""
    now = time.time_ns() // 1000
    with ExitStack() as stack:
        activities = stack.enter_context(
            opened(inputs, topic, now, command, source=source, rereadable=True, says_dropped=says_dropped)
        )
        outputs = (None if name is None else open_output(name, stack) for name in (page, rejects))
        yield Replay(activities, now, *outputs)


def show_answer(
    headline: Sequence[str], read: Input | ReportInput, console: Console, *, as_of: str | None = None
) -> None:
    """Print the answer, and what was read. `as_of`: the instant of the figures."""
    for sentence in headline:
        console.print(Text(printable(sentence), "bold"))
    rejected = sum(read.rejected.values())
    span = f"{(read.first or '–')[:10]} to {(read.last or '–')[:10]}"
    until = f", as of {as_of[:10]}" if as_of is not None else ""
    left_out = f"; {rejected:,} of {plural(read.lines, 'activity')} rejected" if rejected else ""
    facts = f"{plural(read.activities, 'activity')} of {plural(read.leads, 'lead')}, {span}{until}{left_out}"
    console.print(facts, style="dim", highlight=False)
