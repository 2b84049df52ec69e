"""Workers come and go under load, so partitions move all the time."""

from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from tests.brokers.marks import fencing
from tests.faults.cooling import TICKING, check_cooled, create_topics, finish
from tests.faults.load import Load
from tests.faults.sizes import STORM_SECONDS, randomness
from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service, service

EVENTS_PER_ROUND = 400


@fencing
@pytest.mark.timeout(180 + 3 * STORM_SECONDS)
def test_partitions_that_move_lose_nothing(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    random = randomness()
    load = Load(random, live=True)
    create_topics(kafka, names, 4)
    with ExitStack() as stack:

        def join() -> None:
            kafka.write(names.activity, load.take(EVENTS_PER_ROUND))
            settings = {"max_records": str(random.choice((5, 50))), "topic_partitions": "4", **TICKING}
            workers.append(stack.enter_context(service(kafka, names, tmp_path, ready=False, **settings)))
            workers[-1].wait(lambda: "partitions_assigned" in workers[-1].text())

        workers: list[Service] = []
        join()
        end = monotonic() + STORM_SECONDS
        while monotonic() < end:
            join()
            kafka.write(names.activity, load.take(EVENTS_PER_ROUND))
            if len(workers) > 2:
                leaver = workers.pop(random.randrange(len(workers)))
                assert leaver.terminate() == 0, leaver.text()
        reached = finish(kafka, names, workers)
    check_cooled(kafka, names, reached)
