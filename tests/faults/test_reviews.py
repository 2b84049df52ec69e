"""Reviews and ticks when workers die or stop, and while the input itself is held up: each due review is published once,
by the present owner of its partition, and what is published is what the log and the rules say."""

import asyncio
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import Final

import pytest
from aiokafka import AIOKafkaProducer

from scorer.sources.tick import is_tick
from tests.brokers.marks import fencing
from tests.factory import ruleset_folder
from tests.faults.cooling import COOLING_RULES, TICKING, check_cooled, create_topics, finish
from tests.faults.group import evict, members, positions, wait_until_processed
from tests.faults.load import Load
from tests.faults.oracle import check_exactly_once, wait_until_reviewed
from tests.faults.sizes import EVERY_POINT, OPEN_SECONDS, randomness
from tests.faults.test_former_owner import is_stopped
from tests.integration.activities import event, structured
from tests.integration.kafka import DEADLINE, Kafka, Names, Record
from tests.integration.service import service

POINTS: Final = (
    ("begun", "sent", "offsets_sent", "committed", "restoring", "fenced")
    if EVERY_POINT
    else ("begun", "offsets_sent", "restoring")
)
SLOWLY: Final = """
ruleset: slowly
ratings: {warm: 10, hot: 20}
publish: {score_step: 5}
rescore: {per_second: 50}
signals: {trial: {activity: trial_started, points: 12, window: 30d}}
scoring:
  recency:
    rules:
      - {id: now, when: {days_since.last_activity: {lt: 0.000004}}, points: 12}
      - {id: just, when: {days_since.last_activity: {lt: 0.00001}}, points: 6}
routing:
  - {id: hot, when: {rating: hot}, route: sales, queue: inside-sales}
  - {id: rest, route: nurture}
"""
"""A lead cools twice within a second of silence. Workers take their time for it, in many transactions."""
COOLED: Final = 1.0
LEADS: Final = 120


def trials(numbers: Iterator[int], leads: int = LEADS) -> list[Record]:
    """An activity of each lead, which happens now."""
    now = time_ns() // 1000
    return [structured(event(f"lead-{lead}", next(numbers), "lead.trial_started", {}, now)) for lead in range(leads)]


@fencing
def test_each_review_is_published_once_with_kills_at_every_step(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "rules", SLOWLY)
    settings = {"rules": str(rules), "tick_seconds": "1"}
    numbers = count()
    create_topics(kafka, names, 2)
    for point in POINTS:
        # All leads are due when the last ones arrive, which brings the time.
        kafka.write(names.activity, trials(numbers))
        sleep(COOLED)
        kafka.write(names.activity, trials(numbers, leads=8))
        dying = f"{point}:{1 if point in ('restoring', 'fenced') else 4}:kill"
        with service(kafka, names, tmp_path, ready=False, fault_point=dying, **settings) as worker:
            assert worker.process.wait(DEADLINE) == -9, worker.text()
        evict(kafka, names)
    with service(kafka, names, tmp_path, ready=True, **settings) as worker:
        reached = wait_until_reviewed(kafka, names, [worker], rules=rules)
        assert worker.terminate() == 0
    output = check_exactly_once(kafka, names, rules=rules, reached=reached)
    assert output.by_time > LEADS


@fencing
def test_the_heir_of_a_worker_that_stops_over_a_due_instant_publishes_it_once(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    """The former owner has decided already, but not committed. When it continues, nobody takes its decision."""
    rules = ruleset_folder(tmp_path / "rules", SLOWLY)
    settings = {"rules": str(rules), "tick_seconds": "1"}
    numbers = count()
    create_topics(kafka, names, 2)
    kafka.write(names.activity, trials(numbers))
    sleep(COOLED)
    # The first transactions have the activities, all later ones only reviews and ticks.
    with service(kafka, names, tmp_path, ready=False, fault_point="offsets_sent:8:stop", **settings) as zombie:
        zombie.wait(lambda: is_stopped(zombie))
        decided = len(kafka.read(names.routing))
        assert LEADS < decided < 3 * LEADS
        deadline = monotonic() + DEADLINE
        while members(kafka, names):
            assert monotonic() < deadline
            sleep(0.1)
        with service(kafka, names, tmp_path, ready=True, **settings) as heir:
            wait_until_reviewed(kafka, names, [heir], rules=rules)
            zombie.process.send_signal(signal.SIGCONT)
            kafka.write(names.activity, trials(numbers))
            wait_until_processed(kafka, names, [zombie, heir])
            zombie.wait(zombie.ready)
            reached = wait_until_reviewed(kafka, names, [zombie, heir], rules=rules)
            assert heir.terminate() == 0
            assert zombie.terminate() == 0
    check_exactly_once(kafka, names, rules=rules, reached=reached)


@fencing
@pytest.mark.timeout(180 + 2 * OPEN_SECONDS)
def test_a_transaction_of_others_that_stays_open_in_the_input_changes_no_decision(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    """Its records hold up all later ones, ticks too. They arrive when the broker got them, not when they were
    committed. So the reviews that became due meanwhile are those that everybody computes."""
    load = Load(randomness(), leads=200, live=True)
    create_topics(kafka, names, 2)
    kafka.write(names.activity, load.take(300))

    async def transaction(*, commits: bool) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap,
            transactional_id=f"{names.prefix}-upstream",
            transaction_timeout_ms=(OPEN_SECONDS + 60) * 1000,
        )
        await producer.start()
        try:
            await producer.begin_transaction()
            for record in load.take(100):
                await producer.send(names.activity, record.value, key=record.key, headers=list(record.headers))
            await producer.flush()
            for _ in range(4):
                await asyncio.sleep(OPEN_SECONDS / 4)
                await asyncio.to_thread(kafka.write, names.activity, load.take(50))
            held_up = await asyncio.to_thread(positions, kafka, names)
            assert held_up.behind > 0
            await (producer.commit_transaction() if commits else producer.abort_transaction())
        finally:
            await producer.stop()

    with service(kafka, names, tmp_path, ready=True, **TICKING) as worker:
        wait_until_reviewed(kafka, names, [worker], rules=COOLING_RULES)
        for commits in (True, False):
            asyncio.run(transaction(commits=commits))
            wait_until_processed(kafka, names, [worker])
        reached = finish(kafka, names, [worker])
    check_cooled(kafka, names, reached)
    assert any(is_tick(record.value) for record in kafka.read(names.activity))
