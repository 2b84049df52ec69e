"""How fast a partition's state is restored, and how much memory a lead takes.

Fills the changelog of one partition with lead states, then restores it with the service's own code, and reads the same
topic with a bare aiokafka consumer. Each measurement runs in its own process; the two alternate, and the result is the
median of their ratios.

    .venv/bin/python -m benchmarks.restore --leads 10000 --leads 100000 --leads 1000000 --rounds 3
"""

import argparse
import asyncio
import contextlib
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.kafka import BROKERS, KAFKA, broker
from benchmarks.measuring import progress, ratio, spread
from benchmarks.results import Figure, Result
from scorer.demo.market import activities
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.kafka.topic_reader import topic_reader
from scorer.offline.ruleset_files import load_ruleset
from scorer.runtime.settings import Settings
from scorer.sources.cloudevents import parse_record
from scorer.sources.rejected import Rejected
from scorer.state.codec import encode_lead
from scorer.state.store import LeadStore
from scorer.stream.outbox import state_message
from scorer.stream.recovery import Progress, restore

TOPIC = "bench.restored"
SAMPLE = 2_000
ACTIVITIES = 20
START = datetime(2026, 1, 5, tzinfo=UTC)


def sample_states() -> list[bytes]:
    """States of leads of the demo's market after exactly ACTIVITIES activities."""
    evaluator = Evaluator(load_ruleset(Path("rules/b2b")), default_engine())
    far = 1 << 60
    leads: dict[str, Lead] = {}
    counts: dict[str, int] = {}
    states: list[bytes] = []
    for record in activities(7, 10 * SAMPLE, START):
        try:
            activity = parse_record(record.value, record.key, record.headers, far)
        except Rejected:
            continue
        lead_id = activity.lead_id
        lead = evaluator.assess(leads.get(lead_id) or Lead(lead_id), activity).lead
        leads[lead_id] = lead
        counts[lead_id] = counts.get(lead_id, 0) + 1
        if counts[lead_id] == ACTIVITIES:
            states.append(encode_lead(lead))
            if len(states) == SAMPLE:
                break
    return states


