"""Two requests of KIP-447 in versions that aiokafka does not speak: it stops at TxnOffsetCommit v2 and OffsetFetch v3.

They are written like aiokafka's own protocol classes, so that they could become part of it. The formats are those of
Kafka's TxnOffsetCommitRequest.json and OffsetFetchRequest.json. tests/contract/test_newer_requests.py compares the
bytes with the documented ones, and tests/integration/test_group_fencing.py asks a broker.
"""

from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

_STRING = CompactString("utf-8")


class TxnOffsetCommitResponse_v3(Response):  # type: ignore[misc]  # noqa: N801 (named like aiokafka's)
    API_KEY = 28
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "errors",
            CompactArray(
                ("topic", _STRING),
                (
                    "partition_errors",
                    CompactArray(("partition", Int32), ("error_code", Int16), ("tags", TaggedFields)),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class TxnOffsetCommitRequest_v3(RequestStruct):  # type: ignore[misc]  # noqa: N801
    API_KEY = 28
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = TxnOffsetCommitResponse_v3
    SCHEMA = Schema(
        ("transactional_id", _STRING),
        ("group_id", _STRING),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", _STRING),
        ("group_instance_id", _STRING),
        (
            "topics",
            CompactArray(
                ("topic", _STRING),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _STRING),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class TxnOffsetCommitRequest(Request[TxnOffsetCommitRequest_v3]):  # type: ignore[misc]
    """Commits offsets within a transaction, on behalf of a member of a group. The broker refuses them if the member is
    not part of the group's current generation.

    `offsets`: for each partition, the offset to continue from and metadata, a text of the caller.
    """

    API_KEY = 28

    def __init__(
        self,
        transactional_id: str,
        group_id: str,
        producer_id: int,
        producer_epoch: int,
        generation_id: int,
        member_id: str,
        group_instance_id: str | None,
        offsets: Mapping[TopicPartition, tuple[int, str]],
    ) -> None:
        self._head = (
            transactional_id,
            group_id,
            producer_id,
            producer_epoch,
            generation_id,
            member_id,
            group_instance_id,
        )
        self._offsets = offsets

    def build(self, request_struct_class: type[TxnOffsetCommitRequest_v3]) -> TxnOffsetCommitRequest_v3:
        """The request as a structure."""
        topics: dict[str, list[tuple[int, int, int, str, dict[int, bytes]]]] = {}
        for partition, (offset, metadata) in self._offsets.items():
            topics.setdefault(partition.topic, []).append((partition.partition, offset, -1, metadata, {}))
        return request_struct_class(*self._head, [(topic, parts, {}) for topic, parts in topics.items()], {})


class OffsetFetchResponse_v7(Response):  # type: ignore[misc]  # noqa: N801
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _STRING),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _STRING),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class OffsetFetchRequest_v7(RequestStruct):  # type: ignore[misc]  # noqa: N801
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = OffsetFetchResponse_v7
    SCHEMA = Schema(
        ("group_id", _STRING),
        (
            "topics",
            CompactArray(("topic", _STRING), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class OffsetFetchRequest(Request[OffsetFetchRequest_v7]):  # type: ignore[misc]
    """Reads the committed offsets of a group. With `require_stable`, the broker answers UNSTABLE_OFFSET_COMMIT for a
    partition while a transaction that has an offset of it is open."""

    API_KEY = 9

    def __init__(self, group_id: str, partitions: Mapping[str, list[int]], *, require_stable: bool) -> None:
        self._group_id = group_id
        self._partitions = partitions
        self._require_stable = require_stable

    def build(self, request_struct_class: type[OffsetFetchRequest_v7]) -> OffsetFetchRequest_v7:
        """The request as a structure."""
        topics: list[Any] = [(topic, partitions, {}) for topic, partitions in self._partitions.items()]
        return request_struct_class(self._group_id, topics, self._require_stable, {})
