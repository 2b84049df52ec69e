"""Profiles of companies that change while workers die at each step: each lead ends with the present profile of its
company, nothing is lost or doubled, and the input alone gives the same decisions."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.brokers.marks import fencing
from tests.faults.cooling import COOLING, TICKING, check_cooled, create_topics, finish
from tests.faults.deaths import death, die, die_in_a_group
from tests.faults.profiles import (
    CompanyLoad,
    ProfileLoad,
    behind,
    company_topic,
    enrichments,
    present_leads,
    present_profiles,
    wait_until_enriched,
)
from tests.faults.sizes import EVENTS, ROUNDS, randomness
from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service, service

CHANGES = 10
"""Of profiles, in each round."""


def check_enriched(kafka: Kafka, names: Names) -> None:
    """Fail unless the leads have what they should have, by activities of which each has another id."""
    leads = present_leads(kafka, names)
    assert behind(leads, present_profiles(kafka, names)) == []
    written = enrichments(kafka, names)
    print(f"{len(written)} enrichments of {len(leads)} leads")  # noqa: T201
    assert written, "no lead has a profile: the test shows nothing"
    ids = Counter((activity["subject"], activity["id"]) for activity in written)
    assert max(ids.values()) == 1, ids.most_common(3)


@pytest.mark.timeout(120 + 15 * ROUNDS)
def test_leads_have_the_present_profile_whenever_the_worker_dies(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    random = randomness()
    load = CompanyLoad(random, EVENTS // 20, live=True)
    create_topics(kafka, names, 2)
    profiles = ProfileLoad(kafka, names, random)
    settings = {**COOLING, "company_topic": company_topic(names)}
    for number in range(ROUNDS):
        kafka.write(names.activity, load.take(-(-EVENTS // ROUNDS)))
        profiles.write(CHANGES)
        die(kafka, names, tmp_path, random, **settings, **death(random, number))
    with service(kafka, names, tmp_path, ready=True, **settings) as worker:
        wait_until_enriched(kafka, names, worker)
        reached = finish(kafka, names, [worker])
    check_enriched(kafka, names)
    check_cooled(kafka, names, reached)


@fencing
@pytest.mark.timeout(180 + 20 * ROUNDS)
def test_workers_of_a_group_that_are_killed_give_each_lead_its_profile(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    """Two workers and a third one that is always killed. They know the profiles at different times."""
    random = randomness()
    load = CompanyLoad(random, EVENTS // 20, live=True)
    create_topics(kafka, names, 4, routing=2)
    profiles = ProfileLoad(kafka, names, random)
    with ExitStack() as stack:

        def join(**settings: str) -> Service:
            settings |= {"max_records": str(random.choice((10, 30))), "topic_partitions": "4", **TICKING}
            settings["company_topic"] = company_topic(names)
            return stack.enter_context(service(kafka, names, tmp_path, ready=False, **settings))

        def feed() -> None:
            kafka.write(names.activity, load.take(60))
            profiles.write(CHANGES)

        workers = [join(), join()]
        for number in range(-(-ROUNDS // 2)):
            die_in_a_group(join, random, number, feed)
        wait_until_enriched(kafka, names, workers[0])
        reached = finish(kafka, names, workers)
    check_enriched(kafka, names)
    check_cooled(kafka, names, reached)
