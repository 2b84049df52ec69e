"""Fixtures for tests with a broker: noida-db in a child process, or the Kafka in SCORER_TEST_BOOTSTRAP."""

import os
from collections.abc import Iterator
from itertools import count

import pytest

from scorer.demo.broker import EmbeddedBroker
from tests.integration.kafka import Kafka, Names
from tests.variables import given

_numbers = count(1)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker. Each module gets a new one, because noida-db slows down as it fills."""
    bootstrap = given("SCORER_TEST_BOOTSTRAP")
    if bootstrap:
        yield Kafka(bootstrap)
        return
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as broker:
        yield Kafka(broker.bootstrap)


@pytest.fixture
def names() -> Names:
    """Names of topics and a group that only this test uses."""
    return Names(f"t{os.getpid()}x{next(_numbers)}")
