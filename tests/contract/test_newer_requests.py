"""The bytes of the requests that aiokafka does not know, written out by hand from Kafka's schemas.

In flexible versions, a string and an array begin with their length plus one, as a varint; 0 means null. Each structure
ends with its tagged fields, of which there are none: a 0.
"""

import struct
from io import BytesIO

import pytest
from aiokafka import TopicPartition
from aiokafka.protocol import commit, transaction
from aiokafka.protocol.api import Request

from scorer.kafka.newer_requests import (
    OffsetFetchRequest,
    OffsetFetchResponse_v7,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse_v3,
)

NO_TAGS = b"\x00"


def text(value: str) -> bytes:
    return bytes([len(value) + 1]) + value.encode()


def array(*items: bytes) -> bytes:
    return bytes([len(items) + 1]) + b"".join(items)


def int16(value: int) -> bytes:
    return struct.pack(">h", value)


def int32(value: int) -> bytes:
    return struct.pack(">i", value)


def int64(value: int) -> bytes:
    return struct.pack(">q", value)


@pytest.mark.parametrize("instance", ["one", None])
def test_the_bytes_of_a_commit_of_offsets(instance: str | None) -> None:
    """TxnOffsetCommitRequest.json, version 3: with generation, member and instance."""
    offsets = {
        TopicPartition("in", 0): (5, "name"),
        TopicPartition("other", 2): (1 << 40, ""),
        TopicPartition("in", 1): (6, "name"),
    }
    request = TxnOffsetCommitRequest("id", "group", 1 << 33, 7, 12, "member", instance, offsets)
    made = request.prepare({28: (0, 4)})
    assert (made.API_KEY, made.API_VERSION) == (28, 3)

    def partition(number: int, offset: int, metadata: str) -> bytes:
        leader_epoch = -1
        return int32(number) + int64(offset) + int32(leader_epoch) + text(metadata) + NO_TAGS

    assert made.encode() == b"".join(
        [
            text("id"),
            text("group"),
            int64(1 << 33),
            int16(7),
            int32(12),
            text("member"),
            NO_TAGS if instance is None else text(instance),
            array(
                text("in") + array(partition(0, 5, "name"), partition(1, 6, "name")) + NO_TAGS,
                text("other") + array(partition(2, 1 << 40, "")) + NO_TAGS,
            ),
            NO_TAGS,
        ]
    )


def test_the_bytes_of_its_answer() -> None:
    """TxnOffsetCommitResponse.json, version 3."""
    data = b"".join(
        [
            int32(9),
            array(text("in") + array(int32(0) + int16(0) + NO_TAGS, int32(1) + int16(22) + NO_TAGS) + NO_TAGS),
            NO_TAGS,
        ]
    )
    answer = TxnOffsetCommitResponse_v3.decode(data)
    assert answer.throttle_time_ms == 9
    assert answer.errors == [("in", [(0, 0, {}), (1, 22, {})], {})]


@pytest.mark.parametrize("stable", [True, False])
def test_the_bytes_of_a_question_for_offsets(stable: bool) -> None:
    """OffsetFetchRequest.json, version 7: with the wish for stable offsets."""
    made = OffsetFetchRequest("group", {"in": [0, 3], "other": [1]}, require_stable=stable).prepare({9: (0, 9)})
    assert (made.API_KEY, made.API_VERSION) == (9, 7)
    assert made.encode() == b"".join(
        [
            text("group"),
            array(
                text("in") + array(int32(0), int32(3)) + NO_TAGS,
                text("other") + array(int32(1)) + NO_TAGS,
            ),
            b"\x01" if stable else b"\x00",
            NO_TAGS,
        ]
    )


def test_the_bytes_of_the_answer_with_offsets() -> None:
    """OffsetFetchResponse.json, version 7."""
    found = int32(0) + int64(5) + int32(2) + text("name") + int16(0) + NO_TAGS
    none = int32(1) + int64(-1) + int32(-1) + b"\x00" + int16(88) + NO_TAGS
    data = int32(0) + array(text("in") + array(found, none) + NO_TAGS) + int16(0) + NO_TAGS
    answer = OffsetFetchResponse_v7.decode(data)
    assert answer.topics == [("in", [(0, 5, 2, "name", 0, {}), (1, -1, -1, None, 88, {})], {})]
    assert answer.error_code == 0


@pytest.mark.parametrize(
    "request_made",
    [
        TxnOffsetCommitRequest("id", "group", 1, 0, 1, "member", None, {}),
        OffsetFetchRequest("group", {}, require_stable=True),
    ],
    ids=lambda made: type(made).__name__,
)
def test_the_headers_are_those_of_flexible_versions(request_made: Request) -> None:
    made = request_made.prepare({28: (0, 3), 9: (0, 7)})
    header = made.build_request_header(258, "us").encode()
    # The length of the client's name is the only one of the old kind.
    assert header == int16(made.API_KEY) + int16(made.API_VERSION) + int32(258) + int16(2) + b"us" + NO_TAGS
    data = BytesIO(int32(258) + NO_TAGS + b"rest")
    assert made.parse_response_header(data).correlation_id == 258
    assert data.read() == b"rest"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (TxnOffsetCommitRequest, transaction.TxnOffsetCommitRequest),
        (OffsetFetchRequest, commit.OffsetFetchRequest),
    ],
    ids=lambda kind: kind.__module__,
)
def test_aiokafka_does_not_offer_them(ours: type[Request], theirs: type[Request]) -> None:
    """When this fails, use aiokafka's own requests, and remove ours."""
    assert ours.API_KEY == theirs.API_KEY
    newest = max(version.API_VERSION for version in theirs._CLASSES)
    assert newest < ours._CLASSES[0].API_VERSION
