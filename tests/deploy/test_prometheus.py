"""Prometheus and Alertmanager as Debian ships them, with the files of `deploy/`, and workers under load.

The load takes SCORER_TEST_MONITORING_SECONDS, by default 60. All durations of the configuration and the rules are
divided by `FACTOR`; `deploy/mixin/tests` proves the real ones. The thresholds stay as they are.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from shutil import copytree
from typing import Any, Final

import pytest

from tests.brokers.marks import embedded_only, fencing
from tests.deploy.mixin import CONTAINER_ONLY, panel_queries, rule_queries, runbook_queries
from tests.deploy.monitoring import MIXIN, Alertmanager, Prometheus, faster, program, promtool, until
from tests.faults.load import Load
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import RULES, Service, service
from tests.variables import given

FACTOR: Final = 15
"""A scrape each second instead of every 15; windows of 5 minutes are 20 seconds, alerts for 5 minutes need 20."""
SECONDS: Final = float(given("SCORER_TEST_MONITORING_SECONDS", "60"))
PATIENCE: Final = 120.0

pytestmark = pytest.mark.timeout(SECONDS + 400)


def rules_without_tests(folder: Path) -> Path:
    """A copy of the example rules that may be changed, without the tests that would refuse a change."""
    copytree(RULES, folder)
    for path in folder.glob("*_test.yaml"):
        path.unlink()
    return folder


def changed(path: Path, before: str, after: str) -> None:
    """Replace a text in a file, which must be there once."""
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))


def load(kafka: Kafka, names: Names, seconds: float, records: Load) -> None:
    """Write for this time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        kafka.write(names.activity, records.take(100))
        time.sleep(0.5)


class Receiver:
    """Takes the notifications of Alertmanager: (alert, status, receiver) of each, in order."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, str]] = []
        notes = self.notes

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                notes.extend(
                    (alert["labels"]["alertname"], alert["status"], self.path.rpartition("/")[2])
                    for alert in body["alerts"]
                )
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(autouse=True)
def programs() -> None:
    """Skips the test where the programs are missing, before Kafka is started for it."""
    for name in ("prometheus", "promtool", "prometheus-alertmanager"):
        program(name)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of notifications."""
    with Receiver() as running:
        yield running


def address(running: Service) -> str:
    """`host:port` of a service, as Prometheus names its targets."""
    return running.address.removeprefix("http://")


