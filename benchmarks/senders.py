"""Streams of marketing platforms through the whole service: what an activity costs, against our own CloudEvents.

The same behaviour is written in three ways: as our CloudEvents in the input topic, as events of Segment in a topic of
its own, and as arrays of HubSpot in one. An activity of a platform is translated into the input and then scored from
there, like any other. So there are three costs, all in CPU time of the worker (user and system):

- `scored from the input`: the activities that translation makes are in the input already.
- `translated and scored`: the same, and the time of translation alone (`Source.outcomes`, in this process).
- `with re-keying`: the platform's topic through the whole service, which also reads that topic and writes the
  activities into the input, in a transaction. What it costs more than the second one is shown apart.

The runs take turns, on Apache Kafka. Of each platform they are: what is scored from the input, ours, and the whole. So
both have one of ours beside them. Each run begins with an empty broker and leads with a history. After a run with
re-keying, the input must have the activities that translation gives without a broker, each once.

    .venv/bin/python -m benchmarks.senders
    .venv/bin/python -m benchmarks.senders --events 1000000 --leads 50000 --rounds 3
    .venv/bin/python -m benchmarks.senders --translation    # only the time of translation, without a broker
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.kafka import (
    DEAD,
    INPUT,
    KAFKA,
    QUIET,
    SCRATCH,
    WorkerError,
    broker,
    committed_outputs,
    cores,
    fill,
    fill_changelog,
    sample_states,
    stay_with_broker,
)
from benchmarks.measuring import Spread, progress, ratio
from benchmarks.results import Figure, Result, Target
from benchmarks.runs import Committed, Run, wait_until_done, watch
from benchmarks.sender_streams import (
    MAX_BYTES,
    NOW,
    OWN,
    SENDERS,
    Content,
    Stream,
    scored,
    write_streams,
)
from benchmarks.traffic import PARTITIONS, RULES
from benchmarks.worker import Worker, ours, wait_until_shared
from scorer.demo.broker import free_port
from scorer.offline.source_files import load_source
from scorer.sources.cloudevents import parse_record
from scorer.sources.tick import is_tick

SCORED, BOTH, WHOLE = "scored from the input", "translated and scored", "with re-keying"
BOUND: Final = 1.3
_HEADING: Final = "CPU an activity / ours"
_FIRST: Final = 400
_MEASURED: Final = 20_000
"""Events whose translation is measured in a round, at most."""
_PAUSED_MS: Final = 300_000
"""A paused worker stays in the group for this long, in which the topic must be filled."""
_SHOWN: Final = 10
"""Parts of a run after which progress is shown, and memory looked at."""


@dataclass(slots=True)
class Measured:
    """The runs of a platform by round, each beside one of ours. `alone`: CPU seconds of translating an event."""

    alone: list[float] = field(default_factory=list)
    scored: list[Run] = field(default_factory=list)
    own: list[Run] = field(default_factory=list)
    whole: list[Run] = field(default_factory=list)
    memory: list[Sequence[int]] = field(default_factory=list)
    """Bytes of memory (RSS) of the worker after each tenth of the whole run."""


class Drained:
    """Progress by the committed records of a topic, and one more if the input has nothing left."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic, self._input = Committed(bootstrap, topic=topic), Committed(bootstrap)

    def done(self) -> int:
        """The number."""
        # In this order: what is committed of the topic is in the input.
        done = self._topic.done()
        return done + self._input.reached_the_end()

    def close(self) -> None:
        """Disconnect."""
        self._topic.close()
        self._input.close()


class Shown:
    """Shows each tenth of the progress of a worker, and keeps its memory (RSS, bytes) at that time."""

    def __init__(self, progress: Drained, worker: Worker, total: int) -> None:
        self._progress, self._worker, self._total = progress, worker, total
        self.memory: list[int] = []

    def done(self) -> int:
        """The number."""
        done = self._progress.done()
        while done * _SHOWN >= self._total * (len(self.memory) + 1):
            self.memory.append(self._worker.rss())
            progress(f"    {done:,} of {self._total:,}; memory {self.memory[-1] / 1e6:.0f} MB")
        return done


