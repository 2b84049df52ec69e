"""How far a partition of another sender's topic was translated: the committed offset, whose metadata also says what the
last record was. So a topic that was deleted and created again is noticed, as for the input."""

import re
from typing import Any, Final

from aiokafka import TopicPartition

from scorer.kafka.transaction import Offset
from scorer.runtime.settings import Settings
from scorer.state.input_position import InputPosition, Seen
from scorer.stream.input_log import SpanOf, check_input, seen

_LAST: Final = re.compile(r"(?:^| )last (\d{1,19}) (-?\d{1,19}) ([0-9a-f]{16})$")


def note_of(record: Any) -> str:
    """The end of the offset's metadata after this record (`ConsumerRecord`)."""
    last = seen(record)
    return f"last {last.offset} {last.timestamp} {last.digest.hex()}"


def position_of(committed: Offset) -> InputPosition:
    """What an offset and its metadata say. Another tool that sets offsets says nothing about the last record."""
    match = _LAST.search(committed.metadata)
    last = None if match is None else Seen(int(match[1]), int(match[2]), bytes.fromhex(match[3]))
    return InputPosition(committed.next, last)


async def source_start(settings: Settings, span_of: SpanOf, partition: TopicPartition, committed: Offset | None) -> int:
    """The offset to continue from: the first one of a topic that is new to the group. Raises `KafkaError`, and
    `InputChangedError` if the topic cannot be continued."""
    if committed is None:
        return (await span_of(partition)).first
    position = position_of(committed)
    await check_input(settings, partition, position.next_offset, position)
    return position.next_offset
