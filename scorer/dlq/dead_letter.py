"""Dead letters: records that could not be processed, byte for byte, with the reason in headers."""

import traceback
from hashlib import blake2b
from typing import Final

from aiokafka import ConsumerRecord

from scorer.kafka.message import Headers, Message
from scorer.sources.rejected import Rejected

PREFIX: Final = "dlq-"
INTERNAL_ERROR: Final = "internal_error"
SHORTENED: Final = 65_536
"""Bytes that are kept of a value or a key that is cut."""


def dead_letter(
    record: "ConsumerRecord[bytes, bytes]",
    reason: str,
    detail: str,
    topic: str,
    *,
    limit: int,
    room: int | None = None,
    index: int | None = None,
) -> Message:
    """The record for the dead letter topic. Its headers replace those of an earlier dead letter.

    `index`: the record is this event of a batch; None if it is a record of its own.
    `limit`: the largest record that is kept whole, in bytes of key, value and headers. Of a larger record, a value and
    a key over 64 KiB are cut to that length, and headers over 64 KiB are left out. Then `dlq-length` gives the length
    of the value, and `dlq-key-length` and `dlq-headers-length` the length of a key or headers that were cut. The whole
    record is at `dlq-topic`, `dlq-partition` and `dlq-offset`. `room`: how many bytes may be left of a record that is
    cut; None if 192 KiB always fit.
    """
    headers: Headers = [(name, value) for name, value in record.headers if not name.startswith(PREFIX)]
    key, value = record.key, record.value
    # The consumer cuts what is far too large; then only these sizes tell.
    key_size = max(record.serialized_key_size, len(key or b""))
    size = max(record.serialized_value_size, len(value or b""))
    headers_size = sum(len(name.encode("utf-8", "replace")) + len(text or b"") for name, text in headers)
    cuts: Headers = []
    if key_size + size + headers_size > limit:
        left = 3 * SHORTENED if room is None else room
        kept = min(SHORTENED, left // 2)
        if key is not None and key_size > kept:
            key = key[:kept]
            cuts.append(("dlq-key-length", str(key_size).encode()))
        left -= len(key or b"")
        if headers_size > min(SHORTENED, left // 2):
            headers = []
            cuts.append(("dlq-headers-length", str(headers_size).encode()))
        else:
            left -= headers_size
        kept = min(SHORTENED, left)
        if value is not None and size > kept:
            value = value[:kept]
        if cuts or size > kept:
            cuts.append(("dlq-length", str(size).encode()))
    headers += [
        ("dlq-reason", reason.encode()),
        ("dlq-detail", detail.encode("utf-8", "backslashreplace")),
        ("dlq-topic", record.topic.encode()),
        ("dlq-partition", str(record.partition).encode()),
        ("dlq-offset", str(record.offset).encode()),
        ("dlq-timestamp", str(record.timestamp).encode()),
    ]
    if index is not None:
        headers.append(("dlq-index", str(index).encode()))
    return Message(topic, None, key, value, headers + cuts, spread=record.partition)


def internal_error(error: Exception) -> Rejected:
    """The rejection of a record on which our own code fails: the class, the place, and a digest of the traceback. The
    same fault has the same digest, which matches dead letters with log lines. The message is left out, because it may
    quote the lead."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].name}:{frames[-1].lineno}" if frames else "unknown"
    digest = blake2b(digest_size=8)
    for frame in frames:
        digest.update(f"{frame.filename.rpartition('/')[2]}:{frame.name}:{frame.lineno}\n".encode())
    digest.update(type(error).__qualname__.encode())
    detail = f"{type(error).__qualname__} in {place}, traceback {digest.hexdigest()}"
    return Rejected(INTERNAL_ERROR, detail)
