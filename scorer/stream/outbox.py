"""What one transaction publishes, as Kafka records: decisions, lead states and dead letters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from scorer.domain.decision import LATEST_VERSION, RoutingDecision
from scorer.domain.instant import to_text
from scorer.domain.trace_context import TRACEPARENT, TRACESTATE, TraceContext
from scorer.kafka.message import Headers, Message
from scorer.state.input_position import LOG_TIME_HEADER, POSITION_KEY, InputPosition, encode_position, instant_header
from scorer.state.marker import MARKER_KEY, SINCE_HEADER, Marker, encode_marker

VERSION_HEADER: Final = "schema_version"
"""On decisions: the version of the contract, also of decisions without the key of this name."""
OFFSET_HEADER = "offset"
"""On changelog records: the input offset that the state includes last, 8 bytes big-endian. Recovery checks it."""


_VERSION_HEADERS: Final = {number: (VERSION_HEADER, b"%d" % number) for number in range(1, LATEST_VERSION + 1)}


@dataclass(slots=True)
class Outbox:
    """Everything that one batch of a partition publishes, and the offset that it commits. `log_time`: the latest
    arrival of a record before the offset, in microseconds since the epoch; None if it is not known."""

    next_offset: int
    messages: list[Message] = field(default_factory=list)
    log_time: int | None = None


def decision_message(decision: RoutingDecision, topic: str, group: str, now: int) -> Message:
    """A decision as a CloudEvent in binary mode. `now` (microseconds since the epoch) goes only into a header, so the
    value is the same on every replay."""
    key = decision.lead_id.encode()
    source_header, published_header = _batch_headers(group, now)
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", decision.decision_id.encode()),
        source_header,
        ("ce_type", b"lead.routing_decision"),
        ("ce_time", decision.decided_at.encode()),
        ("ce_subject", key),
        ("content-type", b"application/json"),
        _VERSION_HEADERS[decision.schema_version],
        published_header,
    ]
    return Message(topic, None, key, decision.to_json(), headers)


def trace_headers(trace: TraceContext) -> Headers:
    """The headers of a record that belongs to the trace."""
    headers: Headers = [(TRACEPARENT, trace.traceparent.encode())]
    if trace.tracestate is not None:
        headers.append((TRACESTATE, trace.tracestate.encode()))
    return headers


# Cached because these headers are the same for all decisions of a batch.
@lru_cache(1)
def _batch_headers(group: str, now: int) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    return ("ce_source", f"/lead-scorer/{group}".encode()), ("published-at", to_text(now).encode())


def state_messages(states: Mapping[str, bytes | None], topic: str, partition: int, offset: int) -> list[Message]:
    """Lead states for the changelog, on the partition number of the input and not on the one that the key gives. A lead
    that was removed (None) gives a tombstone, so compaction removes it too."""
    headers = [(OFFSET_HEADER, offset.to_bytes(8, "big"))]
    return [Message(topic, partition, lead_id.encode(), state, headers) for lead_id, state in states.items()]


def state_message(lead_id: str, state: bytes | None, topic: str, partition: int, offset: int) -> Message:
    """One lead's state for the changelog."""
    return state_messages({lead_id: state}, topic, partition, offset)[0]


def marker_message(marker: Marker, topic: str, partition: int) -> Message:
    """The marker for the changelog."""
    return Message(topic, partition, MARKER_KEY, encode_marker(marker), instant_header(SINCE_HEADER, marker.since))


def position_message(position: InputPosition, topic: str, partition: int) -> Message:
    """The position in the input for the changelog."""
    headers = instant_header(LOG_TIME_HEADER, position.log_time)
    return Message(topic, partition, POSITION_KEY, encode_position(position), headers)
