"""Transactions that Kafka refuses, and doubtful commits."""

from pathlib import Path

import pytest

from tests.brokers.marks import full
from tests.faults.cooling import COOLING, check_cooled, create_topics, finish
from tests.faults.group import wait_until_processed
from tests.faults.load import Load
from tests.faults.sizes import randomness
from tests.integration.kafka import Kafka, Names
from tests.integration.service import service


@pytest.mark.parametrize(
    ("points", "outcome"),
    [
        ("begun:*11:fail,sent:*5:fail,offsets_sent:*7:fail", "aborted"),
        # The next one has this and more.
        pytest.param("committed:*5:fail", "doubtful", marks=full),
        ("fenced:*2:fail,restoring:*3:fail,committed:*9:fail", "doubtful"),
    ],
    ids=["aborted", "doubtful", "doubtful-restores"],
)
def test_a_failed_transaction_is_retried_and_counts_once(
    kafka: Kafka, names: Names, tmp_path: Path, points: str, outcome: str
) -> None:
    create_topics(kafka, names, 2)
    load = Load(randomness(), live=True)
    kafka.write(names.activity, load.take(600))
    settings = {**COOLING, "max_records": "20", "fault_point": points}
    with service(kafka, names, tmp_path, ready=False, **settings) as worker:
        wait_until_processed(kafka, names, [worker])
        assert worker.metric(f'scorer_transactions_total{{outcome="{outcome}"}}') >= 3
        # What became due meanwhile is reviewed when the log says so.
        kafka.write(names.activity, load.take(60))
        reached = finish(kafka, names, [worker])
    check_cooled(kafka, names, reached)
