"""A dead letter that is too large for its topic is cut, and the service and the partition continue."""

from pathlib import Path

from tests.integration.activities import START, event, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import service


def test_a_dead_letter_too_large_for_its_topic_is_cut_and_the_partition_continues(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    kafka.create({names.activity: 1, names.routing: 1, names.state: 1})
    kafka.create({names.dead_letters: 1}, {"max.message.bytes": "80000"})
    with service(kafka, names, tmp_path):
        for round_number in range(1, 4):
            kafka.write(names.activity, [Record(b"k", b"small"), Record(b"k", b"x" * 200_000)])
            good = event(f"lead-{round_number}", round_number, "lead.demo_requested", {}, START)
            kafka.write(names.activity, [structured(good)])
            letters = kafka.read(names.dead_letters, at_least=2 * round_number)
            assert len(letters) == 2 * round_number
            cut = dict(letters[-1].headers)
            assert len(letters[-1].value or b"") == 65_536
            assert cut["dlq-length"] == b"200000"
            assert len(kafka.read(names.routing, at_least=round_number)) == round_number
