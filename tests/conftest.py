"""Fixtures for tests against a broker: noida-db in a child process, or the Kafka that SCORER_TEST_BOOTSTRAP names."""

import os
from collections.abc import Iterator
from itertools import count

import pytest

from scorer.demo.broker import EmbeddedBroker
from tests.integration.kafka import Kafka, Names

_numbers = count(1)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker, fresh for each module: noida-db slows down as it fills."""
    given = os.environ.get("SCORER_TEST_BOOTSTRAP")
    if given:
        yield Kafka(given)
        return
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as broker:
        yield Kafka(broker.bootstrap)


@pytest.fixture
def names() -> Names:
    """Topics and a group of this test's own."""
    return Names(f"t{os.getpid()}x{next(_numbers)}")
