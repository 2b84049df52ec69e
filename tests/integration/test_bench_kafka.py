"""What the benchmarks on Apache Kafka rely on: equal decisions of the peer in Java, commits that are seen while a
transaction is open, and a right count of transactions."""

import contextlib
import time

import pytest

from benchmarks.kafka_streams import agreement
from tests.brokers.jars import MissingError
from tests.brokers.marks import full
from tests.integration.kafka import Kafka

pytestmark = pytest.mark.apache


# It is about a peer of the benchmarks, not about the service.
@full
def test_the_tables_in_java_give_the_decisions_of_the_rules() -> None:
    try:
        share, count, others = agreement(activities=2_000, leads=150)
    except MissingError as missing:
        pytest.skip(str(missing))
    assert (share, others) == (1.0, [])
    assert count > 1_000


def test_a_commit_is_seen_while_the_next_transaction_is_open(apache_kafka: Kafka) -> None:
    confluent = pytest.importorskip("confluent_kafka")
    from benchmarks.kafka import GROUP, INPUT, create_topics
    from benchmarks.runs import Committed

    create_topics(apache_kafka.bootstrap, 2)
    producer = confluent.Producer({"bootstrap.servers": apache_kafka.bootstrap, "transactional.id": "bench-open"})
    member = confluent.Consumer({"bootstrap.servers": apache_kafka.bootstrap, "group.id": GROUP})
    producer.init_transactions(30)
    with contextlib.closing(member), contextlib.closing(Committed(apache_kafka.bootstrap, 2)) as observer:
        for offset in (3, 7):
            producer.begin_transaction()
            places = [confluent.TopicPartition(INPUT, number, offset) for number in range(2)]
            producer.send_offsets_to_transaction(places, member.consumer_group_metadata(), 30)
            if offset == 3:
                producer.commit_transaction(30)
        assert observer.offsets() == [3, 3]
        producer.commit_transaction(30)
        deadline = time.monotonic() + 30
        while observer.offsets() != [7, 7]:  # the broker completes a commit after it answered
            assert time.monotonic() < deadline


def test_committed_transactions_are_counted_and_aborted_ones_are_not(apache_kafka: Kafka) -> None:
    confluent = pytest.importorskip("confluent_kafka")
    from benchmarks.transactions import Transactions

    producer = confluent.Producer({"bootstrap.servers": apache_kafka.bootstrap, "transactional.id": "bench-counted"})
    producer.init_transactions(30)
    admin = confluent.admin.AdminClient({"bootstrap.servers": apache_kafka.bootstrap})
    admin.create_topics([confluent.admin.NewTopic("bench.counted", 3, 1)])["bench.counted"].result(30)
    with contextlib.closing(Transactions(apache_kafka.bootstrap)) as log:
        before = log.ends()
        for number in range(6):  # the last one is aborted, so the last commit has ended
            producer.begin_transaction()
            for partition in range(3):
                producer.produce("bench.counted", b"", partition=partition)
            assert producer.flush(30) == 0
            if number % 3 == 2:
                producer.abort_transaction(30)
            else:
                producer.commit_transaction(30)
        assert log.committed(before, log.ends()) == 4
