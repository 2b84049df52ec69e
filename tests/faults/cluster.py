"""Three nodes of Apache Kafka that misbehave: each can be killed, asked to end, or stopped and continued. It finds the
nodes with a special part: the active controller, and the coordinators of a group's transactions."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from tests.brokers.apache import ApacheKafka
from tests.integration.kafka import Kafka, partitions_of

NODES: Final = (1, 2, 3)
SETTINGS: Final[Mapping[str, str]] = {
    # A node that is gone is noticed within seconds.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "group.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
}
_TRANSACTIONS: Final = "__transaction_state"
_NO_TAGS: Final[dict[int, bytes]] = {}
_ASK_SECONDS: Final = 60.0
_HEAL_SECONDS: Final = 120.0

T = TypeVar("T")


class Cluster(Kafka):
    """Three nodes, counted from 1. Topics have three replicas, and writes need two of them."""

    def __init__(self, apache: ApacheKafka) -> None:
        super().__init__(apache.bootstrap)
        self._apache = apache

    def create(self, topics: Mapping[str, int], config: Mapping[str, str] | None = None) -> None:
        """Create topics with these numbers of partitions and these settings; return when all replicas are in sync."""

        async def work(admin: AIOKafkaAdminClient) -> None:
            settings = dict(config or {})
            made = await admin.create_topics(
                [NewTopic(name, count, len(NODES), topic_configs=settings) for name, count in topics.items()]
            )
            for name, code, *_ in made.topic_errors:
                assert code == 0, f"{name}: {for_code(code).__name__}"

        asyncio.run(self._with_admin(work))
        self.await_healthy(topics)

    def kill(self, node: int) -> None:
        """End a node at once, as `kill -9` does."""
        self._apache.kill(node)

    def terminate(self, node: int) -> None:
        """Ask a node to end (SIGTERM): it hands its partitions over. Returns once it has ended."""
        self._apache.signal(node, signal.SIGTERM)
        self._apache.await_end(node)

    def stop(self, node: int) -> None:
        """Stop a node (SIGSTOP). Its connections stay open, and nobody answers."""
        self._apache.signal(node, signal.SIGSTOP)

    def heal(self) -> None:
        """Continue what is stopped and start what is gone. Returns once all replicas of all topics are in sync."""
        self._apache.mend()
        self.await_healthy()

    def logs(self) -> str:
        """The last lines that each node wrote."""
        return self._apache.logs()

    def await_healthy(self, topics: Iterable[str] | None = None) -> None:
        """Return once three nodes are there and all replicas of these topics (None: of all) are in sync."""
        wanted = None if topics is None else list(topics)

        async def work(admin: AIOKafkaAdminClient) -> str:
            nodes = {broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]}
            if nodes != set(NODES):
                return f"the nodes {sorted(nodes)} are there"
            for topic in await admin.describe_topics(wanted):
                if topic["error_code"]:
                    return f"{topic['topic']}: {for_code(topic['error_code']).__name__}"
                for partition in topic["partitions"]:
                    if set(partition["isr"]) != set(partition["replicas"]) or partition["leader"] not in NODES:
                        return f"{topic['topic']}: {partition}"
            return ""

        deadline = time.monotonic() + _HEAL_SECONDS
        while problem := self._ask(work):
            assert time.monotonic() < deadline, f"not healthy within {_HEAL_SECONDS} s: {problem}\n{self.logs()}"
            time.sleep(0.2)

    def controller(self) -> int:
        """The node that is the active controller."""

        async def work(admin: AIOKafkaAdminClient) -> int:
            # The controller in the metadata is any node: in KRaft all of them pass requests on.
            answer = await admin._send_request(_DescribeQuorum())
            ((_, ((_, _, leader, *_),), _),) = answer.topics
            return int(leader)

        return self._ask(work)

    def coordinators(self, group: str) -> Counter[int]:
        """The nodes that coordinate transactions of this group: how many transactional ids each has.

        The ids are those that begin with the name of the group, whatever the service makes of them.
        """
        partitions = asyncio.run(self._transactional_ids(group))
        leaders = self.leaders(_TRANSACTIONS)
        return Counter({leaders[partition]: count for partition, count in partitions.items()})

    def coordinator(self, group: str) -> int:
        """The node that coordinates most transactions of this group."""
        nodes = self.coordinators(group)
        assert nodes, f"no transactional id begins with {group}"
        return nodes.most_common(1)[0][0]

    def leaders(self, topic: str) -> dict[int, int]:
        """The node that leads each partition."""

        async def work(admin: AIOKafkaAdminClient) -> dict[int, int]:
            (described,) = await admin.describe_topics([topic])
            return {partition["partition"]: partition["leader"] for partition in described["partitions"]}

        return self._ask(work)

    def reassign(self, topics: Iterable[str], replicas: Callable[[int], list[int]]) -> None:
        """Give each partition other replicas. `replicas`: the nodes of a partition, by its number; the first one
        leads. Returns once all of them are in sync."""
        names = list(topics)

        async def work(admin: AIOKafkaAdminClient) -> None:
            partitions = await partitions_of(self.bootstrap, *names)
            moves: dict[str, list[tuple[int, list[int], dict[int, bytes]]]] = {name: [] for name in names}
            for topic, number in partitions:
                moves[topic].append((number, replicas(number), _NO_TAGS))
            topics = [(topic, wanted, _NO_TAGS) for topic, wanted in moves.items()]
            answer = await admin._send_request(AlterPartitionReassignmentsRequest(30_000, topics, _NO_TAGS))
            codes = [code for _, done, _ in answer.responses for _, code, *_ in done if code]
            assert not answer.error_code, answer.error_message
            assert not codes, f"the reassignment failed: {codes}"

        async def moved(admin: AIOKafkaAdminClient) -> bool:
            return all(
                set(partition["replicas"]) == set(partition["isr"]) == set(replicas(partition["partition"]))
                for topic in await admin.describe_topics(names)
                for partition in topic["partitions"]
            )

        self._ask(work)
        deadline = time.monotonic() + _HEAL_SECONDS
        while not self._ask(moved):
            assert time.monotonic() < deadline, f"not reassigned within {_HEAL_SECONDS} s\n{self.logs()}"
            time.sleep(0.2)

    async def _transactional_ids(self, group: str) -> Counter[int]:
        """How many ids of the group each partition of the internal topic has."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
        )
        await consumer.start()
        try:
            partitions = await partitions_of(self.bootstrap, _TRANSACTIONS)
            consumer.assign(partitions)
            await consumer.seek_to_beginning()
            found: set[tuple[int, str]] = set()
            ends = await consumer.end_offsets(partitions)
            while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    # A version, a length, the id.
                    found |= {(record.partition, record.key[4:].decode()) for record in records if record.key}
            return Counter(partition for partition, name in found if name.startswith(group))
        finally:
            await consumer.stop()

    def _ask(self, work: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
        """Ask again while a node that is away or new gives no answer."""
        deadline = time.monotonic() + _ASK_SECONDS
        while True:
            try:
                return asyncio.run(self._with_admin(work))
            except (KafkaError, TimeoutError, OSError) as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"no answer within {_ASK_SECONDS} s\n{self.logs()}") from error
                time.sleep(0.2)

    async def _with_admin(self, work: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=5_000)
        async with asyncio.timeout(20.0):
            await admin.start()
            try:
                return await work(admin)
            finally:
                await admin.close()


class _DescribeQuorumResponse(Response):  # type: ignore[misc]
    API_KEY = 55
    API_VERSION = 0
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("topic_name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32),
                        ("error_code", Int16),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        (
                            "current_voters",
                            CompactArray(("replica_id", Int32), ("log_end_offset", Int64), ("tags", TaggedFields)),
                        ),
                        (
                            "observers",
                            CompactArray(("replica_id", Int32), ("log_end_offset", Int64), ("tags", TaggedFields)),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeQuorumRequest(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 55
    API_VERSION = 0
    RESPONSE_TYPE = _DescribeQuorumResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_name", CompactString("utf-8")),
                ("partitions", CompactArray(("partition_index", Int32), ("tags", TaggedFields))),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeQuorum(Request[_DescribeQuorumRequest]):  # type: ignore[misc]
    API_KEY = 55

    def build(self, request_struct_class: type[_DescribeQuorumRequest]) -> Any:
        return request_struct_class([("__cluster_metadata", [(0, {})], {})], {})
