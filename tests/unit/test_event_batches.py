"""A batch of events in one record, and records without a key: what each of them costs, and what is published."""

import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from typer.testing import CliRunner

from scorer.cli import app
from scorer.dlq.queue import Origin, dead_letter_of
from scorer.domain.activity import LeadActivity
from scorer.domain.facts import Fact, Stamp
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.evaluation.results import Assessment
from scorer.kafka.client_internals import record_size
from scorer.kafka.message import Message
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.sizes import DEFAULT_LIMIT
from scorer.kafka.topic_admin import Topic
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import Settings, load_settings
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from scorer.stream.outbox import Outbox

NOW = 21_000 * DAY
BATCH = ("content-type", b"application/cloudevents-batch+json")
SINGLE = ("content-type", b"application/cloudevents+json")
Header = tuple[str, bytes]


def event(lead_id: str, number: int, **changes: Any) -> bytes:
    """A page view, with spaces that a re-encoding would lose."""
    whole = {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "/web",
        "type": "lead.page_viewed",
        "time": "2026-02-01T10:00:00Z",
        "subject": lead_id,
        "data": {"url": "/"},
    }
    return json.dumps({**whole, **changes}, indent=1).encode()


def array(*events: bytes) -> bytes:
    return b"[" + b" ,\n".join(events) + b"]\n"


def record(
    offset: int, key: bytes | None, value: bytes, headers: Sequence[Header] = (BATCH,)
) -> "ConsumerRecord[bytes, bytes]":
    key_size = -1 if key is None else len(key)
    return ConsumerRecord("lead.activity", 3, offset, 1000, 0, key, value, None, key_size, len(value), tuple(headers))


def touch(lead: Lead, activity: LeadActivity, *_: object) -> Assessment:
    """Records the activity. It fails for activities from `/broken`."""
    if activity.source == "/broken":
        raise ZeroDivisionError
    seen = Fact(activity.id, Stamp(activity.time, activity.id, activity.source))
    return Assessment(Lead(lead.id, activity.time, {**lead.facts, activity.id: seen}))


def settings(tmp_path: Path, **changes: Any) -> Settings:
    return load_settings(None, rules=tmp_path, **changes)


def process(
    given: Settings, *records: "ConsumerRecord[bytes, bytes]", limits: TopicLimits | None = None
) -> tuple[Outbox, BatchFigures, LeadStore]:
    store = LeadStore()
    outbox, figures = BatchProcessor(given, touch, lambda: NOW, limits=limits).process(records, store)
    return outbox, figures, store


def to(outbox: Outbox, topic: str) -> list[Message]:
    return [message for message in outbox.messages if message.topic == topic]


def letters(outbox: Outbox, given: Settings) -> list[tuple[int | None, str, bytes | None]]:
    """Index, reason and value of each dead letter."""
    found = []
    for message in to(outbox, given.dead_letter_topic):
        headers = {name: value.decode() for name, value in message.headers}
        index = headers.get("dlq-index")
        found.append((None if index is None else int(index), headers["dlq-reason"], message.value))
    return found


def test_each_event_of_a_batch_counts_and_each_bad_one_is_one_dead_letter(tmp_path: Path) -> None:
    given = settings(tmp_path)
    events = (
        event("a", 0),
        event("a", 1, data=5),
        event("b", 2),
        array(event("a", 3)),
        b"5",
        b'{"x": "\xff"}',
        event("a", 4, source="/broken"),
        event("a", 5),
    )
    outbox, figures, store = process(given, record(17, b"a", array(*events)), record(18, b"c", event("c", 6), ()))
    assert letters(outbox, given) == [
        (1, "invalid_data", events[1]),
        (2, "key_mismatch", events[2]),
        (3, "not_an_object", events[3].strip()),
        (4, "not_an_object", events[4]),
        (5, "not_utf8", events[5]),
        (6, "internal_error", events[6]),
    ]
    assert figures.activities == {"lead.page_viewed": 3}
    assert figures.dead_letters.total() == 6
    assert list(store.get("a").facts) == ["e0", "e5"]
    assert outbox.next_offset == 19
    assert [(message.key, message.headers) for message in to(outbox, given.state_topic)] == [
        (b"a", [("offset", (18).to_bytes(8, "big"))]),
        (b"c", [("offset", (18).to_bytes(8, "big"))]),
    ]


