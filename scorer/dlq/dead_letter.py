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


def dead_letter(
    record: "ConsumerRecord[bytes, bytes]", reason: str, detail: str, topic: str, *, shorten: bool = False
) -> Message:
    """The record for the dead letter topic. Its headers replace those of an earlier dead letter.

    `shorten`: the broker refused a message as too large, so only the beginning of a large value is kept, and
    `dlq-length` gives its length. The whole record is at `dlq-topic`, `dlq-partition` and `dlq-offset`.
    """
    headers: Headers = [(name, value) for name, value in record.headers if not name.startswith(PREFIX)]
    headers += [
        ("dlq-reason", reason.encode()),
        ("dlq-detail", detail.encode("utf-8", "backslashreplace")),
        ("dlq-topic", record.topic.encode()),
        ("dlq-partition", str(record.partition).encode()),
        ("dlq-offset", str(record.offset).encode()),
        ("dlq-timestamp", str(record.timestamp).encode()),
    ]
    value = record.value
    if shorten and value is not None and len(value) > SHORTENED:
        headers.append(("dlq-length", str(len(value)).encode()))
        value = value[:SHORTENED]
    return Message(topic, None, record.key, value, headers, spread=record.partition)


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
