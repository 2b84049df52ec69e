"""A lead cools in the service although nothing happens, and as offline."""

from collections import defaultdict
from functools import partial
from pathlib import Path

from scorer.domain.instant import DAY
from scorer.sources.tick import is_tick
from tests.factory import ruleset_folder
from tests.integration.activities import START, event, structured
from tests.integration.kafka import Kafka, Names
from tests.integration.service import service
from tests.unit.test_reviews import TEXT, decided_offline


def published(kafka: Kafka, names: Names, at_least: int) -> dict[str, list[bytes]]:
    """The decisions of each lead, in order."""
    found: dict[str, list[bytes]] = defaultdict(list)
    for record in kafka.read(names.routing, at_least):
        assert record.key is not None
        found[record.key.decode()].append(record.value or b"")
    return dict(found)


def test_a_tick_makes_silent_leads_cool_as_they_do_offline(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = str(ruleset_folder(tmp_path / "rules", TEXT))
    kafka.create({names.activity: 1})
    leads = [f"lead-{number}" for number in range(20)]
    first = [structured(event(lead, 1, "lead.trial_started", {}, START)) for lead in leads]
    later = [structured(event(lead, 2, "lead.trial_started", {}, START + DAY)) for lead in leads[:10]]
    for records in (first, later):
        with service(kafka, names, tmp_path, rules=rules, tick_seconds="1") as running:
            kafka.write(names.activity, records)
            if records is first:
                running.wait(partial(running.metric, "scorer_ticks_total"))
            # The others arrive at the tick, also after the restart.
            expected = decided_offline(kafka.read(names.activity))
            count = sum(map(len, expected.values()))
            assert published(kafka, names, count) == expected
            assert running.metric("scorer_review_remaining") >= 0
            assert running.metric('scorer_log_time_timestamp_seconds{partition="0"}') > START / 1_000_000
            assert running.terminate() == 0
    assert any(is_tick(record.value) for record in kafka.read(names.activity))
    assert kafka.read(names.dead_letters) == []


def test_without_ticks_the_input_stays_as_it_is_and_ready_says_so(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: 1})
    with service(kafka, names, tmp_path, tick_seconds="0") as running:
        kafka.write(names.activity, [structured(event("a", 1, "lead.trial_started", {}, START))])
        kafka.read(names.routing, at_least=1)
        ready = running.ready()
        assert ready is not None
        assert ready["ticks"].startswith("off: ")
        assert len(kafka.read(names.activity)) == 1


def test_from_the_change_of_the_topic_on_records_arrive_at_the_time_of_the_broker(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    rules = str(ruleset_folder(tmp_path / "rules", TEXT))
    kafka.create({names.activity: 1}, {"message.timestamp.type": "CreateTime"})
    with service(kafka, names, tmp_path, rules=rules) as running:
        for number, kind in enumerate(("CreateTime", "LogAppendTime")):
            kafka.configure(names.activity, "message.timestamp.type", kind)
            leads = [f"lead-{lead}" for lead in range(number, 10)]
            records = [structured(event(lead, number, "lead.trial_started", {}, START + DAY)) for lead in leads]
            kafka.write(names.activity, records)
        log = kafka.read(names.activity)
        assert {record.timestamp_type for record in log} == {0, 1}
        # All leads are due by now, also the one that only sent something before.
        expected = decided_offline(log)
        assert len(expected["lead-0"]) > 3
        assert published(kafka, names, sum(map(len, expected.values()))) == expected
        assert running.terminate() == 0