def test_the_dead_letter_of_an_event_can_be_processed_alone(tmp_path: Path) -> None:
    given = settings(tmp_path)
    headers = (("Content-Type", BATCH[1]), ("ce_id", b"x"), ("trace", b"t"), ("dlq-index", b"9"))
    outbox, _, _ = process(given, record(17, b"other", array(b"1", event("a", 1)), headers))
    first, second = to(outbox, given.dead_letter_topic)
    for index, letter in enumerate((first, second)):
        assert [name for name, _ in letter.headers if not name.startswith("dlq-")] == ["content-type", "trace"]
        assert letter.headers[0] == SINGLE
        read = dead_letter_of(
            ConsumerRecord("dlq", 0, 0, 0, 0, letter.key, letter.value, None, 1, 1, letter.headers), replayed=False
        )
        assert read.origin == Origin("lead.activity", 3, 17, index)
    outbox, figures, _ = process(given, record(18, b"a", second.value or b"", second.headers))
    assert figures.activities == {"lead.page_viewed": 1}
    assert letters(outbox, given) == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"[]", "empty_value"),
        (b'[{"a": 1},]', "not_json"),
        (b'{"a": 1}', "not_a_list"),
        (b"[" * 5000 + b"]" * 5000, "too_deep"),
        (b"[" + b"1," * 101 + b"1]", "too_large"),
        (b"[" + b" " * (1 << 20) + b"]", "too_large"),
    ],
)
def test_a_batch_that_cannot_be_split_is_one_dead_letter(tmp_path: Path, value: bytes, reason: str) -> None:
    given = settings(tmp_path)
    outbox, figures, _ = process(given, record(0, b"a", value), record(1, b"a", event("a", 1), ()))
    assert letters(outbox, given) == [(None, reason, value)]
    assert figures.activities == {"lead.page_viewed": 1}


def test_other_tasks_run_while_a_large_batch_is_processed(tmp_path: Path) -> None:
    given = settings(tmp_path)
    value = array(*(event("a", number) for number in range(1_000)))
    steps = BatchProcessor(given, touch, lambda: NOW).steps([record(0, b"a", value)], LeadStore())
    pauses = 0
    while True:
        try:
            next(steps)
        except StopIteration:
            break
        pauses += 1
    assert pauses == 10


def test_the_dead_letters_of_a_batch_do_not_repeat_long_headers_and_keys(tmp_path: Path) -> None:
    given = settings(tmp_path)
    value = array(*(event("a", number, data=5) for number in range(2_000)))
    long_headers = record(0, b"a", value, [BATCH, ("blob", b"x" * 500_000)])
    long_key = record(1, b"k" * 500_000, value)
    tracemalloc.start()
    outbox, _, _ = process(given, long_headers, long_key)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000
    *of_events, whole = letters(outbox, given)
    assert {reason for _, reason, _ in of_events} == {"invalid_data"}
    assert len(of_events) == 2_000
    assert whole == (None, "key_mismatch", value)


@pytest.mark.parametrize("mode", ["dead_letter", "rekey"])
def test_a_record_without_a_key(tmp_path: Path, mode: str) -> None:
    given = settings(tmp_path, null_keys=mode)
    headers = [SINGLE, ("trace", b"t"), ("replayed-from", b"dlq/0/3")]
    value = event("ä", 1)
    bad = event("a", 2, data=5)
    outbox, figures, store = process(given, record(4, None, value, headers), record(5, None, bad, headers))
    assert len(store) == 0
    assert figures.activities == {}
    if mode == "dead_letter":
        assert letters(outbox, given) == [(None, "null_key", value), (None, "invalid_data", bad)]
        assert figures.rekeyed == 0
    else:
        expected = [*headers, ("rekeyed-from", b"lead.activity/3/4")]
        assert to(outbox, given.activity_topic) == [
            Message("lead.activity", None, "ä".encode(), value, expected),
        ]
        assert letters(outbox, given) == [(None, "invalid_data", bad)]
        assert figures.rekeyed == 1


