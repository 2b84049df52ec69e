"""A consumer group as seen from outside: its members and committed offsets."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest

from tests.faults.sizes import DRAIN_SECONDS
from tests.integration.kafka import Kafka, Names, partitions_of
from tests.integration.service import Service

_MARKER_SECONDS: Final = 5.0
_ENOUGH: Final = 100


class Positions:
    """Where a group is on its input: committed and end offsets by partition."""

    def __init__(self, committed: dict[int, int], ends: dict[int, int]) -> None:
        self.committed = committed
        self.ends = ends

    @property
    def behind(self) -> int:
        """Records that are not committed yet."""
        return sum(self.ends.values()) - sum(self.committed.values())


def positions(kafka: Kafka, names: Names, topic: str | None = None) -> Positions:
    """Ask the broker, without joining the group. `topic`: in place of the input."""

    async def ask() -> Positions:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=names.group, enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = await partitions_of(kafka.bootstrap, topic or names.activity)
            consumer.assign(partitions)
            committed = {partition.partition: await consumer.committed(partition) or 0 for partition in partitions}
            ends = {partition.partition: end for partition, end in (await consumer.end_offsets(partitions)).items()}
            return Positions(committed, ends)
        finally:
            await consumer.stop()

    return asyncio.run(ask())


def left_over(kafka: Kafka, names: Names) -> "list[ConsumerRecord[bytes, bytes]] | None":
    """The first records of the input that the group has not committed; None if an open transaction hides some there.
    Markers of transactions have offsets too, and a worker need not commit the last one."""

    async def read(at: Positions) -> "list[ConsumerRecord[bytes, bytes]] | None":
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap, isolation_level="read_committed", enable_auto_commit=False
        )
        await consumer.start()
        try:
            partitions = [
                partition
                for partition in await partitions_of(kafka.bootstrap, names.activity)
                if at.committed[partition.partition] < at.ends[partition.partition]
            ]
            if not partitions:
                return []
            consumer.assign(partitions)
            for partition in partitions:
                consumer.seek(partition, at.committed[partition.partition])
            found: list[ConsumerRecord[bytes, bytes]] = []
            deadline = time.monotonic() + _MARKER_SECONDS
            while time.monotonic() < deadline and len(found) < _ENOUGH:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += records
                if all([await consumer.position(each) >= at.ends[each.partition] for each in partitions]):
                    return found
            return found or None
        finally:
            await consumer.stop()

    return asyncio.run(read(positions(kafka, names)))


def members(kafka: Kafka, names: Names) -> list[str]:
    """The ids of the members of the group, including dead ones until the broker notices."""

    async def ask() -> list[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            return await _members(admin, names.group)
        finally:
            await admin.close()

    return asyncio.run(ask())


def evict(kafka: Kafka, names: Names) -> None:
    """Leave the group for its members, all of which are dead or stopped. It saves the wait for their session time-out.
    (noida-db also needs it, because it can wait for a dead leader for ever.)"""

    async def work() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            coordinator = await admin.find_coordinator(names.group)
            for member in await _members(admin, names.group):
                await admin._client.send(coordinator, LeaveGroupRequest(names.group, member))
        finally:
            await admin.close()

    asyncio.run(work())


async def _members(admin: AIOKafkaAdminClient, group: str) -> list[str]:
    described = await admin.describe_consumer_groups([group])
    return [member[0] for response in described for group in response.groups for member in group[5]]


def wait_until_processed(
    kafka: Kafka, names: Names, workers: Sequence[Service] = (), seconds: float = DRAIN_SECONDS
) -> None:
    """Return once the group has committed the whole input. Fail if that takes too long or a worker ends."""
    deadline = time.monotonic() + seconds
    while True:
        current = positions(kafka, names)
        if current.behind == 0 or (current.behind < _ENOUGH and left_over(kafka, names) == []):
            return
        for worker in workers:
            if worker.process.poll() is not None:
                raise AssertionError(f"a worker ended with {worker.process.returncode}:\n{worker.text()}")
        if time.monotonic() > deadline:
            logs = "\n".join(worker.text() for worker in workers)
            where = f"committed {current.committed} of {current.ends}"
            raise AssertionError(f"not processed within {seconds} s: {where}; the output of the workers:\n{logs}")
        time.sleep(0.1)
