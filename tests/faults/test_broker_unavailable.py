"""The connection to the brokers is cut, hangs, or breaks at any step of a transaction; the service recovers."""

from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from tests.faults.cooling import COOLING, check_cooled, create_topics, finish
from tests.faults.group import wait_until_processed
from tests.faults.load import Load
from tests.faults.proxy import ADD_OFFSETS, ADD_PARTITIONS, END_TRANSACTION, OFFSET_COMMIT, PRODUCE, Proxy
from tests.faults.sizes import CUT_SECONDS, DRAIN_SECONDS, randomness
from tests.integration.kafka import Kafka, Names
from tests.integration.service import service

GROWTH_BYTES = 24 << 20


@pytest.mark.timeout(180 + 3 * CUT_SECONDS)
@pytest.mark.parametrize("how", ["refuse", "hang"])
def test_recovers_when_the_connection_was_cut(kafka: Kafka, names: Names, tmp_path: Path, how: str) -> None:
    load = Load(randomness(), live=True)
    create_topics(kafka, names, 2)
    with Proxy(kafka) as proxy, service(proxy.kafka, names, tmp_path, ready=True, **COOLING) as worker:
        process = psutil.Process(worker.process.pid)
        kafka.write(names.activity, load.take(1500))
        wait_until_processed(kafka, names, [worker])
        before = process.memory_info().rss
        kafka.write(names.activity, load.take(300))
        getattr(proxy, how)()
        end = monotonic() + CUT_SECONDS
        peak = 0
        while monotonic() < end:
            # More input arrives meanwhile.
            kafka.write(names.activity, load.take(50))
            sleep(0.5)
            peak = max(peak, process.memory_info().rss)
        proxy.heal()
        wait_until_processed(kafka, names, [worker], DRAIN_SECONDS + CUT_SECONDS)
        after = process.memory_info().rss
        reached = finish(kafka, names, [worker])
    print(f"RSS before {before >> 20} MiB, during {peak >> 20} MiB, after {after >> 20} MiB")  # noqa: T201
    assert max(peak, after) - before < GROWTH_BYTES
    check_cooled(kafka, names, reached)


def test_connection_reset_at_every_step_of_a_transaction(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    load = Load(randomness(), live=True)
    create_topics(kafka, names, 2)
    with (
        Proxy(kafka) as proxy,
        service(proxy.kafka, names, tmp_path, ready=True, max_records="20", **COOLING) as worker,
    ):
        for step in (ADD_PARTITIONS, PRODUCE, ADD_OFFSETS, OFFSET_COMMIT, END_TRANSACTION):
            for direction in ("request", "response"):
                struck = proxy.resets
                proxy.reset_at(step, direction)
                kafka.write(names.activity, load.take(60))
                proxy.wait(lambda struck=struck: proxy.resets > struck)  # type: ignore[misc]
                wait_until_processed(kafka, names, [worker])
        reached = finish(kafka, names, [worker])
    check_cooled(kafka, names, reached)
