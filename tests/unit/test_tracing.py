"""Traces: what a record says of its trace reaches the decision that it causes, with and without spans of our own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from scorer.domain.instant import DAY
from scorer.domain.trace_context import TraceContext
from scorer.kafka.message import Message
from scorer.kafka.record_limits import TopicLimits
from scorer.runtime.settings import Settings, SettingsError, load_settings
from scorer.runtime.spans import BatchSpans, Spans
from scorer.sources.own_events import OwnEvents
from scorer.sources.tracing import trace_of_record
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from scorer.stream.outbox import trace_headers
from scorer.stream.translation import Translator
from tests.factory import SMALL_RULES, evaluator

NOW = 21_000 * DAY
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FIRST = f"00-{TRACE}-{PARENT}-01"
SECOND = f"00-{'1' * 32}-{'2' * 16}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
Headers = Sequence[tuple[str, bytes]]


def event(lead: str = "L-1", kind: str = "lead.demo_requested", **attributes: object) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": f"e-{lead}",
        "source": "/web",
        "type": kind,
        "time": "2026-02-01T10:00:00Z",
        "subject": lead,
        "data": {"url": "/"} if kind == "lead.page_viewed" else {},
        **attributes,
    }


def record(offset: int, content: object, headers: Headers = (), key: bytes = b"L-1") -> "ConsumerRecord[bytes, bytes]":
    body = json.dumps(content).encode()
    return ConsumerRecord("in", 3, offset, 1000, 0, key, body, None, len(key), len(body), headers)


@pytest.mark.parametrize(
    ("headers", "content", "element", "expected"),
    [
        ([("traceparent", FIRST.encode())], event(), False, TraceContext(FIRST)),
        ([("traceparent", FIRST.encode()), ("tracestate", b"a=1")], event(), False, TraceContext(FIRST, "a=1")),
        ([], event(traceparent=FIRST, tracestate="a=1"), False, TraceContext(FIRST, "a=1")),
        ([("ce_traceparent", FIRST.encode()), ("ce_tracestate", b"a=1")], {}, False, TraceContext(FIRST, "a=1")),
        # The hop before us comes first; but in a batch, the header belongs to the batch.
        ([("traceparent", FIRST.encode())], event(traceparent=SECOND), False, TraceContext(FIRST)),
        ([("traceparent", FIRST.encode())], event(traceparent=SECOND), True, TraceContext(SECOND)),
        ([("traceparent", FIRST.encode())], event(), True, TraceContext(FIRST)),
        ([("traceparent", FIRST.encode()), ("ce_traceparent", SECOND.encode())], {}, False, TraceContext(FIRST)),
        # In binary mode the value is only the data.
        ([("ce_id", b"1")], event(traceparent=FIRST), False, None),
        # What is not valid.
        ([], event(), False, None),
        ([("traceparent", b"\xff")], event(), False, None),
        ([("traceparent", None)], event(), False, None),
        ([("traceparent", b"00-1-2-01")], event(traceparent=SECOND), False, TraceContext(SECOND)),
        ([("traceparent", f"ff-{TRACE}-{PARENT}-01".encode())], event(), False, None),
        ([("traceparent", f"00-{'0' * 32}-{PARENT}-01".encode())], event(), False, None),
        ([("traceparent", f"00-{TRACE}-{'0' * 16}-01".encode())], event(), False, None),
        ([("traceparent", FIRST.upper().encode())], event(), False, None),
        ([("traceparent", FIRST.encode()), ("tracestate", b"x" * 513)], event(), False, TraceContext(FIRST)),
        ([("traceparent", FIRST.encode()), ("tracestate", b"a=\n")], event(), False, TraceContext(FIRST)),
        *(
            ([("traceparent", FIRST.encode()), ("tracestate", text)], event(), False, TraceContext(FIRST))
            for text in (b"", b"Jane Doe", b"a=1,a=2", b"A=1", b"a=1,,b=2", b"a=1=2", b"a= ", b"a=\xff", b"a=1,b")
        ),
        (
            [("traceparent", FIRST.encode()), ("tracestate", b",".join(b"k%d=1" % n for n in range(33)))],
            event(),
            False,
            TraceContext(FIRST),
        ),
        ([], event(traceparent=FIRST, tracestate="a@b=x y, c=2\t"), False, TraceContext(FIRST, "a@b=x y, c=2\t")),
        ([], event(traceparent=17), False, None),
        ([], {"data": {"traceparent": FIRST}}, False, None),
    ],
)
def test_the_trace_of_a_record(headers: Any, content: object, element: bool, expected: TraceContext | None) -> None:
    assert trace_of_record(headers, json.dumps(content).encode(), element=element) == expected


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(None, rules=tmp_path)


def decisions(
    settings: Settings,
    records: "Sequence[ConsumerRecord[bytes, bytes]]",
    spans: BatchSpans | None = None,
    rules: str = SMALL_RULES,
) -> list[Message]:
    """The decisions about these records."""
    processor = BatchProcessor(settings, evaluator(rules).assess, lambda: NOW)
    steps = processor.steps(records, LeadStore(), spans)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            outbox, _ = done.value
            return [message for message in outbox.messages if message.topic == settings.routing_topic]


def traced(message: Message) -> list[tuple[str, bytes]]:
    return [(name, value) for name, value in message.headers if name.startswith("trace")]


def test_a_decision_passes_on_the_trace_of_its_cause_and_has_none_of_its_own(settings: Settings) -> None:
    headers = [("traceparent", FIRST.encode()), ("tracestate", b"a=1")]
    (with_trace,) = decisions(settings, [record(0, event(), headers)])
    (without,) = decisions(settings, [record(0, event())])
    assert traced(with_trace) == headers
    assert traced(without) == []
    # Nothing else differs, above all not the value.
    assert with_trace._replace(headers=[]) == without._replace(headers=[])
    assert [each for each in with_trace.headers if each not in headers] == without.headers
    assert decisions(settings, [record(0, event(), headers)]) == [with_trace]


def test_each_event_of_a_batch_has_its_own_trace(settings: Settings) -> None:
    batch = [event("L-1", traceparent=SECOND), {**event("L-1"), "id": "another", "type": "lead.content_downloaded"}]
    headers = [("content-type", b"application/cloudevents-batch+json"), ("traceparent", FIRST.encode())]
    first, *others = decisions(settings, [record(0, batch, headers)])
    assert traced(first) == [("traceparent", SECOND.encode())]
    assert all(traced(other) == [("traceparent", FIRST.encode())] for other in others)


COOLING = """
ruleset: cooling
ratings: {warm: 10, hot: 20}
publish: {score_step: 5}
signals: {demo: {activity: demo_requested, points: 24, half_life: 30d}}
routing:
  - {id: hot, when: {rating: hot}, route: sales, queue: inside-sales}
  - {id: rest, route: nurture}
