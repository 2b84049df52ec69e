"""Reviews: what is published for a lead follows from the log and the rules, whatever the worker does."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from aiokafka import ConsumerRecord
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from scorer.domain.decision import RoutingDecision, read_decision
from scorer.domain.instant import DAY, HOUR, MILLISECOND, MINUTE, SECOND, from_datetime, to_text
from scorer.domain.lead import NO_CLOCK, Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.evaluation.rule_change import RuleChange
from scorer.kafka.message import Message
from scorer.kafka.record_limits import Limit, TopicLimits
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import load_settings
from scorer.runtime.token_bucket import TokenBucket
from scorer.sources.arrival import arrival_of, log_time_after
from scorer.sources.cloudevents import parse_record
from scorer.sources.tick import is_tick, tick
from scorer.state.codec import decode_lead
from scorer.state.input_position import POSITION_KEY, InputPosition, decode_position
from scorer.state.marker import MARKER_KEY, Marker, decode_marker
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from scorer.stream.jobs.rescore import Rescorer, Sweep
from scorer.stream.jobs.review import Reviews
from scorer.stream.jobs.ticks import Ticks
from scorer.stream.jobs.turns import Turns
from scorer.stream.outbox import Outbox, position_message
from scorer.stream.recovery import _apply
from tests.factory import evaluator
from tests.unit.test_rescore import Record

MONDAY = 20_000 * DAY
SETTINGS = load_settings(None, rules=Path(__file__).parent)
TEXT = """
ruleset: cooling
ratings: {warm: 10, hot: 20}
publish: {score_step: 5}
signals: {trial: {activity: trial_started, points: 24, half_life: 30d}}
scoring: {company: {rules: [{id: large, when: {profile.employees: {gte: 250}}, points: 3}]}}
routing:
  - {id: gone, when: {days_since.last_activity: {gte: 365}}, route: discard, reason: Silent for a year}
  - {id: hot, when: {rating: hot}, route: sales, queue: inside-sales, respond_within: 4h}
  - {id: rest, route: nurture}