async def fill(bootstrap: str, leads: int, states: list[bytes]) -> None:
    """Write one state for each lead, in large batches."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 1, topic_configs={"cleanup.policy": "compact"})])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=900_000, max_request_size=8 << 20)
    await producer.start()
    try:
        numbered = zip(range(leads), cycle(states), strict=False)
        pending = []
        for batch in batches(producer, numbered):
            pending.append(await producer.send_batch(batch, TOPIC, partition=0))
            if len(pending) == 8:
                await asyncio.gather(*pending)
                pending.clear()
        await asyncio.gather(*pending)
    finally:
        await producer.stop()


def batches(producer: AIOKafkaProducer, numbered: Iterator[tuple[int, bytes]]) -> Iterator[Any]:
    """Record batches as full as the producer allows."""
    builder = producer.create_batch()
    for number, state in numbered:
        message = state_message(f"lead-{number:010}", state, TOPIC, 0, number)
        if builder.append(timestamp=None, key=message.key, value=message.value, headers=message.headers) is None:
            yield builder
            builder = producer.create_batch()
            builder.append(timestamp=None, key=message.key, value=message.value, headers=message.headers)
    yield builder


async def read_ours(bootstrap: str) -> dict[str, float]:
    """Restore the partition as the service does."""
    settings = Settings(bootstrap_servers=bootstrap, state_topic=TOPIC)
    store = LeadStore()
    before = psutil.Process().memory_info().rss
    started, spent = time.perf_counter(), time.process_time()
    changelog = TopicPartition(TOPIC, 0)
    async with topic_reader(settings, committed_only=False) as reader:
        span = (await reader.spans_of([changelog]))[changelog]
    await restore(settings, changelog, span, store, Progress(), lambda count: None)
    return result(len(store), started, spent, before)


async def read_bare(bootstrap: str) -> dict[str, float]:
    """Read the partition and drop everything."""
    partition = TopicPartition(TOPIC, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=8 << 20,
    )
    before = psutil.Process().memory_info().rss
    started, spent = time.perf_counter(), time.process_time()
    await consumer.start()
    try:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, 0)
        count = 0
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(partition, timeout_ms=500)).values():
                count += len(records)
    finally:
        await consumer.stop()
    return result(count, started, spent, before)


def result(count: int, started: float, spent: float, before: int) -> dict[str, float]:
    """Records, records a second of wall time, CPU seconds per record, and the growth of RSS in bytes after a garbage
    collection, because the embedded broker answers with the whole topic at once."""
    seconds, cpu = time.perf_counter() - started, time.process_time() - spent
    gc.collect()
    rss = psutil.Process().memory_info().rss - before
    return {"records": count, "rate": count / seconds, "cpu": cpu / count, "rss": rss}


READERS = {"ours": read_ours, "bare": read_bare}


def measure(reader: str, bootstrap: str) -> dict[str, float]:
    """Run a reader in its own process."""
    command = [sys.executable, "-m", "benchmarks.restore", "--read", reader, "--bootstrap", bootstrap]
    measured: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return measured


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leads", type=int, action="append", help="repeatable; default: 10000, 100000 and 1000000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bootstrap", help="a broker to use instead of one of ours")
    parser.add_argument("--broker", choices=BROKERS, default=BROKERS[0])
    parser.add_argument("--read", choices=READERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        sys.stdout.write(json.dumps(asyncio.run(READERS[options.read](options.bootstrap))))
        return
    states = sample_states()
    size = statistics.mean(map(len, states))
    progress(f"{len(states):,} sample leads with {ACTIVITIES} activities each: {size:.0f} bytes of state")
    sizes = sorted(options.leads or [10_000, 100_000, 1_000_000])
    shown = {
        "leads": ", ".join(f"{count:,}" for count in sizes),
        "rounds": options.rounds,
        "activities each": ACTIVITIES,
    }
    part, title = "restore", "Restoring a partition's state, and memory"
    if options.broker == KAFKA:
        part, title = "restore_kafka", f"{title}, on Apache Kafka"
    result = Result(part, title, "time or CPU / bare reader", shown)
    result.figures.append(Figure("state of a lead", size, "bytes", group="size"))
    grown: dict[int, float] = {}
    for leads in sizes:
        runs = take(leads, states, options)
        slower = ratio([run["rate"] for run in runs["bare"]], [run["rate"] for run in runs["ours"]])
        dearer = ratio([run["cpu"] for run in runs["ours"]], [run["cpu"] for run in runs["bare"]])
        rate = statistics.median(run["rate"] for run in runs["ours"])
        cpu = statistics.median(run["cpu"] for run in runs["ours"])
        per_lead = spread([run["rss"] / run["records"] for run in runs["ours"]])
        grown[leads] = statistics.median(run["rss"] for run in runs["ours"])
        group = f"{leads:,} leads"
        result.figures.append(Figure.of("restore", rate, "records/s", slower, group))
        result.figures.append(Figure.of("CPU of restoring a lead", 1e6 * cpu, "µs", dearer, group))
        result.figures.append(Figure("memory (RSS) of a lead", per_lead.median, "bytes", group=group))
    for few, many in pairwise(sizes):
        growth = (grown[many] - grown[few]) / (many - few)
        result.figures.append(
            Figure("memory (RSS) of each further lead", growth, "bytes", group=f"{few:,} to {many:,}")
        )
    result.notes.append(
        "With few leads, the memory of a lead mostly consists of the process's other memory (connections, buffers). "
        "The memory of each further lead does not contain it."
    )
    result.notes.append(
        "RSS is measured after a garbage collection, because the broker answers a fetch with the whole topic at once."
    )
    result.finish()


def take(leads: int, states: list[bytes], options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Both readers in turn, with an empty broker for each number of leads."""
    runs: dict[str, list[dict[str, float]]] = {"bare": [], "ours": []}
    with contextlib.ExitStack() as stack:
        bootstrap = options.bootstrap or stack.enter_context(broker(None, options.broker)).bootstrap
        asyncio.run(fill(bootstrap, leads, states))
        for number in range(options.rounds):
            for reader, measurements in runs.items():
                measurements.append(measure(reader, bootstrap))
                progress(
                    f"  {leads:,} leads, round {number + 1} of {options.rounds}  {reader}: "
                    f"{measurements[-1]['rate']:,.0f} records/s"
                )
    return runs


if __name__ == "__main__":
    main()
