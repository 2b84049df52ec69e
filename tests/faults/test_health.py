"""Not advancing is not healthy: `/health/ready`, a metric and a few log lines show it; `/health/live` stays 200.

A restart helps in none of these situations.
"""

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record import default_records
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from scorer.demo.broker import EmbeddedBroker
from scorer.domain.instant import DAY
from tests.brokers.marks import embedded_only
from tests.faults.group import wait_until_processed
from tests.faults.proxy import END_TRANSACTION, Proxy
from tests.integration.activities import event, structured
from tests.integration.kafka import ANY_TIME, Kafka, Names, Record
from tests.integration.service import Service, service

STALLED = 'scorer_partition_stalled_seconds{partition="0"}'
SOON = "1"
BEHIND = -2 * 86_400


def good(number: int, at: int = 20_000 * DAY) -> Record:
    """An activity of a lead of its own."""
    return structured(event(f"lead-{number}", number, "lead.demo_requested", {}, at))


def unready(running: Service, status: str) -> dict[str, Any] | None:
    """The details if it is not ready for that reason."""
    code, body = running.get("/health/ready")
    details: dict[str, Any] = json.loads(body) if body else {}
    return details if code == 503 and details["status"] == status else None


def lines(running: Service, event: str) -> list[dict[str, Any]]:
    return [line for line in running.log() if line["event"] == event]


def stalled(running: Service) -> dict[str, Any]:
    """Wait until the partition is reported as stalled everywhere, and return what `/health/ready` says of it."""
    running.wait(lambda: unready(running, "stalled"))
    details = unready(running, "stalled")
    assert details is not None
    about: dict[str, Any] = details["stalled"]["0"]
    assert about["seconds"] >= 1
    assert running.get("/health/live")[0] == 200
    assert running.metric(STALLED) >= 1
    (line,) = lines(running, "partition_stalled")
    assert (line["partition"], line["offset"], line["waits_for"]) == (0, about["offset"], about["waits_for"])
    return about


def recovers(running: Service) -> None:
    """Wait until it is ready again, which one line says."""
    running.wait(running.ready)
    running.wait(lambda: running.metric(STALLED) == 0)
    assert [line["partition"] for line in lines(running, "partition_stall_ended")] == [0]
    assert len(lines(running, "partition_stalled")) == 1


def test_an_open_transaction_of_a_producer_holds_the_partition_up(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    """The log goes on, and no fetch returns a record."""
    kafka.create({names.activity: 1})
    with service(kafka, names, tmp_path, stalled_after_s=SOON) as running:
        kafka.write(names.activity, [good(1)])
        wait_until_processed(kafka, names, [running])

        async def hold() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{names.prefix}-source")
            await producer.start()
            try:
                await producer.begin_transaction()
                record = good(2)
                await producer.send_and_wait(names.activity, record.value, key=record.key)
                about = await asyncio.to_thread(stalled, running)
                assert about["offset"] == 1
                assert about["log_end"] == 2
                assert about["waits_for"] == "a producer that has had a transaction open in the topic since offset 1"
                await producer.commit_transaction()
            finally:
                await producer.stop()

        asyncio.run(hold())
        recovers(running)
        assert len(kafka.read(names.routing, at_least=2)) == 2


async def write_unreadable(kafka: Kafka, names: Names) -> None:
    """Write a batch that claims to be packed, with a right checksum."""
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=_DefaultRecordBatchBuilderPy.CODEC_GZIP,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    builder.append(0, time.time_ns() // 1_000_000, b"k", b"v" * 1000, [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default_records, "gzip_encode", lambda _: b"not packed")
        unreadable = builder.build()
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    try:
        batch = producer.create_batch()
        batch.append(timestamp=None, key=b"k", value=b"v", headers=[])
        batch.close()
        batch._buffer = unreadable
        await (await producer.send_batch(batch, names.activity, partition=0))
    finally:
        await producer.stop()


# Kafka unpacks every batch that it gets, and refuses this one.
@embedded_only
def test_a_batch_that_cannot_be_unpacked_is_seen(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: 1})
    with service(kafka, names, tmp_path, stalled_after_s=SOON) as running:
        kafka.write(names.activity, [good(1)])
        wait_until_processed(kafka, names, [running])
        asyncio.run(write_unreadable(kafka, names))
        about = stalled(running)
        assert (about["offset"], about["log_end"]) == (1, 2)
        assert about["waits_for"] == "records: fetches return none, although the log goes on after offset 1"


def test_a_commit_without_an_answer_holds_the_partition_up(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: 1})
    with Proxy(kafka) as proxy, service(proxy.kafka, names, tmp_path, stalled_after_s=SOON) as running:
        proxy.hold(END_TRANSACTION)
        kafka.write(names.activity, [good(1)])
        about = stalled(running)
        assert (about["offset"], about["log_end"]) == (0, 1)
        assert about["waits_for"] == "the end of its transaction"
        proxy.release()
        recovers(running)
        assert len(kafka.read(names.routing, at_least=1)) == 1


