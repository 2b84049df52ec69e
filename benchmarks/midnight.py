"""Many leads at midnight, without a broker: the memory of leads at rest and of their schedule, and partition workers
with their jobs while midnight passes and activities arrive. `benchmarks.reviews` runs it."""

import asyncio
import gc
import math
import statistics
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import psutil
from aiokafka import ConsumerRecord, TopicPartition

from benchmarks.episodes import single
from benchmarks.traffic import HEADERS, HISTORY_DAYS, PARTITIONS, RULES, encoded, histories, lead_name, partition_of
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
from scorer.state.codec import encode_lead
from scorer.state.input_position import InputPosition
from scorer.state.marker import Marker
from scorer.state.store import LeadStore
from scorer.stream.access_watch import AccessWatch
from scorer.stream.assigned import State
from scorer.stream.batch import BatchProcessor
from scorer.stream.jobs.job import Job
from scorer.stream.jobs.rescore import Rescorer, Sweep
from scorer.stream.jobs.review import Reviews
from scorer.stream.jobs.ticks import Ticks
from scorer.stream.watch import Watch
from scorer.stream.worker import PartitionWorker, WorkerContext

CACHED: Final = 1_000
"""Decoded leads that a partition keeps. With more, the memory would grow for longer than the wave is measured."""
RATE: Final = 200.0
"""Activities a second: 17 million a day, which is many for a million leads."""
REALLY_DUE: Final = 100
"""One in so many leads is really due at midnight."""
COMMIT: Final = 0.01
"""Seconds until the broker has committed, where there is none."""
_SETTLED: Final = 2.0
_POOL: Final = 1_000
_SAMPLE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Load:
    """What is measured. `samples`: a file with the states of the `pool`. `rate`: activities a second. `before`: seconds
    before midnight; `seconds`: those after it, at most. `midnight`: microseconds since the epoch."""

    leads: int
    samples: Path
    midnight: int
    rules: Path = RULES
    rate: float = RATE
    seconds: float = 3600
    before: float = 30
    partitions: int = PARTITIONS


def evaluator(folder: Path) -> Evaluator:
    """As in the service."""
    return Evaluator(load_ruleset(folder), default_engine())


def pool(rules: Evaluator, midnight: int, until: int, sample: int = _SAMPLE) -> list[bytes]:
    """States of leads with a history of two months, as they are just before midnight. All may be due at midnight. The
    first of each REALLY_DUE leads is; the others are not due before `until`."""
    due: list[bytes] = []
    calm: list[bytes] = []
    for lead in histories(sample, evaluator=rules, start=midnight - HISTORY_DAYS * DAY):
        before = rules.catch_up(lead, midnight - 1).lead
        found = rules.refine(before, until)
        is_due = found.certain and found.instant == midnight
        if is_due or not (found.certain and found.instant <= until):
            asleep = replace(before, due=midnight, judged_by=rules.mark)
            (due if is_due else calm).append(encode_lead(asleep))
    if not due or not calm:
        raise SystemExit(f"of {sample} leads {len(due)} are due at midnight and {len(calm)} are not")
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


def rest(load: Load) -> dict[str, float]:
    """Memory at rest, and what building the schedule takes."""
    judgements = Judgements()
    rules, samples, midnight = evaluator(load.rules), read(load.samples), load.midnight
    store = LeadStore()
    before = resident()
    for lead_id, state in states(samples, load.leads):
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
        "leads": (loaded - before) / load.leads,
        "schedule": (scheduled - loaded) / load.leads,
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


async def wave(load: Load) -> dict[str, float]:
    """Midnight passes, and activities arrive."""
    rules, metrics = evaluator(load.rules), Metrics()
    samples, midnight = read(load.samples), load.midnight
    count = load.partitions
    stores = {number: LeadStore(CACHED) for number in range(count)}
    for lead_id, state in states(samples, load.leads):
        stores[partition_of(lead_id, count)].restore(lead_id, state)
    for store in stores.values():
        store.marker = Marker(rules.ruleset.revision, 1, None, NO_CLOCK)
        store.position = InputPosition(0, None, midnight - DAY // 24)
    began = time.perf_counter()
    passes = began + float(load.before)

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
        due = await feed(workers, load, clock)
        await asyncio.sleep(1.0)
        left = sum(worker.remaining()["review"] for worker in workers)
    finally:
        watching.cancel()
        for worker in workers:
            worker.close()
        await asyncio.wait([worker.task for worker in workers])
    seconds = time.perf_counter() - passes
    delays = [(moment, committer.committed_at(*place) - moment) for place, moment in due]
    done = metrics.render().decode()
    return {
        "seconds": seconds,
        "cpu": (time.process_time() - spent) / (time.perf_counter() - began),
        "longest": pause.longest,
        **of_delays(delays, passes),
        **of_memory(pause.memory[min(round(load.before), len(pause.memory) - 1) :]),
        **of_reviews(done, seconds),
        "left": left,
    }


Place = tuple[int, int]


async def feed(workers: Sequence[PartitionWorker], load: Load, clock: Callable[[], int]) -> list[tuple[Place, float]]:
    """Give the workers activities at a fixed rate, until all leads are reviewed or the time is over. Returns partition,
    offset, and when it was due of each."""
    due: list[tuple[Place, float]] = []
    offsets = [0] * len(workers)
    began = time.perf_counter()
    for number, (lead_id, make) in enumerate(live(load)):
        moment = began + number / load.rate
        # What is late comes at once, because a sender does not wait for us.
        if (ahead := moment - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)
        seconds = moment - began - load.before
        if seconds > load.seconds or (seconds > _SETTLED and not any(w.remaining()["review"] for w in workers)):
            break
        now = clock()
        partition = partition_of(lead_id, len(workers))
        workers[partition].offer([_record(partition, offsets[partition], lead_id, make(now), now // MILLISECOND)])
        due.append(((partition, offsets[partition]), moment))
        offsets[partition] += 1
    return due


def live(load: Load) -> Iterator[tuple[str, Callable[[int], bytes]]]:
    """Endless activities of random leads: the lead, and the value as of an instant."""
    random = Random(3)
    for number in count():
        lead_id = lead_name(random.randrange(load.leads))
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
