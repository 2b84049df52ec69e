"""The tick: it brings time into the log of a partition, and nothing else."""

from collections.abc import Sequence
from typing import Literal

import msgspec
import pytest
from aiokafka import ConsumerRecord

from scorer.domain.instant import DAY, HOUR, MINUTE
from scorer.domain.lead import Lead
from scorer.kafka.access import NEEDS
from scorer.kafka.denied import Operation
from scorer.runtime.settings import Settings
from scorer.sources.arrival import arrival_of, log_time_after
from scorer.sources.cloudevents import parse_record
from scorer.sources.own_events import OwnEvents
from scorer.sources.rejected import Rejected
from scorer.sources.tick import TICK_TYPE, is_tick, tick
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from tests.factory import activity, evaluator
from tests.unit.test_batch import record as of_lead

NOW = 21_000 * DAY
SETTINGS = Settings(_env_file=None, group="g")
APPENDED, CREATED = 1, 0


def record(value: bytes, at: int, kind: int = APPENDED, offset: int = 0) -> "ConsumerRecord[bytes, bytes]":
    """A record of `lead-1` with a timestamp, in microseconds since the epoch."""
    return ConsumerRecord("in", 3, offset, at // 1000, kind, b"lead-1", value, None, 6, len(value), ())


def times(records: "Sequence[ConsumerRecord[bytes, bytes]]", log_time: int | None = None) -> list[int | None]:
    """The time of the log after each record."""
    found = []
    for each in records:
        log_time = log_time_after(log_time, each)
        found.append(log_time)
    return found


@pytest.mark.parametrize("lead_id", ["lead-1", 'a"\\b', "ä" * 256, "\U0001f600" * 256])
def test_a_tick_is_an_event_about_a_lead_and_is_recognised(lead_id: str) -> None:
    value = tick(lead_id)
    assert is_tick(value)
    event = parse_record(value, lead_id.encode(), (), NOW)
    assert (event.type, event.lead_id) == (TICK_TYPE, lead_id)


@pytest.mark.parametrize("value", [tick("a"), b" " + tick("a"), b"[" + tick("a") + b"]"])
def test_a_tick_in_a_topic_of_other_senders_is_ignored(value: bytes) -> None:
    """As in a mirror of the input of another scorer."""
    (outcome,) = OwnEvents().outcomes(value, (), NOW, 1 << 20)
    assert (outcome.ignored, outcome.activities) == ("tick", ())


@pytest.mark.parametrize("source", ["/crm", "/lead-scorer/", "tick"])
def test_nobody_else_can_send_events_of_the_type_of_ticks(source: str) -> None:
    value = tick("a").replace(b'"/lead-scorer"', msgspec.json.encode(source))
    with pytest.raises(Rejected) as refused:
        parse_record(value, b"a", (), NOW)
    assert refused.value.reason == "invalid_attribute"
    (outcome,) = OwnEvents().outcomes(b"[" + value + b"]", (), NOW, 1 << 20)
    assert outcome.rejected is not None


@pytest.mark.parametrize("value", [None, b"", b"{}", b" " + tick("a"), tick("a")[:-1], tick("a") + b" " * 2_000])
def test_nothing_else_is_a_tick(value: bytes | None) -> None:
    assert not is_tick(value)


def test_a_release_that_knows_no_ticks_does_nothing_with_them() -> None:
    """It reads a tick as an activity."""
    rules = evaluator()
    before = rules.assess(Lead("lead-1"), activity("demo_requested")).lead
    after = rules.assess(before, parse_record(tick("lead-1"), b"lead-1", (), NOW))
    assert list(after.decisions) == []
    assert after.lead == before


def test_a_tick_moves_the_offset_and_the_time_of_the_log_and_publishes_nothing() -> None:
    def judge(*_: object) -> object:
        raise AssertionError

    store = LeadStore()
    ticks = [record(tick("lead-1"), NOW + number, offset=number) for number in (0, 5000)]
    outbox, figures = BatchProcessor(SETTINGS, judge, lambda: 0).process(ticks, store)  # type: ignore[arg-type]
    assert (outbox.next_offset, outbox.messages, outbox.log_time) == (5001, [], NOW + 5000)
    assert (figures.ticks, figures.activities, figures.dead_letters) == (2, {}, {})


def test_the_time_of_the_log_is_the_brokers_and_never_goes_back() -> None:
    page = of_lead(0, "lead-1").value or b""
    records = [record(page, NOW), record(page, NOW + HOUR), record(page, NOW + MINUTE), record(tick("a"), NOW)]
    assert times(records) == [NOW, NOW + HOUR, NOW + HOUR, NOW + HOUR]
    assert arrival_of(records[2], NOW + HOUR, NOW) == NOW + HOUR


def test_without_a_timestamp_of_the_broker_the_latest_tick_counts() -> None:
    page = of_lead(0, "lead-1").value or b""
    records = [record(page, NOW + DAY, CREATED), record(tick("a"), NOW, CREATED), record(page, NOW + DAY, CREATED)]
    assert times(records) == [None, NOW, NOW]
    before, _, after = records
    assert arrival_of(before, None, NOW) is None
    # An old event arrives at the tick; a later one was written after it.
    assert arrival_of(after, NOW, NOW - DAY) == NOW
    assert arrival_of(after, NOW, NOW + HOUR) == NOW + HOUR


@pytest.mark.parametrize("milliseconds", [-1, 253_402_300_800_000, (1 << 63) - 1])
def test_a_timestamp_that_is_no_time_is_none(milliseconds: int) -> None:
    assert times([record(tick("a"), milliseconds * 1000, CREATED)]) == [None]


def test_activities_arrive_at_the_time_of_the_log_that_the_partition_had() -> None:
    """It is known after a restart, too."""
    arrivals: list[object] = []
    rules = evaluator()

    def judge(lead: Lead, event: object, arrival: object, change: object) -> object:
        arrivals.append(arrival)
        return rules.assess(lead, event)  # type: ignore[arg-type]

    store = LeadStore()
    store.log_time = NOW + HOUR
    page = of_lead(0, "lead-1").value or b""
    records = [record(page, NOW, offset=0), record(page, NOW + DAY, offset=1)]
    outbox, _ = BatchProcessor(SETTINGS, judge, lambda: NOW).process(records, store)  # type: ignore[arg-type]
    assert arrivals == [NOW + HOUR, NOW + DAY]
    assert outbox.log_time == NOW + DAY


@pytest.mark.parametrize(
    ("seconds", "null_keys", "required"),
    [(60, "dead_letter", False), (0, "dead_letter", None), (0, "rekey", True), (60, "rekey", True)],
)
def test_only_a_service_that_writes_into_the_input_wants_the_permission(
    seconds: int, null_keys: Literal["dead_letter", "rekey"], required: bool | None
) -> None:
    """None: it does not want it. The service works without ticks, so they do not require it."""
    given = Settings(_env_file=None, group="g", tick_seconds=seconds, null_keys=null_keys)
    found = [
        need.required
        for need in NEEDS["run"](given)
        if (need.name, need.operation) == (given.activity_topic, Operation.WRITE)
    ]
    assert found == ([] if required is None else [required])
