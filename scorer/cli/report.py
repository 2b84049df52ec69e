"""`scorer report`: the key figures of lead management over past activities."""

import time
from collections.abc import Sequence
from functools import partial

from rich.console import Console

from scorer.cli.activities import Part
from scorer.cli.activity_input import InputOption, MoreInputs, RejectsOption, TopicOption, UntilOption
from scorer.cli.common import EngineOption, RulesOption, load_or_exit, moment_or_exit, print_document
from scorer.cli.replaying import FormatOption, OutputFormat, PageOption, WorkersOption, opened_replay, replay_inputs
from scorer.cli.report_output import show
from scorer.cli.source_input import SourceOption, source_or_exit
from scorer.keyfigures.result import Read, report
from scorer.keyfigures.shard import Counted, Handled, report_shard
from scorer.offline.place import Rejection
from scorer.offline.ruleset_files import read_rule_files
from scorer.report.keyfigures_page import keyfigures_page
from scorer.runtime.default_rules import default_rules


def run_report(
    input_: InputOption = None,
    topic: TopicOption = None,
    source: SourceOption = None,
    rules: RulesOption = None,
    page: PageOption = None,
    output_format: FormatOption = OutputFormat.TEXT,
    until: UntilOption = None,
    workers: WorkersOption = None,
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
    inputs = replay_inputs(input_, more, topic, page, rejects)
    rules = rules or default_rules()
    ruleset = load_or_exit(rules, engine).ruleset
    as_of = _AsOf(end)
    with opened_replay(inputs, topic, "report", page, rejects, translator) as replay:
        make = partial(report_shard, read_rule_files(rules), engine, replay.now, replay.max_bytes)
        counted: Counted = replay.run(make, workers, "reporting", refused=as_of.noted, until=as_of.of)
        read = Read(replay.names, replay.lines, replay.rejected, as_of.latest)
        result = report(counted.figures, counted.outcomes, ruleset, read)
        replay.write_page(lambda: keyfigures_page(result))
    replay.say_unnamed(rejects)
    if output_format is OutputFormat.JSON:
        print_document(result.model_dump_json(indent=2) + "\n")
    else:
        show(result, Console())
    replay.exit_without(result.input.activities)


class _AsOf:
    """Until when time alone decides in each part: until its latest arrival, or `end` if that is later. `latest`: the
    latest of these instants so far."""

    def __init__(self, end: int | None) -> None:
        self.latest: int | None = None
        self._end = self._until = end

    def noted(self, answer: Handled) -> Sequence[Rejection]:
        """The lines that the answer refuses, once its arrivals are noted."""
        self._until = _later(self._until, answer.latest)
        return answer.rejected

    def of(self, part: Part) -> int | None:
        """The instant of a part of which all is read. The next answers are about another part."""
        until = _later(self._until, part.log_time if self._end is None else None)
        self.latest, self._until = _later(self.latest, until), self._end
        return until


def _later(*instants: int | None) -> int | None:
    return max((instant for instant in instants if instant is not None), default=None)
