"""On which brokers a test runs. Without a mark, the fixture `kafka` is Apache Kafka, and where that cannot run, the
embedded one."""

from typing import Final

import pytest

from tests.variables import given

EMBEDDED: Final = pytest.param("embedded", marks=pytest.mark.embedded)
"""The parameter for the embedded broker, where Apache Kafka is the other one."""
APACHE: Final = pytest.param("apache", marks=pytest.mark.apache)
"""The parameter for Apache Kafka."""

embedded_only: Final = pytest.mark.parametrize("kafka", ["embedded"], indirect=True)
"""Not on Apache Kafka. The test says why in a comment: Kafka refuses what it needs, or the broker takes no part."""

fencing: Final = pytest.mark.parametrize(
    "kafka", [pytest.param("apache", marks=(pytest.mark.apache, pytest.mark.fencing))], indirect=True
)
"""Two workers or more in one group: the broker must fence by the generation of the group, as the embedded one does
not."""

both: Final = pytest.mark.both
"""On the embedded broker too where Apache Kafka can run, to show that it is fit for the demo and for machines without
Java. `make test-embedded` runs all others there."""

full: Final = pytest.mark.skipif(given("SCORER_TEST_FULL") != "yes", reason="only with SCORER_TEST_FULL=yes")
"""It takes long, and `make test` has another case that shows most of it. `make test-full` runs it."""
