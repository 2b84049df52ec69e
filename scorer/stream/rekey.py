"""Writes a record without a key back into the input, keyed by its lead (`SCORER_NULL_KEYS=rekey`)."""

from typing import Final

from aiokafka import ConsumerRecord

from scorer.kafka.client_internals import record_size
from scorer.kafka.message import Headers, Message
from scorer.sources.elements import index_of
from scorer.sources.rejected import Rejected

REKEYED_FROM: Final = "rekeyed-from"


def rekeyed(record: "ConsumerRecord[bytes, bytes]", lead_id: str, topic: str, limit: int) -> Message:
    """The record for the input topic, on the partition that the key gives. Value and headers stay; a header
    `rekeyed-from` says where it was.

    `limit`: the largest batch that the topic accepts, bytes. Raises `Rejected` if the record stays without a key.
    """
    for name, _ in record.headers:
        # Something removes the keys of this topic. Another round would change nothing, and the rounds would never end.
        if name == REKEYED_FROM:
            raise Rejected(
                "null_key",
                f"the record has no key although it was re-keyed before ({REKEYED_FROM}); expected the lead id",
            )
    index = index_of(record)
    place = f"{record.topic}/{record.partition}/{record.offset}" + ("" if index is None else f"#{index}")
    headers: Headers = [*record.headers, (REKEYED_FROM, place.encode())]
    key = lead_id.encode()
    size = record_size(key, record.value, [(name, value or b"") for name, value in headers])
    if size > limit:
        raise Rejected(
            "too_large", f"the record has no key, and with a key it has {size:,} bytes; expected at most {limit:,}"
        )
    return Message(topic, None, key, record.value, headers)
