"""Fixtures of the tests with Prometheus and Alertmanager."""

from collections.abc import Iterator

import pytest

from tests.deploy.monitoring import Receiver, program


@pytest.fixture
def programs() -> None:
    """Skips the test where Prometheus or Alertmanager is missing, before Kafka is started for it."""
    for name in ("prometheus", "promtool", "prometheus-alertmanager"):
        program(name)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of notifications."""
    with Receiver() as running:
        yield running
