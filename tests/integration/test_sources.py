"""Topics of other senders in front of the input, with a real broker."""

from collections import Counter
from pathlib import Path

from tests.integration.activities import offline, stream
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import service
from tests.integration.test_service import by_lead, total


def others(names: Names) -> tuple[str, str]:
    return f"{names.prefix}.crm", f"{names.prefix}.web"


def prepared(kafka: Kafka, names: Names, partitions: int = 2) -> str:
    """Make the topics; returns the setting."""
    kafka.create(dict.fromkeys(others(names), partitions))
    return ",".join(f"{topic}:cloudevents" for topic in others(names))


def batch(*records: Record) -> Record:
    """Activities as one record with a key that means nothing."""
    return Record(b"any", b"[" + b",".join(record.value or b"" for record in records) + b"]")


def test_two_topics_are_translated_and_the_input_alone_gives_the_decisions(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    sources = prepared(kafka, names)
    records = stream(300, leads=20, seed=3)
    crm, web = others(names)
    by_lead_of = {key: number for number, key in enumerate(sorted({record.key or b"" for record in records}))}
    # Each lead's activities come by one topic, because the order of two topics is not fixed.
    first = [record for record in records if by_lead_of[record.key or b""] % 3 == 0]
    second = [record for record in records if by_lead_of[record.key or b""] % 3 == 1]
    direct = [record for record in records if by_lead_of[record.key or b""] % 3 == 2]
    with service(kafka, names, tmp_path, sources=sources) as running:
        kafka.write(crm, [record._replace(key=b"one partition") for record in first])
        kafka.write(web, [record._replace(key=None) for record in second])
        kafka.write(names.activity, direct)
        published = kafka.read(names.activity, at_least=len(direct) + len(first) + len(second))
        expected, _ = offline([Record(each.key, each.value, each.headers) for each in published])
        decisions = kafka.read(names.routing, at_least=total(expected))
        assert running.metric('scorer_source_events_total{outcome="translated",source="cloudevents"}') == len(
            first
        ) + len(second)
        assert running.terminate() == 0
    assert by_lead(decisions) == expected
    translated = [record for record in published if "translated-from" in dict(record.headers)]
    places = Counter(dict(record.headers)["translated-from"] for record in translated)
    assert set(places.values()) == {1}
    assert {place.split(b"/")[0].decode() for place in places} == {crm, web}
    assert all(dict(record.headers)["content-type"] == b"application/cloudevents+json" for record in translated)
