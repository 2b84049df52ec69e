"""A bad night: the broker is gone for ten minutes, rules are refused, a record is poison, the clock of a machine is
wrong, and more arrives than is processed. Exactly the alerts for that reach people, and all of them end.

All durations, and the thresholds that are durations, are divided by `FACTOR`. `deploy/mixin/tests/night.yaml` has the
same night with the real ones. It takes ten minutes, so it runs with SCORER_TEST_DEPLOY=full (`make test-deploy`).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Final

import pytest

from scorer.demo.broker import free_port
from tests.brokers.apache import ApacheKafka
from tests.conftest import apache_nodes
from tests.deploy.monitoring import Alertmanager, Prometheus, Receiver, until
from tests.deploy.sizes import FULL
from tests.deploy.workers import address, rules_without_tests
from tests.faults.group import wait_until_processed
from tests.faults.load import Load
from tests.faults.oracle import check_exactly_once, wait_until_closed
from tests.faults.writer import Writer
from tests.integration.activities import START, event, structured
from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service, service

pytestmark = [
    pytest.mark.apache,
    pytest.mark.timeout(1500),
    pytest.mark.usefixtures("programs"),
    pytest.mark.skipif(not FULL, reason="only with SCORER_TEST_DEPLOY=full"),
]

FACTOR: Final = 15
OUTAGE_SECONDS: Final = 600 / FACTOR
TWO_DAYS: Final = 2 * 86_400
POISON: Final = "poison"
PER_SECOND: Final = 60
FLOOD_PER_SECOND: Final = 800
"""More than two workers process that commit each record by itself."""
PATIENCE: Final = 300.0
SHORTER: Final = {
    "scorer_partition_stalled_seconds > 120": f"scorer_partition_stalled_seconds > {120 // FACTOR}",
    "0.001) > 3600": f"0.001) > {3600 // FACTOR}",
    "p95_5m > 60": f"p95_5m > {60 // FACTOR}",
}
"""The thresholds that are durations."""
EXPECTED: Final = {
    "LeadScorerPartitionStalled": "critical",
    "LeadScorerRulesRefused": "warning",
    "LeadScorerInternalError": "warning",
    "LeadScorerClockOff": "warning",
    "LeadScorerLagGrowing": "warning",
    # Leads wait while the lag grows.
    "LeadScorerDecisionsLate": "warning",
}


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A node of its own, which the test takes away."""
    yield from apache_nodes(tmp_path_factory, 1)


class Machine:
    """A place for a worker: its name and its port stay, and what else is different about it changes."""

    def __init__(self, number: int, start: Callable[..., Service], settings: Mapping[str, str]) -> None:
        self._start = start
        self._settings = {"instance": f"scorer-{number}", "http_port": str(free_port()), **settings}
        self.worker = start(**self._settings)

    def restart(self, **changed: str) -> Service:
        """End the worker and start one with these settings, which are not those of the next."""
        assert self.worker.terminate() == 0, self.worker.text()
        self.worker = self._start(**{**self._settings, **changed})
        return self.worker


def test_exactly_the_expected_alerts_fire_and_end(
    broker: ApacheKafka, names: Names, tmp_path: Path, receiver: Receiver
) -> None:
    kafka = Kafka(broker.bootstrap)
    live = rules_without_tests(tmp_path / "live")
    random = Random(6)
    with ExitStack() as stack:

        def start(**settings: str) -> Service:
            return stack.enter_context(service(kafka, names, tmp_path, ready=False, **settings))

        # One record a transaction: a lag then grows on any machine.
        settings = {
            "rules": str(live),
            "topic_partitions": "4",
            "max_records": "1",
            "linger_ms": "0",
            "fault_point": f"assessing:{POISON}:fail",
        }
        machines = [Machine(number, start, settings) for number in range(2)]
        for machine in machines:
            machine.worker.wait(machine.worker.ready)
        manager = stack.enter_context(Alertmanager(tmp_path, receiver.address, factor=FACTOR))
        targets = [address(machine.worker) for machine in machines]
        prometheus = stack.enter_context(
            Prometheus(tmp_path, targets, manager.address, factor=FACTOR, replaced=SHORTER)
        )
        writer = stack.enter_context(Writer(kafka, names.activity, Load(random, broken_every=1_000_000), PER_SECOND))
        until(lambda: len(prometheus.query("up == 1")) == 2, PATIENCE, prometheus.log)
        began = time.time()

        def told(alert: str, status: str) -> None:
            note = (alert, status, EXPECTED[alert])
            until(
                lambda: note in receiver.notes,
                PATIENCE,
                lambda: f"{note} is not in {receiver.notes}; {prometheus.alerts()}",
            )

        # 1 h: the broker is gone for ten minutes.
        broker.kill(1)
        time.sleep(OUTAGE_SECONDS)
        broker.mend()
        told("LeadScorerPartitionStalled", "firing")
        told("LeadScorerPartitionStalled", "resolved")
        # 2 h: somebody deploys rules that are none, and takes them back.
        (live / "wrong.yaml").write_text("nonsense: 1\n")
        told("LeadScorerRulesRefused", "firing")
        (live / "wrong.yaml").unlink()
        told("LeadScorerRulesRefused", "resolved")
        # 3 h: a record on which our own code fails.
        poison = event("L-poison", 1, "lead.demo_requested", {}, START) | {"id": POISON}
        kafka.write(names.activity, [structured(poison)])
        told("LeadScorerInternalError", "firing")
        # 4 h: a machine comes back with a wrong clock, until somebody sets it.
        machines[1].restart(fault_clock=str(-TWO_DAYS))
        told("LeadScorerClockOff", "firing")
        machines[1].restart()
        told("LeadScorerClockOff", "resolved")
        # 5 h: more arrives than is processed.
        with Writer(kafka, names.activity, Load(random, broken_every=1_000_000), FLOOD_PER_SECOND) as flood:
            told("LeadScorerLagGrowing", "firing")
            told("LeadScorerDecisionsLate", "firing")
            flood.stop()
        # Somebody gives the workers what they lack, before it takes long enough to wake anybody.
        for machine in machines:
            machine.restart(max_records="500")
        for alert in EXPECTED:
            told(alert, "resolved")
        until(lambda: not prometheus.alerts(), PATIENCE, lambda: str(prometheus.alerts()))

        window = f"{round(time.time() - began) + 10}s"
        fired = prometheus.query(
            f'count by (alertname, severity) (max_over_time(ALERTS{{alertstate="firing"}}[{window}]))'
        )
        assert {entry["metric"]["alertname"]: entry["metric"]["severity"] for entry in fired} == EXPECTED
        assert {name for name, *_ in receiver.notes} == set(EXPECTED)
        writer.stop()
        workers = [machine.worker for machine in machines]
        wait_until_processed(kafka, names, workers, PATIENCE)
        for worker in workers:
            worker.wait(worker.ready)
            assert worker.terminate() == 0, worker.text()
        wait_until_closed(kafka, names)
        check_exactly_once(kafka, names, {POISON}, live)