"""
COOLING = evaluator(TEXT)
STRICTER = evaluator(TEXT.replace("warm: 10, hot: 20", "warm: 15, hot: 23"))

Log = list["ConsumerRecord[bytes, bytes]"]


def append(
    log: Log,
    arrival: int,
    lead_id: str | None,
    time: int | None = None,
    kind: str = "trial_started",
    *,
    stamped: bool = True,
) -> None:
    """Add an activity, or a tick (no lead), which arrives then. `stamped`: by the broker."""
    number = len(log)
    if lead_id is None:
        key, value = b"lead-0", tick("lead-0")
    else:
        event = {"specversion": "1.0", "id": f"e{number}", "source": "/web", "type": f"lead.{kind}"}
        own = to_text(arrival if time is None else time)
        data = {"url": "/"} if kind == "page_viewed" else {}
        key, value = lead_id.encode(), json.dumps({**event, "subject": lead_id, "time": own, "data": data}).encode()
    log.append(
        ConsumerRecord("in", 0, number, arrival // 1000, int(stamped), key, value, None, len(key), len(value), ())
    )


def assess(
    record: Any,
    log_time: int | None,
    rules: Evaluator,
    change: RuleChange,
    leads: dict[str, Lead],
    found: dict[str, list[bytes]],
) -> None:
    """Have the activity of a record judged. Its lead and its decisions go into `leads` and `found`."""
    event = parse_record(record.value, record.key, record.headers, 1 << 60)
    lead = leads.get(event.lead_id) or Lead(event.lead_id)
    assessment = rules.assess(lead, event, arrival_of(record, log_time, event.time), change)
    leads[event.lead_id] = assessment.lead
    found[event.lead_id] += [decision.to_json() for decision in assessment.decisions]


def decided_offline(log: Log, changed_at: int | None = None) -> dict[str, list[bytes]]:
    """The decisions of each lead, by nothing but the evaluator. `changed_at`: the offset at which other rules take
    effect, when all that is due by the rules before is done."""
    leads: dict[str, Lead] = {}
    found: dict[str, list[bytes]] = defaultdict(list)
    log_time = None
    rules, change = COOLING, RuleChange(1, NO_CLOCK)
    for record in log:
        if record.offset == changed_at:
            for lead_id, lead in leads.items():
                assert log_time is not None
                done = rules.catch_up(lead, log_time, change)
                found[lead_id] += [decision.to_json() for decision in done.decisions]
                leads[lead_id] = done.lead
            rules = STRICTER
            change = RuleChange(2, log_time if leads and log_time is not None else NO_CLOCK)
        log_time = log_time_after(log_time, record)
        if is_tick(record.value):
            continue
        assess(record, log_time, rules, change, leads, found)
    for lead_id, lead in leads.items():
        if log_time is None:
            break
        found[lead_id] += [decision.to_json() for decision in rules.catch_up(lead, log_time, change).decisions]
    return {lead_id: decisions for lead_id, decisions in found.items() if decisions}


class Partition:
    """A partition with its changelog and its output, and a process that may die at any moment."""

    def __init__(self, log: Log, rules: Evaluator = COOLING) -> None:
        self.log = log
        self.rules = rules
        self.wall = MONDAY
        self.is_stamped = True
        self.changelog: dict[bytes, Message] = {}
        self.decisions: dict[str, list[bytes]] = defaultdict(list)
        self.figures = BatchFigures()
        self.offset = 0
        self.now = 0.0
        self.start()

    def start(self) -> None:
        """Start a process from the changelog, as a worker does."""
        self.store = LeadStore(100)
        for key, message in self.changelog.items():
            record = Record(key, message.value)
            record.headers = message.headers
            _apply(record, self.store)
        position = self.store.position
        self.store.log_time = None if position is None else position.log_time
        pace = TokenBucket(lambda: self.now)
        self.processor = BatchProcessor(
            SETTINGS,
            lambda lead, event, arrival, change: self.rules.assess(lead, event, arrival, change),
            lambda: MONDAY + 9_999 * DAY,
        )
        self.rescorer = rescorer = Rescorer(SETTINGS, lambda: self.rules, lambda: 0, pace, lambda: self.now)
        self.sweep = Sweep(rescorer, self.store, 0)
        self.reviews = Reviews(rescorer, self.store, 0)
        self.ticks = Ticks(SETTINGS, self.reviews, self.store, 0, lambda: self.wall, lambda: self.now)
        self.jobs = Turns([self.sweep, self.reviews, self.ticks])

    def transact(self, most: int, *, commit: bool = True, busy: bool = False) -> None:
        """Process up to so many records in one transaction."""
        batch = self.log[self.offset : self.offset + most]
        outbox, figures = Outbox(self.offset, log_time=self.store.log_time), BatchFigures()
        if batch:
            self.jobs.ready()
            outbox, figures = self.processor.process(batch, self.store)
            position = InputPosition(outbox.next_offset, None, outbox.log_time)
            outbox.messages.append(position_message(position, SETTINGS.state_topic, 0))
        elif not self.jobs.ready():
            return
        self.jobs.stage(outbox, figures, busy=busy)
        if not commit:
            self.store.discard()
            return
        for message in outbox.messages:
            assert message.key is not None
            if message.topic == SETTINGS.routing_topic:
                self.decisions[message.key.decode()].append(message.value or b"")
            elif message.topic == SETTINGS.dead_letter_topic:
                continue
            elif message.topic == SETTINGS.activity_topic:
                assert is_tick(message.value)
                assert message.timestamp is not None
                append(self.log, message.timestamp * MILLISECOND, None, stamped=self.is_stamped)
            else:
                assert message.topic == SETTINGS.state_topic
                self.changelog[message.key] = message
        self.offset = outbox.next_offset
        self.store.log_time = outbox.log_time
        self.store.commit()
        self.jobs.committed()
        self.figures.reviews.update(figures.reviews)
        self.figures.dead_letters.update(figures.dead_letters)

    def finish(self) -> None:
        """Read the rest, and do what is due."""
        while self.offset < len(self.log):
            self.transact(1000)
        while self.sweep.patience() is not None or self.reviews.patience() is not None:
            self.now += 60
            self.transact(0)

    @property
    def marker(self) -> Marker:
        message = self.changelog[MARKER_KEY]
        return decode_marker(message.value or b"", message.headers)

    @property
    def log_time(self) -> int | None:
        message = self.changelog[POSITION_KEY]
        return decode_position(message.value or b"", message.headers).log_time

    def lead(self, lead_id: str) -> Lead:
        return decode_lead(lead_id, self.changelog[lead_id.encode()].value or b"")

    def forget_times(self) -> None:
        """As a release writes it that knows no time of the log."""
        for key in (MARKER_KEY, POSITION_KEY):
            self.changelog[key] = self.changelog[key]._replace(headers=[])


def causes(decisions: Sequence[bytes]) -> list[tuple[str, str, str]]:
    """Cause, rating and instant of each."""
    found = [read_decision(decision) for decision in decisions]
    return [(decision.cause, decision.rating.value, decision.decided_at) for decision in found]


def silent(days: int) -> Log:
    """A lead that started a trial and fell silent; then a tick."""
    log: Log = []
    append(log, MONDAY, "a")
    append(log, MONDAY + days * DAY, None)
    return log


def test_a_silent_lead_cools_at_the_exact_instant() -> None:
    partition = Partition(silent(400))
    partition.finish()
    said = causes(partition.decisions["a"])
    assert [(cause, rating) for cause, rating, _ in said][:2] == [("activity", "hot"), ("time", "warm")]
    assert said[-1][2] == to_text(MONDAY + 365 * DAY)
    assert partition.decisions == decided_offline(partition.log)
    assert partition.lead("a").published is not None
    assert partition.figures.reviews["published"] == 1


def test_nothing_is_reviewed_before_the_log_says_that_it_is_time() -> None:
    partition = Partition(silent(0)[:1])
    partition.wall += 999 * DAY
    partition.finish()
    assert len(partition.decisions["a"]) == 1


def test_an_activity_that_arrives_before_a_due_instant_comes_before_its_review() -> None:
    log = silent(1)
    partition = Partition(log)
    partition.finish()
    append(log, MONDAY + 2 * DAY, "a")
    append(log, MONDAY + 60 * DAY, None)
    partition.finish()
    assert len(partition.decisions["a"]) > 2
    assert partition.decisions == decided_offline(log)


def test_a_late_clock_of_a_broker_takes_no_time_back() -> None:
    log: Log = []
    append(log, MONDAY, "a")
    append(log, MONDAY + 60 * DAY, None)
    append(log, MONDAY + 2 * DAY, "a")
    partition = Partition(log)
    partition.transact(2)
    partition.finish()
    assert partition.log_time == MONDAY + 60 * DAY
    assert causes(partition.decisions["a"])[-1][2] == to_text(MONDAY + 60 * DAY)


def test_a_review_that_changes_nothing_writes_nothing() -> None:
    partition = Partition(silent(1))
    partition.transact(1)
    before = dict(partition.changelog)
    partition.finish()
    assert partition.log_time == MONDAY + DAY
    before[POSITION_KEY] = partition.changelog[POSITION_KEY]
    assert partition.changelog == before


def test_a_restart_reads_bounds_and_judges_nobody_who_is_not_due() -> None:
    log: Log = []
    for number in range(50):
        append(log, MONDAY + number, f"lead-{number}")
    partition = Partition(log)
    partition.finish()
    partition.start()
    assert partition.reviews.complete is False
    partition.jobs.ready()
    assert partition.reviews.complete
    assert len(partition.reviews.schedule) == 50
    assert partition.reviews.patience() is None
    assert partition.store._cache is not None
    assert not partition.store._cache.all_keys()


def test_the_rate_is_bounded_and_activities_come_first() -> None:
    log: Log = []
    for number in range(300):
        append(log, MONDAY + number, f"lead-{number}")
    append(log, MONDAY + 300 * DAY, None)
    partition = Partition(log)
    partition.transact(1000)
    assert partition.reviews.remaining == 300 - partition.figures.reviews.total()
    rates = []
    while (patience := partition.reviews.patience()) is not None:
        before = partition.figures.reviews.total()
        partition.now += patience
        partition.transact(0, busy=True)
        partition.transact(0)
        rates.append((partition.now, partition.figures.reviews.total() - before))
    per_second = COOLING.ruleset.rescoring.per_second
    for start, _ in rates:
        assert sum(count for at, count in rates if start <= at < start + 1) <= per_second * 1.2
    assert partition.reviews.remaining == 0
    assert partition.decisions == decided_offline(log)


def test_a_failed_commit_is_done_again_and_nothing_is_decided_twice() -> None:
    partition = Partition(silent(100))
    partition.transact(2, commit=False)
    partition.transact(2, commit=False)
    partition.finish()
    assert partition.decisions == decided_offline(partition.log)


def test_leads_of_a_failed_commit_that_brought_the_first_time_are_reviewed_later() -> None:
    log: Log = []
    append(log, MONDAY, "a", stamped=False)
    append(log, MONDAY + 100 * DAY, None)
    partition = Partition(log)
    partition.transact(1)
    partition.transact(1, commit=False)
    partition.transact(0)
    partition.finish()
    assert len(partition.decisions["a"]) > 1
    assert partition.decisions == decided_offline(log)


def test_a_lead_that_cannot_be_reviewed_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    log: Log = []
    append(log, MONDAY, "bad")
    append(log, MONDAY, "good")
    append(log, MONDAY + 100 * DAY, None)
    partition = Partition(log)
    partition.transact(2)
    whole = Evaluator.catch_up

    def failing(self: Evaluator, lead: Lead, *more: object) -> object:
        if lead.id == "bad":
            raise ArithmeticError("secret")
        return whole(self, lead, *more)  # type: ignore[arg-type]

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(Evaluator, "catch_up", failing)
        partition.finish()
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["review_failed"]
    assert partition.figures.reviews["failed"] == 1
    assert len(partition.decisions["good"]) > 1
    append(log, MONDAY + 101 * DAY + MINUTE, None)
    partition.finish()
    assert partition.decisions == decided_offline(log)


def test_a_review_that_fails_on_an_activity_costs_the_activity_and_it_can_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The activity becomes a dead letter, and the lead stays as it is."""
    log = silent(0)[:1]
    append(log, MONDAY + 100 * DAY, "a")
    append(log, MONDAY + 100 * DAY, "b")
    partition = Partition(log)
    partition.transact(1)
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(Evaluator, "review", failing)
        partition.finish()
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["internal_error", "review_failed"]
    assert partition.figures.dead_letters == {"internal_error": 1}
    assert (len(partition.decisions["a"]), len(partition.decisions["b"])) == (1, 1)
    log.append(replace(log[1], offset=3, timestamp=log[1].timestamp + 1))
    partition.finish()
    assert partition.decisions == decided_offline([log[0], log[2], log[3]])


