"""A batch of records: what it publishes, and that a bad record costs only itself."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord

from scorer.dlq.dead_letter import SHORTENED
from scorer.domain.activity import LeadActivity
from scorer.domain.facts import Fact, Stamp
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.evaluation.results import Assessment
from scorer.kafka.sizes import whole_bytes
from scorer.runtime.settings import Settings, load_settings
from scorer.state.codec import encode_lead
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor

NOW = 21_000 * DAY


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


def touch(lead: Lead, activity: LeadActivity) -> Assessment:
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

    def once(lead: Lead, activity: LeadActivity) -> Assessment:
        calls.append(activity.id)
        if len(calls) == 1:
            raise RuntimeError
        return touch(lead, activity)

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
    def exhausted(lead: Lead, activity: LeadActivity) -> Assessment:
        raise MemoryError

    with pytest.raises(MemoryError):
        BatchProcessor(settings, exhausted, lambda: NOW).process([record(0, "a")], LeadStore())


def test_a_dead_letter_too_large_for_the_broker_is_cut(settings: Settings) -> None:
    processor = BatchProcessor(settings, touch, lambda: NOW)
    large = b"x" * (SHORTENED + 1)
    for shorten, expected in ((False, large), (True, large[:SHORTENED])):
        outbox, _ = processor.process([record(0, "a", large)], LeadStore(), shorten=shorten)
        assert outbox.messages[0].value == expected
        assert ("dlq-length", str(len(large)).encode()) in outbox.messages[0].headers or not shorten


def test_the_cache_is_bounded_and_the_states_are_not_lost(settings: Settings) -> None:
    store = LeadStore(cache_size=2)
    processor = BatchProcessor(settings, touch, lambda: NOW)
    processor.process([record(number, f"lead-{number}") for number in range(10)], store)
    store.commit()
    assert store._cache is not None
    assert 0 < len(store._cache.all_keys()) <= 2
    assert [store.get(f"lead-{number}").value("last") for number in range(10)] == [f"e{number}" for number in range(10)]