"""


@pytest.mark.parametrize("with_spans", [False, True])
def test_what_time_decides_before_an_activity_is_not_in_the_trace_of_that_activity(
    settings: Settings, exporter: InMemorySpanExporter, with_spans: bool
) -> None:
    later = {**event(traceparent=SECOND), "id": "later", "time": "2026-08-01T10:00:00Z"}
    spans = Spans(settings).batch(3, 0, 2, []) if with_spans else None
    found = decisions(settings, [record(0, event(traceparent=FIRST)), record(1, later)], spans, COOLING)
    causes = [json.loads(message.value or b"")["cause"] for message in found]
    assert causes[0] == causes[-1] == "activity"
    assert causes[1:-1]
    assert set(causes[1:-1]) == {"time"}
    traces = [dict(message.headers).get("traceparent", b"").decode().split("-")[1:2] for message in found]
    assert (traces[0], traces[-1]) == ([TRACE], ["1" * 32])
    if spans is None:
        assert traces[1:-1] == [[]] * len(causes[1:-1])
        return
    spans.committed(0)
    (batch,) = by_name(exporter)[f"process {settings.activity_topic}"]
    assert traces[1:-1] == [[f"{batch.context.trace_id:032x}"]] * len(causes[1:-1])


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What is exported. The provider is that of the process, as with auto-instrumentation."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


def by_name(exporter: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    spans: dict[str, list[ReadableSpan]] = {}
    for span in exporter.get_finished_spans():
        spans.setdefault(span.name, []).append(span)
    return spans


def test_the_spans_of_a_batch_and_its_decisions(settings: Settings, exporter: InMemorySpanExporter) -> None:
    records = [
        record(7, event(), [("traceparent", FIRST.encode()), ("tracestate", b"a=1")]),
        record(8, event("L-2"), key=b"L-2"),
        record(9, event("L-3", "lead.page_viewed"), [("traceparent", SECOND.encode())], key=b"L-3"),
    ]
    spans = Spans(settings).batch(3, 7, 3, [TraceContext(FIRST, "a=1"), TraceContext(SECOND)])
    caused, uncaused, *_ = decisions(settings, records, spans)
    assert exporter.get_finished_spans() == ()
    spans.committed(2)
    named = by_name(exporter)
    (batch,) = named[f"process {settings.activity_topic}"]
    assert batch.kind is SpanKind.CONSUMER
    assert batch.parent is None
    assert [f"{link.context.trace_id:032x}" for link in batch.links] == [TRACE, "1" * 32]
    attributes = dict(batch.attributes or {})
    assert attributes["messaging.destination.partition.id"] == "3"
    assert attributes["messaging.kafka.offset"] == 7
    assert attributes["messaging.batch.message_count"] == 3
    assert attributes["scorer.dead_letters"] == 2
    first, second = named[f"send {settings.routing_topic}"][:2]
    assert first.kind is SpanKind.PRODUCER
    context = first.get_span_context()
    assert context is not None
    assert first.parent is not None
    # The trace goes on: activity -> decision -> the reader of the decision.
    assert (f"{context.trace_id:032x}", f"{first.parent.span_id:016x}") == (TRACE, PARENT)
    assert traced(caused) == [
        ("traceparent", f"00-{TRACE}-{context.span_id:016x}-01".encode()),
        ("tracestate", b"a=1"),
    ]
    ids = dict(caused.headers)
    assert dict(first.attributes or {})["messaging.message.id"] == ids["ce_id"].decode()
    assert [link.context.span_id for link in first.links] == [batch.context.span_id]
    # A decision whose cause belongs to no trace belongs to that of the batch.
    assert second.parent is not None
    assert second.parent.span_id == batch.context.span_id
    assert traced(uncaused)[0][1].decode().split("-")[1] == f"{batch.context.trace_id:032x}"


def test_a_trace_that_is_not_sampled_stays_so(settings: Settings, exporter: InMemorySpanExporter) -> None:
    spans = Spans(settings).batch(3, 0, 1, [])
    (decision,) = decisions(settings, [record(0, event(), [("traceparent", UNSAMPLED.encode())])], spans)
    spans.committed(0)
    assert f"send {settings.routing_topic}" not in by_name(exporter)
    assert traced(decision)[0][1].startswith(f"00-{TRACE}-".encode())
    assert traced(decision)[0][1].endswith(b"-00")


def test_a_batch_that_fails_says_which_class_of_error_and_not_what_it_says(
    settings: Settings, exporter: InMemorySpanExporter
) -> None:
    spans = Spans(settings).batch(3, 0, 1, [])
    decisions(settings, [record(0, event())], spans)
    spans.failed(ValueError("jane@example.com"))
    finished = exporter.get_finished_spans()
    assert len(finished) == 2
    for span in finished:
        assert span.status.status_code is StatusCode.ERROR
        assert dict(span.attributes or {})["error.type"] == "ValueError"
        assert "jane" not in span.to_json()


def test_the_state_of_a_trace_goes_on_and_is_not_exported(settings: Settings, exporter: InMemorySpanExporter) -> None:
    state = "crm=jane@example.com,a=1"
    headers = [("traceparent", FIRST.encode()), ("tracestate", state.encode())]
    spans = Spans(settings).batch(3, 0, 1, [TraceContext(FIRST, state)])
    (decision,) = decisions(settings, [record(0, event(), headers)], spans)
    spans.committed(0)
    assert dict(decision.headers)["tracestate"] == state.encode()
    finished = exporter.get_finished_spans()
    assert len(finished) == 2
    for span in finished:
        states = [span.context.trace_state, *(link.context.trace_state for link in span.links)]
        assert [each.to_header() for each in states if each] == []
        assert "jane" not in span.to_json()


def test_a_batch_that_is_judged_again_counts_once(settings: Settings, exporter: InMemorySpanExporter) -> None:
    spans = Spans(settings).batch(3, 0, 1, [])
    for _ in range(2):
        decisions(settings, [record(0, event())], spans)
    spans.committed(0)
    assert len(by_name(exporter)[f"send {settings.routing_topic}"]) == 1


def translated(
    settings: Settings, content: object, headers: Headers, spans: BatchSpans | None = None
) -> list[list[tuple[str, bytes]]]:
    """The traces of the activities that a record of another sender in our own format becomes."""
    translator = Translator(OwnEvents(), settings, lambda: NOW, TopicLimits(settings))
    steps = translator.steps([record(4, content, headers)], spans)
    with pytest.raises(StopIteration) as end:
        next(steps)
    return [traced(message) for message in end.value.value.outbox.messages]


BATCH = ("content-type", b"application/cloudevents-batch+json")


@pytest.mark.parametrize(
    ("headers", "content", "expected"),
    [
        ([("traceparent", FIRST.encode()), ("tracestate", b"a=1")], event(), [TraceContext(FIRST, "a=1")]),
        ([], event(traceparent=FIRST), [TraceContext(FIRST)]),
        # The header belongs to the whole batch, and an event has its own.
        (
            [BATCH, ("traceparent", FIRST.encode())],
            [event(traceparent=SECOND), event()],
            [TraceContext(SECOND), TraceContext(FIRST)],
        ),
        ([], event(), [None]),
        ([("traceparent", b"any text"), ("tracestate", b"any text")], event(), [None]),
        ([("traceparent", None)], event(), [None]),
    ],
)
def test_an_activity_has_the_trace_of_the_record_that_it_was_made_of(
    settings: Settings, headers: Any, content: object, expected: list[TraceContext | None]
) -> None:
    assert translated(settings, content, headers) == [[] if each is None else trace_headers(each) for each in expected]


def test_the_spans_of_a_translation(settings: Settings, exporter: InMemorySpanExporter) -> None:
    spans = Spans(settings).translation("web", 3, 4, 1, [TraceContext(FIRST, "a=1")])
    headers = [BATCH, ("traceparent", FIRST.encode()), ("tracestate", b"a=1")]
    (activity,) = translated(settings, [event()], headers, spans)
    spans.committed(0, made=2, records=1)
    named = by_name(exporter)
    (batch,), (sent,) = named["process web"], named[f"send {settings.activity_topic}"]
    attributes = dict(batch.attributes or {})
    assert (attributes["scorer.activities"], attributes["messaging.destination.name"]) == (2, "web")
    context = sent.get_span_context()
    assert context is not None
    assert sent.parent is not None
    assert f"{sent.parent.span_id:016x}" == PARENT
    assert activity == [("traceparent", f"00-{TRACE}-{context.span_id:016x}-01".encode()), ("tracestate", b"a=1")]
    assert dict(sent.attributes or {})["messaging.message.id"] == "in/3/4#0"


def test_an_activity_without_a_trace_has_no_span(settings: Settings, exporter: InMemorySpanExporter) -> None:
    """There are too many of them."""
    spans = Spans(settings).translation("web", 3, 4, 1, [])
    assert translated(settings, event(), [], spans) == [[]]
    spans.committed(0, made=1, records=1)
    assert set(by_name(exporter)) == {"process web"}


def test_without_opentelemetry_the_setting_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"^SCORER_TRACING is on, but OpenTelemetry is not installed; run `pip"):
        Spans(settings)