def failing(self: Evaluator, lead: Lead, instant: int) -> Assessment:
    raise ArithmeticError("secret")


def limits_of(decision: int, state: int) -> Any:
    """Topics that accept values of at most so many bytes."""
    current = replace(TopicLimits(SETTINGS).current, decision=Limit(decision, "test"), state=Limit(state, "test"))
    return SimpleNamespace(current=current)


@pytest.mark.parametrize("together", [True, False])
def test_a_review_with_a_decision_that_is_too_large_holds_up_nobody_and_those_before_it_count(together: bool) -> None:
    """It does not matter whether they are done together. When the topic accepts them again, the rest follows."""
    log: Log = []
    append(log, MONDAY, "large")
    append(log, MONDAY, "b")
    append(log, MONDAY + 100 * DAY, None)
    expected = decided_offline(log)
    sizes = [len(decision) for decision in expected["large"]]
    limit = sizes[2] - 1
    assert sizes[1] <= limit
    assert max(len(decision) for decision in expected["b"][1:]) <= limit
    partition = Partition(log[:2])
    partition.finish()
    whole, partition.rescorer.limits = partition.rescorer.limits, limits_of(limit, 1 << 20)
    with capture_logs() as logs:
        for day in [100] if together else range(1, 101):
            append(partition.log, MONDAY + day * DAY, None)
            partition.finish()
    assert partition.decisions["b"] == expected["b"]
    assert partition.decisions["large"] == expected["large"][:2]
    assert partition.figures.reviews["too_large"] == sum(entry["event"] == "review_too_large" for entry in logs) > 0
    assert {entry.get("lead") for entry in logs if entry["log_level"] == "warning"} == {"large"}
    partition.rescorer.limits = whole
    append(partition.log, MONDAY + 101 * DAY + MINUTE, None)
    partition.finish()
    assert dict(partition.decisions) == decided_offline(partition.log)


