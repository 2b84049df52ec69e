"""A new signal counts from now on, and also the past if a fresh group reads the input again."""

import asyncio
from pathlib import Path

from scorer.state.store import LeadStore
from tests.factory import SMALL_RULES
from tests.faults.group import wait_until_processed
from tests.integration.activities import START, event, structured
from tests.integration.changelog import read_changelog
from tests.integration.kafka import Kafka, Names
from tests.integration.service import service, settings_for

WITH_BLOG = SMALL_RULES.replace(
    "signals:\n", "signals:\n  blog: {activity: page_viewed, where: {path: {starts_with: /blog}}, points: 3}\n"
)


def counted(kafka: Kafka, names: Names) -> int:
    """How often the changelog counts the new signal."""
    settings = settings_for(kafka, names)
    total = 0
    for partition in (0, 1):
        store = LeadStore()
        asyncio.run(read_changelog(settings, partition, store))
        total += sum(len(hashes) for lead in store.leads() for hashes in lead.signals.get("blog", {}).values())
    return total


def test_a_fresh_group_knows_the_past_of_a_new_signal(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, text in ((old, SMALL_RULES), (new, WITH_BLOG)):
        folder.mkdir()
        (folder / "rules.yaml").write_text(text)
    views = [structured(event("a", n, "lead.page_viewed", {"url": "/blog/x"}, START + n)) for n in range(4)]
    with service(kafka, names, tmp_path, rules=str(old)) as running:
        kafka.write(names.activity, views[:3])
        wait_until_processed(kafka, names, [running])
        assert running.terminate() == 0
    with service(kafka, names, tmp_path, rules=str(new)) as running:
        kafka.write(names.activity, views[3:])
        wait_until_processed(kafka, names, [running])
        assert running.terminate() == 0

    assert counted(kafka, names) == 1
    # As docs/operations.md says: another group, and another topic for the decisions on the way.
    fresh = Names(f"{names.prefix}-2")
    with service(
        kafka, names, tmp_path, rules=str(new), group=fresh.group, state_topic=fresh.state, routing_topic=fresh.routing
    ) as running:
        running.wait(lambda: running.metric('scorer_activities_total{type="lead.page_viewed"}') == 4)
        assert running.terminate() == 0
    assert counted(kafka, fresh) == 4
    decisions = len(kafka.read(names.routing))
    with service(kafka, names, tmp_path, rules=str(new), group=fresh.group, state_topic=fresh.state) as running:
        kafka.write(names.activity, [structured(event("a", 9, "lead.page_viewed", {"url": "/docs"}, START + 9))])
        running.wait(lambda: running.metric('scorer_activities_total{type="lead.page_viewed"}') == 1)
        assert running.terminate() == 0
    # Its own last decision counts from now on, and that has not changed.
    assert len(kafka.read(names.routing)) == decisions
    assert counted(kafka, fresh) == 4
