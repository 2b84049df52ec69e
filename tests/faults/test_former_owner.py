"""A former owner of a partition, stopped or slow, that still has an open transaction."""

import signal
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from tests.brokers.marks import fencing
from tests.faults.group import members, positions, wait_until_processed
from tests.faults.load import Load
from tests.faults.oracle import check_exactly_once
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


@fencing
@pytest.mark.parametrize("point", ["begun", "offsets_sent"])
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
            zombie.wait(lambda: "partition_fenced" in zombie.text())
            assert len(kafka.read(names.routing)) == len(before)
            # Both continue as members of the group.
            kafka.write(names.activity, records[600:])
            wait_until_processed(kafka, names, [zombie, heir])
            zombie.wait(zombie.ready)
            assert heir.terminate() == 0
            assert zombie.terminate() == 0
    check_exactly_once(kafka, names)


@fencing
@pytest.mark.parametrize("late", [False, True], ids=["before-the-heir-fences", "after-the-heir-took-over"])
def test_a_commit_during_the_revocation_counts_once(kafka: Kafka, names: Names, tmp_path: Path, late: bool) -> None:
    """The commit of the former owner arrives between the assignment and the fencing by the new owner, or after it."""
    # Each batch must have broken records.
    records = Load(randomness(), broken_every=3).take(600)
    kafka.create({names.activity: 2, names.state: 2, names.routing: 2, names.dead_letters: 1})
    with Proxy(kafka) as proxy, service(proxy.kafka, names, tmp_path, max_records="20") as former:
        kafka.write(names.activity, records[:300])
        wait_until_processed(kafka, names, [former])
        proxy.hold(END_TRANSACTION)
        kafka.write(names.activity, records[300:])
        # Each partition reaches its commit, because one that hangs does not block the other.
        proxy.wait(lambda: proxy.held[END_TRANSACTION] == 2)
        before = positions(kafka, names).committed
        fault = {} if late else {"fault_point": "fencing:1:stop"}
        with service(kafka, names, tmp_path, ready=False, max_records="20", **fault) as heir:
            if late:
                heir.wait(lambda: "partition_running" in heir.text())
                (moved,) = owned(heir)
                proxy.release()
                former.wait(lambda: "partition_fenced" in former.text())
            else:
                heir.wait(lambda: is_stopped(heir))
                (moved,) = owned(heir)
                proxy.release()
                # The new owner has not fenced yet, so this commit succeeds.
                proxy.wait(lambda: positions(kafka, names).committed[moved] > before[moved])
                heir.process.send_signal(signal.SIGCONT)
            wait_until_processed(kafka, names, [former, heir])
            assert heir.terminate() == 0
        assert former.terminate() == 0
    check_exactly_once(kafka, names)
