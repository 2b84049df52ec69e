"""What one transaction publishes: decisions, lead states and dead letters, as Kafka records."""

from dataclasses import dataclass, field
from typing import NamedTuple

from scorer.domain.decision import RoutingDecision
from scorer.domain.instant import to_text

Headers = list[tuple[str, bytes]]

OFFSET_HEADER = "offset"
"""On changelog records: the input offset up to which the state is, 8 bytes big-endian. Recovery checks against it."""


class Message(NamedTuple):
    """A record to be published; `partition` None: by the key, as every Kafka client does."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class Outbox:
    """Everything one batch of a partition publishes, and the offset that it commits."""

    next_offset: int
    messages: list[Message] = field(default_factory=list)


def decision_message(decision: RoutingDecision, topic: str, source: str, now: int) -> Message:
    """A decision as a CloudEvent in binary mode. `now`, microseconds since the epoch, only goes into a header: the
    value is the same on every replay."""
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", decision.decision_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", b"lead.routing_decision"),
        ("ce_time", decision.decided_at.encode()),
        ("ce_subject", decision.lead_id.encode()),
        ("content-type", b"application/json"),
        ("published-at", to_text(now).encode()),
    ]
    return Message(topic, None, decision.lead_id.encode(), decision.to_json(), headers)


def state_message(lead_id: str, state: bytes, topic: str, partition: int, offset: int) -> Message:
    """A lead's state for the changelog: on the partition of the input, whatever the key."""
    return Message(topic, partition, lead_id.encode(), state, [(OFFSET_HEADER, offset.to_bytes(8, "big"))])
