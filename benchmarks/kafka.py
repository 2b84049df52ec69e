"""A fresh broker with the input, and with the states that the service restores."""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from functools import cache, partial
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.apache import apache_kafka
from benchmarks.measuring import progress
from benchmarks.traffic import HEADERS, PARTITIONS, RULES, histories, lead_name, partition_of
from scorer.demo.broker import EmbeddedBroker
from scorer.domain.lead import NO_CLOCK
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.state.codec import encode_lead
from scorer.state.input_position import InputPosition
from scorer.state.marker import Marker
from scorer.stream.outbox import marker_message, position_message

ROOT = Path(__file__).parents[1]
SCRATCH = ROOT / ".cache" / "bench"
KAFKA = "kafka"

INPUT = "lead.activity"
OUTPUT = "lead.routing"
DEAD = "lead.activity.dlq"
STATE = "bench.lead-state"
GROUP = "bench"
BROKERS = ("noida", KAFKA)
QUIET = {"log_level": 0}


class WorkerError(Exception):
    """A worker ended or stalled; the message has the end of its log."""


class Broker(Protocol):
    """A running broker."""

    @property
    def bootstrap(self) -> str:
        """`host:port`."""

    @property
    def pid(self) -> int:
        """Its process id."""


@contextlib.contextmanager
def broker(core: int | None, kind: str = "noida", partitions: int = PARTITIONS) -> Iterator[Broker]:
    """A broker (one of BROKERS), bound to a core, with empty topics: a fresh one, but always the same Apache Kafka,
    because a cold virtual machine would be measured otherwise."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with _running(kind) as running:
        if core is not None:
            for thread in psutil.Process(running.pid).threads():
                with contextlib.suppress(ProcessLookupError):  # the thread may have ended
                    os.sched_setaffinity(thread.id, {core})
        create_topics(running.bootstrap, partitions)
        yield running


def _running(kind: str) -> contextlib.AbstractContextManager[Broker]:
    return apache_kafka(SCRATCH) if kind == KAFKA else EmbeddedBroker(SCRATCH)


def create_topics(bootstrap: str, partitions: int = PARTITIONS) -> None:
    """Create empty topics."""
    topics = [NewTopic(name, partitions, 1) for name in (OUTPUT, DEAD)]
    topics.append(NewTopic(INPUT, partitions, 1, config={"message.timestamp.type": "LogAppendTime"}))
    topics.append(NewTopic(STATE, partitions, 1, config={"cleanup.policy": "compact"}))
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    for made in admin.create_topics(topics).values():
        made.result(30)


def fill_input(bootstrap: str, events: Iterable[tuple[str, bytes]], partitions: int = PARTITIONS) -> int:
    """Write the activities; returns how many."""
    return fill(bootstrap, ((INPUT, partition_of(lead, partitions), lead, value, HEADERS) for lead, value in events))


@cache
def sample_states() -> tuple[str, list[bytes]]:
    """The revision of the rules, and states of leads with a history that these rules evaluated. They are reviewed until
    now, so that only activities are measured."""
    evaluator = Evaluator(load_ruleset(RULES), default_engine())
    now = time.time_ns() // 1_000
    reviewed = [evaluator.catch_up(lead, now).lead for lead in histories(evaluator=evaluator)]
    for lead in reviewed:
        lead.due = evaluator.refine(lead).instant
    return evaluator.ruleset.revision, [encode_lead(lead) for lead in reviewed]


def fill_states(bootstrap: str, leads: int, partitions: int = PARTITIONS) -> None:
    """Write what a long-running service leaves behind: a state with a history for each lead."""
    revision, states = sample_states()
    fill_changelog(bootstrap, zip(map(lead_name, range(leads)), cycle(states), strict=False), revision, partitions)


def fill_changelog(
    bootstrap: str,
    states: Iterable[tuple[str, bytes]],
    revision: str,
    partitions: int = PARTITIONS,
    log_time: int | None = None,
) -> None:
    """Write the states by lead id, a marker that the rules have always been in effect, and the time of the log. Without
    the marker the service would re-score all leads during the measurement."""
    # Without the header for the input offset: these states are older than the topic.
    place = partial(partition_of, partitions=partitions)
    fill(bootstrap, ((STATE, place(lead_id), lead_id, state, []) for lead_id, state in states))
    marker, position = Marker(revision, 1, None, NO_CLOCK), InputPosition(0, None, log_time)
    for number in range(partitions):
        ours = marker_message(marker, STATE, number), position_message(position, STATE, number)
        fill(bootstrap, ((STATE, number, one.key, one.value, one.headers) for one in ours))


def fill(bootstrap: str, records: Iterable[tuple[str, int, str | bytes | None, bytes | None, Any]]) -> int:
    """Write records: topic, partition, key, value, headers. Returns how many."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 20, "batch.size": 500_000, "acks": "all", **QUIET}
    )
    count = 0
    for topic, partition, key, value, headers in records:
        while True:
            try:
                producer.produce(topic, value, key=key, partition=partition, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
        count += 1
    if left := producer.flush(300):
        raise WorkerError(f"the broker did not take {left} of {count} records")
    return count


def committed_outputs(bootstrap: str, topic: str = OUTPUT, partitions: int = PARTITIONS) -> int:
    """The number of records in a topic, including transaction markers if the broker counts them."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "count", **QUIET})
    try:
        marks = (consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10) for n in range(partitions))
        return sum(high - low for low, high in marks)
    finally:
        consumer.close()


@cache
def cores() -> tuple[int, int]:
    """A core for the worker and one for the broker; the same core if there is only one. As at the first call, because
    `stay_with_broker` changes what this process may use."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        progress("one core only: broker and worker share it")
    return cores[-1], cores[0]


def stay_with_broker() -> None:
    """Bind the writer and the observer to the broker's core, so that the worker has its core to itself."""
    os.sched_setaffinity(0, {cores()[1]})
