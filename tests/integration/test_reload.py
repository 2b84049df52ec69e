"""Hot reload: changed rules take effect completely in a running service, or it keeps its rules."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.marks import embedded_only
from tests.factory import SMALL_RULES, ruleset_folder
from tests.integration.activities import START, event, structured
from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service, service

TESTS = """
tests:
  - name: planned budget
    activities: [{type: qualification_updated, data: {bant: {budget_status: planned}}}]
    expect: {contributions: {budget-planned: 10}}
"""


def rules_in(folder: Path) -> Path:
    """A small ruleset with a test."""
    ruleset_folder(folder, file="small.yaml")
    (folder / "small_test.yaml").write_text(TESTS)
    return folder


def change(rules: Path, points: int = 9) -> None:
    """Change the points of a rule, and its test."""
    # Like editors: write a file beside it, then rename.
    for name, text in (
        ("small.yaml", SMALL_RULES.replace("requested]}}, points: 10", f"requested]}}}}, points: {points}")),
        ("small_test.yaml", TESTS.replace("budget-planned: 10", f"budget-planned: {points}")),
    ):
        beside = rules / f".{name}.new"
        beside.write_text(text)
        beside.rename(rules / name)


def rules_of(running: Service) -> dict[str, Any]:
    """The rules in /health/ready."""
    ready = running.ready()
    assert ready is not None, "it must stay ready"
    details: dict[str, Any] = ready["rules"]
    return details


def logged(running: Service, name: str) -> list[dict[str, Any]]:
    """The log lines of one event."""
    return [line for line in running.log() if line["event"] == name]


def decided_by(kafka: Kafka, names: Names, number: int) -> tuple[str, int]:
    """Revision and points of the decision about a new lead with a planned budget."""
    lead = f"asked-{number}"
    bant = {"bant": {"budget_status": "planned"}}
    kafka.write(names.activity, [structured(event(lead, number, "lead.qualification_updated", bant, START))])
    values: list[Any] = []
    # Decisions about other leads, which a change of rules re-scored, may come before it.
    while not (decisions := [value for value in values if value["lead_id"] == lead]):
        values = [json.loads(record.value or b"") for record in kafka.read(names.routing, at_least=len(values) + 1)]
    (decision,) = decisions
    return decision["ruleset"]["revision"], decision["score"]["total"]


def test_changed_rules_take_effect_and_wrong_ones_are_refused(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = rules_in(tmp_path / "rules")
    with service(kafka, names, tmp_path, rules=str(rules)) as running:
        old = rules_of(running)
        assert old["last_reload"] is None
        assert running.metric("scorer_rules_last_reload_successful") == 1
        assert decided_by(kafka, names, 1) == (old["revision"], 10)

        change(rules)
        running.wait(lambda: logged(running, "rules_reloaded"))
        new = rules_of(running)
        assert new["revision"] != old["revision"]
        assert new["last_reload"]["ok"] is True
        assert new["loaded_at"] >= old["loaded_at"]
        (line,) = logged(running, "rules_reloaded")
        assert (line["old"], line["new"]) == (old["revision"][:12], new["revision"][:12])
        assert line["revision"] == new["revision"][:12]
        assert decided_by(kafka, names, 2) == (new["revision"], 9)
        text = running.get("/metrics")[1]
        assert f'revision="{new["revision"]}"' in text
        assert old["revision"] not in text
        assert running.metric('scorer_rules_reloads_total{outcome="loaded"}') == 1

        # Valid rules that fail the tests.
        file = rules / "small.yaml"
        good = file.read_text()
        file.write_text(good.replace("requested]}}, points: 9", "requested]}}, points: 8"))
        running.wait(lambda: logged(running, "rules_refused"))
        (line,) = logged(running, "rules_refused")
        assert f"{rules / 'small_test.yaml'}:3:5: error: the test `planned budget` failed" in line["findings"][0]
        assert line["kept"] == new["revision"][:12]
        assert running.metric("scorer_rules_last_reload_successful") == 0
        assert decided_by(kafka, names, 3) == (new["revision"], 9)

        # Not rules at all; the finding has file, line and column.
        file.write_text(good.replace("bant.budget_status: approved", "bant.budget_status: aproved"))
        running.wait(lambda: len(logged(running, "rules_refused")) == 2)
        shown = rules_of(running)
        assert shown["revision"] == new["revision"]
        assert shown["last_reload"]["ok"] is False
        assert f"{file}:22:38: error: `bant.budget_status` is never `aproved`" in shown["last_reload"]["error"]

        # Reverted: the rules are valid, and nothing must be loaded.
        file.write_text(good)
        running.wait(lambda: logged(running, "rules_unchanged"))
        assert running.metric("scorer_rules_last_reload_successful") == 1
        assert running.metric('scorer_rules_reloads_total{outcome="refused"}') == 2
        assert rules_of(running)["last_reload"]["ok"] is True
        assert decided_by(kafka, names, 4) == (new["revision"], 9)
        assert running.terminate() == 0


@embedded_only
def test_the_audit_log_says_which_rules_are_in_effect_and_what_was_refused(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    rules = rules_in(tmp_path / "rules")
    source, file = tmp_path / "source", tmp_path / "audit.log"
    source.write_text("change 1 by Ann")

    def audit() -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.read_text().splitlines()]

    with service(
        kafka, names, tmp_path, rules=str(rules), audit_file=str(file), rules_source_file=str(source)
    ) as running:
        old = rules_of(running)["revision"]
        source.write_text("change 2 by Bob")
        change(rules)
        running.wait(lambda: logged(running, "rules_reloaded"))
        new = rules_of(running)["revision"]
        (rules / "small.yaml").write_text("no rules")
        running.wait(lambda: logged(running, "rules_refused"))
        lines = running.wait(lambda: audit()[2:] and audit())
        assert [(line["event"], line["why"], line["source"]) for line in lines] == [
            ("rules_in_effect", "start", {"said": "change 1 by Ann"}),
            ("rules_in_effect", "files", {"said": "change 2 by Bob"}),
            ("rules_change_refused", "files", {"said": "change 2 by Bob"}),
        ]
        assert [(line["rules"], line["from"], line["to"]) for line in lines[:2]] == [
            ("live", None, old),
            ("live", old, new),
        ]
        assert (lines[2]["kept"], lines[2]["group"]) == (new, names.group)
        assert str(rules / "small.yaml") in lines[2]["findings"][0]
        assert running.audit() == []

        # Rules that cannot be recorded do not take effect.
        file.unlink()
        file.mkdir()
        rules_in(rules)
        change(rules, 7)
        running.wait(lambda: logged(running, "audit_failed"))
        running.wait(lambda: "cannot be written" in logged(running, "rules_refused")[-1]["findings"][0])
        assert rules_of(running)["revision"] == new
        assert running.metric("scorer_audit_failures_total") >= 1


@embedded_only
def test_a_config_map_is_swapped_as_a_whole(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    """Like kubelet: files are links into `..data`, which is a link that is replaced at once."""
    first = tmp_path / "mount" / "..2026_01_01"
    mount = first.parent
    mount.mkdir()
    rules_in(first)
    (mount / "..data").symlink_to(first.name)
    for path in first.iterdir():
        (mount / path.name).symlink_to(Path("..data") / path.name)
    with service(kafka, names, tmp_path, rules=str(mount)) as running:
        old = rules_of(running)["revision"]
        second = mount / "..2026_01_02"
        rules_in(second)
        change(second)
        (mount / "..data_tmp").symlink_to(second.name)
        (mount / "..data_tmp").rename(mount / "..data")
        shutil.rmtree(first)
        running.wait(lambda: logged(running, "rules_reloaded"))
        assert rules_of(running)["revision"] != old
        assert decided_by(kafka, names, 1)[1] == 9
        # And a second time, because the first watched directory is gone by now.
        third = mount / "..2026_01_03"
        rules_in(third)
        (mount / "..data_tmp").symlink_to(third.name)
        (mount / "..data_tmp").rename(mount / "..data")
        shutil.rmtree(second)
        running.wait(lambda: len(logged(running, "rules_reloaded")) == 2)
        assert rules_of(running)["revision"] == old
        assert logged(running, "rules_refused") == []
        assert running.terminate() == 0


@embedded_only
def test_a_link_to_the_rules_can_be_replaced(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = rules_in(tmp_path / "rules")
    other = rules_in(tmp_path / "other")
    change(other)
    current = tmp_path / "current"
    current.symlink_to(rules)
    with service(kafka, names, tmp_path, rules=str(current)) as running:
        (tmp_path / "next").symlink_to(other)
        (tmp_path / "next").rename(current)
        running.wait(lambda: logged(running, "rules_reloaded"))
        (other / "small.yaml").unlink()
        running.wait(lambda: logged(running, "rules_refused"))
        assert "there is no rule file" in logged(running, "rules_refused")[0]["findings"][0]
        assert running.terminate() == 0


@embedded_only
def test_sighup_checks_the_rules(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = rules_in(tmp_path / "rules")
    with service(kafka, names, tmp_path, rules=str(rules)) as running:
        revision = rules_of(running)["revision"]
        running.process.send_signal(signal.SIGHUP)
        running.wait(lambda: logged(running, "rules_unchanged"))
        assert logged(running, "rules_unchanged")[0]["why"] == "SIGHUP"
        assert rules_of(running)["revision"] == revision
        assert running.metric('scorer_rules_reloads_total{outcome="unchanged"}') == 1
        assert running.terminate() == 0


@embedded_only
def test_off_keeps_the_first_rules(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = rules_in(tmp_path / "rules")
    with service(kafka, names, tmp_path, rules=str(rules), reload="off") as running:
        revision = rules_of(running)["revision"]
        change(rules)
        running.process.send_signal(signal.SIGHUP)
        running.wait(lambda: logged(running, "reload_is_off"))
        assert decided_by(kafka, names, 1) == (revision, 10)
        assert running.terminate() == 0


@embedded_only
def test_a_burst_of_writes_is_one_reload_and_a_change_meanwhile_another(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    rules = rules_in(tmp_path / "rules")
    file = rules / "small.yaml"
    with service(kafka, names, tmp_path, rules=str(rules)) as running:
        for number in range(50):
            file.write_text(SMALL_RULES + f"# {number}\n")
        change(rules)
        running.wait(lambda: logged(running, "rules_reloaded"))
        # Two more changes while the next one is being checked.
        for points in (8, 7, 6):
            change(rules, points)
            running.process.send_signal(signal.SIGHUP)
        running.wait(lambda: decided_by(kafka, names, time.monotonic_ns())[1] == 6)
        loaded = len(logged(running, "rules_reloaded")) + len(logged(running, "rules_unchanged"))
        assert loaded <= 5, "each write caused a reload"
        assert logged(running, "rules_refused") == []
        assert running.terminate() == 0


@embedded_only
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_rules_without_read_permission_are_refused(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = rules_in(tmp_path / "rules")
    with service(kafka, names, tmp_path, rules=str(rules)) as running:
        (rules / "small.yaml").chmod(0)
        running.wait(lambda: logged(running, "rules_refused"))
        assert "Permission denied" in logged(running, "rules_refused")[0]["findings"][0]
        assert running.terminate() == 0


@embedded_only
def test_a_directory_that_is_gone_is_refused_until_it_is_back(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = rules_in(tmp_path / "rules")
    with service(kafka, names, tmp_path, rules=str(rules)) as running:
        revision = rules_of(running)["revision"]
        rules.rename(tmp_path / "elsewhere")
        running.wait(lambda: logged(running, "rules_refused"))
        assert "there is no such file or directory" in logged(running, "rules_refused")[0]["findings"][0]
        assert decided_by(kafka, names, 1) == (revision, 10)
        (tmp_path / "elsewhere").rename(rules)
        running.wait(lambda: logged(running, "rules_unchanged"))
        change(rules)
        running.wait(lambda: logged(running, "rules_reloaded"))
        assert decided_by(kafka, names, 2)[1] == 9
        assert running.terminate() == 0
