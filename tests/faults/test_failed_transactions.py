"""Transactions that Kafka refuses, and doubtful commits."""

from pathlib import Path

import pytest

from tests.faults.group import wait_until_processed
from tests.faults.load import Load
from tests.faults.oracle import check_exactly_once
from tests.faults.sizes import randomness
from tests.integration.kafka import Kafka, Names
from tests.integration.service import service


@pytest.mark.parametrize(
    ("points", "outcome"),
    [
        ("begun:*11:fail,sent:*5:fail,offsets_sent:*7:fail", "aborted"),
        ("committed:*5:fail", "doubtful"),
        ("fenced:*2:fail,restoring:*3:fail,committed:*9:fail", "doubtful"),
    ],
    ids=["aborted", "doubtful", "doubtful-restores"],
)
def test_a_failed_transaction_is_retried_and_counts_once(
    kafka: Kafka, names: Names, tmp_path: Path, points: str, outcome: str
) -> None:
    kafka.create({names.activity: 2, names.state: 2, names.routing: 2, names.dead_letters: 1})
    kafka.write(names.activity, Load(randomness()).take(600))
    with service(kafka, names, tmp_path, ready=False, max_records="20", fault_point=points) as worker:
        wait_until_processed(kafka, names, [worker])
        assert worker.metric(f'scorer_transactions_total{{outcome="{outcome}"}}') >= 3
        assert worker.terminate() == 0
    check_exactly_once(kafka, names)
