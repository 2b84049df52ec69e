"""The position in the input: its bytes, what a restore makes of it, and what is remembered of a record."""

import asyncio
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from scorer.dlq.dead_letter import SHORTENED
from scorer.kafka.topic_reader import Span, TopicReader
from scorer.state.codec import CodecError
from scorer.state.input_position import (
    LOG_TIME_HEADER,
    POSITION_KEY,
    InputPosition,
    Seen,
    decode_position,
    encode_position,
)
from scorer.state.store import LeadStore
from scorer.stream.input_log import Change, InputLog, seen
from scorer.stream.outbox import OFFSET_HEADER, position_message
from scorer.stream.recovery import _PACE, Progress, _read
from tests.unit.test_topic_reader import Fetched

CHANGELOG = TopicPartition("states", 0)
INPUT = TopicPartition("in", 0)
LAST = Seen(49, 1_772_632_800_000, b"12345678")


@pytest.mark.parametrize("position", [InputPosition(50, LAST), InputPosition(0, None), InputPosition(1 << 60, None)])
def test_bytes_and_back(position: InputPosition) -> None:
    assert decode_position(encode_position(position)) == position


def test_the_bytes_of_version_1_stay_readable() -> None:
    value = bytes.fromhex("009301329331cf0000019cb925fb00c4083132333435363738")
    assert decode_position(value) == InputPosition(50, LAST)
    assert encode_position(InputPosition(50, LAST)) == value


@pytest.mark.parametrize("log_time", [None, 0, -(1 << 62), 1_772_632_800_000_000])
def test_the_time_of_the_log_is_a_header_which_earlier_releases_ignore(log_time: int | None) -> None:
    message = position_message(InputPosition(50, LAST, log_time), "states", 0)
    assert message.value == encode_position(InputPosition(50, LAST))
    assert decode_position(message.value or b"", message.headers) == InputPosition(50, LAST, log_time)


def test_a_time_of_the_log_that_is_none_is_refused() -> None:
    with pytest.raises(CodecError, match="log-time is b'x'; expected 8 bytes"):
        decode_position(encode_position(InputPosition(50, LAST)), [(LOG_TIME_HEADER, b"x")])


@pytest.mark.parametrize(
    "value", [b"", b"\x00", b"\x00\x93\x02\x05\xc0", b"\x00\x93\x01\xa1a\xc0", b"\x01\x93\x01\x05\xc0"]
)
def test_other_bytes_are_refused_and_named(value: bytes) -> None:
    with pytest.raises(CodecError, match="input position"):
        decode_position(value)


def restored(*records: "ConsumerRecord[bytes, bytes]") -> tuple[int | None, LeadStore]:
    store = LeadStore()
    reader = TopicReader(Fetched({CHANGELOG: list(records)}), _PACE)
    reading = _read(reader, CHANGELOG, Span(0, len(records)), store, Progress(), lambda number: None)
    return asyncio.run(asyncio.wait_for(reading, 30)), store


def state(number: int, offset: int) -> "ConsumerRecord[bytes, bytes]":
    headers = ((OFFSET_HEADER, offset.to_bytes(8, "big")),)
    return ConsumerRecord("states", 0, number, 0, 0, b"lead-%d" % number, b"\x01", None, 1, 1, headers)


def position(number: int, next_offset: int) -> "ConsumerRecord[bytes, bytes]":
    value = encode_position(InputPosition(next_offset, None))
    return ConsumerRecord("states", 0, number, 0, 0, POSITION_KEY, value, None, 1, 1, ())


def test_without_a_position_the_states_say_how_far_the_input_was_processed() -> None:
    """As in the changelog of an earlier release."""
    in_state, store = restored(state(0, 7), state(1, 3))
    assert (in_state, store.position, len(store)) == (8, None, 2)


def test_a_position_counts_more_than_the_states_before_it() -> None:
    in_state, store = restored(state(0, 70), position(1, 5))
    assert (in_state, len(store)) == (5, 1)
    assert store.position == InputPosition(5, None)


def test_states_after_a_position_count_too() -> None:
    """An earlier release, or a job, writes states without a position."""
    assert restored(state(0, 70), position(1, 5), state(2, 9), state(3, 6))[0] == 10


def test_a_reset_to_the_first_offset_forgets_what_was_processed() -> None:
    assert restored(state(0, 70), position(1, 0))[0] is None


def record(value: bytes | None, key: bytes | None = b"k", size: int | None = None, **other: Any) -> Any:
    whole = len(value or b"") if size is None else size
    return ConsumerRecord("in", 0, other.get("offset", 1), other.get("at", 5), 0, key, value, None, 1, whole, ())


def test_a_cut_value_and_the_whole_one_are_the_same_record() -> None:
    """The worker keeps only the beginning of a very large value; the comparison reads all of it."""
    whole = b"x" * (SHORTENED + 1000)
    assert seen(record(whole)) == seen(record(whole[:SHORTENED], size=len(whole)))


@pytest.mark.parametrize(
    "other",
    [record(b"w"), record(b"v", b"l"), record(b"v", offset=2), record(b"v", at=6), record(None), record(b"v", None)],
)
def test_another_record_differs(other: Any) -> None:
    assert seen(record(b"v")) != seen(other)


@pytest.mark.parametrize("timestamp", [-1, 1 << 62])
def test_a_timestamp_that_is_no_time_is_shown_as_a_number(timestamp: int) -> None:
    found = Seen(49, timestamp, b"")
    log = InputLog(INPUT, 50, Span(0, 80), LAST, found, Change.RECREATED, compared=True)
    assert f"a record of {timestamp}" in log.problem
