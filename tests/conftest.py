"""Fixtures for tests with a broker: noida-db or Apache Kafka in a child process, or that in SCORER_TEST_BOOTSTRAP."""

import os
from collections.abc import Generator, Iterator, Mapping
from itertools import count

import pytest

from scorer.demo.broker import EmbeddedBroker
from tests import planted
from tests.brokers.apache import ApacheKafka
from tests.brokers.jars import VERSION, MissingError, jars
from tests.brokers.marks import APACHE, EMBEDDED
from tests.integration.kafka import Kafka, Names
from tests.variables import given

_numbers = count(1)
_clusters: list[ApacheKafka] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out on the embedded broker what runs on Apache Kafka as well and is not marked with `both`."""
    twice = [item for item in items if item.get_closest_marker("embedded") and not item.get_closest_marker("both")]
    if not twice or given("SCORER_TEST_EMBEDDED") == "all" or given("SCORER_TEST_BOOTSTRAP"):
        return
    try:
        jars(given("SCORER_TEST_KAFKA", VERSION))
    except MissingError:
        return
    for item in twice:
        item.add_marker(pytest.mark.skip("it runs on Apache Kafka; SCORER_TEST_EMBEDDED=all"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure on Apache Kafka shows what its nodes wrote."""
    report = yield
    if report.failed and item.get_closest_marker("apache"):
        report.sections += [("Apache Kafka", cluster.logs()) for cluster in _clusters]
    return report


def apache_nodes(
    factory: pytest.TempPathFactory, number: int, extra: Mapping[str, str] | None = None
) -> Iterator[ApacheKafka]:
    """Nodes of Apache Kafka with these server properties, until the generator continues. Skips where it cannot run."""
    try:
        cluster = ApacheKafka(factory.mktemp("kafka"), number, given("SCORER_TEST_KAFKA", VERSION), extra)
    except MissingError as missing:
        pytest.skip(str(missing))
    with cluster:
        _clusters.append(cluster)
        yield cluster
        _clusters.remove(cluster)


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """One node of Apache Kafka, for all tests of this process, because its start takes seconds."""
    for cluster in apache_nodes(tmp_path_factory, 1):
        yield Kafka(cluster.bootstrap)


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Three nodes of Apache Kafka. Tests use `cluster`."""
    yield from apache_nodes(tmp_path_factory, 3)


@pytest.fixture
def cluster(three_nodes: ApacheKafka) -> ApacheKafka:
    """Three nodes of Apache Kafka, all of them up; topics have three replicas, of which two must be in sync. A test may
    kill and stop nodes; the next test gets them back. Such a test needs `pytest.mark.apache`."""
    three_nodes.mend()
    return three_nodes


@pytest.fixture(scope="module", params=[EMBEDDED, APACHE])
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker: first the embedded one, then Apache Kafka, for which the one in SCORER_TEST_BOOTSTRAP can stand. Each
    module gets a new embedded one, because noida-db slows down as it fills."""
    bootstrap = given("SCORER_TEST_BOOTSTRAP")
    if request.param == "apache":
        yield Kafka(bootstrap) if bootstrap else request.getfixturevalue("apache_kafka")
    elif bootstrap:
        pytest.skip("SCORER_TEST_BOOTSTRAP names another broker")
    else:
        with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as broker:
            yield Kafka(broker.bootstrap)


@pytest.fixture(autouse=True)
def no_log_shows_a_planted_value(request: pytest.FixtureRequest) -> Iterator[None]:
    """Search what the processes of a test logged for the personal values that tests plant."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        shown = planted.found_below(folder)
        assert shown == [], "a log shows a personal value"


@pytest.fixture
def names() -> Names:
    """Names of topics and a group that only this test uses."""
    return Names(f"t{os.getpid()}x{next(_numbers)}")
