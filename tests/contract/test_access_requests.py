"""Checks the assumptions of scorer/kafka/access_requests.py against the installed aiokafka. It needs no broker."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError
from aiokafka.protocol.admin import DescribeGroupsRequest_v3 as TheirDescribeGroupsRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.transaction import EndTxnRequest

from scorer.dlq import purge, replay
from scorer.kafka.access import NEEDS
from scorer.kafka.access_requests import (
    UNKNOWN_OPERATIONS,
    DescribeGroupsRequest_v3,
    DescribeGroupsResponse_v3,
    GroupsOf,
    MetadataOf,
    MetadataResponse_v8,
    TopicAnswer,
    end_of_nothing,
    group_operations,
    topics_of,
)
from scorer.kafka.denied import Resource
from scorer.runtime.settings import load_settings

TOPIC = (0, "t", False, [(0, 0, 1, 5, [1, 2], [1], [2]), (0, 1, 1, 5, [1], [1], [])], 0b1000)


class Admin(AIOKafkaAdminClient):  # type: ignore[misc]
    """A client whose broker gives these answers, and what it was sent."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.sent: list[Any] = []

    async def _send_request(self, request: Any, node_id: int | None = None) -> Any:
        self.sent.append((request, node_id))
        return self._answers.pop(0)

    async def find_coordinator(self, group_id: str, coordinator_type: int = 0) -> int:
        return 7 + coordinator_type


def test_the_installed_version_still_lacks_what_we_define() -> None:
    assert max(each.API_VERSION for each in MetadataRequest._CLASSES) < 8
    assert TheirDescribeGroupsRequest.RESPONSE_TYPE.API_VERSION != 3


def test_metadata_asks_for_operations_and_creates_nothing() -> None:
    newest = MetadataOf(["a"]).prepare({3: (0, 13)})
    assert newest.encode() == bytes.fromhex("00000001 0001 61 00 01 01".replace(" ", ""))
    oldest = MetadataOf(["a"]).prepare({3: (0, 7)})
    assert (oldest.API_VERSION, oldest.encode()) == (4, bytes.fromhex("000000010001 6100".replace(" ", "")))


def test_groups_are_asked_for_operations() -> None:
    request = GroupsOf(["g"]).prepare({15: (0, 6)})
    assert isinstance(request, DescribeGroupsRequest_v3)
    assert request.encode() == bytes.fromhex("00000001 0001 67 01".replace(" ", ""))


def test_the_answers_survive_their_bytes() -> None:
    metadata = MetadataResponse_v8(0, [(1, "h", 9, None)], "c", 1, [TOPIC], UNKNOWN_OPERATIONS)
    again = MetadataResponse_v8.decode(metadata.encode())
    assert asyncio.run(topics_of(Admin(again), ["t"])) == ({"t": TopicAnswer(0, (2, 1), 0b1000)}, None)
    groups = DescribeGroupsResponse_v3(0, [(0, "g", "Dead", "", "", [], 0b100001000)])
    again = DescribeGroupsResponse_v3.decode(groups.encode())
    assert asyncio.run(group_operations(Admin(again), "g")) == 0b100001000


def test_a_group_that_may_not_be_described_is_an_error() -> None:
    denied = DescribeGroupsResponse_v3(0, [(30, "g", "", "", "", [], UNKNOWN_OPERATIONS)])
    with pytest.raises(GroupAuthorizationFailedError):
        asyncio.run(group_operations(Admin(denied), "g"))


def test_the_end_of_nothing_names_a_producer_that_cannot_exist() -> None:
    class Ended:
        error_code = 49

    admin = Admin(Ended())
    assert asyncio.run(end_of_nothing(admin, "g-check")) == 49
    ((request, node),) = admin.sent
    assert isinstance(request, EndTxnRequest)
    assert node == 8
    struct = request.prepare({26: (0, 5)})
    assert struct.to_object() == {
        "transactional_id": "g-check",
        "producer_id": 2**63 - 1,
        "producer_epoch": 0,
        "transaction_result": False,
    }


def test_the_checked_transactional_ids_are_those_of_the_commands() -> None:
    settings = load_settings(None, rules=Path(), bootstrap_servers="b:1")
    for command, name in (("dlq replay", replay.transactional_id), ("dlq purge", purge.transactional_id)):
        ids = {need.name for need in NEEDS[command](settings) if need.resource is Resource.TRANSACTIONAL_ID}
        assert ids == {name(settings)}
