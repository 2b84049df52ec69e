"""A partition's worker over a Kafka that is not real: whatever becomes of a transaction, everything is published once.

The expectation comes from the activities one after the other, without batches, transactions or restores.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import OffsetAndMetadata

from scorer.domain.lead import Lead
from scorer.kafka.message import Message
from scorer.kafka.transaction import AbortedError, DoubtfulError, FencedError
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings, load_settings
from scorer.sources.cloudevents import parse_record
from scorer.sources.rejected import Rejected
from scorer.state.codec import decode_lead
from scorer.state.input_position import POSITION_KEY
from scorer.state.store import LeadStore
from scorer.stream import recovery
from scorer.stream import worker as worker_module
from scorer.stream.batch import BatchProcessor
from scorer.stream.recovery import _apply
from scorer.stream.watch import Watch
from scorer.stream.worker import PartitionWorker, State, WorkerContext
from tests.factory import evaluator
from tests.unit.test_batch import NOW, record
from tests.unit.test_rescore import Record
from tests.unit.test_worker import PARTITION, Consumer

BATCH = 5
"""Records; each batch has some that are no activities."""
LEADS = 7
RULES = evaluator()


def qualification(offset: int, lead_id: str) -> "ConsumerRecord[bytes, bytes]":
    """A budget that differs from the lead's last one, so that a decision follows."""
    status = "approved" if offset // LEADS % 2 else "planned"
    event = {
        "specversion": "1.0",
        "id": f"e{offset}",
        "source": "/crm",
        "type": "lead.qualification_updated",
        "time": f"2026-02-01T10:00:{offset:02}Z",
        "subject": lead_id,
        "data": {"bant": {"budget_status": status}},
    }
    return record(offset, lead_id, json.dumps(event).encode())


def bad(offset: int) -> "ConsumerRecord[bytes, bytes]":
    """A record that is no activity."""
    return record(offset, "bad", b"{broken")


INPUT = [bad(offset) if offset % 4 == 1 else qualification(offset, f"lead-{offset % LEADS}") for offset in range(30)]

Ending = Literal["committed", "aborted", "answer lost", "request lost", "fenced"]


class Published(NamedTuple):
    """What readers and the next owner find."""

    decisions: dict[str, list[bytes]]
    """By lead, in order."""
    dead_letters: list[int]
    """Their offsets in the input."""
    states: dict[str, Lead]
    offset: int
    """The committed one."""


def expected(records: "Iterable[ConsumerRecord[bytes, bytes]]") -> Published:
    leads: dict[str, Lead] = {}
    decisions: dict[str, list[bytes]] = defaultdict(list)
    dead_letters: list[int] = []
    offset = 0
    for given in records:
        offset = given.offset + 1
        try:
            activity = parse_record(given.value, given.key, given.headers, NOW, max_bytes=1_000_000)
        except Rejected:
            dead_letters.append(given.offset)
            continue
        assessment = RULES.assess(leads.get(activity.lead_id, Lead(activity.lead_id)), activity)
        leads[activity.lead_id] = assessment.lead
        if assessment.decision is not None:
            decisions[activity.lead_id].append(assessment.decision.to_json())
    return Published(dict(decisions), dead_letters, leads, offset)


@dataclass
class Cluster:
    """What is committed, and how the next transactions end; the last ones are committed.

    `in_flight`: of the former owner, with the offset behind it. It arrives just before the former owner is fenced.
    """

    settings: Settings
    endings: list[Ending] = field(default_factory=list)
    in_flight: tuple[list[Message], int] | None = None
    steps: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    offset: int = 0
    broker_time: int | None = None
    answered_offset: int = 0
    """What the broker answers: it may be from before a transaction that it has just completed."""

    def producer(self, *_: object) -> "Cluster":
        return self

    async def start(self) -> None:
        self.steps.append("fence")
        if self.in_flight is not None:
            messages, self.offset = self.in_flight
            self.messages += messages
            self.in_flight = None

    async def stop(self) -> None:
        pass

    async def commit(
        self, messages: list[Message], offsets: dict[TopicPartition, OffsetAndMetadata], group: str
    ) -> None:
        self.steps.append("commit")
        ending = self.endings.pop(0) if self.endings else "committed"
        if ending in ("committed", "answer lost"):
            self.messages += messages
            self.offset = self.answered_offset = offsets[PARTITION].offset
        # The worker has time to do what it should not do.
        await asyncio.sleep(0)
        if ending == "aborted":
            error = AbortedError("aborted")
            error.__cause__ = KafkaConnectionError()
            raise error
        if ending in ("answer lost", "request lost"):
            raise DoubtfulError("no answer")
        if ending == "fenced":
            raise FencedError

    async def restore(self, settings: Settings, partition: int, store: LeadStore, *_: object) -> int | None:
        self.steps.append("restore")
        changelog = [message for message in self.messages if message.topic == settings.state_topic]
        for message in changelog:
            assert message.key is not None
            _apply(Record(message.key, message.value), store)
        in_state = self.offset if changelog else None
        await asyncio.sleep(0)
        self.answered_offset = self.offset
        return in_state

    def published(self) -> Published:
        decisions: dict[str, list[bytes]] = defaultdict(list)
        dead_letters: list[int] = []
        states: dict[str, Lead] = {}
        for message in self.messages:
            lead_id, value = (message.key or b"").decode(), message.value or b""
            if message.topic == self.settings.routing_topic:
                decisions[lead_id].append(value)
            elif message.topic == self.settings.dead_letter_topic:
                dead_letters.append(int(dict(message.headers)["dlq-offset"] or b""))
            elif message.key != POSITION_KEY:
                states[lead_id] = decode_lead(lead_id, value)
        return Published(dict(decisions), dead_letters, states, self.offset)


