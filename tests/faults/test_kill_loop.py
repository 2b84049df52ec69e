"""Workers are killed again and again, at random moments and at each step of their transactions."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.brokers.marks import fencing
from tests.faults.cooling import COOLING, TICKING, check_cooled, create_topics, finish
from tests.faults.deaths import death, die, die_in_a_group
from tests.faults.load import Load
from tests.faults.sizes import EVENTS, ROUNDS, randomness
from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service, service


@pytest.mark.timeout(120 + 15 * ROUNDS)
def test_nothing_is_lost_and_nothing_counts_twice(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    random = randomness()
    load = Load(random, EVENTS // 20, live=True)
    create_topics(kafka, names, 2)
    for number in range(ROUNDS):
        kafka.write(names.activity, load.take(-(-EVENTS // ROUNDS)))
        die(kafka, names, tmp_path, random, **COOLING, **death(random, number))
    with service(kafka, names, tmp_path, ready=True, **COOLING) as worker:
        reached = finish(kafka, names, [worker])
    check_cooled(kafka, names, reached)


@fencing
@pytest.mark.timeout(180 + 20 * ROUNDS)
def test_workers_of_a_group_that_are_killed_lose_nothing(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    """Two workers and a third one that is always killed. The broker removes it from the group, by its time-out."""
    random = randomness()
    load = Load(random, EVENTS // 20, live=True)
    create_topics(kafka, names, 6, routing=2)
    with ExitStack() as stack:

        def join(**settings: str) -> Service:
            settings |= {"max_records": str(random.choice((10, 30))), "topic_partitions": "6", **TICKING}
            return stack.enter_context(service(kafka, names, tmp_path, ready=False, **settings))

        workers = [join(), join()]
        for number in range(-(-ROUNDS // 2)):
            die_in_a_group(join, random, number, lambda: kafka.write(names.activity, load.take(30)))
            if number % 2:
                # One of the others dies too, wherever it is, and a new one takes its place.
                workers.pop(random.randrange(len(workers))).process.kill()
                workers.append(join())
        reached = finish(kafka, names, workers)
    check_cooled(kafka, names, reached)
