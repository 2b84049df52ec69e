"""How large the records are that we write, and what their topics must allow."""

from typing import Final

from scorer.runtime.settings import Settings

DEFAULT_LIMIT: Final = 1_048_588
"""`max.message.bytes` of a topic that sets nothing, bytes."""
ROOM: Final = 65_536
"""Bytes beyond a limit that other parts of an input record may need: its key and headers, and again ours."""
OVERHEAD: Final = 16_384
"""The most bytes that a state, a decision or a sample needs beside its value: for a key of 256 characters, our headers,
and the frame of a record batch."""
LETTER_OVERHEAD: Final = 8_192
"""The most bytes of the headers that a dead letter adds, and of the frame of a record batch."""
SMALLEST_LETTERS: Final = 2 * LETTER_OVERHEAD
"""The least `max.message.bytes` with which a dead letter still shows something of its record."""


def record_topic_bytes(settings: Settings) -> int:
    """The least `max.message.bytes` of the topics of states, decisions and samples."""
    return settings.max_record_bytes + OVERHEAD


def dead_letter_topic_bytes(settings: Settings, input_limit: int | None) -> int:
    """`max.message.bytes` of a dead letter topic that we create. `input_limit`: that of the input, None if unknown."""
    # A dead letter is its input and some more headers, and the largest input must fit.
    return max(settings.max_value_bytes, input_limit or DEFAULT_LIMIT) + 2 * ROOM


def whole_bytes(settings: Settings) -> int:
    """The largest record, in bytes of key, value and headers, whose dead letter is certain to fit a topic of ours.

    It leaves one room for the headers that a dead letter adds. A compressed record can be larger: its topic limits the
    packed bytes only.
    """
    return dead_letter_topic_bytes(settings, None) - ROOM
