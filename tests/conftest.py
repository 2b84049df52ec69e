"""Fixtures for tests with a broker: noida-db or Apache Kafka in a child process, or that in SCORER_TEST_BOOTSTRAP."""

import os
from collections.abc import Iterator
from itertools import count

import pytest

from scorer.demo.broker import EmbeddedBroker
from tests.brokers.apache import ApacheKafka
from tests.brokers.jars import VERSION, MissingError
from tests.integration.kafka import Kafka, Names
from tests.variables import given

_numbers = count(1)


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """One node of Apache Kafka, for all tests of this process, because its start takes seconds."""
    try:
        cluster = ApacheKafka(tmp_path_factory.mktemp("kafka"), version=given("SCORER_TEST_KAFKA", VERSION))
    except MissingError as missing:
        pytest.skip(str(missing))
    with cluster:
        yield Kafka(cluster.bootstrap)


@pytest.fixture(scope="module", params=["embedded", pytest.param("apache", marks=pytest.mark.apache)])
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker: first the embedded one, then Apache Kafka. Each module gets a new embedded one, because noida-db slows
    down as it fills."""
    bootstrap = given("SCORER_TEST_BOOTSTRAP")
    if request.param == "apache":
        if bootstrap:
            pytest.skip("SCORER_TEST_BOOTSTRAP names the broker")
        yield request.getfixturevalue("apache_kafka")
    elif bootstrap:
        yield Kafka(bootstrap)
    else:
        with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as broker:
            yield Kafka(broker.bootstrap)


@pytest.fixture
def names() -> Names:
    """Names of topics and a group that only this test uses."""
    return Names(f"t{os.getpid()}x{next(_numbers)}")
