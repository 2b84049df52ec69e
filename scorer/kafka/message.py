"""A record on its way into Kafka."""

from typing import NamedTuple

Headers = list[tuple[str, bytes]]


class Message(NamedTuple):
    """A record to be published; `partition` None: by the key, as every Kafka client does.

    `spread` chooses the partition of a message that has neither partition nor key: `spread` modulo their number.
    """

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    spread: int = 0
