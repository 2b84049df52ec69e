"""What somebody else writes into the changelog is a state or an error that says what is wrong, never another error."""

import contextlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.state.codec import CodecError, decode_lead, encode_lead
from scorer.state.input_position import decode_position
from scorer.state.marker import decode_marker
from scorer.state.store import LeadStore
from scorer.stream.recovery import _apply
from tests.unit.test_codec import SAMPLE_1, rich_lead

STATES = (encode_lead(rich_lead()), bytes.fromhex(SAMPLE_1))
DEEP = b"\x91" * 100_000
"""An array in an array in an array, as msgpack."""


@given(st.sampled_from(STATES), st.data())
def test_changed_bytes_are_a_state_or_damaged(state: bytes, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(state)), "begin")
    end = data.draw(st.integers(begin, min(len(state), begin + 6)), "end")
    changed = state[:begin] + data.draw(st.binary(max_size=8), "instead") + state[end:]
    with contextlib.suppress(CodecError):
        # The facts are unpacked when they are read.
        dict(decode_lead("L-1", changed).facts)


@pytest.mark.parametrize("state", [b"\x01" + DEEP, b"\x02" + DEEP, b"\x02\x96" + DEEP, b"\x01\xdd\xff\xff\xff\xff"])
def test_deep_or_endless_states_are_damaged(state: bytes) -> None:
    with pytest.raises(CodecError, match="damaged"):
        decode_lead("L-1", state)


@pytest.mark.parametrize("value", [b"", b"\xff", b"\x01" + DEEP, b"\x01\x91" + DEEP])
def test_deep_markers_and_positions_are_damaged(value: bytes) -> None:
    for decode in (decode_marker, decode_position):
        with pytest.raises(CodecError, match="damaged"):
            decode(value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (None, STATES[0], "the changelog record at offset 7 of s-3 has no key"),
        (b"\xff", STATES[0], "the key of the changelog record at offset 7 of s-3 is not UTF-8"),
        (b"L-1", b"\x09", "has version 9, this software reads up to"),
    ],
)
def test_a_record_that_is_no_state_is_named(key: bytes | None, value: bytes, message: str) -> None:
    record = SimpleNamespace(topic="s", partition=3, offset=7, key=key, value=value, headers=())
    with pytest.raises(CodecError, match=message):
        _apply(record, LeadStore(0))
