"""Prometheus and Alertmanager as Debian ships them, with the files of `deploy/`, and workers under load.

The load takes SCORER_TEST_MONITORING_SECONDS, by default 10. All durations of the configuration and the rules are
divided by `FACTOR`; `deploy/mixin/tests` proves the real ones. The thresholds stay as they are.
"""

import time
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from tests.brokers.marks import embedded_only, fencing
from tests.deploy.mixin import CONTAINER_ONLY, panel_queries, rule_queries, runbook_queries
from tests.deploy.monitoring import Alertmanager, Prometheus, Receiver, promtool, replace, until
from tests.deploy.sizes import FULL
from tests.deploy.workers import address, rules_with_figures, rules_without_tests
from tests.faults.load import Load
from tests.faults.profiles import company_topic
from tests.integration.activities import event, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import service
from tests.variables import given

FACTOR: Final = 15
"""A scrape each second instead of every 15; windows of 5 minutes are 20 seconds, alerts for 5 minutes need 20."""
SECONDS: Final = float(given("SCORER_TEST_MONITORING_SECONDS", "10"))
PATIENCE: Final = 120.0

pytestmark = [pytest.mark.timeout(SECONDS + 400), pytest.mark.usefixtures("programs")]


def load(kafka: Kafka, names: Names, seconds: float, records: Load, crm: str | None = None) -> None:
    """Write for this time. `crm`: a topic of another sender, which gets events with a key that does not fit, and bytes
    that are no event."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        kafka.write(names.activity, records.take(100))
        if crm is not None:
            now = time.time_ns() // 1000
            profile = event("lead-of-the-crm", now, "lead.profile_updated", {"employees": "many"}, now)
            kafka.write(crm, [structured(profile), Record(None, b"no event")])
        time.sleep(0.5)


@fencing
def test_all_that_rules_and_dashboards_ask_for_is_there(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    live, shadow = rules_with_figures(tmp_path / "live"), rules_with_figures(tmp_path / "shadow")
    replace(shadow / "b2b.yaml", "hot: 70", "hot: 80")
    crm = f"{names.prefix}.crm"
    settings = {"rules": str(live), "shadow_rules": str(shadow), "topic_partitions": "6"}
    settings["sources"] = f"{crm}:cloudevents"
    settings["company_topic"] = company_topic(names)
    kafka.create({names.activity: 6, crm: 1}, {"message.timestamp.type": "LogAppendTime"})
    with ExitStack() as stack:
        workers = [
            stack.enter_context(service(kafka, names, tmp_path, ready=True, instance=f"scorer-{number}", **settings))
            for number in range(2)
        ]
        prometheus = stack.enter_context(Prometheus(tmp_path, map(address, workers), factor=FACTOR))
        # Sales must answer after the decision.
        records = Load(Random(3), leads=1000, broken_every=40, live=True)
        load(kafka, names, SECONDS / 2, records, crm)
        replace(live / "b2b.yaml", "warm: 30", "warm: 35")
        for worker in workers:
            worker.wait(lambda worker=worker: worker.metric('scorer_rules_reloads_total{outcome="loaded"}') == 1)  # type: ignore[misc]
        load(kafka, names, SECONDS / 2, records, crm)
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
        assert {entry["metric"]["job"] for entry in prometheus.query("up == 1")} == {"lead-scorer"}
        assert prometheus.query("sum(job:scorer_input_partitions:unowned)")[0]["value"][1] == "0"


def rules_of(prometheus: Prometheus) -> list[dict[str, Any]]:
    """All rules as Prometheus evaluates them."""
    groups = prometheus.get("/api/v1/rules")["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


# One worker, and what its broker is makes no difference to an alert.
@embedded_only
@pytest.mark.skipif(not FULL, reason="only with SCORER_TEST_DEPLOY=full; promtool tests each rule")
def test_alerts_reach_people_and_end(kafka: Kafka, names: Names, tmp_path: Path, receiver: Receiver) -> None:
    live = rules_without_tests(tmp_path / "live")
    with ExitStack() as stack:
        manager = stack.enter_context(Alertmanager(tmp_path, receiver.address, factor=FACTOR))
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