def test_a_transaction_that_fails_again_and_again_names_its_last_error(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    kafka.create({names.activity: 1})
    with service(kafka, names, tmp_path, fault_point="sent:*1:fail", stalled_after_s=SOON) as running:
        kafka.write(names.activity, [good(1)])
        about = stalled(running)
        assert about["offset"] == 0
        assert "the last error: AbortedError: " in about["waits_for"]
        assert "fault point sent" in about["waits_for"]


def test_a_broker_that_hangs_is_seen_although_no_record_is_known_to_wait(names: Names, tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        kafka = Kafka(broker.bootstrap)
        kafka.create({names.activity: 1})
        with service(kafka, names, tmp_path, stalled_after_s=SOON) as running:
            kafka.write(names.activity, [good(1)])
            wait_until_processed(kafka, names, [running])
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                about = stalled(running)
                assert about["offset"] == 1
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            running.wait(running.ready)
            kafka.write(names.activity, [good(2)])
            assert len(kafka.read(names.routing, at_least=2)) == 2


@pytest.mark.parametrize("topics", ["broker's time", "senders' time"])
def test_a_clock_that_is_two_days_behind_is_seen(kafka: Kafka, names: Names, tmp_path: Path, topics: str) -> None:
    kafka.create({names.activity: 1})
    if topics == "senders' time":
        kafka.create({names.state: 1, names.routing: 1, names.dead_letters: 1})
    records = [good(number, time.time_ns() // 1000) for number in range(30)]
    with service(kafka, names, tmp_path, fault_clock=str(BEHIND)) as running:
        kafka.write(names.activity, records)
        letters = kafka.read(names.dead_letters, at_least=len(records))
        assert {dict(letter.headers)["dlq-reason"] for letter in letters} == {b"time_in_future"}
        details = running.wait(lambda: unready(running, "clock off"))
        assert details["clock"]["offset_seconds"] == pytest.approx(-BEHIND, abs=60)
        assert running.metric("scorer_clock_offset_seconds") == pytest.approx(-BEHIND, abs=60)
        (line,) = lines(running, "clock_off")
        expected = "the broker gave our own records" if topics == "broker's time" else "senders gave most records"
        assert expected in line["evidence"]
        assert running.get("/health/live")[0] == 200


def test_a_clock_that_is_ahead_is_seen_too(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: 1})
    with service(kafka, names, tmp_path, fault_clock=str(-BEHIND)) as running:
        kafka.write(names.activity, [good(1)])
        details = running.wait(lambda: unready(running, "clock off"))
        assert details["clock"]["offset_seconds"] == pytest.approx(BEHIND, abs=60)


def test_a_sender_whose_clock_is_ahead_does_not_make_us_unready(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    """The broker stamps our own records, which proves that our clock is right."""
    kafka.create({names.activity: 1}, ANY_TIME)
    later = time.time_ns() // 1_000_000 - 1000 * BEHIND

    async def write() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
        await producer.start()
        try:
            for number in range(40):
                record = good(number)
                await producer.send_and_wait(names.activity, record.value, key=record.key, timestamp_ms=later)
        finally:
            await producer.stop()

    with service(kafka, names, tmp_path) as running:
        asyncio.run(write())
        wait_until_processed(kafka, names, [running])
        assert running.ready() is not None
        assert lines(running, "clock_off") == []


@embedded_only
def test_many_dead_letters_are_one_line_with_their_reasons(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: 1})
    records = [good(number) for number in range(30)]
    records += [Record(b"k", b"no json")] * 15 + [Record(b"k", b"[]")] * 5
    with service(kafka, names, tmp_path, linger_ms="500") as running:
        kafka.write(names.activity, records)
        assert len(kafka.read(names.dead_letters, at_least=20)) == 20
        (line,) = running.wait(lambda: lines(running, "dead_letters_many"))
        assert line["topic"] == names.dead_letters
        assert line["share"] == round(line["dead_letters"] / line["records"], 3)
        assert line["share"] > 0.1
        # It may be logged before all of them are there.
        assert line["reasons"].keys() <= {"not_json", "empty_value"}
        assert sum(line["reasons"].values()) == line["dead_letters"]
        assert running.ready() is not None
