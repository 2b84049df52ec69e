"""`scorer score`: activities in, decisions out, without Kafka. The decisions equal those of the service."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Annotated

import typer

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
    say_unfitting,
    show_progress,
)
from scorer.cli.common import (
    EngineOption,
    ExitStatus,
    RulesOption,
    load_or_exit,
    moment_or_exit,
    rejected_of,
    say,
    usage_error,
)
from scorer.cli.source_input import SourceOption, source_or_exit
from scorer.domain.unfitting_keys import UnfittingKeys
from scorer.offline.decisions import BlockDecisions, decision_shard, in_order_of_time
from scorer.offline.ruleset_files import read_rule_files
from scorer.offline.shards import open_shards
from scorer.runtime.default_rules import default_rules


def score(
    input_: InputOption = None,
    topic: TopicOption = None,
    source: SourceOption = None,
    output: Annotated[str, typer.Option("--output", metavar="F|-", help="Decisions, JSON Lines; - is stdout.")] = "-",
    rules: RulesOption = None,
    engine: EngineOption = None,
    until: UntilOption = None,
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=1, max=256, help="Number of processes.")] = 1,
    rejects: RejectsOption = None,
    more: MoreInputs = None,
) -> None:
    """Score activities without the service: JSON Lines (CloudEvents) or a topic in, decisions as JSON Lines out.

    The output is the same, byte for byte, every time and for any number of workers. A bad line is printed on stderr
    (`F:LINE: reason: …`) and skipped, as is a bad event of a batch (`F:LINE#INDEX: …`); the exit status is then 3, as
    it is for an empty input. A key that does not fit is dropped; stderr says how often, with an example. The output
    file is replaced only when all of it is written.

    What time alone changes is decided too: before the next activity of a lead, and with --until also after its last
    one. These last decisions come at the end, in order of time and lead.

    With --topic, activities arrive when they did in Kafka. The decisions about a lead are those of the service, byte
    for byte, up to the latest record of its partition, or up to --until. Partitions come one after the other.
    """
    end = moment_or_exit("--until", until, time.time_ns() // 1000)
    rules = rules or default_rules()
    load_or_exit(rules, engine)
    translator = source_or_exit(source, rules, topic)
    inputs = inputs_or_exit(input_, more, topic, [output, rejects])
    if rejects is not None and rejects == output:
        usage_error(f"{output}: decisions and rejected lines need separate files")
    now = time.time_ns() // 1000
    read = 0
    unfitting = UnfittingKeys()
    with ExitStack() as stack:
        activities = stack.enter_context(opened(inputs, topic, now, "score", source=translator))
        sink = open_output(output, stack)
        rejected = Rejects(None if rejects is None else open_output(rejects, stack))
        stack.enter_context(lost_worker())
        make = partial(decision_shard, read_rule_files(rules), engine, now, activities.max_bytes)
        shards = stack.enter_context(open_shards(make, workers))
        progress = show_progress(activities.size, "scoring", stack)
        for part in activities.parts:
            for block, answers in shards.run("score", counted_blocks(part, progress)):
                read += len(block.lines) + len(block.refused)
                sink.writelines(_in_order(answers))
                for answer in answers:
                    unfitting.add(answer.unfitting)
                rejected.add(block, sorted(rejection for answer in answers for rejection in answer.rejected))
            late = [
                decision for decisions in shards.finish(part.log_time if end is None else end) for decision in decisions
            ]
            sink.writelines(decision for _, _, decision in sorted(late, key=in_order_of_time))
        sink.flush()
        if not read:
            no_activity(activities.names)
    say_unfitting(unfitting, read)
    if rejected.total:
        say(rejected_of(rejected.total, read))
        if rejected.total == read and translator is None and topic is None:
            say("hint: if another platform wrote this file, --source NAME translates it (scorer sources list)")
        raise typer.Exit(ExitStatus.REJECTED)


def _in_order(answers: Sequence[BlockDecisions]) -> Sequence[bytes]:
    """The decisions in the order of their lines, whichever shard made them."""
    if len(answers) == 1:
        return answers[0].decisions
    numbered = [pair for answer in answers for pair in zip(answer.places, answer.decisions, strict=True)]
    numbered.sort(key=lambda pair: pair[0])
    return [decision for _, decision in numbered]