class Reader(Consumer):
    """Gives what comes from the offset to which the worker seeks."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster
        self._position = 0
        self._paused = True

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._position = offset

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused = True

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused = False

    async def committed(self, partition: TopicPartition) -> int:
        self._cluster.steps.append("ask for the offset")
        return self._cluster.answered_offset

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def feed(self, worker: PartitionWorker) -> None:
        if not self._paused and worker.state is State.RUNNING:
            worker.offer(INPUT[self._position :])
            self._position = len(INPUT)


class Owner:
    """Notes what is reported."""

    def __init__(self) -> None:
        self.reports: list[object] = []

    def fenced(self, worker: PartitionWorker) -> None:
        self.reports.append("fenced")

    def failed(self, error: BaseException) -> None:
        self.reports.append(error)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """An empty one."""
    return Cluster(load_settings(None, rules=tmp_path, max_records=BATCH, linger_ms=0))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> Callable[[], list[object]]:
    """Let a worker process the input to its end, or until the worker ends itself. Returns what its owner heard."""

    async def scenario() -> list[object]:
        reader, owner = Reader(cluster), Owner()
        processor = BatchProcessor(cluster.settings, RULES.assess, lambda: NOW)
        metrics = Metrics()
        watch = Watch(cluster.settings, metrics)
        context = WorkerContext(cluster.settings, processor, metrics, lambda store, partition: [], lambda: RULES, watch)
        worker = PartitionWorker(PARTITION, reader, owner, context)
        deadline = asyncio.get_running_loop().time() + 20
        while worker.next_offset < len(INPUT) and not worker.task.done():
            assert asyncio.get_running_loop().time() < deadline, "the worker does not get to the end of the input"
            reader.feed(worker)
            await asyncio.sleep(0)
        worker.close()
        await asyncio.wait([worker.task])
        return owner.reports

    def run() -> list[Any]:
        return asyncio.run(scenario())

    monkeypatch.setattr(worker_module, "partition_producer", cluster.producer)
    monkeypatch.setattr(worker_module, "restore", cluster.restore)

    async def unchanged(*_: object) -> None:
        """The input is the same log."""

    monkeypatch.setattr(recovery, "check_input", unchanged)
    monkeypatch.setattr(worker_module, "_FIRST_PAUSE", 0.001)
    return run


def test_the_input_shows_what_goes_wrong() -> None:
    """Each batch has decisions and dead letters, and later ones decide about leads that are known already."""
    for end in range(BATCH, len(INPUT) + 1, BATCH):
        before, after = expected(INPUT[: end - BATCH]), expected(INPUT[:end])
        assert before.decisions != after.decisions
        assert len(before.dead_letters) < len(after.dead_letters)
    assert all(len(decisions) > 1 for decisions in expected(INPUT).decisions.values())


def test_fences_then_restores_then_asks_for_the_offset(cluster: Cluster, run: Callable[[], list[object]]) -> None:
    assert run() == []
    assert cluster.steps[:4] == ["fence", "restore", "ask for the offset", "commit"]
    assert cluster.published() == expected(INPUT)


@pytest.mark.parametrize(
    "endings",
    [
        ["aborted"],
        ["committed", "aborted", "aborted"],
        ["answer lost"],
        ["committed", "committed", "answer lost", "aborted"],
        ["request lost", "committed", "request lost"],
        ["aborted", "request lost", "aborted", "answer lost", "aborted"],
    ],
    ids=", ".join,
)
def test_everything_is_published_once(cluster: Cluster, run: Callable[[], list[object]], endings: list[Ending]) -> None:
    cluster.endings = endings
    assert run() == []
    assert cluster.published() == expected(INPUT)


def test_a_fenced_worker_does_nothing_more(cluster: Cluster, run: Callable[[], list[object]]) -> None:
    cluster.endings = ["committed", "fenced"]
    assert run() == ["fenced"]
    assert cluster.steps.count("commit") == 2
    assert cluster.steps.count("fence") == 1, "it took the partition away from the next owner"
    assert cluster.published() == expected(INPUT[:BATCH])


def test_a_commit_of_the_former_owner_counts_if_it_arrives_before_the_fencing(
    cluster: Cluster, run: Callable[[], list[object]]
) -> None:
    processor = BatchProcessor(cluster.settings, RULES.assess, lambda: NOW)
    outbox, _ = processor.process(INPUT[:BATCH], LeadStore())
    cluster.in_flight = outbox.messages, outbox.next_offset
    assert run() == []
    assert cluster.published() == expected(INPUT)
