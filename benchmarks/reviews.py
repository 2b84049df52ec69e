"""A million leads at midnight: all of them may be due, and one in a hundred really is.

Three parts, each in its own process:

- `rest`: the memory (RSS) of the leads of a partition and of their schedule, and the time that building the schedule
  takes.
- `wave`: four partition workers with their jobs in one process, without a broker. Midnight passes while activities
  arrive. How long do activities wait, at which rate are leads reviewed, and does the memory stay flat?
- `kafka` (with `--broker kafka`): the same with the service on Apache Kafka. The states come from the changelog.

    .venv/bin/python -m benchmarks.reviews --leads 1000000
    .venv/bin/python -m benchmarks.reviews --leads 1000000 --broker kafka --seconds 300
    .venv/bin/python -m benchmarks.reviews --leads 20000 --seconds 10    # only checks that it runs
"""

import argparse
import asyncio
import contextlib
import gc
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import psutil
from aiokafka import ConsumerRecord, TopicPartition
from prometheus_client import generate_latest

from benchmarks.episodes import single
from benchmarks.kafka import (
    BROKERS,
    KAFKA,
    ROOT,
    SCRATCH,
    broker,
    cores,
    fill_changelog,
    stay_with_broker,
)
from benchmarks.measuring import progress
from benchmarks.results import Figure, Result, Target
from benchmarks.steady import Feeder, Observer, places
from benchmarks.traffic import HEADERS, HISTORY_DAYS, PARTITIONS, RULES, encoded, histories, lead_name, partition_of
from benchmarks.worker import ours, wait_until_shared
from scorer.demo.broker import free_port
from scorer.domain.instant import DAY, MILLISECOND, SECOND
from scorer.domain.lead import NO_CLOCK, Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Evaluation
from scorer.evaluation.rule_change import RuleChange
from scorer.kafka.message import Message
from scorer.kafka.topic_reader import Span
from scorer.kafka.transaction import Offset
from scorer.offline.ruleset_files import load_ruleset
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings
from scorer.runtime.token_bucket import TokenBucket
from scorer.state.codec import decode_lead, encode_lead
from scorer.state.input_position import InputPosition
from scorer.state.marker import Marker
from scorer.state.store import LeadStore
from scorer.stream.access_watch import AccessWatch
from scorer.stream.batch import BatchProcessor
from scorer.stream.jobs.job import Job
from scorer.stream.jobs.rescore import Rescorer, Sweep
from scorer.stream.jobs.review import Reviews
from scorer.stream.jobs.ticks import Ticks
from scorer.stream.watch import Watch
from scorer.stream.worker import PartitionWorker, State, WorkerContext

CACHED: Final = 1_000
"""Decoded leads that a partition keeps. With more, the memory would grow for longer than the wave is measured."""
RATE: Final = 200.0
"""Activities a second: 17 million a day, which is many for a million leads."""
REALLY_DUE: Final = 100
"""One in so many leads is really due at midnight."""
COMMIT: Final = 0.01
"""Seconds until the broker has committed, where there is none."""
LONGEST_WAIT: Final = 2.0
_LOOK_AT_OFFSETS: Final = 0.02
_SETTLED: Final = 5.0
_START: Final = 10.0
_FILLED: Final = 10_000
"""Leads a second that are written and restored, at least."""
_POOL: Final = 1_000
_SAMPLE: Final = 2_000


@contextlib.contextmanager
def rules_at(per_second: int | None) -> Iterator[Path]:
    """The rules of all parts, which review so many leads a second; None: as many as by default."""
    if per_second is None:
        yield RULES
        return
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        copied = Path(shutil.copytree(RULES, Path(folder) / RULES.name))
        (copied / "rate.yaml").write_text(f"rescore: {{per_second: {per_second}}}\n")
        yield copied


def evaluator(folder: Path) -> Evaluator:
    """As in the service."""
    return Evaluator(load_ruleset(folder), default_engine())


