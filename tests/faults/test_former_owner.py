"""A former owner of a partition, stopped or slow, that still has an open transaction."""

import signal
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
from aiokafka import TopicPartition

from tests.brokers.marks import fencing, full
from tests.faults.group import members, positions, wait_until_processed
from tests.faults.load import Load
from tests.faults.oracle import check_exactly_once, open_transactions
from tests.faults.proxy import END_TRANSACTION, Proxy
from tests.faults.sizes import randomness
from tests.integration.kafka import DEADLINE, Kafka, Names
from tests.integration.service import Service, service


def is_stopped(worker: Service) -> bool:
    """Whether SIGSTOP has stopped it."""
    return psutil.Process(worker.process.pid).status() == psutil.STATUS_STOPPED


def owned(worker: Service) -> set[int]:
    """The partitions of its latest assignment."""
    lines = [line for line in worker.log() if line["event"] == "partitions_assigned"]
    return set(lines[-1]["partitions"]) if lines else set()


def events(worker: Service) -> set[str]:
    """The names of the lines in its log."""
    return {line["event"] for line in worker.log()}


@fencing
@pytest.mark.parametrize("point", [pytest.param("begun", marks=full), "offsets_sent"])
def test_a_stopped_worker_cannot_write_any_more(kafka: Kafka, names: Names, tmp_path: Path, point: str) -> None:
    records = Load(randomness()).take(900)
    kafka.create({names.activity: 2, names.state: 2, names.routing: 2, names.dead_letters: 1})
    kafka.write(names.activity, records[:600])
    with service(kafka, names, tmp_path, ready=False, max_records="10", fault_point=f"{point}:9:stop") as zombie:
        zombie.wait(lambda: is_stopped(zombie))
        # The broker removes it by its session time-out.
        deadline = monotonic() + DEADLINE
        while members(kafka, names):
            assert monotonic() < deadline
            sleep(0.1)
        with service(kafka, names, tmp_path, max_records="10") as heir:
            wait_until_processed(kafka, names, [heir])
            before = kafka.read(names.routing)
            zombie.process.send_signal(signal.SIGCONT)
            # Either the broker has ended its transaction already, or the group refuses its offsets.
            zombie.wait(lambda: {"transaction_doubtful", "transaction_aborted"} & events(zombie))
            assert len(kafka.read(names.routing)) == len(before)
            # Both continue as members of the group.
            kafka.write(names.activity, records[600:])
            wait_until_processed(kafka, names, [zombie, heir])
            zombie.wait(zombie.ready)
            assert heir.terminate() == 0
            assert zombie.terminate() == 0
    check_exactly_once(kafka, names)


@fencing
def test_a_transaction_in_flight_ends_before_its_partition_moves(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    # Each batch must have broken records.
    records = Load(randomness(), broken_every=3).take(600)
    kafka.create({names.activity: 2, names.state: 2, names.routing: 2, names.dead_letters: 1})
    with Proxy(kafka) as proxy, service(proxy.kafka, names, tmp_path, max_records="20") as former:
        kafka.write(names.activity, records[:300])
        wait_until_processed(kafka, names, [former])
        proxy.hold(END_TRANSACTION)
        kafka.write(names.activity, records[300:])
        proxy.wait(lambda: proxy.held[END_TRANSACTION] == 1)
        before = positions(kafka, names).committed
        with service(kafka, names, tmp_path, ready=False, max_records="20") as heir:
            former.wait(lambda: "partitions_revoked" in events(former))
            assert positions(kafka, names).committed == before
            proxy.release()
            wait_until_processed(kafka, names, [former, heir])
            assert not {"transaction_doubtful", "transaction_aborted"} & events(former)
            assert heir.terminate() == 0
        assert former.terminate() == 0
    check_exactly_once(kafka, names)


def hold_one_of_both_partitions(proxy: Proxy, kafka: Kafka, names: Names) -> None:
    """Let transactions end until one is held that has states of both partitions, because either of them may move."""
    ended: list[dict[TopicPartition, tuple[int, int]]] = [{}]
    while True:
        proxy.wait(lambda: proxy.held[END_TRANSACTION] == 1 and open_transactions(kafka, names) not in ended)
        found = open_transactions(kafka, names)
        if {each.partition for each in found if each.topic == names.state} == {0, 1}:
            return
        ended.append(found)
        proxy.release()
        proxy.hold(END_TRANSACTION)


@fencing
@pytest.mark.parametrize("commits", [True, False], ids=["it-commits", "the-broker-aborts-it"])
def test_the_new_owner_waits_for_the_transaction_of_the_former_one(
    kafka: Kafka, names: Names, tmp_path: Path, commits: bool
) -> None:
    records = Load(randomness(), broken_every=3).take(600)
    kafka.create({names.activity: 2, names.state: 2, names.routing: 2, names.dead_letters: 1})
    # The former owner waits for half of its session time-out before the partition moves.
    time_out = "60000" if commits else "8000"
    with (
        Proxy(kafka) as proxy,
        service(
            proxy.kafka,
            names,
            tmp_path,
            max_records="20",
            session_timeout_ms="6000",
            transaction_timeout_ms=time_out,
        ) as former,
    ):
        kafka.write(names.activity, records[:300])
        wait_until_processed(kafka, names, [former])
        proxy.hold(END_TRANSACTION)
        kafka.write(names.activity, records[300:])
        hold_one_of_both_partitions(proxy, kafka, names)
        before = positions(kafka, names).committed
        with service(kafka, names, tmp_path, ready=False, max_records="20") as heir:
            heir.wait(lambda: owned(heir))
            (moved,) = owned(heir)
            if commits:
                # On a busy machine the brokers may have aborted the other one by now.
                assert positions(kafka, names).committed == before
                assert "partition_running" not in events(heir)
                proxy.release()
                proxy.wait(lambda: positions(kafka, names).committed[moved] > before[moved])
            else:
                heir.wait(lambda: "partition_running" in events(heir))
                assert positions(kafka, names).committed[1 - moved] == before[1 - moved]
                proxy.release()
            wait_until_processed(kafka, names, [former, heir])
            assert heir.terminate() == 0
        assert former.terminate() == 0
    check_exactly_once(kafka, names)
