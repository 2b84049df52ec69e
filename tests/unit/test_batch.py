"""A batch of records: what it publishes, and that a bad record costs only itself."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from aiokafka import ConsumerRecord

from scorer.dlq.dead_letter import SHORTENED
from scorer.domain.activity import LeadActivity
from scorer.domain.effects import Decided
from scorer.domain.facts import Fact, Stamp
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.evaluation.results import Assessment
from scorer.kafka.client_internals import record_size
from scorer.kafka.message import Message
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.sizes import LETTER_OVERHEAD, SMALLEST_LETTERS, whole_bytes
from scorer.kafka.topic_admin import Topic
from scorer.runtime.settings import Settings, load_settings
from scorer.sources.cloudevents import parse_record
from scorer.state.codec import encode_lead
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from scorer.stream.too_large import Trim, untrimmed
from tests.factory import activity as made
from tests.factory import evaluator

NOW = 21_000 * DAY
DECISION = evaluator().assess(Lead("lead-1"), made("demo_requested")).decision


def record(offset: int, lead_id: str, value: bytes | None = None) -> "ConsumerRecord[bytes, bytes]":
    """A page view, or a record with the given value."""
    event = {
        "specversion": "1.0",
        "id": f"e{offset}",
        "source": "/web",
        "type": "lead.page_viewed",
        "time": "2026-02-01T10:00:00Z",
        "subject": lead_id,
        "data": {"url": "/"},
    }
    body = json.dumps(event).encode() if value is None else value
    return ConsumerRecord("in", 3, offset, 1000, 0, lead_id.encode(), body, None, 1, len(body), ())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The default settings."""
    return load_settings(None, rules=tmp_path)


def touch(lead: Lead, activity: LeadActivity, *_: object) -> Assessment:
    """Records the activity. It fails for the lead `broken`, and the lead `unwritable` cannot be encoded."""
    if lead.id == "broken":
        raise ZeroDivisionError(f"secret of {lead.id}")
    value: object = object() if lead.id == "unwritable" else activity.id
    fact = Fact(value, Stamp(activity.time, activity.id, activity.source))
    return Assessment(Lead(lead.id, activity.time, {**lead.facts, "last": fact}))


def test_a_lead_is_written_once_per_batch_with_its_last_state(settings: Settings) -> None:
    store = LeadStore()
    processor = BatchProcessor(settings, touch, lambda: NOW)
    outbox, figures = processor.process([record(0, "a"), record(1, "b"), record(2, "a")], store)
    assert outbox.next_offset == 3
    assert [(message.topic, message.partition, message.key) for message in outbox.messages] == [
        (settings.state_topic, 3, b"a"),
        (settings.state_topic, 3, b"b"),
    ]
    assert outbox.messages[0].headers == [("offset", (2).to_bytes(8, "big"))]
    assert figures.activities == {"lead.page_viewed": 3}
    assert len(store) == 0
    assert store.get("a").value("last") == "e2"
    store.commit()
    assert len(store) == 2
    assert outbox.messages[0].value == encode_lead(store.get("a"))


def test_discarded_leads_keep_their_former_state(settings: Settings) -> None:
    store = LeadStore()
    processor = BatchProcessor(settings, touch, lambda: NOW)
    processor.process([record(0, "a")], store)
    store.commit()
    processor.process([record(1, "a")], store)
    store.discard()
    assert store.get("a").value("last") == "e0"


@pytest.mark.parametrize(("bad", "error"), [("broken", "ZeroDivisionError"), ("unwritable", "TypeError")])
def test_a_record_on_which_our_code_fails_costs_one_record(settings: Settings, bad: str, error: str) -> None:
    store = LeadStore()
    processor = BatchProcessor(settings, touch, lambda: NOW)
    outbox, figures = processor.process([record(0, "a"), record(1, bad), record(2, "b")], store)
    letters = [message for message in outbox.messages if message.topic == settings.dead_letter_topic]
    (letter,) = letters
    headers = dict(letter.headers)
    assert headers["dlq-reason"] == b"internal_error"
    assert headers["dlq-detail"].decode().startswith(f"{error} in ")
    assert b"secret" not in headers["dlq-detail"]
    assert headers["dlq-offset"] == b"1"
    assert {message.key for message in outbox.messages if message.topic == settings.state_topic} >= {b"a", b"b"}
    assert figures.dead_letters == {"internal_error": 1}
    assert figures.activities == {"lead.page_viewed": 2}
    assert outbox.next_offset == 3


def test_a_failure_that_does_not_repeat_costs_nothing(settings: Settings) -> None:
    calls: list[str] = []

    def once(lead: Lead, activity: LeadActivity, *_: object) -> Assessment:
        calls.append(activity.id)
        if len(calls) == 1:
            raise RuntimeError
        return touch(lead, activity, None)

    outbox, figures = BatchProcessor(settings, once, lambda: NOW).process([record(0, "a")], LeadStore())
    assert figures.dead_letters == {}
    assert [message.topic for message in outbox.messages] == [settings.state_topic]