def pool(rules: Evaluator, midnight: int, until: int) -> list[bytes]:
    """States of leads with a history of two months, as they are just before midnight. All may be due at midnight. The
    first of each REALLY_DUE leads is; the others are not due before `until`."""
    due: list[bytes] = []
    calm: list[bytes] = []
    for lead in histories(_SAMPLE, evaluator=rules, start=midnight - HISTORY_DAYS * DAY):
        before = rules.catch_up(lead, midnight - 1).lead
        found = rules.refine(before, until)
        is_due = found.certain and found.instant == midnight
        if is_due or not (found.certain and found.instant <= until):
            asleep = replace(before, due=midnight, judged_by=rules.mark)
            (due if is_due else calm).append(encode_lead(asleep))
    if not due or not calm:
        raise SystemExit(f"of {_SAMPLE} leads {len(due)} are due at midnight and {len(calm)} are not")
    return [due[n // REALLY_DUE % len(due)] if n % REALLY_DUE == 0 else calm[n % len(calm)] for n in range(_POOL)]


def read(path: Path) -> list[bytes]:
    """The states of the pool."""
    return msgspec.msgpack.decode(path.read_bytes(), type=list[bytes])


def states(samples: Sequence[bytes], leads: int) -> Iterator[tuple[str, bytes]]:
    """Each lead with a state of its own."""
    for number in range(leads):
        yield lead_name(number), bytes(bytearray(samples[number % len(samples)]))


def resident() -> int:
    """The resident memory of this process, after a garbage collection."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


class Judgements:
    """Counts the judgements of this process."""

    def __init__(self) -> None:
        self.count = 0
        evaluate = Evaluator.evaluate

        def counted(rules: Evaluator, lead: Lead, now: int) -> Evaluation:
            self.count += 1
            return evaluate(rules, lead, now)

        setattr(Evaluator, "evaluate", counted)  # noqa: B010 (mypy refuses the assignment)


def rest(options: argparse.Namespace) -> dict[str, float]:
    """Memory at rest, and what building the schedule takes."""
    judgements = Judgements()
    rules, samples, midnight = evaluator(options.rules), read(options.samples), options.midnight
    store = LeadStore()
    before = resident()
    for lead_id, state in states(samples, options.leads):
        store.restore(lead_id, state)
    loaded = resident()
    store.change, store.log_time = RuleChange(1, NO_CLOCK), midnight - SECOND
    rescorer = Rescorer(settings(), lambda: rules, lambda: midnight, TokenBucket(time.monotonic), time.monotonic)
    judgements.count = 0
    began = time.thread_time()
    reviews = Reviews(rescorer, store, 0)
    steps = [time.thread_time() - began]
    while not reviews.complete:
        step = time.thread_time()
        reviews.ready()
        steps.append(time.thread_time() - step)
    seconds, judged = sum(steps), judgements.count
    scheduled = resident()
    return {
        "state": statistics.mean(map(len, samples)),
        "key": len(lead_name(0)),
        "leads": (loaded - before) / options.leads,
        "schedule": (scheduled - loaded) / options.leads,
        "seconds": seconds,
        "longest": max(steps),
        "judged": judged,
        "scheduled": len(reviews.schedule),
    }


def settings(**changed: Any) -> Settings:
    """The defaults of the service."""
    return Settings(_env_file=None, group="bench", **changed)


class _Consumer:
    """The methods of the consumer that a worker uses, without a broker."""

    def __init__(self, partitions: set[TopicPartition]) -> None:
        self._partitions = partitions

    def seek(self, partition: TopicPartition, offset: int) -> None:
        pass

    def pause(self, *partitions: TopicPartition) -> None:
        pass

    def resume(self, *partitions: TopicPartition) -> None:
        pass

    def assignment(self) -> set[TopicPartition]:
        return self._partitions

    def highwater(self, partition: TopicPartition) -> None:
        return None


class _Committer:
    """Commits after a moment, and notes when which offset was committed."""

    waits_for = ""
    generation = 1

    def __init__(self, partitions: int) -> None:
        self.moments: list[list[float]] = [[] for _ in range(partitions)]
        self.offsets: list[list[int]] = [[] for _ in range(partitions)]
        self.written = 0

    async def joined(self) -> None:
        pass

    def is_current(self, generation: int) -> bool:
        return generation == self.generation

    async def take_over(self, partition: TopicPartition) -> Offset | None:
        return None

    async def log_span(self, partition: TopicPartition) -> Span:
        return Span(0, 0)

    async def commit(
        self, partition: TopicPartition, messages: Sequence[Message], next_offset: int, note: str = ""
    ) -> int | None:
        await asyncio.sleep(COMMIT)
        self.written += len(messages)
        self.moments[partition.partition].append(time.perf_counter())
        self.offsets[partition.partition].append(next_offset)
        return None

    def committed_at(self, partition: int, offset: int) -> float:
        """When a record was committed. Raises `IndexError` if it never was."""
        return self.moments[partition][bisect_right(self.offsets[partition], offset)]


class _Worker(PartitionWorker):
    """A worker that finds its leads in memory."""

    given: dict[int, LeadStore]

    async def _restore(self) -> int | None:
        self._store = self.given.pop(self.partition.partition)
        return None


class _Owner:
    def failed(self, error: BaseException) -> None:
        raise error


class Pause:
    """The most CPU time that passed before something else could run in this event loop, and the memory meanwhile. CPU
    time, because others use the machine too."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.memory: list[int] = []
        self._process = psutil.Process()

    async def watch(self) -> None:
        """Look, until cancelled."""
        looked, noted = time.thread_time(), 0.0
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest = max(self.longest, now - looked)
            await asyncio.sleep(0.002)
            if time.perf_counter() - noted > 1:
                self.memory.append(self._process.memory_info().rss)
                noted = time.perf_counter()
            looked = time.thread_time()


async def wave(options: argparse.Namespace) -> dict[str, float]:
    """Midnight passes, and activities arrive."""
    rules, metrics = evaluator(options.rules), Metrics()
    samples, midnight = read(options.samples), options.midnight
    count = options.partitions
    stores = {number: LeadStore(CACHED) for number in range(count)}
    for lead_id, state in states(samples, options.leads):
        stores[partition_of(lead_id, count)].restore(lead_id, state)
    for store in stores.values():
        store.marker = Marker(rules.ruleset.revision, 1, None, NO_CLOCK)
        store.position = InputPosition(0, None, midnight - DAY // 24)
    began = time.perf_counter()
    passes = began + float(options.before)

    def clock() -> int:
        return midnight + round((time.perf_counter() - passes) * SECOND)

    configured = settings()
    processor = BatchProcessor(configured, rules.assess, clock)
    rescorer = Rescorer(configured, lambda: rules, clock, TokenBucket(time.monotonic), time.monotonic)

    def jobs(store: LeadStore, partition: int) -> list[Job]:
        reviews = Reviews(rescorer, store, partition)
        ticks = Ticks(configured, reviews, store, partition, clock, time.monotonic)
        return [Sweep(rescorer, store, partition), reviews, ticks]

    async def nothing() -> tuple[()]:
        return ()

    committer: Any = _Committer(count)
    access = AccessWatch(configured, nothing)
    watch = Watch(configured, metrics)
    context = WorkerContext(configured, processor, committer, metrics, jobs, lambda: rules, watch, access)
    partitions = [TopicPartition(configured.activity_topic, number) for number in range(count)]
    _Worker.given = stores
    workers = [_Worker(partition, _Consumer({*partitions}), _Owner(), context) for partition in partitions]
    while any(worker.state is not State.RUNNING for worker in workers):  # noqa: ASYNC110 (it has no event for that)
        await asyncio.sleep(0.01)
    pause = Pause()
    watching, spent = asyncio.create_task(pause.watch()), time.process_time()
    try:
        due = await feed(workers, options, clock)
        await asyncio.sleep(1.0)
    finally:
        watching.cancel()
        for worker in workers:
            worker.close()
        await asyncio.wait([worker.task for worker in workers])
    seconds = time.perf_counter() - passes
    delays = [(moment, committer.committed_at(*place) - moment) for place, moment in due]
    done = generate_latest(metrics.registry).decode()
    return {
        "seconds": seconds,
        "cpu": (time.process_time() - spent) / (time.perf_counter() - began),
        "longest": pause.longest,
        **of_delays(delays, passes),
        **of_memory(pause.memory[round(options.before) :]),
        **of_reviews(done, seconds),
        "left": sum(worker.remaining()["review"] for worker in workers),
    }


Place = tuple[int, int]


async def feed(
    workers: Sequence[PartitionWorker], options: argparse.Namespace, clock: Callable[[], int]
) -> list[tuple[Place, float]]:
    """Give the workers activities at a fixed rate, until all leads are reviewed or the time is over. Returns partition,
    offset, and when it was due of each."""
    due: list[tuple[Place, float]] = []
    offsets = [0] * len(workers)
    began = time.perf_counter()
    for number, (lead_id, make) in enumerate(live(options)):
        moment = began + number / options.rate
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        seconds = moment - began - options.before
        if seconds > options.seconds or (seconds > _SETTLED and not any(w.remaining()["review"] for w in workers)):
            break
        now = clock()
        partition = partition_of(lead_id, len(workers))
        workers[partition].offer([_record(partition, offsets[partition], lead_id, make(now), now // MILLISECOND)])
        due.append(((partition, offsets[partition]), moment))
        offsets[partition] += 1
    return due


def live(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[int], bytes]]]:
    """Endless activities of random leads: the lead, and the value as of an instant."""
    random = Random(3)
    for number in count():
        lead_id = lead_name(random.randrange(options.leads))
        kind, data = single(random)
        yield lead_id, partial(_value, f"w{number:09}", lead_id, kind, data)


def _value(name: str, lead_id: str, kind: str, data: dict[str, Any], now: int) -> bytes:
    return encoded(name, lead_id, now, kind, data)


def _record(partition: int, offset: int, lead_id: str, value: bytes, timestamp: int) -> "ConsumerRecord[bytes, bytes]":
    key = lead_id.encode()
    stamped = 1
    return ConsumerRecord(
        "lead.activity", partition, offset, timestamp, stamped, key, value, None, len(key), len(value), HEADERS
    )


def of_delays(delays: Sequence[tuple[float, float]], midnight: float) -> dict[str, float]:
    """Of when activities were due and how many seconds later they were committed: those after midnight, and those
    before it, which meet no reviews."""
    after = sorted(delay for moment, delay in delays if moment >= midnight)
    before = sorted(delay for moment, delay in delays if moment < midnight) or [math.nan]
    return {
        "activities": len(after),
        "p50": statistics.median(after),
        "p99": after[int(len(after) * 0.99)],
        "most": after[-1],
        "p50 before": statistics.median(before),
        "p99 before": before[int(len(before) * 0.99)],
    }


def of_memory(memory: Sequence[int]) -> dict[str, float]:
    """Of the resident bytes during the wave, second by second: those after its first tenth, and how much they grow."""
    settled = memory[len(memory) // 10 :]
    return {"rss": settled[0], "grown": max(settled) - settled[0]}


def of_reviews(metrics: str, seconds: float) -> dict[str, float]:
    """The reviews so far, from the text of the metrics."""
    outcomes = {
        line.partition('outcome="')[2].partition('"')[0]: float(line.rpartition(" ")[2])
        for line in metrics.splitlines()
        if line.startswith("scorer_reviews_total{")
    }
    return {
        "published": outcomes.get("published", 0.0),
        "unchanged": outcomes.get("unchanged", 0.0),
        "others": sum(number for name, number in outcomes.items() if name not in ("published", "unchanged")),
        "a second": sum(outcomes.values()) / seconds,
    }


def on_kafka(options: argparse.Namespace) -> dict[str, float]:
    """The service on Apache Kafka. The leads of last midnight are in its changelog."""
    worker_core, broker_core = cores()
    rules = evaluator(options.rules)
    now = int(time.time()) * SECOND
    passes = now + round((_START + options.leads / _FILLED + options.before) * SECOND)
    # The true midnight is hours away or hours ago. This bound is right for the leads that are not due at that one.
    samples = [due_at(state, passes) for state in read(options.samples)]
    stay_with_broker()
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(broker(broker_core, KAFKA, options.partitions))
        bootstrap, port = running.bootstrap, free_port()
        given = states(samples, options.leads)
        fill_changelog(bootstrap, given, rules.ruleset.revision, options.partitions, now - DAY // 24)
        progress("  the changelog is full")
        began = time.perf_counter()
        worker = stack.enter_context(
            ours(bootstrap, {worker_core}, http_port=str(port), rules=str(options.rules), cache_leads=str(CACHED))
        )
        wait_until_shared([port], [worker], options.partitions)
        restored = time.perf_counter() - began
        progress(f"  restored after {restored:.0f} s")
        before = of_reviews(scraped(port), 1.0)
        observer = Observer(bootstrap, options.partitions, _LOOK_AT_OFFSETS)
        memory: list[int] = []
        total = max(options.before, passes / SECOND - time.time()) + options.seconds
        events = [(lead_id, make(now)) for lead_id, make in islice(live(options), int(options.rate * total))]
        began, spent = time.perf_counter(), worker.cpu()
        feeder = Feeder(bootstrap, events, options.rate, options.partitions)
        midnight = began + passes / SECOND - time.time()
        if midnight < began:
            progress(f"  the leads were due {began - midnight:.0f} s before they were restored")
        try:
            while time.perf_counter() < began + total:
                time.sleep(1)
                worker.check()
                if time.perf_counter() > midnight:
                    memory.append(worker.rss())
            due = feeder.due()
            seconds, cpu = time.perf_counter() - midnight, worker.cpu() - spent
            after = scraped(port)
            time.sleep(2)
        finally:
            observer.stop()
        metrics = of_reviews(after, seconds)
        left = remaining(after)
    written = zip(places(events, options.partitions), due, strict=True)
    delays = [(moment, observer.committed_at(*place) - moment) for place, moment in written]
    return {
        "restored": restored,
        "seconds": seconds,
        "cpu": cpu / total,
        **of_delays(delays, midnight),
        **of_memory(memory),
        **metrics,
        "before": before["published"] + before["unchanged"],
        "left": left,
    }


def due_at(state: bytes, instant: int) -> bytes:
    """The state, with another bound."""
    return encode_lead(replace(decode_lead("", state), due=instant))


def scraped(port: int) -> str:
    """The metrics of the service."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def remaining(metrics: str) -> float:
    """How many leads are still due, at most."""
    for line in metrics.splitlines():
        if line.startswith("scorer_review_remaining "):
            return float(line.rpartition(" ")[2])
    return math.nan


PARTS: Final[dict[str, Callable[[argparse.Namespace], dict[str, float]]]] = {
    "rest": rest,
    "wave": lambda options: asyncio.run(wave(options)),
    "kafka": on_kafka,
}


def measured(part: str, options: argparse.Namespace) -> dict[str, float]:
    """Run a part in its own process, so that the memory of one does not affect the next."""
    command = [sys.executable, "-m", "benchmarks.reviews", "--part", part]
    for name in ("leads", "rate", "seconds", "before", "partitions", "rules", "samples", "midnight"):
        command += [f"--{name}", str(getattr(options, name))]
    progress(f"{part}, {options.leads:,} leads")
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE)
    if ran.returncode:
        raise SystemExit(f"{part} failed")
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    progress(", ".join(f"{name} {value:,.6g}" for name, value in found.items()))
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leads", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=RATE, help="activities a second")
    parser.add_argument("--seconds", type=float, default=3600, help="of a wave, at most")
    parser.add_argument("--before", type=float, default=30, help="seconds before midnight")
    parser.add_argument("--partitions", type=int, default=PARTITIONS)
    parser.add_argument("--per-second", type=int, help="`rescore: {per_second: …}`; default: that of the rules")
    parser.add_argument("--broker", choices=BROKERS[1:], help="also with the service on Apache Kafka")
    parser.add_argument("--only", choices=PARTS, action="append", help="repeatable; default: all")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--rules", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--samples", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--midnight", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        sys.stdout.write(json.dumps(PARTS[options.part](options)))
        return
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with rules_at(options.per_second) as options.rules, tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        rules = evaluator(options.rules)
        bound = rules.ruleset.rescoring.per_second
        options.midnight = int(time.time()) * SECOND // DAY * DAY
        options.samples = Path(folder) / "states"
        samples = pool(rules, options.midnight, options.midnight + 2 * DAY - 1)
        options.samples.write_bytes(msgspec.msgpack.encode(samples))
        found = {part: measured(part, options) for part in options.only or PARTS if part != KAFKA or options.broker}
    shown = {
        "leads": options.leads,
        "partitions": options.partitions,
        "activities a second": int(options.rate),
        "leads reviewed a second, at most": bound,
    }
    part, title = "reviews", "Many leads at midnight"
    if options.broker:
        part, title = "reviews_kafka", f"{title}, also on Apache Kafka"
    result = Result(part, title, "", shown)
    if "rest" in found:
        report_rest(result, found["rest"])
    for name in ("wave", KAFKA):
        if name in found:
            report_wave(result, name, found[name], bound)
    result.finish()


def report_rest(result: Result, rest: dict[str, float]) -> None:
    """Memory at rest and the start."""
    memory = rest["leads"] + rest["schedule"]
    group = "at rest"
    result.figures += [
        Figure("state of a lead", rest["state"], "bytes", group=group),
        Figure("memory (RSS) of a lead, with its id", rest["leads"], "bytes", group=group),
        Figure("memory (RSS) of its place in the schedule", rest["schedule"], "bytes", group=group),
        Figure("the schedule is built (CPU)", rest["seconds"], "s", group=group),
        Figure("longest step of that (CPU)", 1e3 * rest["longest"], "ms", group=group),
    ]
    result.targets += [
        Target("memory of a lead at rest, bytes", 1024, memory, at_least=False),
        Target("judgements while the schedule is built", 0, rest["judged"], at_least=False),
    ]


def report_wave(result: Result, name: str, wave: dict[str, float], bound: int) -> None:
    """Activities and reviews after midnight."""
    group = "in one process, without a broker" if name == "wave" else "the service on Apache Kafka"
    if "restored" in wave:
        result.figures.append(Figure("started and restored", wave["restored"], "s", group=group))
    result.figures += [
        Figure("seconds", wave["seconds"], "s", group=group),
        Figure("leads looked at", wave["published"] + wave["unchanged"] + wave["others"], "", group=group),
        Figure("decisions by time", wave["published"], "", group=group),
        Figure("leads still to look at", wave["left"], "", group=group),
        Figure("leads a second", wave["a second"], "/s", group=group),
        Figure("activity to commit, p50", 1e3 * wave["p50"], "ms", group=group),
        Figure("activity to commit, p99", 1e3 * wave["p99"], "ms", group=group),
        Figure("before midnight: p50", 1e3 * wave["p50 before"], "ms", group=group),
        Figure("before midnight: p99", 1e3 * wave["p99 before"], "ms", group=group),
        Figure("activity to commit, longest", 1e3 * wave["most"], "ms", group=group),
        Figure("CPU", 100 * wave["cpu"], "% of a core", group=group),
        Figure("memory (RSS)", wave["rss"] / 1e6, "MB", group=group),
        Figure("growth of memory during the wave", wave["grown"] / 1e6, "MB", group=group),
    ]
    if "longest" in wave:
        result.figures.append(Figure("longest pause of the event loop (CPU)", 1e3 * wave["longest"], "ms", group=group))
    result.targets += [
        Target(f"{group}: p99 of an activity, s", LONGEST_WAIT, wave["p99"], at_least=False),
        Target(f"{group}: leads a second", 1.05 * bound, wave["a second"], at_least=False),
        Target(f"{group}: growth of memory, % of it", 5, 100 * wave["grown"] / wave["rss"], at_least=False),
    ]


if __name__ == "__main__":
    main()