def test_a_review_with_a_state_that_is_too_large_changes_nothing() -> None:
    partition = Partition(silent(0)[:1])
    partition.finish()
    before = dict(partition.changelog)
    # Less than the state after any of its reviews, one of which ends the promise of the hand-over.
    partition.rescorer.limits = limits_of(1 << 20, len(before[b"a"].value or b"") - 20)
    append(partition.log, MONDAY + 100 * DAY, None)
    with capture_logs() as logs:
        partition.finish()
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("review_too_large", "state_too_large")]
    assert partition.changelog[b"a"] == before[b"a"]
    assert len(partition.decisions["a"]) == 1
    assert partition.lead("a").published == decode_lead("a", before[b"a"].value or b"").published


def test_an_activity_after_a_review_that_is_too_large_is_a_dead_letter() -> None:
    """Like one whose own decision is too large: nothing is lost, and it can come again."""
    log = silent(0)[:1]
    append(log, MONDAY + 100 * DAY, "a", kind="page_viewed")
    partition = Partition(log)
    partition.transact(1)
    current = limits_of(600, 1 << 20).current
    partition.processor.limits = SimpleNamespace(current=current)  # type: ignore[assignment]
    partition.rescorer.limits = limits_of(600, 1 << 20)
    partition.finish()
    assert partition.figures.dead_letters == {"decision_too_large": 1}
    assert len(partition.decisions["a"]) == 1


