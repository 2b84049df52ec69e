"""`scorer report`: the key figures of lead management over past activities."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from scorer.backtest.replay import FIND_OUTCOMES, REPLAY, may_be_outcomes
from scorer.cli.activity_input import (
    InputOption,
    MoreInputs,
    Rejects,
    RejectsOption,
    TopicOption,
    UntilOption,
    counted_blocks,
    inputs_or_exit,
    lost_worker,
    no_activity,
    open_output,
    opened,
    show_progress,
)
from scorer.cli.backtest import OutputFormat
from scorer.cli.common import EngineOption, RulesOption, load_or_exit, moment_or_exit, print_document, say, usage_error
from scorer.cli.report_output import show
from scorer.cli.source_input import SourceOption, source_or_exit
from scorer.keyfigures.result import Read, report
from scorer.keyfigures.shard import Counted, report_shard
from scorer.offline.ruleset_files import read_rule_files
from scorer.offline.shards import Shards, open_shards, usable_cores
from scorer.report.keyfigures_page import keyfigures_page
from scorer.runtime.default_rules import default_rules

_NAMED = 20
"""The number of rejected lines to print; the rest are counted, and written to the file of --rejects."""


def run_report(
    input_: InputOption = None,
    topic: TopicOption = None,
    source: SourceOption = None,
    rules: RulesOption = None,
    page: Annotated[
        str | None, typer.Option("--report", metavar="F", help="Also write the report as an HTML page.")
    ] = None,
    output_format: Annotated[OutputFormat, typer.Option("--format", help="Output format.")] = OutputFormat.TEXT,
    until: UntilOption = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, max=256, help="Processes; default: one per core."),
    ] = None,
    rejects: RejectsOption = None,
    engine: EngineOption = None,
    more: MoreInputs = None,
) -> None:
    """Report the key figures of lead management over past activities.

    Opportunities produced against those needed, the funnel, response times, what won leads had and lost leads lacked,
    and what a better closing rate is worth. Lines that are not activities are printed on stderr and skipped; the exit
    status is 3 if no activity remains.

    The figures are those of the arrival of the latest activity, or of --until if that is later.
    """
    end = moment_or_exit("--until", until, time.time_ns() // 1000)
    translator = source_or_exit(source, rules, topic)
    inputs = inputs_or_exit(input_, more, topic, [page, rejects])
    if page is not None and page == rejects:
        usage_error(f"{page}: the report and the rejected lines need separate files")
    rules = rules or default_rules()
    ruleset = load_or_exit(rules, engine).ruleset
    now = time.time_ns() // 1000
    with ExitStack() as stack:
        activities = stack.enter_context(opened(inputs, topic, now, "report", source=translator, rereadable=True))
        sink = None if page is None else open_output(page, stack)
        rejected = Rejects(None if rejects is None else open_output(rejects, stack), shown=_NAMED)
        lines, as_of = 0, None
        counted: Counted | None = None
        with ExitStack() as working:
            working.enter_context(lost_worker())
            make = partial(report_shard, read_rule_files(rules), engine, now, activities.max_bytes)
            shards = working.enter_context(open_shards(make, workers or usable_cores()))
            progress = show_progress(activities.size, "reporting", working, passes=2)
            for part in activities.parts:
                latest = end
                for _ in shards.run(FIND_OUTCOMES, map(may_be_outcomes, counted_blocks(part, progress))):
                    pass
                for block, answers in shards.run(REPLAY, counted_blocks(part, progress)):
                    lines += len(block.lines) + len(block.refused)
                    rejected.add(block, sorted(rejection for answer in answers for rejection in answer.rejected))
                    latest = _later(latest, *(answer.latest for answer in answers))
                if end is None:
                    latest = _later(latest, part.log_time)
                as_of = _later(as_of, latest)
                counted = _sum(counted, shards, latest)
        assert counted is not None
        read = Read(activities.names, lines, dict(rejected.reasons), as_of)
        result = report(counted.figures, counted.outcomes, ruleset, read)
        if sink is not None:
            sink.write(keyfigures_page(result).encode())
    if rejected.unnamed():
        written = f"all of them are in {rejects}" if rejects else "--rejects F writes all of them"
        say(f"… and {rejected.unnamed():,} more; {written}")
    if output_format is OutputFormat.JSON:
        print_document(result.model_dump_json(indent=2) + "\n")
    else:
        show(result, Console())
    if not result.input.activities:
        no_activity(result.input.files)


def _sum(counted: Counted | None, shards: Shards, until: int | None) -> Counted:
    """The counts of all shards and, if there are any, those before."""
    parts: Iterator[Counted] = iter(shards.finish(until))
    total = next(parts) if counted is None else counted
    for part in parts:
        total.outcomes.add(part.outcomes)
        total.figures.add(part.figures)
    return total


def _later(*instants: int | None) -> int | None:
    return max((instant for instant in instants if instant is not None), default=None)
