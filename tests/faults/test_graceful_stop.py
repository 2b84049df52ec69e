"""SIGTERM: the worker commits its transactions and leaves the group. A second one ends the process at once."""

import signal
from pathlib import Path
from time import monotonic

from tests.faults.group import evict, members, positions, wait_until_processed
from tests.faults.load import Load
from tests.faults.oracle import check_exactly_once
from tests.faults.proxy import END_TRANSACTION, Proxy
from tests.faults.sizes import randomness
from tests.integration.kafka import DEADLINE, Kafka, Names
from tests.integration.service import service


def test_commits_the_current_transactions_and_leaves_the_group(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: 1, names.state: 1, names.routing: 1, names.dead_letters: 1})
    kafka.write(names.activity, Load(randomness()).take(400))
    # The signal comes in the middle of the third transaction.
    with service(kafka, names, tmp_path, ready=False, max_records="10", fault_point="sent:3:term") as worker:
        assert worker.process.wait(DEADLINE) == 0, worker.text()
    assert positions(kafka, names).committed == {0: 30}
    assert members(kafka, names) == []
    with service(kafka, names, tmp_path) as worker:
        wait_until_processed(kafka, names, [worker])
        assert worker.terminate() == 0
    check_exactly_once(kafka, names)


def test_a_second_signal_ends_the_process_at_once(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: 1, names.state: 1, names.routing: 1, names.dead_letters: 1})
    with Proxy(kafka) as proxy, service(proxy.kafka, names, tmp_path, max_records="10") as worker:
        proxy.hold(END_TRANSACTION)
        kafka.write(names.activity, Load(randomness()).take(400))
        proxy.wait(lambda: proxy.held[END_TRANSACTION] == 1)
        worker.process.send_signal(signal.SIGTERM)
        worker.wait(lambda: '"stopping"' in worker.text())
        # It waits for its commit, which does not return.
        assert worker.process.poll() is None
        started = monotonic()
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(DEADLINE) == 128 + signal.SIGTERM
        assert monotonic() - started < 5
    evict(kafka, names)
    with service(kafka, names, tmp_path) as worker:
        wait_until_processed(kafka, names, [worker])
        assert worker.terminate() == 0
    check_exactly_once(kafka, names)


def test_stops_without_an_answer_of_a_broker(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: 1, names.state: 1, names.routing: 1, names.dead_letters: 1})
    with (
        Proxy(kafka) as proxy,
        service(proxy.kafka, names, tmp_path, max_records="10", shutdown_timeout_s="2") as worker,
    ):
        proxy.hold(END_TRANSACTION)
        kafka.write(names.activity, Load(randomness()).take(400))
        proxy.wait(lambda: proxy.held[END_TRANSACTION] == 1)
        proxy.hang()
        # It could not commit everything, which the exit status shows.
        assert worker.terminate() == 1
        assert "not_drained" in worker.text()
    evict(kafka, names)
    with service(kafka, names, tmp_path) as worker:
        wait_until_processed(kafka, names, [worker])
        assert worker.terminate() == 0
    check_exactly_once(kafka, names)
