"""Batches of events and records without a key, end to end with a real broker."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scorer.kafka.client_internals import record_size
from tests.integration.activities import START, binary, event, offline, stream, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import Service, service
from tests.integration.test_dlq import dlq, listed
from tests.integration.test_service import by_lead, total

BATCH = [("content-type", b"application/cloudevents-batch+json")]


def page(lead_id: str, number: int, **changes: Any) -> Record:
    return structured({**event(lead_id, number, "lead.page_viewed", {"url": "/pricing"}, START + number), **changes})


def batch(key: bytes | None, *records: Record) -> Record:
    return Record(key, b"[" + b", ".join(record.value or b"" for record in records) + b"]", BATCH)


def caught_up(running: Service, partitions: int = 1) -> None:
    samples = [f'scorer_consumer_lag_records{{partition="{number}"}}' for number in range(partitions)]
    running.wait(lambda: all(running.metric(sample) == 0 for sample in samples))


def test_bad_events_of_a_batch_are_listed_and_sent_back_by_their_index(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    kafka.create({names.activity: 1, names.state: 1, names.routing: 1, names.dead_letters: 1})
    kafka.create({f"{names.dead_letters}.replayed": 1}, {"cleanup.policy": "compact"})
    good = [page("a", number) for number in range(4)]
    bad = page("a", 5, data=5)
    other = page("b", 6)
    given = [page("c", 0), batch(b"a", good[0], bad, good[1], other, good[2]), good[3]]
    expected, _ = offline([page("c", 0), *good])
    with service(kafka, names, tmp_path) as running:
        kafka.write(names.activity, given)
        published = kafka.read(names.routing, at_least=total(expected))
        letters = kafka.read(names.dead_letters, at_least=2)
        caught_up(running)
        assert running.metric('scorer_activities_total{type="lead.page_viewed"}') == 5
        assert running.terminate() == 0
    assert by_lead(published) == expected
    assert [letter.value for letter in letters] == [bad.value, other.value]
    found = listed(kafka, names)
    assert [(letter["reason"], letter["origin"]) for letter in found] == [
        ("invalid_data", {"topic": names.activity, "partition": 0, "offset": 1, "index": 1}),
        ("key_mismatch", {"topic": names.activity, "partition": 0, "offset": 1, "index": 3}),
    ]
    assert f"{names.activity}:0:1#3" in dlq(kafka, names, "list", "--from", "0:1#3").stdout
    assert [letter["reason"] for letter in listed(kafka, names, "--from", "0:1#3")] == ["key_mismatch"]
    assert len(listed(kafka, names, "--from", "0:1")) == 2
    assert listed(kafka, names, "--from", "0:1#2", "--from", "0:0") == []
    done = dlq(kafka, names, "replay", "--from", "0:1#1")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 dead letter replayed")
    back = kafka.read(names.activity, at_least=4)[-1]
    assert (back.key, back.value) == (b"a", bad.value)
    assert list(back.headers) == [
        ("content-type", b"application/cloudevents+json"),
        ("replayed-from", f"{names.dead_letters}/0/0".encode()),
    ]
    assert [letter["replayed"] for letter in listed(kafka, names)] == [True, False]


def test_batches_are_the_same_as_their_events_one_by_one(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    records = [record for record in stream(400, leads=10, seed=11) if not record.headers]
    expected, _ = offline(records)
    by_key: dict[bytes, list[Record]] = {}
    for record in records:
        by_key.setdefault(record.key or b"", []).append(record)
    sent = [batch(key, *some[i : i + 7]) for key, some in by_key.items() for i in range(0, len(some), 7)]
    with service(kafka, names, tmp_path, max_records="3") as running:
        kafka.write(names.activity, sent)
        published = kafka.read(names.routing, at_least=total(expected))
        caught_up(running, 2)
        assert running.terminate() == 0
    assert by_lead(published) == expected
    assert kafka.read(names.dead_letters) == []


def test_records_without_a_key_are_written_back_with_one(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    records = stream(300, leads=20, seed=12)
    half = len(records) // 2
    without = [record._replace(key=None) for record in records]
    singles = [without[0], *without[1:half]]
    together = Record(
        None, b"[" + b",".join(record.value or b"" for record in records[half:] if not record.headers) + b"]"
    )
    count = half + sum(not record.headers for record in records[half:])
    broken = Record(None, b"{")
    with service(kafka, names, tmp_path, topic_partitions="3") as running:
        # Dead letters first, as before the mode was switched on.
        kafka.write(names.activity, singles[:20])
        kafka.read(names.dead_letters, at_least=20)
        caught_up(running, 3)
        assert running.terminate() == 0
    with service(kafka, names, tmp_path, topic_partitions="3", null_keys="rekey") as running:
        kafka.write(names.activity, [*singles[20:], broken, together])
        done = dlq(kafka, names, "replay", "--reason", "null_key")
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "20 dead letters replayed")
        running.wait(lambda: running.metric("scorer_records_rekeyed_total") == count)
        # The 22 are the dead letters that were sent back, the broken record and the batch.
        log = kafka.read(names.activity, at_least=half + 22 + count)
        copies = [record for record in log if "rekeyed-from" in dict(record.headers)]
        expected, _ = offline(Record(record.key, record.value, record.headers) for record in copies)
        # The measured lag may still be that of before the copies.
        kafka.read(names.routing, at_least=total(expected))
        caught_up(running, 3)
        assert running.terminate() == 0
    assert [letter["reason"] for letter in listed(kafka, names, "--pending")] == ["not_json"]
    origins = Counter(dict(record.headers)["rekeyed-from"] for record in copies)
    assert len(origins) == count
    assert set(origins.values()) == {1}
    # Each lead is on one partition, and what is published is the fold over the copies in their order there.
    homes = {(record.key, record.partition) for record in copies}
    assert len(homes) == len({key for key, _ in homes})
    assert Counter(record.value for record in copies) == Counter(record.value for record in records[:half]) + Counter(
        record.value for record in records[half:] if not record.headers
    )
    assert by_lead(kafka.read(names.routing)) == expected


def test_the_default_partitioner_chooses_the_partition_of_a_copy(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    leads = [f"lead-{number}" for number in range(12)]
    keyed = [page(lead_id, 1) for lead_id in leads]
    with service(kafka, names, tmp_path, topic_partitions="5", null_keys="rekey") as running:
        kafka.write(names.activity, keyed)
        kafka.write(
            names.activity, [binary(event(lead, 2, "lead.custom", {}, START))._replace(key=None) for lead in leads]
        )
        running.wait(lambda: running.metric("scorer_records_rekeyed_total") == len(leads))
        caught_up(running, 5)
        assert running.terminate() == 0
    homes = {(record.key, record.partition) for record in kafka.read(names.activity) if record.key is not None}
    assert len(homes) == len(leads)


@pytest.mark.parametrize("limit", [700, 800_000])
def test_a_copy_that_the_input_refuses_is_a_dead_letter(kafka: Kafka, names: Names, tmp_path: Path, limit: int) -> None:
    kafka.create({names.activity: 1}, {"max.message.bytes": str(limit)})
    kafka.create({names.state: 1, names.routing: 1, names.dead_letters: 1})
    small = page("small", 1)
    room = limit - record_size(None, small.value, []) - 20
    full = page("full", 1, extension="x" * room)
    assert limit - 25 < record_size(None, full.value, []) <= limit
    with service(kafka, names, tmp_path, null_keys="rekey") as running:
        kafka.write(names.activity, [small])
        kafka.read(names.routing, at_least=1)
        kafka.write(names.activity, [full._replace(key=None)])
        (letter,) = kafka.read(names.dead_letters, at_least=1)
        kafka.write(names.activity, [page("small", 2)])
        caught_up(running)
        assert running.terminate() == 0
    assert (letter.key, letter.value) == (None, full.value)
    (found,) = listed(kafka, names)
    assert found["reason"] == "too_large"
    assert f"expected at most {limit:,}" in found["detail"]