def test_a_tick_is_written_when_a_lead_is_due_and_the_log_stands_still() -> None:
    partition = Partition(silent(0)[:1])
    partition.finish()
    due = partition.reviews.schedule.due("a")
    assert due is not None
    partition.wall = due * SECOND
    assert not partition.ticks.ready()
    assert partition.ticks.remaining == 0
    partition.wall += 2 * SECOND
    assert partition.ticks.remaining == 1
    assert partition.ticks.patience() == 0
    assert partition.ticks.ready()
    partition.transact(0, busy=True)
    assert len(partition.log) == 1
    partition.transact(0)
    assert is_tick(partition.log[1].value)
    # One only, even if nobody reads it, for a minute.
    partition.transact(0)
    assert len(partition.log) == 2
    partition.now += SETTINGS.tick_seconds
    partition.transact(0)
    assert len(partition.log) == 3
    partition.finish()
    partition.now += SETTINGS.tick_seconds
    assert not partition.ticks.ready()
    assert partition.ticks.remaining == 0


def test_without_a_timestamp_of_the_broker_a_tick_brings_the_time_of_the_clock_of_the_worker() -> None:
    log: Log = []
    append(log, MONDAY, "a", stamped=False)
    partition = Partition(log)
    partition.is_stamped = False
    partition.finish()
    partition.wall = MONDAY + 300 * DAY + 1_234_567
    partition.now += SETTINGS.tick_seconds
    partition.transact(0)
    partition.finish()
    assert partition.log_time == MONDAY + 300 * DAY + 1_234_000
    assert causes(partition.decisions["a"])[-1][:2] == ("time", "cold")
    assert partition.decisions == decided_offline(partition.log)