@pytest.mark.parametrize("where", ["value", "key", "headers"])
def test_a_dead_letter_over_the_known_limit_is_cut_before_it_is_sent(settings: Settings, where: str) -> None:
    large = b"x" * (whole_bytes(settings) + 1)
    value, key, headers = (large if where == part else b"k" for part in ("value", "key", "headers"))
    unusable = ConsumerRecord(
        "in", 3, 0, 1000, 0, key, value, None, len(key), len(value), (("h", headers), ("dlq-old", b""))
    )
    outbox, _ = BatchProcessor(settings, touch, lambda: NOW).process([unusable, record(1, "a")], LeadStore())
    letter, state = outbox.messages
    sent = dict(letter.headers)
    assert len(letter.value or b"") + len(letter.key or b"") + sum(map(len, sent.values())) < SHORTENED + 1_000
    assert sent["dlq-length"] == b"%d" % len(value)
    assert sent.get("dlq-key-length") == (b"%d" % len(key) if where == "key" else None)
    assert sent.get("dlq-headers-length") == (b"%d" % (len(headers) + 1) if where == "headers" else None)
    assert state.key == b"a"


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_dead_letter_up_to_the_known_limit_is_whole(settings: Settings, beyond: int) -> None:
    value = b"x" * (whole_bytes(settings) - len("lead") + beyond)
    outbox, _ = BatchProcessor(settings, touch, lambda: NOW).process([record(0, "lead", value)], LeadStore())
    (letter,) = outbox.messages
    assert len(letter.value or b"") == (SHORTENED if beyond else len(value))
    assert ("dlq-length" in dict(letter.headers)) is bool(beyond)


def test_a_value_of_which_the_consumer_kept_the_beginning_is_too_large(settings: Settings) -> None:
    whole = record(0, "a")
    cut = replace(whole, serialized_value_size=40_000_000)
    outbox, _ = BatchProcessor(settings, touch, lambda: NOW).process([cut], LeadStore())
    (letter,) = outbox.messages
    headers = dict(letter.headers)
    assert letter.value == whole.value
    assert headers["dlq-reason"] == b"too_large"
    assert headers["dlq-detail"] == b"the value has 40000000 bytes; expected at most 1048576"
    assert headers["dlq-length"] == b"40000000"


def test_running_out_of_memory_makes_no_dead_letter(settings: Settings) -> None:
    def exhausted(lead: Lead, activity: LeadActivity, *_: object) -> Assessment:
        raise MemoryError

    with pytest.raises(MemoryError):
        BatchProcessor(settings, exhausted, lambda: NOW).process([record(0, "a")], LeadStore())


def test_a_dead_letter_too_large_for_the_broker_is_cut(settings: Settings) -> None:
    limits = TopicLimits(settings)
    processor = BatchProcessor(settings, touch, lambda: NOW, limits=limits)
    large = b"x" * (SHORTENED + 1)
    for accepted, expected in (
        (1 << 20, large),
        (SHORTENED + LETTER_OVERHEAD + 1, large[:SHORTENED]),
        (SMALLEST_LETTERS, large[: SMALLEST_LETTERS - LETTER_OVERHEAD - 1]),
    ):
        limits.know({settings.dead_letter_topic: Topic(1, 1, {"max.message.bytes": str(accepted)})})
        outbox, _ = processor.process([record(0, "a", large)], LeadStore())
        (letter,) = outbox.messages
        assert letter.value == expected
        assert ("dlq-length" in dict(letter.headers)) is (expected is not large)
        assert record_size(letter.key, letter.value, letter.headers) <= accepted


def test_the_cache_is_bounded_and_the_states_are_not_lost(settings: Settings) -> None:
    store = LeadStore(cache_size=2)
    processor = BatchProcessor(settings, touch, lambda: NOW)
    processor.process([record(number, f"lead-{number}") for number in range(10)], store)
    store.commit()
    assert store._cache is not None
    assert 0 < len(store._cache.all_keys()) <= 2
    assert [store.get(f"lead-{number}").value("last") for number in range(10)] == [f"e{number}" for number in range(10)]


def grow(lead: Lead, activity: LeadActivity, *_: object) -> Assessment:
    """Adds as many letters to the lead as the path of the page says; 0 empties it. A path that ends in `d` leads to a
    decision of that size instead."""
    size = str(activity.data["url"]).removeprefix("/")
    if size.endswith("d"):
        assert DECISION is not None
        decision = msgspec.structs.replace(DECISION, lead_id=lead.id, queue="x" * int(size[:-1]))
        return Assessment(Lead(lead.id, activity.time, lead.facts), None, (Decided(decision),))
    fact = Fact("x" * int(size), Stamp(activity.time, activity.id, activity.source))
    kept = {} if size == "0" else lead.facts
    return Assessment(Lead(lead.id, activity.time, {**kept, activity.id: fact}))


def view(offset: int, lead_id: str, path: str) -> "ConsumerRecord[bytes, bytes]":
    """A page view."""
    event = json.loads(record(offset, lead_id).value or b"")
    return record(offset, lead_id, json.dumps({**event, "data": {"url": path}}).encode())


