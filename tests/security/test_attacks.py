"""Attacks on the running service, each of which once stopped it or slowed it down for everyone."""

import gzip
import json
import random
import resource
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scorer.domain.instant import DAY
from scorer.runtime.settings import Settings
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from tests.brokers.marks import embedded_only
from tests.factory import SMALL_RULES, evaluator, ruleset_folder
from tests.faults.group import wait_until_processed
from tests.fuzz.watch import memory
from tests.golden.mixed_activities import FakeRecord
from tests.integration.activities import NOW, START, event, stream, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import Service, service
from tests.integration.test_record_limits import check, expected, one_partition, processed
from tests.integration.test_unpacked_records import SHORTENED, write_packed
from tests.security.test_http_exhaustion import connections
from tests.unit.test_evidence import NAMES

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

COUNTING = "{activity: page_viewed, points: 1, daily_cap: 100, max_points: 20, window: 730d}"
TECHNOLOGIES = "".join(
    f"      - {{id: uses-{number}, when: {{profile.technologies: {{contains: {json.dumps(name)}}}}}, points: 1}}\n"
    for number, name in enumerate(NAMES)
)
GREEDY_RULES = SMALL_RULES.replace("signals:\n", f"signals:\n  seen: {COUNTING}\n  viewed: {COUNTING}\n").replace(
    "scoring:\n", f"scoring:\n  technologies:\n    hit_policy: sum\n    rules:\n{TECHNOLOGIES}"
)


def facts(events: int, text: str) -> list[Record]:
    """Changes of a profile, each with 64 custom facts that no rules declare, under names that it alone has."""
    stated = [{f"fact_{number}_{name}": text for name in range(64)} for number in range(events)]
    return [
        structured(event("greedy", number, "lead.profile_updated", {"custom": custom}, START + number * DAY // 100))
        for number, custom in enumerate(stated)
    ]


def robot() -> list[Record]:
    """144 page views a day for 30 days."""
    return [
        structured(event("greedy", number, "lead.page_viewed", {"url": "/pricing"}, START + number * DAY // 144))
        for number in range(144 * 30)
    ]


def technologies() -> list[Record]:
    """One event, whose list is evidence for 64 rules."""
    return [structured(event("greedy", 1, "lead.profile_updated", {"technologies": NAMES}, START))]


@pytest.mark.parametrize(
    ("records", "largest_state", "largest_decision"),
    [
        (facts(9, "x" * 2_000), 1_000, 10_000),
        # The last 256 activities that state something are remembered, with 8 bytes each.
        (facts(300, "x"), 1_000 + 256 * 8, 10_000),
        # 2,000 counts of 8 bytes for each of three signals.
        (robot(), 3 * 16_000 + 2_000, 10_000),
        (technologies(), 20_000, 100_000),
    ],
    ids=["nine profiles", "many names", "robot", "evidence"],
)
def test_activities_that_are_meant_to_be_kept_take_little_room(
    kafka: Kafka, names: Names, tmp_path: Path, records: list[Record], largest_state: int, largest_decision: int
) -> None:
    rules = ruleset_folder(tmp_path / "rules", GREEDY_RULES)
    one_partition(kafka, names)
    last = structured(event("other", 1_000_000, "lead.demo_requested", {}, START))
    with service(kafka, names, tmp_path, rules=str(rules)) as running:
        processed(kafka, names, [*records, last], running)
        assert running.terminate() == 0
    wanted = expected([*records, last], evaluator(GREEDY_RULES), 1_000_000)
    assert wanted.letters == []
    assert set(wanted.states) == {"greedy", "other"}
    check(kafka, names, wanted)
    assert max(len(record.value or b"") for record in kafka.read(names.state)) < largest_state
    assert max(len(record.value or b"") for record in kafka.read(names.routing)) < largest_decision


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