def test_a_load_of_records_that_bring_no_time_does_not_hold_up_the_ticks() -> None:
    """Without LogAppendTime."""
    log: Log = []
    append(log, MONDAY, "a")
    append(log, MONDAY, None)
    partition = Partition(log)
    partition.finish()
    partition.wall += 300 * DAY
    for number in range(4):
        partition.now += SETTINGS.tick_seconds / 2
        append(log, MONDAY + number, "b", stamped=False)
        partition.transact(1, busy=True)
    ticks = [record.offset for record in log if is_tick(record.value)]
    # After a minute in which no record brought time; the next one not before another minute.
    assert len(ticks) == 2
    partition.finish()
    assert partition.decisions == decided_offline(log)


def test_where_ticks_are_not_allowed_none_are_written_until_they_are() -> None:
    partition = Partition(silent(0)[:1])
    allowed = [False]
    ticks = Ticks(
        SETTINGS,
        partition.reviews,
        partition.store,
        0,
        lambda: MONDAY + 300 * DAY,
        lambda: partition.now,
        lambda: allowed[0],
    )
    partition.finish()
    assert not ticks.ready()
    assert ticks.patience() == SETTINGS.tick_seconds
    outbox = Outbox(1, log_time=partition.store.log_time)
    assert not ticks.stage(outbox, BatchFigures(), busy=False)
    assert outbox.messages == []
    allowed[0] = True
    assert ticks.ready()
    assert ticks.patience() == 0


def test_a_tick_that_was_not_committed_is_written_at_once() -> None:
    partition = Partition(silent(0)[:1])
    partition.finish()
    partition.wall += 400 * DAY
    partition.transact(0, commit=False)
    assert len(partition.log) == 1
    partition.transact(0)
    assert [is_tick(record.value) for record in partition.log] == [False, True]


def test_a_lead_that_is_overdue_at_a_restart_is_reviewed() -> None:
    partition = Partition(silent(400))
    # The tick is committed, and the review that it makes due is not.
    partition.transact(2, busy=True)
    partition.reviews.committed()
    assert len(partition.decisions["a"]) == 1
    assert partition.log_time == MONDAY + 400 * DAY
    partition.start()
    partition.finish()
    assert partition.decisions == decided_offline(partition.log)


def test_ticks_alone_make_a_year_of_silence_pass() -> None:
    partition = Partition(silent(0)[:1])
    partition.finish()
    for _ in range(400):
        partition.wall += DAY
        partition.now += DAY / SECOND
        partition.transact(0)
        partition.finish()
    assert causes(partition.decisions["a"])[-1][2] == to_text(MONDAY + 365 * DAY)
    assert partition.decisions == decided_offline(partition.log)
    # Nothing can happen any more, so nothing is written any more.
    count = len(partition.log)
    assert count < 100
    partition.wall += 9999 * DAY
    partition.now += 9999 * DAY / SECOND
    partition.transact(0)
    assert len(partition.log) == count


def test_without_ticks_nothing_is_written_into_the_input() -> None:
    partition = Partition(silent(0)[:1])
    off = SETTINGS.model_copy(update={"tick_seconds": 0})
    ticks = Ticks(off, partition.reviews, partition.store, 0, lambda: partition.wall + 999 * DAY, lambda: 1e9)
    partition.finish()
    assert (ticks.patience(), ticks.ready(), ticks.remaining) == (None, False, 0)


@pytest.mark.parametrize("kinds", [[], ["trial_started", "erased"], ["page_viewed"]])
def test_a_partition_in_which_time_can_change_nothing_gets_no_tick(kinds: Sequence[str]) -> None:
    """It has no lead, or none that can change by time alone any more."""
    log: Log = []
    for number, kind in enumerate(kinds):
        append(log, MONDAY + number, "a", kind=kind)
    append(log, MONDAY + 400 * DAY, None)
    partition = Partition(log)
    partition.finish()
    partition.wall += 9999 * DAY
    partition.now += 1e6
    assert partition.ticks.patience() is None
    assert not partition.ticks.ready()


