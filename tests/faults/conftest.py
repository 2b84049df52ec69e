"""A cluster of three nodes of Apache Kafka, for the tests in which brokers misbehave."""

from collections.abc import Iterator

import pytest

from tests.brokers.apache import ApacheKafka
from tests.conftest import apache_nodes
from tests.faults.cluster import NODES, SETTINGS, Cluster


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Three nodes that notice within seconds when one of them is gone. Tests use `cluster`."""
    yield from apache_nodes(tmp_path_factory, len(NODES), SETTINGS)


@pytest.fixture
def cluster(three_nodes: ApacheKafka) -> Cluster:
    """Three healthy nodes. A test may do anything to them; the next test gets them back."""
    cluster = Cluster(three_nodes)
    cluster.heal()
    return cluster
