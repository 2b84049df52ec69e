"""The minimum of an exactly-once worker on aiokafka: consume, parse, write one small message for each activity, one
transaction for each fetched batch. No state, no rules.

    python benchmarks/peers/bare_aiokafka.py localhost:9092
"""

import asyncio
import os
import signal
import sys

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

BATCH = 500
BACK_OFF_MS = 100
"""The default of the client."""


async def main(bootstrap: str, batch: int = BATCH, back_off_ms: int = BACK_OFF_MS) -> None:
    consumer = AIOKafkaConsumer(
        "lead.activity",
        bootstrap_servers=bootstrap,
        group_id="bench",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 << 20,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        transactional_id=f"bench-bare-{os.getpid()}",
        max_batch_size=512 * 1024,
        max_request_size=64 << 20,
        retry_backoff_ms=back_off_ms,
    )
    await producer.start()
    await consumer.start()
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    while not ending.is_set():
        fetched = await consumer.getmany(timeout_ms=20, max_records=batch)
        if not fetched:
            continue
        async with producer.transaction():
            for records in fetched.values():
                for record in records:
                    event = decode(record.value)
                    out = encode({"id": event["id"], "lead": event["subject"], "type": event["type"], "rating": "cold"})
                    await producer.send("lead.routing", out, key=record.key)
            offsets = {partition: records[-1].offset + 1 for partition, records in fetched.items()}
            await producer.send_offsets_to_transaction(offsets, "bench")
    await consumer.stop()
    await producer.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
