"""A topic as lines of a file: the same activities, arrivals, decisions and refused records as in the service."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.instant import DAY, HOUR, MINUTE, SECOND, to_text
from scorer.offline.decisions import DecisionShard
from scorer.offline.partition_lines import PartitionLines, activity_line
from scorer.offline.place import activity_at, index_of, line_of, place
from scorer.runtime.settings import load_settings
from scorer.sources.cloudevents import MAX_BYTES, parse_event, parse_record
from scorer.sources.rejected import Rejected
from scorer.sources.tick import tick
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from tests.factory import MONDAY
from tests.property.test_parse_paths import NOW, events
from tests.property.test_silence import rules

JUDGE = rules()
SETTINGS = load_settings(None, rules=Path())
Log = Sequence["ConsumerRecord[bytes, bytes]"]

_BATCH = (("content-type", b"application/cloudevents-batch+json"),)
_KINDS: list[tuple[str, dict[str, Any]]] = [
    ("page_viewed", {"url": "/pricing"}),
    ("trial_started", {}),
    ("demo_requested", {}),
    ("profile_updated", {"employees": 300}),
    ("profile_updated", {"employees": "many"}),
    ("sales_returned", {}),
    ("erased", {}),
    ("booth_visited", {"seen": [[1.0, "ä\n"], {"a": None}]}),
]


@st.composite
def _logs(draw: st.DrawFn) -> Log:
    """Records as they may lie in a partition: both modes, batches, ticks, mistakes, timestamps of both kinds."""
    log: list[ConsumerRecord[bytes, bytes]] = []
    arrival = MONDAY
    stamps = draw(st.sampled_from([(1,), (0,), (0, 1), (1, 0)]))
    for number in range(draw(st.integers(1, 15))):
        arrival += draw(st.sampled_from([0, SECOND, HOUR, DAY, 40 * DAY, -HOUR]))
        lead = draw(st.sampled_from(["a", "b"]))
        own = arrival + draw(st.sampled_from([0, 0, -DAY, -90 * DAY, MINUTE, 2 * HOUR, 2 * DAY]))
        kind, data = draw(st.sampled_from(_KINDS))
        event = {"specversion": "1.0", "id": f"e{number % 12}", "source": "/web", "type": f"lead.{kind}"}
        event |= {"time": to_text(own), "subject": lead}
        value: bytes | None = json.dumps({**event, "data": data}, indent=draw(st.sampled_from([None, 1]))).encode()
        key: bytes | None = lead.encode()
        headers: Any = ()
        match draw(st.integers(0, 9)):
            case 0:
                value = tick(lead)
            case 1:
                headers = [(f"ce_{name}", text.encode()) for name, text in event.items()]
                value = json.dumps(data).encode() if data or draw(st.booleans()) else None
            case 2:
                other = {**event, "id": f"f{number}", "subject": draw(st.sampled_from(["a", "b"])), "data": data}
                parts = [value or b"", json.dumps(other).encode(), draw(st.sampled_from([b"5", tick(lead), b"[]"]))]
                value = b"[" + b",".join(parts) + b"]"
                headers = draw(st.sampled_from([(), _BATCH]))
            case 3:
                value = draw(st.sampled_from([None, b"", b"not JSON", b"[]", b"\xff", b'{"arrivedat": 1}']))
            case 4:
                key = draw(st.sampled_from([None, b"other", b"k" * 2_000]))
            case 5:
                headers = [("content-type", b"application/cloudevents+json; charset=utf-8"), ("traceparent", b"x")]
            case 6:
                value = (value or b"")[:-1] + b',"arrivedat":"1999-01-01T00:00:00Z"}'
        stamp = stamps[number * len(stamps) // 15]
        sizes = len(key or b""), len(value or b"")
        log.append(ConsumerRecord("in", 0, 3 * number, arrival // 1000, stamp, key, value, None, *sizes, headers))
    return log


def in_the_service(log: Log, now: int) -> tuple[dict[str, list[bytes]], Counter[tuple[str, int, int | None]]]:
    """The decisions of each lead, also those that are due when the log has reached its end, and the dead letters."""
    store = LeadStore()
    outbox, _ = BatchProcessor(SETTINGS, JUDGE.assess, lambda: now).process(log, store)
    found: dict[str, list[bytes]] = defaultdict(list)
    letters: Counter[tuple[str, int, int | None]] = Counter()
    for message in outbox.messages:
        if message.topic == SETTINGS.routing_topic:
            found[(message.key or b"").decode()].append((message.value or b"") + b"\n")
        elif message.topic == SETTINGS.dead_letter_topic:
            headers = dict(message.headers)
            index = headers.get("dlq-index")
            where = int(headers["dlq-offset"] or 0), None if index is None else int(index)
            letters[(headers["dlq-reason"] or b"").decode(), *where] += 1
    store.commit()
    for lead in store.leads():
        if outbox.log_time is not None:
            decisions = JUDGE.catch_up(lead, outbox.log_time).decisions
            found[lead.id] += [decision.to_json() + b"\n" for decision in decisions]
    return {lead_id: decisions for lead_id, decisions in found.items() if decisions}, letters


@settings(max_examples=300, deadline=None)
@given(_logs(), st.integers(1, 5))
def test_a_topic_gives_the_decisions_and_the_mistakes_of_the_service(log: Log, size: int) -> None:
    now = MONDAY + 30 * DAY
    lines = PartitionLines("in-0", now, SETTINGS.max_value_bytes)
    shard = DecisionShard(JUDGE, now, 1 << 40)
    found: dict[str, list[bytes]] = defaultdict(list)
    mistakes: Counter[tuple[str, int, int | None]] = Counter()
    for first in range(0, len(log), size):
        block = lines.block(log[first : first + size], size)
        assert not any(b"\n" in line for line in block.lines)
        answer = shard.handle("score", block.places, block.lines)
        for decision in answer.decisions:
            found[json.loads(decision)["lead_id"]].append(decision)
        rejected = [*answer.rejected, *(refused.rejection for refused in block.refused)]
        mistakes.update((reason, line_of(where), index_of(where)) for where, reason, _ in rejected)
    for late in shard.finish(lines.log_time):
        found[late.lead_id].append(late.decision)
    assert (dict(found), mistakes) == in_the_service(log, now)


@settings(max_examples=500, deadline=None)
@given(events(), st.none() | st.integers(NOW, NOW + 90 * DAY))
def test_a_line_is_read_as_the_activity_that_it_was_written_from(value: bytes, arrival: int | None) -> None:
    try:
        activity = parse_event(value, NOW)
    except Rejected:
        return
    expected = activity.time if arrival is None else arrival
    line = activity_line(activity, arrival)
    assert activity_at(place(1), line, NOW) == (activity, expected)


def test_data_that_is_as_deep_as_an_event_may_be_stays_readable() -> None:
    data = b'{"a":' * 64 + b"1" + b"}" * 64
    names = {"specversion": "1.0", "id": "1", "source": "/s", "type": "lead.x_y", "time": to_text(MONDAY)}
    headers = [(f"ce_{name}", text.encode()) for name, text in {**names, "subject": "a"}.items()]
    activity = parse_record(data, b"a", headers, MONDAY)
    line = activity_line(activity, MONDAY)
    assert activity_at(place(1), line, MONDAY, MAX_BYTES)[0] == activity