@fencing
def test_all_that_rules_and_dashboards_ask_for_is_there(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    live, shadow = rules_without_tests(tmp_path / "live"), rules_without_tests(tmp_path / "shadow")
    changed(shadow / "b2b.yaml", "hot: 70", "hot: 80")
    settings = {"rules": str(live), "shadow_rules": str(shadow), "topic_partitions": "6"}
    with ExitStack() as stack:
        workers = [
            stack.enter_context(service(kafka, names, tmp_path, ready=True, instance=f"scorer-{number}", **settings))
            for number in range(2)
        ]
        prometheus = stack.enter_context(Prometheus(tmp_path, map(address, workers), factor=FACTOR))
        records = Load(Random(3), leads=1000, broken_every=40)
        load(kafka, names, SECONDS / 2, records)
        changed(live / "b2b.yaml", "warm: 30", "warm: 35")
        for worker in workers:
            worker.wait(lambda worker=worker: worker.metric('scorer_rules_reloads_total{outcome="loaded"}') == 1)  # type: ignore[misc]
        load(kafka, names, SECONDS / 2, records)
        for worker in workers:
            done = promtool("check", "metrics", given=worker.get("/metrics")[1])
            assert (done.returncode, done.stdout + done.stderr) == (0, "")
        queries = [*rule_queries(), *panel_queries("20s", "60s"), *runbook_queries()]
        read = set[str]().union(*(query.series for query in queries)) - CONTAINER_ONLY

        def missing() -> list[str]:
            return sorted(name for name in read if not prometheus.query(f"count({name})"))

        # What is recorded needs its window first.
        until(lambda: not missing(), PATIENCE, lambda: f"no samples: {missing()}")
        asked = [
            query for query in (*panel_queries("20s", "60s"), *runbook_queries()) if not query.series & CONTAINER_ONLY
        ]
        assert [query.place for query in asked if not prometheus.query(query.expression)] == []
        broken = [rule for rule in rules_of(prometheus) if rule["health"] != "ok"]
        assert broken == []
        # Nothing was wrong, so nobody is called; 1 record of 40 is a dead letter.
        assert {name for name, state in prometheus.alerts() if state == "firing"} == set()
        assert {entry["labels"]["job"] for entry in prometheus.query("up == 1")} == {"lead-scorer"}
        assert prometheus.query("sum(job:scorer_input_partitions:unowned)")[0]["value"][1] == "0"


def rules_of(prometheus: Prometheus) -> list[dict[str, Any]]:
    """All rules as Prometheus evaluates them."""
    groups = prometheus.get("/api/v1/rules")["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


# One worker, and what its broker is makes no difference to an alert.
@embedded_only
def test_alerts_reach_people_and_end(kafka: Kafka, names: Names, tmp_path: Path, receiver: Receiver) -> None:
    live = rules_without_tests(tmp_path / "live")
    configuration = faster((MIXIN / "alertmanager.yml").read_text(), FACTOR)
    assert configuration.count("http://receiver.invalid") == 3  # one of them in a comment
    with ExitStack() as stack:
        manager = Alertmanager(tmp_path, factor=FACTOR)
        path = tmp_path / "alertmanager.yml"
        path.write_text(path.read_text().replace("http://receiver.invalid", receiver.address))
        stack.enter_context(manager)
        worker = stack.enter_context(service(kafka, names, tmp_path, rules=str(live)))
        prometheus = stack.enter_context(Prometheus(tmp_path, [address(worker)], manager.address, factor=FACTOR))
        until(lambda: prometheus.query("up == 1"), PATIENCE, prometheus.log)

        def told(*note: str) -> None:
            until(lambda: note in receiver.notes, PATIENCE, lambda: f"{note} is not in {receiver.notes}")

        # Most records are broken, and the rules on disk too.
        (live / "wrong.yaml").write_text("nonsense: 1\n")
        broken = Load(Random(4), leads=100, broken_every=1)
        end = time.monotonic() + PATIENCE
        while ("LeadScorerMostInputRejected", "firing", "critical") not in receiver.notes:
            assert time.monotonic() < end, (receiver.notes, prometheus.alerts())
            kafka.write(names.activity, broken.take(50))
            time.sleep(0.5)
        told("LeadScorerRulesRefused", "firing", "warning")
        assert "LeadScorerMostInputRejected" in manager.firing()
        # The cause is fixed, and both end.
        (live / "wrong.yaml").unlink()
        good = Load(Random(5), leads=100, broken_every=1_000_000)
        kafka.write(names.activity, [record for record in good.take(300) if record.value is not None])
        told("LeadScorerMostInputRejected", "resolved", "critical")
        told("LeadScorerRulesRefused", "resolved", "warning")
        assert {name for name, *_ in receiver.notes} <= {
            "LeadScorerMostInputRejected",
            "LeadScorerDeadLetters",
            "LeadScorerRulesRefused",
        }
        # The worker goes away without a word.
        worker.process.kill()
        told("LeadScorerAbsent", "firing", "critical")


def test_a_load_has_what_the_dashboards_show() -> None:
    """The load of this module reaches sales and the dead letters, so that no panel is empty for lack of input."""
    records: list[Record] = Load(Random(3), leads=1000, broken_every=40).take(2000)
    assert sum(b"broken" in (record.value or b"") for record in records) >= 50
    assert any(b"lead.demo_requested" in (record.value or b"") for record in records)
