"""A consumer group as seen from outside: its members and committed offsets."""

import asyncio
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest

from tests.faults.sizes import DRAIN_SECONDS
from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service


class Positions:
    """Where a group is on its input: committed and end offsets by partition."""

    def __init__(self, committed: dict[int, int], ends: dict[int, int]) -> None:
        self.committed = committed
        self.ends = ends

    @property
    def behind(self) -> int:
        """Records that are not committed yet."""
        return sum(self.ends.values()) - sum(self.committed.values())


def positions(kafka: Kafka, names: Names) -> Positions:
    """Ask the broker, without joining the group."""

    async def ask() -> Positions:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=names.group, enable_auto_commit=False)
        await consumer.start()
        try:
            await consumer.topics()
            numbers = sorted(consumer.partitions_for_topic(names.activity) or ())
            partitions = [TopicPartition(names.activity, number) for number in numbers]
            consumer.assign(partitions)
            committed = {each.partition: await consumer.committed(each) or 0 for each in partitions}
            ends = {each.partition: end for each, end in (await consumer.end_offsets(partitions)).items()}
            return Positions(committed, ends)
        finally:
            await consumer.stop()

    return asyncio.run(ask())


def members(kafka: Kafka, names: Names) -> list[str]:
    """The ids of the group's members, dead ones too until the broker notices."""

    async def ask() -> list[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            return await _members(admin, names.group)
        finally:
            await admin.close()

    return asyncio.run(ask())


def evict(kafka: Kafka, names: Names) -> None:
    """Leave the group in the name of its members, all of which are dead or stopped. Their session time-out does the
    same in the end; so it only saves the wait. (noida-db needs it besides: it can wait for a dead leader for ever.)"""

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
    return [member[0] for response in described for each in response.groups for member in each[5]]


def wait_until_processed(
    kafka: Kafka, names: Names, workers: Sequence[Service] = (), seconds: float = DRAIN_SECONDS
) -> None:
    """Return once the group has committed the whole input; fail when that takes too long or a worker ends."""
    deadline = time.monotonic() + seconds
    while True:
        found = positions(kafka, names)
        if found.behind == 0:
            return
        for worker in workers:
            if worker.process.poll() is not None:
                raise AssertionError(f"a worker ended with {worker.process.returncode}:\n{worker.text()}")
        if time.monotonic() > deadline:
            logs = "\n".join(worker.text() for worker in workers)
            where = f"committed {found.committed} of {found.ends}"
            raise AssertionError(f"not processed within {seconds} s: {where}; the workers said:\n{logs}")
        time.sleep(0.1)