def in_batches(
    settings: Settings, records: "list[ConsumerRecord[bytes, bytes]]", size: int, trim: Trim = untrimmed
) -> tuple[LeadStore, list[Message], Counter[str]]:
    """The store, the messages except states, and the dead letters by reason."""
    store, messages, reasons = LeadStore(), [], Counter[str]()
    processor = BatchProcessor(settings, grow, lambda: NOW, trim=trim)
    for begin in range(0, len(records), size):
        outbox, figures = processor.process(records[begin : begin + size], store)
        store.commit()
        messages += [message for message in outbox.messages if message.topic != settings.state_topic]
        assert all(len(message.value or b"") <= 65_536 for message in outbox.messages)
        reasons += figures.dead_letters
        assert figures.activities.total() + figures.dead_letters.total() == len(records[begin : begin + size])
        assert figures.decisions.total() == len(figures.timestamps)
    return store, messages, reasons


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_an_activity_that_makes_its_lead_too_large_costs_itself(tmp_path: Path, size: int) -> None:
    settings = load_settings(None, rules=tmp_path, max_record_bytes=65_536)
    records = [
        view(0, "big", "/30000"),
        view(1, "small", "/1"),
        view(2, "big", "/40000"),
        view(3, "big", "/20000"),
        view(4, "first", "/70000"),
        view(5, "small", "/2"),
        view(6, "big", "/20000"),
    ]
    store, messages, reasons = in_batches(settings, records, size)
    assert reasons == {"state_too_large": 3}
    assert set(store.get("big").facts) == {"e0", "e3"}
    assert set(store.get("small").facts) == {"e1", "e5"}
    assert "first" not in store.ids()
    first, *_ = messages
    sent = dict(first.headers)
    assert first.value == records[2].value
    assert sent["dlq-offset"] == b"2"
    assert re.fullmatch(
        rb"the state of the lead would have 7\d,\d{3} bytes; at most 65,536 \(SCORER_MAX_RECORD_BYTES\)",
        sent["dlq-detail"],
    )


@pytest.mark.parametrize("size", [1, 100])
def test_a_decision_that_is_too_large_leaves_no_trace(tmp_path: Path, size: int) -> None:
    settings = load_settings(None, rules=tmp_path, max_record_bytes=65_536)
    records = [view(0, "a", "/1"), view(1, "a", "/70000d"), view(2, "b", "/70000d"), view(3, "a", "/100d")]
    store, messages, reasons = in_batches(settings, records, size)
    assert reasons == {"decision_too_large": 2}
    assert [message.topic for message in messages] == [
        settings.dead_letter_topic,
        settings.dead_letter_topic,
        settings.routing_topic,
    ]
    assert set(store.ids()) == {"a"}
    assert b"the decision would have" in dict(messages[1].headers)["dlq-detail"]


def test_a_lead_that_is_too_large_is_trimmed_first(tmp_path: Path) -> None:
    settings = load_settings(None, rules=tmp_path, max_record_bytes=65_536)

    def trim(lead: Lead) -> Lead:
        return Lead(lead.id, lead.clock, {name: fact for name, fact in lead.facts.items() if name != "e0"})

    records = [view(0, "a", "/60000"), view(1, "a", "/20000"), view(2, "a", "/50000")]
    for size in (1, 3):
        store, _, reasons = in_batches(settings, records, size, trim)
        assert reasons == {"state_too_large": 1}
        assert set(store.get("a").facts) == {"e1"}


def test_a_lead_that_was_too_large_can_become_smaller(tmp_path: Path) -> None:
    """It comes from a time with a higher limit."""
    settings = load_settings(None, rules=tmp_path, max_record_bytes=65_536)
    store = LeadStore()
    large = view(0, "a", "/90000")
    store.restore("a", encode_lead(grow(Lead("a"), parse_record(large.value, large.key, (), NOW), None).lead))
    processor = BatchProcessor(settings, grow, lambda: NOW)
    _, figures = processor.process([view(1, "a", "/1")], store)
    store.commit()
    assert figures.dead_letters == {"state_too_large": 1}
    _, figures = processor.process([view(2, "a", "/0")], store)
    store.commit()
    assert figures.dead_letters == {}
    assert set(store.get("a").facts) == {"e2"}


def test_a_topic_that_accepts_less_sets_the_limit(settings: Settings) -> None:
    limits = TopicLimits(settings)
    limits.know({settings.state_topic: Topic(1, 1, {"max.message.bytes": "90000"})})
    processor = BatchProcessor(settings, grow, lambda: NOW, limits=limits)
    outbox, figures = processor.process([view(0, "a", "/80000"), view(1, "b", "/70000")], LeadStore())
    assert figures.dead_letters == {"state_too_large": 1}
    letter, state = outbox.messages
    assert dict(letter.headers)["dlq-detail"].endswith(f"(max.message.bytes of {settings.state_topic})".encode())
    assert record_size(state.key, state.value, state.headers) <= 90_000
