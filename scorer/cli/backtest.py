"""`scorer backtest`: replay past activities under a ruleset, alone or compared with another."""

import time
from contextlib import ExitStack
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from scorer.backtest.replay import FIND_OUTCOMES, REPLAY, may_be_outcomes, replay_shard
from scorer.backtest.run import Backtest, backtest
from scorer.backtest.tally import Tally
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
from scorer.cli.backtest_output import show
from scorer.cli.common import EngineOption, RulesOption, load_or_exit, moment_or_exit, print_document, say, usage_error
from scorer.cli.source_input import SourceOption, source_or_exit
from scorer.offline.ruleset_files import read_rule_files
from scorer.offline.shards import open_shards, usable_cores
from scorer.report.backtest_page import backtest_page
from scorer.runtime.default_rules import default_rules

_NAMED = 20
"""The number of rejected lines to print; the rest are counted, and written to the file of --rejects."""


class OutputFormat(StrEnum):
    """The form of the output."""

    TEXT = "text"
    JSON = "json"


def run_backtest(
    input_: InputOption = None,
    topic: TopicOption = None,
    source: SourceOption = None,
    rules: RulesOption = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="DIR", help="Ruleset to compare with, such as the one in use."),
    ] = None,
    report: Annotated[
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
    """Replay past activities under a ruleset, alone or compared with another.

    It shows which leads would be handed over to sales, which would move and why, and how well the scores predicted
    the deals that were won. Lines that are not activities are printed on stderr and skipped; the exit status is 3
    if no activity remains.
    """
    end = moment_or_exit("--until", until, time.time_ns() // 1000)
    translator = source_or_exit(source, rules, topic)
    inputs = inputs_or_exit(input_, more, topic, [report, rejects])
    if report is not None and report == rejects:
        usage_error(f"{report}: the report and the rejected lines need separate files")
    rules = rules or default_rules()
    locations = [rules] if against is None else [rules, against]
    rulesets = [load_or_exit(location, engine).ruleset for location in locations]
    contents = tuple(read_rule_files(location) for location in locations)
    now = time.time_ns() // 1000
    with ExitStack() as stack:
        activities = stack.enter_context(opened(inputs, topic, now, "backtest", source=translator, rereadable=True))
        page = None if report is None else open_output(report, stack)
        rejected = Rejects(None if rejects is None else open_output(rejects, stack), shown=_NAMED)
        lines = 0
        tally: Tally | None = None
        with ExitStack() as working:
            working.enter_context(lost_worker())
            make = partial(replay_shard, contents, engine, now, activities.max_bytes)
            shards = working.enter_context(open_shards(make, workers or usable_cores()))
            progress = show_progress(activities.size, "replaying", working, passes=2)
            for part in activities.parts:
                for _ in shards.run(FIND_OUTCOMES, map(may_be_outcomes, counted_blocks(part, progress))):
                    pass
                for block, answers in shards.run(REPLAY, counted_blocks(part, progress)):
                    lines += len(block.lines) + len(block.refused)
                    rejected.add(block, sorted(rejection for answer in answers for rejection in answer))
                for other in shards.finish(part.log_time if end is None else end):
                    if tally is None:
                        tally = other
                    else:
                        tally.add(other)
        assert tally is not None
        result = backtest(tally, rulesets, activities.names, lines, dict(rejected.reasons))
        if page is not None:
            page.write(backtest_page(result).encode())
    if rejected.unnamed():
        written = f"all of them are in {rejects}" if rejects else "--rejects F writes all of them"
        say(f"… and {rejected.unnamed():,} more; {written}")
    _print(result, output_format)
    if not result.input.activities:
        no_activity(result.input.files)


def _print(result: Backtest, output_format: OutputFormat) -> None:
    if output_format is OutputFormat.JSON:
        print_document(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")
    else:
        show(result, Console())
