"""A candidate ruleset beside the live one, in a running service."""

import json
from pathlib import Path

from tests.brokers.marks import embedded_only
from tests.factory import SMALL_RULES, ruleset_folder
from tests.faults.group import wait_until_processed
from tests.integration.activities import stream
from tests.integration.kafka import Kafka, Names
from tests.integration.service import service

STRICT = SMALL_RULES.replace("warm: 20, hot: 40", "warm: 30, hot: 60")


def by_lead(kafka: Kafka, topic: str) -> dict[bytes | None, list[bytes | None]]:
    """The values of a topic by key."""
    values: dict[bytes | None, list[bytes | None]] = {}
    for record in kafka.read(topic):
        values.setdefault(record.key, []).append(record.value)
    return values


@embedded_only
def test_it_changes_no_decision_and_shows_the_differences(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    live, candidate = (
        ruleset_folder(tmp_path / "live", SMALL_RULES),
        ruleset_folder(tmp_path / "candidate", "nonsense: 1\n"),
    )
    records = stream(400, leads=30, seed=12)
    alone = Names(f"{names.prefix}alone")
    for group in (names, alone):
        kafka.create({group.activity: 2})
        kafka.write(group.activity, records[:200])
    with service(kafka, names, tmp_path, rules=str(live), shadow_rules=str(candidate)) as running:
        # Wrong at the start: the service runs without it, and loads it once it is valid.
        running.wait(lambda: "shadow_rules_refused" in running.text())
        assert running.metric("scorer_shadow_last_reload_successful") == 0
        ruleset_folder(candidate, STRICT)
        running.wait(lambda: "shadow_rules_reloaded" in running.text())
        assert running.metric("scorer_shadow_last_reload_successful") == 1
        kafka.write(names.activity, records[200:])
        wait_until_processed(kafka, names, [running])
        running.wait(lambda: running.metric('scorer_shadow_divergences_total{what="rating"}') > 10)
        assert running.metric("scorer_shadow_failures_total") == 0
        assert running.terminate() == 0
    kafka.write(alone.activity, records[200:])
    with service(kafka, alone, tmp_path, rules=str(live)) as running:
        wait_until_processed(kafka, alone, [running])
        assert running.terminate() == 0
    assert by_lead(kafka, names.routing) == by_lead(kafka, alone.routing)
    samples = [json.loads(record.value or b"") for record in kafka.read(f"{names.routing}.shadow")]
    assert samples
    for sample in samples:
        assert set(sample["differs"]) & {"rating", "grade", "route", "queue"}
        assert sample["live"]["ruleset"]["revision"] != sample["shadow"]["ruleset"]["revision"]
