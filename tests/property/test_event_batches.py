"""A batch of events is the same as its events one by one: states, decisions and dead letters."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.instant import DAY, to_text
from scorer.offline.activity_files import block_of
from scorer.offline.decisions import DecisionShard
from scorer.runtime.settings import load_settings
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from tests.factory import MONDAY, evaluator

EVALUATOR = evaluator()
SETTINGS = load_settings(None, rules=Path())
NOW = MONDAY + 3650 * DAY
STRUCTURED = (("content-type", b"application/cloudevents+json"),)

_DATA: dict[str, list[dict[str, Any]]] = {
    "lead.page_viewed": [{"url": "/pricing"}, {"url": "/"}, {}],
    "lead.trial_started": [{}],
    "lead.profile_updated": [{"employees": 300}, {"employees": "many"}],
    "lead.qualification_updated": [{"bant": {"budget_status": "approved"}}],
    "lead.erased": [{}],
}


@st.composite
def _events(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from([b"5", b"null", b"[]", b"{}", b'"{}"', b'{"a": "\xff"}', b"1e999", b"[[1]]"]))
    kind = draw(st.sampled_from(sorted(_DATA)))
    event = {
        "specversion": "1.0",
        "id": f"e{draw(st.integers(0, 4))}",
        "source": "/web",
        "type": kind,
        "time": to_text(MONDAY + draw(st.integers(0, 9)) * DAY),
        "subject": draw(st.sampled_from(["a", "a", "a", "b"])),
    }
    data = draw(st.sampled_from(_DATA[kind]))
    if draw(st.booleans()):
        event["data"] = json.dumps(data) if draw(st.booleans()) else data
    return json.dumps(event, indent=draw(st.sampled_from([None, 1]))).encode()


def _record(offset: int, value: bytes, headers: Sequence[tuple[str, bytes]]) -> "ConsumerRecord[bytes, bytes]":
    return ConsumerRecord("in", 0, offset, 1000, 0, b"a", value, None, 1, len(value), headers)


def _results(records: Sequence["ConsumerRecord[bytes, bytes]"]) -> Any:
    store = LeadStore()
    outbox, figures = BatchProcessor(SETTINGS, EVALUATOR.assess, lambda: NOW).process(records, store)
    own = ("offset", "dlq-offset", "dlq-index", "published-at")
    messages = [
        message._replace(headers=[header for header in message.headers if header[0] not in own])
        for message in outbox.messages
    ]
    return messages, figures.activities, figures.dead_letters, figures.decisions, figures.rule_hits


@given(st.lists(_events(), min_size=1, max_size=12), st.sampled_from([b",", b" ,\n "]))
@settings(deadline=None)
def test_a_batch_is_the_same_as_its_events(events: list[bytes], comma: bytes) -> None:
    array = b" [" + comma.join(events) + b" ]"
    one_by_one = [_record(number, event, STRUCTURED) for number, event in enumerate(events)]
    kind = (("content-type", b"application/cloudevents-batch+json"),)
    assert _results([_record(7, array, kind)]) == _results([_record(7, array, ())]) == _results(one_by_one)


@given(st.lists(_events(), min_size=1, max_size=12))
@settings(deadline=None)
def test_a_batch_in_a_file_is_the_same_as_its_events(events: list[bytes]) -> None:
    lines = [event.replace(b"\n", b" ") for event in events]
    # An array in a line of its own is a batch, which it cannot be inside another one.
    lines = [line for line in lines if not line.startswith(b"[")] or [b"{}"]
    results = []
    for given_lines in (lines, [b"[" + b",".join(lines) + b"]"]):
        block = block_of("f", 1, given_lines, 0)
        scored = DecisionShard(EVALUATOR, NOW).handle("score", block.places, block.lines)
        results.append((scored.decisions, [(reason, detail) for _, reason, detail in scored.rejected]))
    assert results[0] == results[1]
