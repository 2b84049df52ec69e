"""A header name that is not UTF-8 costs neither its record nor the records around it."""

import asyncio
import struct
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from tests.integration.activities import START, event, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import service


def good(number: int) -> Record:
    return structured(event(f"lead-{number}", number, "lead.demo_requested", {}, START))


def write_with_broken_header_name(kafka: Kafka, topic: str, records: list[Record]) -> None:
    """Write one batch. The clients refuse such a name, so it is put into the finished batch."""

    async def work() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
        await producer.start()
        try:
            batch = producer.create_batch()
            for record in records:
                headers = [("name", b"1")] if record is records[1] else []
                batch.append(timestamp=None, key=record.key, value=record.value, headers=headers)
            batch.close()
            raw = bytearray(batch._build())
            at = raw.index(b"name\x02")
            raw[at : at + 4] = b"\xff\xfe\xff\xfe"
            raw[17:21] = struct.pack(">I", calc_crc32c(bytes(raw[21:])))
            batch._build = lambda: raw
            await (await producer.send_batch(batch, topic, partition=0))
        finally:
            await producer.stop()

    asyncio.run(work())


def test_the_record_and_its_neighbours_are_processed(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: 1, names.routing: 1, names.state: 1, names.dead_letters: 1})
    broken = Record(b"bad", b"no activity")
    write_with_broken_header_name(kafka, names.activity, [good(1), good(2), good(3)])
    write_with_broken_header_name(kafka, names.activity, [good(4), broken, good(5)])
    with service(kafka, names, tmp_path) as running:
        decisions = kafka.read(names.routing, at_least=5)
        assert [record.key for record in decisions] == [f"lead-{number}".encode() for number in range(1, 6)]
        (letter,) = kafka.read(names.dead_letters, at_least=1)
        assert letter.value == b"no activity"
        assert dict(letter.headers)["\\xff\\xfe\\xff\\xfe"] == b"1"
        assert running.terminate() == 0
