"""On which brokers a test runs. Without a mark, the fixture `kafka` is first the embedded one and then Apache Kafka."""

from typing import Final

import pytest

APACHE: Final = pytest.param("apache", marks=pytest.mark.apache)
"""The parameter for Apache Kafka."""

embedded_only: Final = pytest.mark.parametrize("kafka", ["embedded"], indirect=True)
"""Not on Apache Kafka. The test says why in a comment: Kafka refuses what it needs, or the broker takes no part."""

fencing: Final = pytest.mark.parametrize(
    "kafka", [pytest.param("apache", marks=(pytest.mark.apache, pytest.mark.fencing))], indirect=True
)
"""Two workers or more in one group: the broker must fence by the generation of the group, as the embedded one does
not."""

heavy: Final = pytest.mark.heavy
"""Ten seconds or more on the embedded broker, which shows nothing there that Apache Kafka does not show: where Kafka
can run, only `make test-embedded` runs it on the embedded broker too."""