def test_rules_that_change_take_effect_at_an_instant_of_the_log() -> None:
    log = silent(3)
    partition = Partition(log)
    partition.finish()
    assert partition.marker == Marker(COOLING.ruleset.revision, 1, None, NO_CLOCK)
    partition.rules = STRICTER
    append(log, MONDAY + 5 * DAY, "b")
    partition.finish()
    assert partition.marker == Marker(STRICTER.ruleset.revision, 2, None, MONDAY + 3 * DAY)
    assert causes(partition.decisions["a"])[-1] == ("rules_changed", "warm", to_text(MONDAY + 3 * DAY))
    append(log, MONDAY + 400 * DAY, None)
    partition.finish()
    said = causes(partition.decisions["a"])
    assert len(said) == len(set(said))
    assert [instant for _, _, instant in said] == sorted(instant for _, _, instant in said)
    assert said[-1][2] == to_text(MONDAY + 365 * DAY)


def test_states_of_a_release_without_time_are_reviewed_from_the_first_arrival_on() -> None:
    log = silent(3)
    partition = Partition(log)
    partition.transact(1)
    partition.forget_times()
    partition.start()
    assert partition.store.change is None
    partition.finish()
    assert (partition.marker.number, partition.marker.since) == (2, MONDAY + 3 * DAY)
    assert partition.store.change == RuleChange(2, MONDAY + 3 * DAY)
    append(log, MONDAY + 400 * DAY, None)
    partition.finish()
    assert causes(partition.decisions["a"])[-1][2] == to_text(MONDAY + 365 * DAY)


def random_log(chance: Random, stamps: Sequence[bool] = (True,)) -> Log:
    """Activities and ticks of a few leads. `stamps`: of the parts of the log."""
    log: Log = []
    arrival = MONDAY
    count = chance.randrange(1, 25)
    for number in range(count):
        arrival += chance.choice([0, SECOND, MINUTE, HOUR, DAY, 7 * DAY, 40 * DAY, 200 * DAY, -HOUR])
        lead_id = chance.choice(["lead-0", "lead-1", "lead-2", None])
        own = arrival - chance.choice([0, 0, 0, MINUTE, DAY, 90 * DAY, -HOUR])
        kind = chance.choice(["trial_started", "page_viewed", "erased", "trial_started"])
        append(log, arrival, lead_id, own, kind, stamped=stamps[number * len(stamps) // count])
    return log


def play(partition: Partition, chance: Random, until: int) -> None:
    """Process the records before this offset, with whatever may happen to a worker."""
    while partition.offset < until:
        partition.now += chance.choice([0, 0.05, 60])
        most = until - partition.offset
        match chance.randrange(6):
            case 0:
                partition.start()
            case 1:
                partition.transact(min(most, chance.randrange(5)), commit=False)
            case 2:
                partition.transact(0)
            case _:
                partition.transact(min(most, chance.randrange(1, 6)), busy=chance.random() < 0.3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32))
@example(829)
@example(6764)  # a transaction that would have made the time of the log known is aborted
def test_no_batch_size_restart_abort_or_pause_changes_what_is_published(seed: int) -> None:
    chance = Random(seed)
    # LogAppendTime, or CreateTime, or a topic that was changed from one to the other.
    log = random_log(chance, chance.choice([[True], [False], [True, False], [False, True]]))
    expected = decided_offline(log)
    for _ in range(3):
        partition = Partition(list(log))
        partition.wall = NO_CLOCK  # no ticks but those of the log
        play(partition, chance, len(log))
        partition.finish()
        assert dict(partition.decisions) == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32))
