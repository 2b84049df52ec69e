"""Copies the committed records of a topic into another one of the same cluster, up to the end that it has at the start.

    python deploy/tools/copy_topic.py lead.activity lead.activity.v2

Key, value and headers stay, and the timestamp unless the target has LogAppendTime. The partition is that of the key in
the new topic. Records of one partition keep their order, so those of a lead do. What was copied is remembered as the
offsets of the group `<target>.copy`: a second run continues where the first one ended. A run that was killed may have
copied some records twice. The service knows activities that it has seen, so that changes nothing.

The connection is that of the service (SCORER_BOOTSTRAP_SERVERS and the settings of the login). With ACLs it needs Read
on the source and on the group, and Write on the target.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from scorer.kafka.connection import connection
from scorer.runtime.settings import Settings, SettingsError, load_settings

_POLL_MS: Final = 500
_LARGEST: Final = 1 << 24
_USAGE: Final = "usage: python deploy/tools/copy_topic.py SOURCE TARGET"


async def copy(settings: Settings, source: str, target: str) -> int:
    """The number of records that were copied. Raises `KafkaError`, and `ValueError` for a topic that does not exist."""
    consumer = AIOKafkaConsumer(
        **connection(settings),
        group_id=f"{target}.copy",
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=_LARGEST,
    )
    producer = AIOKafkaProducer(
        **connection(settings), acks="all", enable_idempotence=True, max_request_size=_LARGEST, linger_ms=20
    )
    await consumer.start()
    await producer.start()
    copied = 0
    try:
        existing = await consumer.topics()
        for topic in (source, target):
            if topic not in existing:
                raise ValueError(f"there is no topic {topic}")
        partitions = [TopicPartition(source, number) for number in sorted(consumer.partitions_for_topic(source) or ())]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            sent = [
                await producer.send(
                    target,
                    record.value,
                    key=record.key,
                    headers=list(record.headers),
                    timestamp_ms=record.timestamp if record.timestamp >= 0 else None,
                )
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values()
                for record in records
            ]
            await asyncio.gather(*sent)
            copied += len(sent)
            await consumer.commit({partition: await consumer.position(partition) for partition in partitions})
    finally:
        await producer.stop()
        await consumer.stop()
    return copied


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    if len(arguments) != 2 or arguments[0] == arguments[1]:
        print(_USAGE, file=sys.stderr)  # noqa: T201
        return 2
    source, target = arguments
    try:
        copied = asyncio.run(copy(load_settings(), source, target))
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except (KafkaError, ValueError) as error:
        print(f"error: {source} was not copied to its end: {error}; run it again to continue", file=sys.stderr)  # noqa: T201
        return 1
    print(f"{copied} records copied from {source} to {target}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
