"""A cluster of three nodes of Apache Kafka, for the tests in which brokers misbehave."""

from collections.abc import Iterator

import pytest

from tests.brokers.apache import ApacheKafka
from tests.brokers.jars import VERSION, MissingError
from tests.faults.cluster import NODES, SETTINGS, Cluster
from tests.variables import given


@pytest.fixture(scope="session")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The nodes, for all tests of this process, because their start takes seconds."""
    try:
        apache = ApacheKafka(
            tmp_path_factory.mktemp("cluster"), len(NODES), given("SCORER_TEST_KAFKA", VERSION), SETTINGS
        )
    except MissingError as missing:
        pytest.skip(str(missing))
    with apache:
        cluster = Cluster(apache)
        cluster.await_healthy()
        yield cluster


@pytest.fixture
def cluster(three_nodes: Cluster) -> Iterator[Cluster]:
    """Three healthy nodes. Whatever the test did to them ends with it."""
    yield three_nodes
    three_nodes.heal()