def test_each_event_of_a_batch_without_a_key_gets_its_own(tmp_path: Path) -> None:
    given = settings(tmp_path, null_keys="rekey")
    events = event("a", 0), event("b", 1), b"{}", event("a", 3)
    outbox, figures, _ = process(given, record(4, None, array(*events), [BATCH, ("trace", b"t")]))
    sent = to(outbox, given.activity_topic)
    assert [(message.partition, message.key, message.value) for message in sent] == [
        (None, b"a", events[0]),
        (None, b"b", events[1]),
        (None, b"a", events[3]),
    ]
    assert sent[1].headers == [SINGLE, ("trace", b"t"), ("rekeyed-from", b"lead.activity/3/4#1")]
    assert letters(outbox, given) == [(2, "missing_attribute", b"{}")]
    assert figures.rekeyed == 3
    arrived = [
        record(5 + number, message.key, message.value or b"", message.headers) for number, message in enumerate(sent)
    ]
    _, figures, store = process(given, *arrived)
    assert figures.activities == {"lead.page_viewed": 3}
    assert list(store.get("a").facts) == ["e0", "e3"]


def test_a_record_that_lost_its_key_again_is_not_written_back_again(tmp_path: Path) -> None:
    given = settings(tmp_path, null_keys="rekey")
    headers = [SINGLE, ("rekeyed-from", b"lead.activity/3/4")]
    for value in (event("a", 1), array(event("a", 1))):
        kind = headers if value.startswith(b"{") else [BATCH, headers[1]]
        outbox, figures, _ = process(given, record(9, None, value, kind))
        assert to(outbox, given.activity_topic) == []
        (letter,) = to(outbox, given.dead_letter_topic)
        assert b"re-keyed before (rekeyed-from)" in dict(letter.headers)["dlq-detail"]
        assert figures.dead_letters == {"null_key": 1}


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_record_that_does_not_fit_with_its_key_is_a_dead_letter(tmp_path: Path, beyond: int) -> None:
    given = settings(tmp_path, null_keys="rekey")
    added = [("rekeyed-from", b"lead.activity/3/4")]
    room = DEFAULT_LIMIT - record_size(b"a", event("a", 1), added) - 100
    value = event("a", 1, data={"url": "/", "x": "x" * room})
    filler = DEFAULT_LIMIT - record_size(b"a", value, [("h", b""), *added])
    # Lengths are written in one to three bytes, so the last bytes are found by trying.
    while record_size(b"a", value, [("h", b"x" * filler), *added]) > DEFAULT_LIMIT:
        filler -= 1
    headers = [("h", b"x" * (filler + beyond))]
    outbox, _, _ = process(given, record(4, None, value, headers))
    if beyond:
        assert letters(outbox, given) == [(None, "too_large", value)]
    else:
        (message,) = outbox.messages
        assert record_size(message.key, message.value, message.headers) == DEFAULT_LIMIT


def test_a_record_is_not_written_back_into_an_input_that_accepts_less(tmp_path: Path) -> None:
    given = settings(tmp_path, null_keys="rekey")
    limits = TopicLimits(given)
    limits.know({given.activity_topic: Topic(1, 1, {"max.message.bytes": "250"})})
    value = event("a", 1)
    outbox, _, _ = process(given, record(4, None, value, ()), record(5, b"a", value, ()), limits=limits)
    assert letters(outbox, given) == [(None, "too_large", value)]
    assert len(to(outbox, given.state_topic)) == 1


def test_the_commands_name_the_bad_event_of_a_batch(tmp_path: Path) -> None:
    file, rejects = tmp_path / "in.jsonl", tmp_path / "rejects.jsonl"
    events = [event(f"lead-{number % 5}", number).replace(b"\n", b" ") for number in range(12)]
    bad = events[3].replace(b'"/web"', b'""')
    file.write_bytes(events[0] + b"\n[" + b",".join([events[1], bad, *events[4:]]) + b"]\n[]\n")
    outputs = []
    for workers in ("1", "2"):
        command = ["score", "--input", str(file), "--rejects", str(rejects), "--workers", workers]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 3
        assert f"{file}:2#1: invalid_attribute: source is empty" in done.stderr
        assert f"{file}:3: empty_value: the batch has no event" in done.stderr
        first, second = map(json.loads, rejects.read_text().splitlines())
        assert (first["line"], first["index"], first["value"]) == (2, 1, bad.decode())
        assert (second["line"], "index" in second, second["value"]) == (3, False, "[]")
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    alone = tmp_path / "alone.jsonl"
    alone.write_bytes(b"\n".join([events[0], events[1], *events[4:]]))
    assert CliRunner().invoke(app, ["score", "--input", str(alone)]).stdout == outputs[0]
    told = CliRunner().invoke(app, ["explain", "lead-3", "--input", str(file)])
    assert f"{file}:2#1: invalid_attribute" in told.stderr
    assert "lead-3" in told.stdout
