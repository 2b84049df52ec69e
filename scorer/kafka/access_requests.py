"""Requests that tell what a client may do, in a form that could go into aiokafka, and one connection of our own.

aiokafka 0.14 has Metadata up to version 5 and reads version 3 of DescribeGroups with the schema of version 2, so it
hides the operations that Kafka allows. The classes are named as there. Its clients also hide why a connection failed:
they log the reason and raise "Unable to bootstrap". tests/contract/test_access_requests.py checks what is assumed here
against the installed version.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion, TopicAuthorizationFailedError, for_code
from aiokafka.protocol.admin import SaslHandShakeRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest, MetadataRequest_v4
from aiokafka.protocol.transaction import EndTxnRequest
from aiokafka.protocol.types import Array, Boolean, Bytes, Int16, Int32, Schema, String

from scorer.kafka.client_internals import connect

TOPIC_DENIED: Final = TopicAuthorizationFailedError.errno
UNKNOWN_OPERATIONS: Final = -(1 << 31)
"""What Kafka answers in place of the operations if it does not know them or was not asked."""
_NO_PRODUCER: Final = ((1 << 63) - 1, 0)
"""A producer id that Kafka never gives, and an epoch."""
_TEXT: Final = String("utf-8")


class MetadataResponse_v8(Response):  # type: ignore[misc]  # noqa: N801
    """Metadata with the operations that are allowed on each topic and on the cluster."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT))),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", _TEXT),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class MetadataRequest_v8(RequestStruct):  # type: ignore[misc]  # noqa: N801
    """Asks for the operations, too."""

    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse_v8
    SCHEMA = Schema(
        ("topics", Array(_TEXT)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class MetadataOf(Request[MetadataRequest_v4 | MetadataRequest_v8]):  # type: ignore[misc]
    """The named topics and what may be done with them; it creates none."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(
        self, request_struct_class: type[MetadataRequest_v4 | MetadataRequest_v8]
    ) -> MetadataRequest_v4 | MetadataRequest_v8:
        """The request of this version."""
        asks = (True, True) if request_struct_class.API_VERSION >= 8 else ()
        return request_struct_class(self._topics, False, *asks)


class DescribeGroupsResponse_v3(Response):  # type: ignore[misc]  # noqa: N801
    """Groups with the operations that are allowed on each."""

    API_KEY = 15
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            Array(
                ("error_code", Int16),
                ("group", _TEXT),
                ("state", _TEXT),
                ("protocol_type", _TEXT),
                ("protocol", _TEXT),
                (
                    "members",
                    Array(
                        ("member_id", _TEXT),
                        ("client_id", _TEXT),
                        ("client_host", _TEXT),
                        ("member_metadata", Bytes),
                        ("member_assignment", Bytes),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
    )


class DescribeGroupsRequest_v3(RequestStruct):  # type: ignore[misc]  # noqa: N801
    """Asks for the operations, too."""

    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = Schema(("groups", Array(_TEXT)), ("include_authorized_operations", Boolean))


class GroupsOf(Request[DescribeGroupsRequest_v3]):  # type: ignore[misc]
    """The groups and what may be done with them."""

    API_KEY = 15

    def __init__(self, groups: list[str]) -> None:
        self._groups = groups

    def build(self, request_struct_class: type[DescribeGroupsRequest_v3]) -> DescribeGroupsRequest_v3:
        """The request of this version."""
        return request_struct_class(self._groups, True)


class TopicAnswer(NamedTuple):
    """What Kafka says of a topic. `error`: its code, 0 if it exists and may be described. `replicas`: how many each
    partition has. `operations`: bits, one for each allowed operation; None if Kafka does not say."""

    error: int
    replicas: tuple[int, ...]
    operations: int | None


class Handshake(NamedTuple):
    """The answer to the question for a mechanism of SASL: the code of an error or 0, and what the broker offers."""

    error: int
    mechanisms: tuple[str, ...]


async def topics_of(admin: AIOKafkaAdminClient, names: list[str]) -> tuple[dict[str, TopicAnswer], int | None]:
    """The named topics, and the operations that are allowed on the cluster. It creates none. Raises `KafkaError`."""
    response = await admin._send_request(MetadataOf(names))
    answers = {
        topic["topic"]: TopicAnswer(
            topic["error_code"],
            tuple(len(partition["replicas"]) for partition in topic["partitions"]),
            _operations(topic.get("authorized_operations")),
        )
        for topic in response.to_object()["topics"]
    }
    return answers, _operations(response.to_object().get("cluster_authorized_operations"))


async def group_operations(admin: AIOKafkaAdminClient, group: str) -> int | None:
    """The operations that are allowed on a group, as bits; None if Kafka does not say. Raises `KafkaError`, such as
    `GroupAuthorizationFailedError` if the group may not be described."""
    coordinator = await admin.find_coordinator(group)
    try:
        response = await admin._send_request(GroupsOf([group]), coordinator)
    except (IncompatibleBrokerVersion, NotImplementedError):
        return None
    (found,) = response.to_object()["groups"]
    if found["error_code"] != 0:
        raise for_code(found["error_code"])(group)
    return _operations(found["authorized_operations"])


async def end_of_nothing(admin: AIOKafkaAdminClient, transactional_id: str) -> int:
    """Ask to end a transaction of a producer that does not exist. Returns the error code of the answer.

    Kafka checks the permission to write to the transactional id first, and finds no such producer afterwards. So the
    answer shows the permission, and nothing changes. Raises `KafkaError`, such as `TransactionalIdAuthorizationFailed`
    if the id may not be described.
    """
    coordinator = await admin.find_coordinator(transactional_id, 1)
    response = await admin._send_request(EndTxnRequest(transactional_id, *_NO_PRODUCER, False), coordinator)
    return int(response.error_code)


@contextlib.asynccontextmanager
async def one_connection(host: str, port: int, arguments: Mapping[str, Any]) -> AsyncIterator[Any]:
    """A connection to one broker, logged in. `arguments`: those of a client, without its servers.

    Unlike a client it raises what failed: `KafkaError`, `OSError` or `ssl.SSLError`.
    """
    connection = await connect(host, port, **arguments)
    try:
        yield connection
    finally:
        connection.close()


async def greet(connection: Any) -> list[tuple[str, int]]:
    """One request that needs no permission but a login. Returns host and port of each broker, as the brokers tell them
    to clients. Raises `KafkaError`."""
    response = await connection.send(MetadataRequest([]))
    return [(broker["host"], broker["port"]) for broker in response.to_object()["brokers"]]


async def shake_hands(connection: Any, mechanism: str) -> Handshake:
    """Ask for a mechanism of SASL on a connection that has not logged in. Raises `KafkaError`."""
    response = await connection.send(SaslHandShakeRequest(mechanism))
    return Handshake(int(response.error_code), tuple(response.enabled_mechanisms))


def _operations(bits: int | None) -> int | None:
    return None if bits is None or bits == UNKNOWN_OPERATIONS else bits
