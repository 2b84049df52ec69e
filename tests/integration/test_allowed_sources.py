"""`allowed_sources` in a running service: it refuses what `scorer score` refuses, and a change counts from then on."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.factory import SMALL_RULES, ruleset_folder
from tests.integration.activities import START, binary, event, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import ROOT, service
from tests.integration.test_dlq import dlq, listed
from tests.integration.test_service import by_lead

LISTS = "allowed_sources: {erased: [//crm.example/*], profile.is_competitor: [//crm.example/*]}\n"
BATCH = [("content-type", b"application/cloudevents-batch+json")]


def sent(number: int, kind: str, data: dict[str, Any], source: str, lead: str = "a") -> dict[str, Any]:
    """An event a day after the one before."""
    return {**event(lead, number, f"lead.{kind}", data, START + number * 86_400_000_000), "source": source}


EVENTS = [
    sent(0, "trial_started", {}, "/web"),
    sent(1, "profile_updated", {"is_competitor": True, "country": "DE"}, "/web"),
    sent(2, "profile_updated", {"country": "DE"}, "/web"),
    sent(3, "erased", {}, "/web"),
    sent(4, "page_viewed", {"url": "/pricing"}, "/web"),
    sent(5, "profile_updated", {"is_competitor": True}, "//crm.example/sync"),
    sent(6, "erased", {}, "//crm.example.net/"),
    sent(7, "trial_started", {}, "/web", lead="b"),
    sent(8, "erased", {}, "//crm.example/sync", lead="b"),
]
REFUSED = [1, 3, 6]


def scored(events: list[dict[str, Any]], rules: Path, folder: Path) -> tuple[dict[str, list[bytes]], list[str]]:
    """What `scorer score` makes of the events: decisions by lead, and the lines about those that it refuses."""
    file = folder / "activities.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in events))
    environment = {name: text for name, text in os.environ.items() if not name.startswith("SCORER_")}
    done = subprocess.run(
        [sys.executable, "-m", "scorer", "score", "--rules", str(rules), "--input", str(file)],
        cwd=ROOT, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    decisions: dict[str, list[bytes]] = {}
    for line in done.stdout.splitlines():
        decisions.setdefault(json.loads(line)["lead_id"], []).append(line)
    return decisions, done.stderr.decode().splitlines()


def test_the_service_refuses_what_the_offline_run_refuses(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "rules", SMALL_RULES + LISTS)
    expected, said = scored(EVENTS, rules, tmp_path)
    assert [line.split(": ")[0].rpartition(":")[2] for line in said[:-1]] == [str(each + 1) for each in REFUSED]
    kafka.create({f"{names.dead_letters}.replayed": 1}, {"cleanup.policy": "compact"})
    together = b"[" + b",".join(json.dumps(each).encode() for each in EVENTS[3:7]) + b"]"
    records = [
        structured(EVENTS[0]), binary(EVENTS[1]), structured(EVENTS[2]), Record(b"a", together, BATCH),
        structured(EVENTS[7]), binary(EVENTS[8])._replace(value=None),
    ]  # fmt: skip
    sample = 'scorer_dead_letters_total{reason="source_not_allowed"}'
    with service(kafka, names, tmp_path, rules=str(rules), topic_partitions="1") as running:
        assert f"{sample} 0.0" in running.get("/metrics")[1]
        kafka.write(names.activity, records)
        published = kafka.read(names.routing, at_least=sum(map(len, expected.values())))
        running.wait(lambda: running.metric(sample) == len(REFUSED))
        assert by_lead(published) == expected
        found = listed(kafka, names)
        assert {letter["reason"] for letter in found} == {"source_not_allowed"}
        assert [letter["detail"] for letter in found] == [line.split(": ", 2)[2] for line in said[:-1]]

        # A change counts from then on. What was refused can be sent back, what was accepted stays.
        ruleset_folder(rules, SMALL_RULES + LISTS.replace("erased: [", "erased: [/web, "))
        running.wait(lambda: any(line["event"] == "rules_reloaded" for line in running.log()))
        done = dlq(kafka, names, "replay", "--from", "0:3#0")
        assert done.stdout.splitlines()[-1] == "1 dead letter replayed"
        again, _ = scored([EVENTS[number] for number in (0, 2, 4, 5, 3)], rules, tmp_path)
        last = kafka.read(names.routing, at_least=len(published) + 1)[-1]
        assert last.value == again["a"][-1]
        assert [letter["replayed"] for letter in listed(kafka, names)] == [False, True, False]
        assert running.terminate() == 0
