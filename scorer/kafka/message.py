"""A record to send to Kafka."""

from typing import NamedTuple

Headers = list[tuple[str, bytes]]


class Message(NamedTuple):
    """A record to publish. `partition` None: the key chooses it, as in every Kafka client.

    A message with neither partition nor key goes to the partition `spread` modulo the number of partitions.
    `timestamp`: milliseconds since the epoch; None: when it is sent.
    """

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    spread: int = 0
    timestamp: int | None = None