def one_run(stream: Stream) -> tuple[Run, Sequence[int]]:
    """The service alone on its core. It scores a few activities, is paused while the topic is filled, and is measured
    from then to its last commit. Also gives its memory after each tenth. Raises `WorkerError`."""
    worker_core, broker_core = cores()
    stay_with_broker()
    revision, states = sample_states()
    port, topic = free_port(), stream.topic
    first = _FIRST // stream.array
    with broker(broker_core, KAFKA) as running:
        bootstrap = running.bootstrap
        fill_changelog(bootstrap, zip(stream.leads, cycle(states), strict=False), revision)
        settings = {"session_timeout_ms": str(_PAUSED_MS)}
        if stream.source is not None:
            admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
            admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
            settings["sources"] = f"{topic}:{stream.source}"
        with ours(bootstrap, {worker_core}, http_port=str(port), **settings) as worker:
            wait_until_shared([port], [worker])
            records = stream.records()
            with closing(Drained(bootstrap, topic)) as seen:
                before = fill(bootstrap, islice(records, first))
                wait_until_done(seen, [worker], before + 1)
                worker.pause()
                total = before + fill(bootstrap, records)
                shown = Shown(seen, worker, total)
                run = watch(shown, [worker], running.pid, before + 1, total + 1)
        if dead := committed_outputs(bootstrap, DEAD):
            raise WorkerError(f"{dead} of the activities were taken for broken")
        if stream.source is not None and (found := content_of_input(bootstrap)) != stream.activities:
            wanted = stream.activities.count
            raise WorkerError(f"the input has {found.count:,} activities, and not each of the {wanted:,} expected once")
    return replace(run, activities=stream.activities.count - first * stream.array), shown.memory


