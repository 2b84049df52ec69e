"""librdkafka's mock cluster as a broker: in C, in memory, over TCP, so fast that the worker alone limits the rate.

It is made for tests of clients. It accepts transactions but forgets their input offsets, and its end markers have no
checksum, so aiokafka cannot read the records: a worker cannot restart on it. It keeps 5 MB or 100,000 records of a
partition and drops the oldest; it ignores requests to create topics.

    python -m benchmarks.mock_broker TOPIC…    # prints host:port, runs until it is ended
"""

import signal
import subprocess
import sys
from types import TracebackType
from typing import Self

from confluent_kafka import Producer

KEEPS = 5 * 1024 * 1024
"""Bytes that it keeps of a partition."""


class MockBroker:
    """The broker in its own process, with these topics."""

    def __init__(self, *topics: str) -> None:
        command = [sys.executable, "-m", "benchmarks.mock_broker", *topics]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self.bootstrap = self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()


def main(topics: list[str]) -> None:
    """Serve until SIGTERM."""
    # The cluster lives in a client. A request for a missing topic creates it.
    client = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    for topic in topics:
        client.list_topics(topic, timeout=10)
    (only,) = client.list_topics(timeout=10).brokers.values()
    sys.stdout.write(f"{only.host}:{only.port}\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
