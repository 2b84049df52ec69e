"""A trace goes from an activity through the service to its decision, with a real broker and a collector of OTLP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.brokers.marks import embedded_only
from tests.integration.activities import START, event, structured
from tests.integration.kafka import Kafka, Names
from tests.integration.service import service

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """The address of a collector, and what it gets, in memory."""
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def spans_of(received: list[ExportTraceServiceRequest]) -> dict[str, list[Span]]:
    named: dict[str, list[Span]] = {}
    for request in received:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    named.setdefault(span.name, []).append(span)
    return named


@embedded_only
def test_the_trace_of_an_activity_goes_on_in_its_decision(
    kafka: Kafka, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = event("L-1", 1, "lead.demo_requested", {}, START) | {"traceparent": TRACEPARENT}
    with collector() as (address, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        with service(kafka, names, tmp_path, tracing="on", instance="worker-0") as running:
            kafka.write(names.activity, [structured(content)])
            (decision,) = kafka.read(names.routing, at_least=1)
            assert running.terminate() == 0
        named = spans_of(received)
    (sent,) = named[f"send {names.routing}"]
    (batch,) = named[f"process {names.activity}"]
    assert (sent.trace_id.hex(), sent.parent_span_id.hex()) == (TRACE, PARENT)
    assert dict(decision.headers)["traceparent"] == f"00-{TRACE}-{sent.span_id.hex()}-01".encode()
    assert [link.trace_id.hex() for link in batch.links] == [TRACE]
    assert sent.end_time_unix_nano >= batch.start_time_unix_nano
    attributes = {each.key: each.value.string_value for each in received[0].resource_spans[0].resource.attributes}
    assert (attributes["service.name"], attributes["service.instance.id"]) == ("lead-scorer", "worker-0")


@embedded_only
def test_the_trace_of_another_senders_record_goes_on_in_its_activities_and_their_decisions(
    kafka: Kafka, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = f"{names.prefix}.web"
    kafka.create({topic: 1})
    content = event("L-1", 1, "lead.demo_requested", {}, START)
    with collector() as (address, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        with service(kafka, names, tmp_path, tracing="on", sources=f"{topic}:cloudevents") as running:
            kafka.write(topic, [structured(content)._replace(headers=[("traceparent", TRACEPARENT.encode())])])
            (decision,) = kafka.read(names.routing, at_least=1)
            assert running.terminate() == 0
        named = spans_of(received)
    (activity,) = kafka.read(names.activity)
    (translation,) = named[f"process {topic}"]
    (passed_on,) = named[f"send {names.activity}"]
    (sent,) = named[f"send {names.routing}"]
    assert [link.trace_id.hex() for link in translation.links] == [TRACE]
    assert (passed_on.trace_id.hex(), passed_on.parent_span_id.hex()) == (TRACE, PARENT)
    assert dict(activity.headers)["traceparent"] == f"00-{TRACE}-{passed_on.span_id.hex()}-01".encode()
    assert (sent.trace_id.hex(), sent.parent_span_id) == (TRACE, passed_on.span_id)
    assert dict(decision.headers)["traceparent"] == f"00-{TRACE}-{sent.span_id.hex()}-01".encode()


@embedded_only
def test_a_collector_that_does_not_answer_holds_up_nothing(
    kafka: Kafka, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    content = event("L-1", 1, "lead.demo_requested", {}, START)
    with service(kafka, names, tmp_path, tracing="on") as running:
        kafka.write(names.activity, [structured(content)])
        (decision,) = kafka.read(names.routing, at_least=1)
        assert "traceparent" in dict(decision.headers)
        assert running.terminate() == 0
