"""`scorer backtest`: replay past activities under a ruleset, alone or compared with another."""

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from scorer.backtest.replay import replay_shard
from scorer.backtest.run import Backtest, backtest
from scorer.backtest.tally import Tally
from scorer.cli.activity_input import InputOption, MoreInputs, RejectsOption, TopicOption, UntilOption
from scorer.cli.backtest_output import show
from scorer.cli.common import EngineOption, RulesOption, load_or_exit, moment_or_exit, print_document
from scorer.cli.replaying import FormatOption, OutputFormat, PageOption, WorkersOption, opened_replay, replay_inputs
from scorer.cli.source_input import SourceOption, source_or_exit
from scorer.offline.ruleset_files import read_rule_files
from scorer.report.backtest_page import backtest_page
from scorer.runtime.default_rules import default_rules


def run_backtest(
    input_: InputOption = None,
    topic: TopicOption = None,
    source: SourceOption = None,
    rules: RulesOption = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="DIR", help="Ruleset to compare with, such as the one in use."),
    ] = None,
    report: PageOption = None,
    output_format: FormatOption = OutputFormat.TEXT,
    until: UntilOption = None,
    workers: WorkersOption = None,
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
    inputs = replay_inputs(input_, more, topic, report, rejects)
    rules = rules or default_rules()
    locations = [rules] if against is None else [rules, against]
    rulesets = [load_or_exit(location, engine).ruleset for location in locations]
    contents = tuple(read_rule_files(location) for location in locations)
    with opened_replay(inputs, topic, "backtest", report, rejects, translator, says_dropped=False) as replay:
        make = partial(replay_shard, contents, engine, replay.now, replay.max_bytes)
        tally: Tally = replay.run(
            make,
            workers,
            "replaying",
            refused=lambda answer: answer,
            until=lambda part: part.log_time if end is None else end,
        )
        result = backtest(tally, rulesets, replay.names, replay.lines, replay.rejected, replay.translated)
        replay.write_page(lambda: backtest_page(result))
    replay.say_unnamed(rejects)
    _print(result, output_format)
    replay.exit_without(result.input.activities)


def _print(result: Backtest, output_format: OutputFormat) -> None:
    if output_format is OutputFormat.JSON:
        print_document(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")
    else:
        show(result, Console())