def test_nor_what_is_published_after_a_change_of_rules(seed: int) -> None:
    chance = Random(seed)
    log = random_log(chance)
    changed_at = chance.randrange(len(log) + 1)
    append(log, max(record.timestamp for record in log) * 1000 + chance.randrange(500) * DAY, None)
    expected = decided_offline(log, changed_at)
    for _ in range(3):
        partition = Partition(log[:changed_at])
        partition.wall = NO_CLOCK
        play(partition, chance, changed_at)
        partition.finish()
        partition.rules = STRICTER
        partition.log += log[changed_at:]
        play(partition, chance, len(log))
        partition.finish()
        assert dict(partition.decisions) == expected


class Change(NamedTuple):
    """A change of rules: before which offset, to which rules, as what change, and how many decisions each lead had."""

    offset: int
    rules: Evaluator
    change: RuleChange | None
    decisions: dict[str, int]


def expected_with(log: Log, changes: Sequence[Change]) -> dict[str, list[bytes]]:
    """The decisions of each lead, by nothing but the evaluator. The rules that are replaced have decided as many times
    about each lead as `changes` says."""
    leads: dict[str, Lead] = {}
    found: dict[str, list[bytes]] = defaultdict(list)
    rules, change, log_time = COOLING, RuleChange(1, NO_CLOCK), None
    waiting = list(changes)

    def catch_up(lead: Lead, most: int) -> None:
        assert log_time is not None
        done = rules.catch_up(lead, log_time, change)
        decisions = done.decisions[:most]
        if len(decisions) < len(done.decisions):
            done = rules.catch_up(lead, at(decisions[-1]), change) if decisions else Assessment(lead)
        leads[lead.id] = done.lead
        found[lead.id] += [decision.to_json() for decision in decisions]

    for record in [*log, None]:
        while waiting and (record is None or waiting[0].offset == record.offset):
            new = waiting.pop(0)
            for lead_id, count in new.decisions.items():
                if count > len(found[lead_id]):
                    catch_up(leads[lead_id], count - len(found[lead_id]))
            assert {lead_id: len(found[lead_id]) for lead_id in new.decisions} == new.decisions
            rules, change = new.rules, new.change  # type: ignore[assignment]
        if record is None:
            break
        log_time = log_time_after(log_time, record)
        if is_tick(record.value):
            continue
        assess(record, log_time, rules, change, leads, found)
    for lead in list(leads.values()):
        catch_up(lead, 1 << 30)
    return {lead_id: decisions for lead_id, decisions in found.items() if decisions}


def at(decision: RoutingDecision) -> int:
    return from_datetime(datetime.fromisoformat(decision.decided_at))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 32))
def test_rules_that_are_replaced_decide_nothing_more(seed: int) -> None:
    """Whatever of their reviews and re-scorings was done when others took effect: the log, the changes, and how many
    decisions a lead had at each of them say all that is published about it."""
    chance = Random(seed)
    log = random_log(chance)
    last = max(record.timestamp for record in log) * 1000
    for _ in range(3):
        last += chance.randrange(200) * DAY
        append(log, last, None)
    partition = Partition([])
    partition.wall = NO_CLOCK
    changes = []
    for offset in sorted(chance.randrange(len(log) + 1) for _ in range(3)):
        partition.log += log[len(partition.log) : offset]
        play(partition, chance, offset)
        for _ in range(chance.randrange(3)):
            partition.now += 0.01
            partition.transact(0)
        partition.rules = STRICTER if partition.rules is COOLING else COOLING
        decisions = {lead_id: len(found) for lead_id, found in partition.decisions.items()}
        partition.jobs.ready()
        changes.append(Change(offset, partition.rules, partition.store.change, decisions))
    partition.log += log[len(partition.log) :]
    play(partition, chance, len(log))
    partition.finish()
    assert dict(partition.decisions) == expected_with(log, changes)
    for decided in partition.decisions.values():
        said = [read_decision(decision) for decision in decided]
        assert len({decision.decision_id for decision in said}) == len(said)
        assert sorted(said, key=lambda decision: decision.decided_at) == said
