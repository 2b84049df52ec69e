"""Topics of other senders in front of the input, while workers die at each step."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.brokers.marks import fencing
from tests.faults.cooling import COOLING, TICKING, check_cooled, create_topics, finish
from tests.faults.deaths import death, die, die_in_a_group
from tests.faults.foreign import ForeignLoad, check_translated, wait_until_translated
from tests.faults.load import Load
from tests.faults.sizes import EVENTS, ROUNDS, randomness
from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service, service


def loads(kafka: Kafka, names: Names, random: Random) -> ForeignLoad:
    return ForeignLoad(kafka, names, random, Load(random, EVENTS // 20, live=True))


@pytest.mark.timeout(120 + 15 * ROUNDS)
def test_each_event_is_translated_once_whenever_the_worker_dies(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    random = randomness()
    create_topics(kafka, names, 2)
    load = loads(kafka, names, random)
    for number in range(ROUNDS):
        load.write(-(-EVENTS // ROUNDS))
        die(kafka, names, tmp_path, random, **COOLING, **death(random, number), sources=load.setting)
    with service(kafka, names, tmp_path, ready=True, **COOLING, sources=load.setting) as worker:
        wait_until_translated(kafka, names, load.topics, [worker])
        reached = finish(kafka, names, [worker])
    check_translated(kafka, names, load.topics)
    check_cooled(kafka, names, reached)


@fencing
@pytest.mark.timeout(180 + 20 * ROUNDS)
def test_workers_of_a_group_that_are_killed_translate_each_event_once(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    """Two workers and a third one that is always killed, so partitions of all topics move all the time. Each worker
    has the topics in an order of its own, and the third one does not know all of them."""
    random = randomness()
    create_topics(kafka, names, 4, routing=2)
    load = loads(kafka, names, random)
    entries = load.setting.split(",")
    with ExitStack() as stack:

        def join(sources: str = load.setting, **settings: str) -> Service:
            settings |= {"max_records": str(random.choice((10, 30))), "topic_partitions": "4", **TICKING}
            return stack.enter_context(service(kafka, names, tmp_path, ready=False, sources=sources, **settings))

        workers = [join(), join(",".join(reversed(entries)))]
        for number in range(-(-ROUNDS // 2)):
            die_in_a_group(partial(join, entries[number % 2]), random, number, lambda: load.write(60))
        wait_until_translated(kafka, names, load.topics, workers)
        reached = finish(kafka, names, workers)
    check_translated(kafka, names, load.topics)
    check_cooled(kafka, names, reached)


@fencing
@pytest.mark.timeout(180)
@pytest.mark.parametrize("fixed", [True, False], ids=["fixed names", "no names"])
def test_rolling_restarts_bring_in_topics_and_take_them_away(
    kafka: Kafka, names: Names, tmp_path: Path, fixed: bool
) -> None:
    """Workers of different SCORER_SOURCES are in the group meanwhile. Those with a name keep it."""
    random = randomness()
    create_topics(kafka, names, 4)
    load = loads(kafka, names, random)
    old, new = load.setting.split(",")[0], load.setting
    with ExitStack() as stack:

        def begin(number: int, sources: str) -> Service:
            settings = {"topic_partitions": "4", "sources": sources, **TICKING}
            name = {"instance": f"worker-{number}"} if fixed else {}
            return stack.enter_context(service(kafka, names, tmp_path, ready=True, **settings, **name))

        workers = [begin(number, old) for number in range(2)]
        for sources in (new, load.setting.split(",")[1], new):
            for number in range(2):
                load.write(200)
                assert workers[number].terminate() == 0, workers[number].text()
                workers[number] = begin(number, sources)
        load.write(200)
        wait_until_translated(kafka, names, load.topics, workers)
        reached = finish(kafka, names, workers)
    check_translated(kafka, names, load.topics)
    check_cooled(kafka, names, reached)
