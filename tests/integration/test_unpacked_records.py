"""Small record batches that unpack to large values, and partitions that end with a transaction marker."""

import asyncio
import gzip
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tests.integration.activities import START, event, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import Service, service

UNPACKED = 40_000_000
COUNT = 12
GROWTH = 330_000_000
"""Bytes: one unpacked value in several copies, but not all of them at a time."""
SHORTENED = 65_536


def write_packed(kafka: Kafka, topic: str, value: bytes, count: int) -> None:
    """Write the value `count` times, each as a gzip batch of its own."""

    async def work() -> None:
        size = len(value) + 10_000
        producer = AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap, compression_type="gzip", max_request_size=size, max_batch_size=size
        )
        await producer.start()
        try:
            for _ in range(count):
                await producer.send_and_wait(topic, value, key=b"k", partition=0)
        finally:
            await producer.stop()

    asyncio.run(work())


def rss(running: Service) -> int:
    """The resident memory of the service, bytes."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def test_small_batches_that_unpack_to_large_values_become_cut_dead_letters(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    kafka.create({names.activity: 1})
    value = b"[" + b" " * (UNPACKED - 1)
    assert len(gzip.compress(value)) < 100_000
    with service(kafka, names, tmp_path) as running:
        before = rss(running)
        assert running.terminate() == 0
    # All of them wait, so one poll could return them all.
    write_packed(kafka, names.activity, value, COUNT)
    kafka.write(names.activity, [structured(event("lead-1", 1, "lead.demo_requested", {}, START))])
    with service(kafka, names, tmp_path) as running:
        assert len(kafka.read(names.routing, at_least=1)) == 1
        letters = kafka.read(names.dead_letters, at_least=COUNT)
        assert [dict(letter.headers)["dlq-offset"] for letter in letters] == [b"%d" % n for n in range(COUNT)]
        for letter in letters:
            headers = dict(letter.headers)
            assert letter.value == value[:SHORTENED]
            assert headers["dlq-length"] == b"%d" % UNPACKED
            assert headers["dlq-reason"] == b"too_large"
            assert f"has {UNPACKED} bytes" in headers["dlq-detail"].decode()
        assert rss(running) - before < GROWTH
        assert not [line for line in running.log() if line["event"] in ("partition_reopened", "transaction_aborted")]


def test_a_drained_partition_that_ends_with_a_marker_has_no_lag(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: 1})
    lag = 'scorer_consumer_lag_records{partition="0"}'

    async def transact(record: Record, *, commit: bool) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{names.prefix}-source")
        await producer.start()
        try:
            await producer.begin_transaction()
            await producer.send_and_wait(names.activity, record.value, key=record.key, headers=list(record.headers))
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        finally:
            await producer.stop()

    with service(kafka, names, tmp_path) as running:
        for number in range(1, 4):
            good = structured(event(f"lead-{number}", number, "lead.demo_requested", {}, START))
            asyncio.run(transact(good, commit=True))
            assert len(kafka.read(names.routing, at_least=number)) == number
        running.wait(lambda: lag in running.get("/metrics")[1])
        running.wait(lambda: running.metric(lag) == 0)
        assert running.terminate() == 0
    asyncio.run(transact(Record(b"k", b"withdrawn"), commit=False))
    # A new process has no value from before the aborted transaction.
    with service(kafka, names, tmp_path) as running:
        running.wait(lambda: lag in running.get("/metrics")[1])
        running.wait(lambda: running.metric(lag) == 0)
