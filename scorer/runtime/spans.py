"""OpenTelemetry spans: one for each batch, one for each decision in the trace of the activity that caused it, and one
for each activity in the trace of the record of another sender that it was made of.

FastStream's own middleware does not fit: its span would end when a batch is handed over to its partition, before
anything is judged, and it knows of no decision. Nothing here is imported or called unless `SCORER_TRACING` is on.
"""

import threading
import time
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from scorer.domain.trace_context import TraceContext
from scorer.runtime.settings import Settings, SettingsError, variable

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanContext, Tracer

MOST_LINKS: Final = 128
"""Links of a batch to the traces of its activities; OpenTelemetry keeps no more by default."""
_CLOSING_SECONDS: Final = 3.0
_NAME: Final = "lead-scorer"
_COUNT: Final = "messaging.batch.message_count"


class Spans:
    """Makes the spans. Without a provider of its own process (auto-instrumentation), it exports to an OTLP collector;
    the `OTEL_*` variables say where and how much. Raises `SettingsError` if OpenTelemetry is not installed."""

    def __init__(self, settings: Settings) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.sdk.trace import TracerProvider
        except ImportError:
            raise _not_installed() from None
        self._settings = settings
        given = trace.get_tracer_provider()
        self._own = None if isinstance(given, TracerProvider) else _provider(settings)
        self._tracer: Tracer = (self._own or given).get_tracer(_NAME)

    def batch(self, partition: int, offset: int, records: int, causes: Iterable[TraceContext]) -> "BatchSpans":
        """Begin the span of a batch of the input. `offset`: of its first record. `causes`: the traces of activities."""
        topics = _Topics(self._settings.activity_topic, self._settings.routing_topic, "scorer.decisions")
        return BatchSpans(self._tracer, self._settings, topics, partition, offset, records, causes)

    def translation(
        self, topic: str, partition: int, offset: int, records: int, causes: Iterable[TraceContext]
    ) -> "BatchSpans":
        """Begin the span of records of another sender's `topic`, as `batch`."""
        topics = _Topics(topic, self._settings.activity_topic, "scorer.activities")
        return BatchSpans(self._tracer, self._settings, topics, partition, offset, records, causes)

    def close(self) -> None:
        """Export what is left, for a few seconds at most."""
        if self._own is not None:
            # A collector that does not answer must not hold up the end of the process.
            closing = threading.Thread(target=self._own.shutdown, daemon=True)
            closing.start()
            closing.join(_CLOSING_SECONDS)


class _Topics(NamedTuple):
    """Where records come from and where what is made of them goes, and the attribute that counts the latter."""

    source: str
    target: str
    counter: str


class BatchSpans:
    """The span of one batch and those of what is made of it: decisions or activities. They end when the batch is
    committed or given up."""

    def __init__(
        self,
        tracer: "Tracer",
        settings: Settings,
        topics: _Topics,
        partition: int,
        offset: int,
        records: int,
        causes: Iterable[TraceContext],
    ) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, SpanKind

        self._tracer = tracer
        self._topics = topics
        self._began = time.time_ns()
        self._sent: list[Span] = []
        self._batch = tracer.start_span(
            f"process {topics.source}",
            Context(),
            SpanKind.CONSUMER,
            {
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": topics.source,
                "messaging.destination.partition.id": str(partition),
                "messaging.consumer.group.name": settings.group,
                "messaging.kafka.offset": offset,
                _COUNT: records,
            },
            [Link(_span_context(cause)) for cause in islice(causes, MOST_LINKS)],
            start_time=self._began,
        )

    def restart(self) -> None:
        """Forget what was made, because the batch is processed again."""
        self._sent.clear()

    def sent(self, cause: TraceContext | None, message_id: str) -> TraceContext | None:
        """Begin the span of a message in the trace of its cause, or in that of the batch; the context to pass on."""
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, set_span_in_context

        batch = self._batch.get_span_context()
        if cause is None:
            parent, links = set_span_in_context(self._batch, Context()), []
        else:
            parent, links = set_span_in_context(NonRecordingSpan(_span_context(cause)), Context()), [Link(batch)]
        span = self._tracer.start_span(
            f"send {self._topics.target}",
            parent,
            SpanKind.PRODUCER,
            {
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": self._topics.target,
                "messaging.message.id": message_id,
            },
            links,
            start_time=self._began,
        )
        self._sent.append(span)
        return _trace_context(span.get_span_context(), cause) or cause

    def committed(self, dead_letters: int, made: int | None = None, records: int | None = None) -> None:
        """The batch is committed, and this much of it was rejected. `made`: what came of it, if not everything has a
        span. `records`: how many of the batch were processed, if not all."""
        self._batch.set_attribute(self._topics.counter, len(self._sent) if made is None else made)
        if records is not None:
            self._batch.set_attribute(_COUNT, records)
        self._batch.set_attribute("scorer.dead_letters", dead_letters)
        self._end()

    def failed(self, error: BaseException) -> None:
        """The batch was not committed. Only the class of the error is recorded: its text may quote a lead."""
        from opentelemetry.trace import Status, StatusCode

        for span in (*self._sent, self._batch):
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR))
        self._end()

    def _end(self) -> None:
        for span in self._sent:
            span.end()
        self._batch.end()


def _provider(settings: Settings) -> "TracerProvider":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise _not_installed() from None
    resource = Resource.create()
    ours = {"service.instance.id": settings.instance} if settings.instance else {}
    # The name of a resource that nobody named.
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        ours["service.name"] = _NAME
    provider = TracerProvider(resource=resource.merge(Resource(ours)), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _span_context(cause: TraceContext) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace_id, span_id, flags = cause.traceparent.split("-")
    # Without the state, which is text of the sender: spans are exported, and the text may name a lead.
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)))


def _trace_context(context: "SpanContext", cause: TraceContext | None) -> TraceContext | None:
    """The context of a span, with the state of its cause."""
    if not context.is_valid:
        return None
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    given = cause.tracestate if cause is not None else None
    return TraceContext(parent, given or context.trace_state.to_header() or None)


def _not_installed() -> SettingsError:
    return SettingsError(
        f"{variable('tracing')} is on, but OpenTelemetry is not installed; run `pip install 'lead-scorer[otel]'`"
    )