def content_of_input(bootstrap: str) -> Content:
    """The committed activities of the input, without ticks."""
    found = Content()
    settings = {"bootstrap.servers": bootstrap, "group.id": "content", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.partition.eof": True, "auto.offset.reset": "earliest", **QUIET})
    with closing(consumer):
        consumer.assign([TopicPartition(INPUT, number, 0) for number in range(PARTITIONS)])
        ended = 0
        while ended < PARTITIONS:
            for message in consumer.consume(1_000, timeout=1):
                if message.error() is not None:
                    ended += 1
                elif not is_tick(message.value()):
                    found.add(message.key(), message.value())
    return found


def translation(stream: Stream) -> float:
    """CPU seconds of this process for the translation of an event of a platform, or for parsing one of ours."""
    some = list(islice(stream.records(), _MEASURED // stream.array))
    if stream.source is None:
        began = time.process_time()
        for _, _, key, value, headers in some:
            parse_record(value, str(key).encode(), headers, NOW)
        return (time.process_time() - began) / len(some)
    source = load_source(stream.source, RULES)
    for _, _, _, value, _ in some[:100]:  # the lists of domains are read at the first one
        source.outcomes(value, (), NOW, MAX_BYTES)
    began = time.process_time()
    events = sum(len(source.outcomes(value, (), NOW, MAX_BYTES)) for _, _, _, value, _ in some)
    return (time.process_time() - began) / events


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--leads", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--translation", action="store_true", help="only the time of translation, without a broker")
    options = parser.parse_args()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="senders-", dir=SCRATCH) as folder:
        streams = write_streams(Path(folder), options.events, options.leads)
        parsing: list[float] = []
        measured = {name: Measured() for name in SENDERS}
        for number in range(1, options.rounds + 1):
            progress(f"  round {number} of {options.rounds}")
            parsing.append(translation(streams[OWN]))
            for name, runs in measured.items():
                runs.alone.append(translation(streams[name]))
                if not options.translation:
                    one_turn(streams, name, runs)
            shown = {"events": options.events, "leads": options.leads, "rounds": number}
            result = Result("senders", "Streams of marketing platforms, on Apache Kafka", _HEADING, shown)
            report_translation(result, parsing, measured)
            if not options.translation:
                report_runs(result, measured)
                # A round of a million events takes long, so what is measured is kept if the next one fails.
                result.save()
    result.show()


def one_turn(streams: Mapping[str, Stream], name: str, runs: Measured) -> None:
    """The runs of a platform, with one of ours between them."""
    for into, stream_name in ((runs.scored, scored(name)), (runs.own, OWN), (runs.whole, name)):
        try:
            run, memory = one_run(streams[stream_name])
        except WorkerError as error:
            raise SystemExit(f"{stream_name}: {error}") from None
        into.append(run)
        if into is runs.whole:
            runs.memory.append(memory)
        progress(f"  {stream_name}: {run.cpu * 1e6:.1f} µs CPU, {run.rate:,.0f} activities/s")


def report_translation(result: Result, parsing: Sequence[float], measured: Mapping[str, Measured]) -> None:
    """The time of translation, against parsing an activity."""
    group = "without a broker (ratio: to parsing)"
    result.figures.append(figure("parsing our own", parsing, ratio(parsing, parsing), group))
    for name, runs in measured.items():
        shown = ratio(runs.alone, parsing)
        result.figures.append(figure(f"translating an event of {name}", runs.alone, shown, group))


def report_runs(result: Result, measured: Mapping[str, Measured]) -> None:
    """What the service costs, by platform."""
    for name, runs in measured.items():
        report(result, name, runs)
    result.notes.append(
        "Every activity of a platform is translated and then scored from the input. Re-keying alone is what the whole "
        "service costs beyond that: reading the platform's topic, and writing the activities in transactions. After "
        "each of these runs the input had every expected activity once."
    )


def report(result: Result, name: str, runs: Measured) -> None:
    """The costs of an activity of a platform, re-keying apart, the rate, and the memory of the worker."""
    own = [run.cpu for run in runs.own]
    scored_alone, whole = [run.cpu for run in runs.scored], [run.cpu for run in runs.whole]
    both = [a + b for a, b in zip(scored_alone, runs.alone, strict=True)]
    costs = {OWN: own, SCORED: scored_alone, BOTH: both, WHOLE: whole}
    result.figures += [figure(label, values, ratio(values, own), name) for label, values in costs.items()]
    rekeying = [a - b for a, b in zip(whole, both, strict=True)]
    result.figures.append(figure("re-keying alone", rekeying, ratio(rekeying, own), name))
    group = f"{name}, activities a second by wall clock (ratio: to ours)"
    rates = [run.rate for run in runs.own]
    for label, of_label in ((OWN, runs.own), (SCORED, runs.scored), (WHOLE, runs.whole)):
        values = [run.rate for run in of_label]
        result.figures.append(Figure.of(label, statistics.median(values), "/s", ratio(values, rates), group))
    group = f"{name}, memory (RSS) of the worker, {WHOLE}"
    sizes = {
        "after a tenth": [memory[0] for memory in runs.memory],
        "after a half": [memory[_SHOWN // 2 - 1] for memory in runs.memory],
        "at the end": [run.rss for run in runs.whole],
    }
    result.figures += [Figure.of(label, statistics.median(of) / 1e6, "MB", group=group) for label, of in sizes.items()]
    result.targets += [
        Target(f"{name}, {label}: CPU of an activity / ours", BOUND, ratio(costs[label], own).median, at_least=False)
        for label in (SCORED, BOTH)
    ]


def figure(name: str, seconds: Sequence[float], shown: Spread, group: str) -> Figure:
    """A line of the table."""
    return Figure.of(name, 1e6 * statistics.median(seconds), "µs", shown, group)


if __name__ == "__main__":
    main()
