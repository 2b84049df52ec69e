"""How long a worker that is killed in a transaction holds up its partitions and the readers of `lead.routing`, with the
default time-outs of the service and of Apache Kafka. The times are printed (`pytest -rP`), and none is asserted.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from scorer.runtime.settings import Settings
from tests.conftest import apache_nodes
from tests.faults.group import positions
from tests.faults.load import Load
from tests.faults.oracle import check_exactly_once, left_open
from tests.faults.sizes import FULL_CLUSTER, randomness
from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service, service

pytestmark = [
    pytest.mark.apache,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not FULL_CLUSTER, reason="only with SCORER_FAULT_CLUSTER=full; kill loops show that it ends"),
]

PARTITIONS: Final = 4
SESSION_MS: Final = str(Settings.model_fields["session_timeout_ms"].default)
HANG_SECONDS: Final = 240.0
ALL: Final = [
    pytest.param("another", False, id="another-without-instance"),
    pytest.param("itself", True, id="itself-with-instance"),
    pytest.param("another", True, id="another-with-instance"),
    pytest.param("itself", False, id="itself-without-instance"),
]
"""The first two are what happens without and with a StatefulSet."""


@pytest.fixture(scope="module")
def defaults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """One node with the time-outs of Apache Kafka itself."""
    for apache in apache_nodes(tmp_path_factory, 1, {"group.initial.rebalance.delay.ms": "3000"}):
        yield Kafka(apache.bootstrap)


@pytest.mark.parametrize(("heir", "instance"), ALL)
def test_what_a_killed_worker_holds_up(
    defaults: Kafka, names: Names, tmp_path: Path, heir: str, instance: bool
) -> None:
    """`heir`: who gets the partitions, a worker that ran before or the killed one, which starts again at once."""
    kafka, count = defaults, PARTITIONS
    load = Load(randomness())
    kafka.create({names.activity: count, names.state: count, names.routing: count, names.dead_letters: 1})
    with ExitStack() as stack:

        def start(name: str, **settings: str) -> Service:
            settings |= {"session_timeout_ms": SESSION_MS, "topic_partitions": str(count), "max_records": "20"}
            if instance:
                settings["instance"] = name
            return stack.enter_context(service(kafka, names, tmp_path, ready=False, **settings))

        workers = [start("one")] if heir == "another" else []
        victim = start("two", fault_point="offsets_sent:5:kill")
        for worker in [*workers, victim]:
            worker.wait(lambda worker=worker: len((worker.ready() or {}).get("partitions", ())) >= 2)  # type: ignore[misc]
        deadline = time.monotonic() + HANG_SECONDS
        while victim.process.poll() is None:
            assert time.monotonic() < deadline, victim.text()
            kafka.write(names.activity, load.take(40))
            time.sleep(0.1)
        killed = time.monotonic()
        assert victim.process.returncode == -9, victim.text()
        if heir == "itself":
            workers = [start("two")]
        # Something for each partition.
        kafka.write(names.activity, load.take(200))
        assert left_open(kafka, names), "no transaction is open: the test shows nothing"
        connected = running = readable = 0.0
        while not (running and readable):
            passed = time.monotonic() - killed
            connected = connected or (passed if "http_listening" in workers[0].text() else 0.0)
            assert passed < HANG_SECONDS, "\n".join(worker.text() for worker in workers)
            readable = readable or (passed if not left_open(kafka, names) else 0.0)
            running = running or (passed if positions(kafka, names).behind == 0 else 0.0)
        # While a worker still commits, the end of the log runs before that of the readers.
        while problems := left_open(kafka, names):
            assert time.monotonic() - killed < HANG_SECONDS, problems
            readable = time.monotonic() - killed
        for worker in workers:
            assert worker.terminate() == 0, worker.text()
    name = "with SCORER_INSTANCE" if instance else "without SCORER_INSTANCE"
    print(  # noqa: T201
        f"{name}, {heir} takes over: partitions run again after {running:.1f} s, lead.routing is readable after "
        f"{readable:.1f} s (session time-out {int(SESSION_MS) / 1000:.0f} s"
        + (f"; the new process had started after {connected:.1f} s)" if heir == "itself" else ")")
    )
    check_exactly_once(kafka, names)
