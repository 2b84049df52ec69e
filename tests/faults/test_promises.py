"""A year of hand-overs, answers, returns, wins and losses, in business time. Workers die in it, and for three days
nobody works: every broken promise is escalated once a level at its instant all the same.

The clocks of the workers are set into the year, and their ticks bring its time into the log.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from time import monotonic, sleep, time_ns
from typing import Any, Final

import pytest

from scorer.domain.instant import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from scorer.sources.tick import is_tick
from tests.brokers.marks import fencing
from tests.factory import ruleset_folder
from tests.faults.deaths import POINTS
from tests.faults.group import evict
from tests.faults.oracle import check_exactly_once, committed_output, wait_until_reviewed
from tests.faults.promises import escalation_differences, plans_of
from tests.faults.sizes import PROMISE_LEADS, PROMISE_PERIODS, randomness
from tests.integration.activities import event, structured
from tests.integration.kafka import DEADLINE, Kafka, Names, Record
from tests.integration.service import Service, service
from tests.plain_time import OfficeHours

RULES: Final = """
ruleset: a-year
ratings: {warm: 10, hot: 20}
publish: {score_step: 5}
calendar: {zone: Europe/Berlin, days: [mon-fri], hours: 09:00-18:00, holidays: DE-BY}
lifecycle:
  phases: {contact: [Working], offer: [Proposal], close: [Signed]}
  categories: [{id: customer, when: {lifecycle.status: won}}, {id: active, when: {rating: hot}}, {id: base}]
  actions: {meeting: {activity: meeting_held}}
signals:
  trial: {activity: trial_started, points: 24, half_life: 20d, window: 90d}
  visit: {activity: page_viewed, points: 3, half_life: 10d, max_points: 15, window: 60d}
scoring:
  idle: {rules: [{id: idle, when: {lifecycle.status: handed_over, days_in.status: {gte: 12.5}}, points: -3}]}
routing:
  - {id: sold, when: {lifecycle.status: won, days_in.status: {lt: 60}}, route: nurture, queue: care}
  - {id: lost, when: {lifecycle.status: lost, days_in.status: {lt: 30}}, route: nurture, queue: win-back}
  - {id: returned, when: {lifecycle.status: returned, score.since_return: {lt: 15}}, route: nurture, queue: back}
  - {id: hot, when: {rating: hot}, route: sales, queue: sales, respond_within: 4h,
     escalate: [{after: 4h, queue: team-lead}, {after: 1d, queue: head-of-sales}]}
  - {id: rest, route: nurture}
