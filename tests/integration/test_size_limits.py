"""The service refuses rules under which a lead's state or a decision can become too large to be written."""

from pathlib import Path

from tests.brokers.marks import embedded_only
from tests.factory import SMALL_RULES, ruleset_folder
from tests.integration.kafka import DEADLINE, Kafka, Names
from tests.integration.service import Service, service
from tests.unit.test_size_findings import MANY_SIGNALS, with_fields, with_signals


def refused(running: Service, event: str) -> str:
    """The first finding of the refusal, once there is one."""
    lines = running.wait(lambda: [line for line in running.log() if line["event"] == event])
    return str(lines[-1]["findings"][0])


@embedded_only
def test_it_does_not_start_with_them(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "rules", MANY_SIGNALS)
    with service(kafka, names, tmp_path, ready=False, rules=str(rules)) as running:
        assert running.process.wait(DEADLINE) == 1
        assert f"{rules / 'rules.yaml'}:5:3: error: a lead's state can take 1,113,448 bytes" in running.text()
    with service(kafka, names, tmp_path, rules=str(rules), max_record_bytes="2000000") as running:
        assert running.terminate() == 0


@embedded_only
def test_a_reload_keeps_the_rules_that_fit(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "rules")
    with service(kafka, names, tmp_path, rules=str(rules)) as running:
        before = running.ready()
        ruleset_folder(rules, MANY_SIGNALS)
        assert "rules.yaml:5:3: error: a lead's state can take 1,113,448 bytes" in refused(running, "rules_refused")
        after = running.ready()
        assert before is not None
        assert after is not None
        assert after["ruleset"] == before["ruleset"]
        ruleset_folder(rules, with_signals(40, 1))
        running.wait(lambda: "rules_reloaded" in running.text())
        assert running.terminate() == 0


@embedded_only
def test_live_and_shadow_rules_are_refused_if_they_do_not_fit_together(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    live = ruleset_folder(tmp_path / "live", with_fields(0, 20))
    candidate = ruleset_folder(tmp_path / "candidate", with_fields(20, 20))
    with service(kafka, names, tmp_path, rules=str(live), shadow_rules=str(candidate)) as running:
        assert "together with the rules that judge beside it" in refused(running, "shadow_rules_refused")
        ruleset_folder(candidate, SMALL_RULES)
        running.wait(lambda: "shadow_rules_reloaded" in running.text())
        ruleset_folder(candidate, MANY_SIGNALS)
        running.wait(lambda: "1,113,448 bytes" in refused(running, "shadow_rules_refused"))
        ruleset_folder(candidate, with_fields(0, 20))
        running.wait(lambda: running.text().count("shadow_rules_reloaded") == 2)
        ruleset_folder(live, with_fields(20, 20))
        assert "together with the rules that judge beside it" in refused(running, "rules_refused")
        assert running.terminate() == 0
