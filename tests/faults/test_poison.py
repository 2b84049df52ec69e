"""A record on which our own code fails costs that record, not the partition."""

import json
from pathlib import Path

from tests.brokers.marks import embedded_only
from tests.faults.group import wait_until_processed
from tests.faults.load import Load
from tests.faults.oracle import check_exactly_once
from tests.faults.sizes import randomness
from tests.integration.kafka import Kafka, Names
from tests.integration.service import service


@embedded_only
def test_poison_becomes_dead_letters_and_the_partition_continues(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    records = Load(randomness()).take(600)
    good = [record for record in records if record.value and record.value.startswith(b'{"specversion"')]
    poison = {json.loads(record.value or b"")["id"] for record in (good[100], good[300])}
    kafka.create({names.activity: 2, names.state: 2, names.routing: 2, names.dead_letters: 1})
    points = ",".join(f"assessing:{event_id}:fail" for event_id in sorted(poison))
    with service(kafka, names, tmp_path, max_records="50", fault_point=points) as worker:
        kafka.write(names.activity, records)
        wait_until_processed(kafka, names, [worker])
        letters = [dict(record.headers) for record in kafka.read(names.dead_letters)]
        poisoned = [headers for headers in letters if headers["dlq-reason"] == b"internal_error"]
        assert len(poisoned) >= len(poison)
        assert worker.metric('scorer_dead_letters_total{reason="internal_error"}') == len(poisoned)
        logged = {
            (line["partition"], line["offset"], line["detail"])
            for line in worker.log()
            if line["event"] == "internal_error"
        }
        assert worker.terminate() == 0
    named = {
        (int(letter["dlq-partition"]), int(letter["dlq-offset"]), letter["dlq-detail"].decode()) for letter in poisoned
    }
    assert named == logged
    assert all("RuntimeError in judge" in detail and "traceback" in detail for *_, detail in named)
    assert len({detail for *_, detail in named}) == 1, "the digest distinguishes faults, not records"
    check_exactly_once(kafka, names, poison)
