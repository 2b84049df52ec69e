"""`scorer score`: activities in, decisions out, without Kafka: the same decisions as the service makes."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from scorer.assessment import assess
from scorer.cli.common import DEFAULT_RULES, EngineOption, ExitStatus, RulesOption, load_or_exit, say
from scorer.domain.lead import Lead
from scorer.sources.cloudevents import Rejected, parse_line

_STRIDE = 2000


def score(
    input_: Annotated[str, typer.Option("--input", metavar="F|-", help="Activities, JSON Lines; - is stdin.")] = "-",
    output: Annotated[str, typer.Option("--output", metavar="F|-", help="Decisions, JSON Lines; - is stdout.")] = "-",
    rules: RulesOption = DEFAULT_RULES,
    engine: EngineOption = None,
) -> None:
    """Score activities offline: JSON Lines (CloudEvents) in, decisions as JSON Lines out, the same bytes every time.

    A bad line is named on stderr (`F:LINE: reason: …`) and left out; then the exit status is 3.
    """
    ruleset = load_or_exit(rules, engine)
    _refuse_same_file(input_, output)
    rejected = number = 0
    leads: dict[str, Lead] = {}
    now = time.time_ns() // 1000
    with ExitStack() as stack:
        source = _open(input_, "rb", stack)
        sink = _open(output, "wb", stack)
        name = "<stdin>" if input_ == "-" else input_
        for number, line in enumerate(_with_progress(source, input_, stack), start=1):
            try:
                activity = parse_line(line, now)
            except Rejected as error:
                rejected += 1
                say(f"{name}:{number}: {error.reason}: {error.detail}")
                continue
            lead = leads.get(activity.lead_id) or Lead(activity.lead_id)
            assessment = assess(lead, activity, ruleset)
            leads[activity.lead_id] = assessment.lead
            if assessment.decision is not None:
                sink.write(assessment.decision.model_dump_json().encode() + b"\n")
        sink.flush()
    if rejected:
        say(f"{rejected} of {number} lines rejected")
        raise typer.Exit(ExitStatus.REJECTED)


def _refuse_same_file(input_: str, output: str) -> None:
    if "-" in (input_, output) or not (Path(input_).exists() and Path(output).exists()):
        return
    if Path(input_).samefile(output) and Path(output).is_file():
        say(f"error: {output}: is the input as well; writing would empty it")
        raise typer.Exit(ExitStatus.USAGE)


def _open(name: str, mode: str, stack: ExitStack) -> BinaryIO:
    if name == "-":
        stream = sys.stdin if mode == "rb" else sys.stdout
        if stream is None:
            say(f"error: {'stdin' if mode == 'rb' else 'stdout'} is closed; name a file")
            raise typer.Exit(ExitStatus.USAGE)
        return stream.buffer
    try:
        return stack.enter_context(Path(name).open(mode))  # type: ignore[return-value]
    except OSError as error:
        say(f"error: {name or 'an empty file name'}: {error.strerror}")
        raise typer.Exit(ExitStatus.USAGE) from None


def _with_progress(source: BinaryIO, name: str, stack: ExitStack) -> Iterator[bytes]:
    console = Console(stderr=True)
    if name == "-" or not console.is_terminal:
        yield from source
        return
    columns = (TextColumn("{task.completed:,} of {task.total:,} bytes"), BarColumn(), TaskProgressColumn())
    progress = stack.enter_context(Progress(*columns, TimeRemainingColumn(), console=console, transient=True))
    task = progress.add_task("scoring", total=Path(name).stat().st_size)
    done = 0
    for number, line in enumerate(source):
        done += len(line)
        if number % _STRIDE == 0:
            progress.update(task, completed=done)
        yield line
