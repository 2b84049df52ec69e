"""`scorer convert`: files of other senders in, activities out."""

import time
from contextlib import ExitStack
from typing import Annotated

import typer

from scorer.cli.activity_input import (
    MoreInputs,
    RecordsOption,
    Rejects,
    RejectsOption,
    inputs_or_exit,
    no_activity,
    open_output,
    opened,
)
from scorer.cli.common import ExitStatus, RulesOption, rejected_of, say, usage_error
from scorer.cli.source_input import loaded_or_exit


def convert(
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="The source (scorer sources list).")],
    input_: RecordsOption = None,
    output: Annotated[str, typer.Option("--output", metavar="F|-", help="Activities, JSON Lines; - is stdout.")] = "-",
    rules: RulesOption = None,
    rejects: RejectsOption = None,
    more: MoreInputs = None,
) -> None:
    """Translate files of another sender: their records in, activities as JSON Lines (CloudEvents) out.

    What is no event is printed on stderr (`F:LINE: reason: …`, or `F:LINE#INDEX: …` for an event inside a record) and
    skipped; the exit status is then 3. What is ignored, held back or dropped is counted on stderr.
    """
    translator = loaded_or_exit(source, rules)
    inputs = inputs_or_exit(input_, more, None, [output, rejects])
    if rejects is not None and rejects == output:
        usage_error(f"{output}: activities and rejected lines need separate files")
    read = 0
    with ExitStack() as stack:
        activities = stack.enter_context(opened(inputs, None, time.time_ns() // 1000, "convert", source=translator))
        sink = open_output(output, stack)
        rejected = Rejects(None if rejects is None else open_output(rejects, stack))
        for part in activities.parts:
            for block in part.blocks():
                read += len(block.lines) + len(block.refused)
                sink.writelines(line + b"\n" for line in block.lines)
                rejected.add(block, ())
        sink.flush()
        if not read:
            no_activity(activities.names)
    if rejected.total:
        say(rejected_of(rejected.total, read))
        raise typer.Exit(ExitStatus.REJECTED)