"""
OFFICE: Final = OfficeHours(((9, 18),))
START: Final = 20_089 * DAY
"""2025-01-01, so that the year is over."""
YEAR: Final = 365 * DAY
_LATE: Final = (0, 0, 0, 0, MINUTE, 5 * DAY)


def year(random: Random, leads: int) -> list[tuple[int, Record]]:
    """Activities with the time at which each is written, in that order."""
    numbers = count()
    written: list[tuple[int, Record]] = []
    for lead in range(leads):
        for time, kind, data in _life(random):
            at = time + random.choice(_LATE)
            record = structured(event(f"lead-{lead}", next(numbers), f"lead.{kind}", data, time))
            # A worker whose clock disagrees with that of most senders writes no ticks.
            record = record._replace(timestamp=at // MILLISECOND)
            written += [(at, record)] * random.choice((1, 1, 1, 2))
    return sorted((each for each in written if each[0] < START + YEAR), key=lambda each: each[0])


def _life(random: Random) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """What a lead does, and what sales does with it."""
    time = START + random.randrange(60 * DAY)
    while time < START + YEAR:
        for _ in range(random.randint(0, 3)):
            yield time, "page_viewed", {"url": "/"}
            time += random.randrange(2 * DAY)
        yield time, "trial_started", {}
        time += random.choice((0, 10 * MINUTE, 3 * HOUR, 12 * HOUR, 2 * DAY, 9 * DAY))
        kind = random.choice(("sales_accepted", "call_logged", "meeting_held", "stage_changed", "silence", "silence"))
        if kind != "silence":
            needed = {"call_logged": {"outcome": "reached"}, "stage_changed": {"stage": "Working"}}
            yield time, kind, needed.get(kind, {})
        time += random.randrange(12 * DAY)
        for stage in ("Working", "Proposal", "Signed")[: random.randint(0, 3)]:
            yield time, "stage_changed", {"stage": stage}
            time += random.randrange(6 * DAY)
        end = random.choice(("sales_returned", "opportunity_won", "opportunity_lost", "none", "erased"))
        if end != "none":
            yield time, end, {"value": 4000} if end == "opportunity_won" else {}
        time += random.randrange(5 * DAY, 90 * DAY)


def periods(random: Random, parts: int) -> list[int]:
    """The ends of the parts of the year. One of the parts is the outage of three days."""
    # Only then does every lead live, so that each part has something due.
    ends = sorted(random.sample(range(61, 360), parts - 1))
    outage = random.choice(ends)
    return sorted({*(START + end * DAY for end in ends), START + (outage + 3) * DAY, START + YEAR})


def ticked(kafka: Kafka, names: Names, since: int) -> set[int]:
    """The partitions whose ticks bring this time."""
    return {
        record.partition
        for record in kafka.read(names.activity)
        if is_tick(record.value) and record.timestamp * MILLISECOND >= since
    }


@fencing
@pytest.mark.timeout(180 + 30 * PROMISE_PERIODS)
def test_every_broken_promise_of_a_year_is_escalated_once_at_its_instant(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    random = randomness()
    rules = ruleset_folder(tmp_path / "rules", RULES)
    # The broker deletes what is older than its retention.
    kafka.create({names.activity: 2}, {"message.timestamp.type": "CreateTime", "retention.ms": "-1"})
    kafka.create({names.state: 2, names.routing: 2, names.dead_letters: 1})
    activities, begin = year(random, PROMISE_LEADS), START

    def clock(at: int) -> dict[str, Any]:
        return {"rules": str(rules), "tick_seconds": "1", "fault_clock": str((at - time_ns() // 1000) / SECOND)}

    def live_until(worker: Service, end: int) -> None:
        """Let the worker live until its ticks bring this time. It may die before. Then it is dead."""
        deadline = monotonic() + DEADLINE
        while worker.process.poll() is None and not ticked(kafka, names, end):
            assert monotonic() < deadline, f"no tick within {DEADLINE} s:\n{worker.text()}"
            sleep(0.1)
        worker.process.kill()
        assert worker.process.wait() == -9, worker.text()

    for number, end in enumerate(periods(random, PROMISE_PERIODS)):
        kafka.write(names.activity, [record for at, record in activities if begin <= at < end])
        begin = end
        dying = f"{POINTS[number % len(POINTS)]}:{1 if number % len(POINTS) > 3 else random.randint(2, 9)}:kill"
        settings = {"max_records": str(random.choice((10, 50))), "fault_point": dying}
        with service(kafka, names, tmp_path, ready=False, **(clock(end) | settings)) as worker:
            live_until(worker, end)
        evict(kafka, names)
        if not ticked(kafka, names, end):
            with service(kafka, names, tmp_path, ready=False, **clock(end)) as worker:
                live_until(worker, end)
            evict(kafka, names)
        assert ticked(kafka, names, end)
    with service(kafka, names, tmp_path, ready=True, **clock(START + YEAR + 30 * DAY)) as worker:
        # Some leads of each partition are due in the month after the year.
        worker.wait(lambda: len(ticked(kafka, names, START + YEAR + 30 * DAY)) == 2)
        reached = wait_until_reviewed(kafka, names, [worker], rules=rules)
        assert worker.terminate() == 0
    output = check_exactly_once(kafka, names, rules=rules, reached=reached)
    decisions = committed_output(kafka, names).decisions
    plans = plans_of(rules, OFFICE)
    problems, escalations = escalation_differences(kafka.read(names.activity), decisions, plans, reached, 5 * MINUTE)
    print(f"{len(activities)} activities, {escalations} escalations, {output.by_time} decisions by time")  # noqa: T201
    assert problems == []
    assert escalations > PROMISE_LEADS / 2
