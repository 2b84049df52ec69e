"""Attacks on the running service, each of which once stopped it or slowed it down for everyone."""

import gzip
import random
import resource
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scorer.runtime.settings import Settings
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from tests.brokers.marks import embedded_only
from tests.factory import evaluator
from tests.faults.group import wait_until_processed
from tests.fuzz.watch import memory
from tests.golden.mixed_activities import FakeRecord
from tests.integration.activities import NOW, START, event, stream, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import Service, service
from tests.integration.test_unpacked_records import SHORTENED, write_packed
from tests.security.test_http_exhaustion import connections

UNPACKED = 120_000_000
PACKED = 122_000
GROWTH = 3 * UNPACKED
"""Bytes: the copies of the value that the client makes when it unpacks a batch."""
IDLE = 1_050
DESCRIPTORS = 1_024
EVENTS = 2_000
LEADS = 10_000
BYTES_A_LEAD = 500
"""With the id, after one page view; docs/capacity.md has 670 for an ordinary lead."""


def test_a_record_of_122_kb_that_unpacks_to_120_mb_costs_itself_alone(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    kafka.create({names.activity: 1})
    value = b"[" * UNPACKED
    assert len(gzip.compress(value)) < PACKED
    with service(kafka, names, tmp_path) as running:
        before = memory(running.process.pid, "VmHWM")
        kafka.write(names.activity, [good(1)])
        write_packed(kafka, names.activity, value, 1)
        kafka.write(names.activity, [good(2)])
        decisions = kafka.read(names.routing, at_least=2)
        (letter,) = kafka.read(names.dead_letters, at_least=1)
        headers = dict(letter.headers)
        assert (headers["dlq-offset"], headers["dlq-reason"]) == (b"1", b"too_large")
        assert (letter.value, headers["dlq-length"]) == (value[:SHORTENED], b"%d" % UNPACKED)
        assert [decision.key for decision in decisions] == [b"lead-1", b"lead-2"]
        assert memory(running.process.pid, "VmHWM") - before < GROWTH
        assert "partition_reopened" not in running.text()
        assert running.terminate() == 0


def good(number: int) -> Record:
    """An activity that leads to a decision."""
    return structured(event(f"lead-{number}", number, "lead.demo_requested", {}, START))


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """This process may have more descriptors than the service."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 4 * IDLE else 4 * IDLE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@embedded_only
@pytest.mark.usefixtures("many_descriptors")
def test_idle_connections_take_nothing_from_scoring(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    records = stream(2 * EVENTS, leads=200, seed=5)
    with service(kafka, names, tmp_path) as running:
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        process = psutil.Process(running.process.pid)
        usual = cost(kafka, names, running, process, records[:EVENTS])
        logged = len(running.text())
        with connections(int(running.address.rpartition(":")[2]), IDLE, b"") as made:
            # A full backlog is the right answer to some of them.
            assert len(made) > IDLE / 2
            flooded = cost(kafka, names, running, process, records[EVENTS : 2 * EVENTS])
            assert process.num_fds() < DESCRIPTORS / 2
            assert running.get("/health/live")[0] == 200
        # The processor time counts, since the time on the clock depends on the other processes of the machine.
        assert flooded < 2 * usual, f"{flooded:.2f} s of the processor, and {usual:.2f} s without the connections"
        assert len(running.text()) - logged < 20_000
        assert running.terminate() == 0


def cost(kafka: Kafka, names: Names, running: Service, process: psutil.Process, records: list[Record]) -> float:
    """Seconds of the processor that the service takes for these records."""
    before = sum(process.cpu_times()[:2])
    kafka.write(names.activity, records)
    wait_until_processed(kafka, names, [running])
    return sum(process.cpu_times()[:2]) - before


def test_lead_ids_that_somebody_makes_up_cost_few_bytes_each() -> None:
    rules = evaluator()
    processor = BatchProcessor(Settings(_env_file=None, group="g"), rules.assess, lambda: NOW)
    store = LeadStore(0)
    ids = random.Random(3)

    def batch() -> list[FakeRecord]:
        made = []
        for number in range(1_000):
            lead_id = str(uuid.UUID(int=ids.getrandbits(128)))
            record = structured(event(lead_id, number, "lead.page_viewed", {"url": "/pricing"}, START))
            made.append(FakeRecord("a", 0, number, NOW // 1000, record.key, record.value, record.headers))
        return made

    def handle(batches: int) -> None:
        for _ in range(batches):
            processor.process(batch(), store)
            store.commit()

    # What is remembered for all leads together is full after these.
    handle(3)
    tracemalloc.start()
    try:
        handle(LEADS // 1_000)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(store) == LEADS + 3_000
    assert grown / LEADS < BYTES_A_LEAD
