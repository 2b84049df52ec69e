"""Apache Kafka for the benchmarks: one node for all runs of a process, emptied before each, with production's JVM."""

import atexit
import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.brokers.apache import ApacheKafka
from tests.brokers.jars import MissingError

_JAVA = (
    *("-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
)
"""As in Kafka's own start script. The tests' node has a compiler that starts fast and optimises little."""
_LEFT = 90.0


@dataclass(frozen=True, slots=True)
class Node:
    """A running node. `pid` is its process id."""

    bootstrap: str
    pid: int


@contextlib.contextmanager
def apache_kafka(root: Path) -> Iterator[Node]:
    """The node of this process without topics and groups. Raises `SystemExit` without Java or Maven."""
    kafka = _started(root)
    node = Node(kafka.bootstrap, *kafka.pids)
    empty(node.bootstrap)
    yield node


@contextlib.contextmanager
def fresh_kafka(root: Path, **properties: str) -> Iterator[Node]:
    """A node of its own, with these server properties (`_` for `.`). Raises `SystemExit` without Java or Maven."""
    with tempfile.TemporaryDirectory(prefix="kafka-", dir=root, ignore_cleanup_errors=True) as folder:
        kafka = _start(Path(folder), {name.replace("_", "."): value for name, value in properties.items()})
        try:
            yield Node(kafka.bootstrap, *kafka.pids)
        finally:
            kafka.stop()


@cache
def _started(root: Path) -> ApacheKafka:
    folder = tempfile.TemporaryDirectory(prefix="kafka-", dir=root, ignore_cleanup_errors=True)
    kafka = _start(Path(folder.name), {})
    # In reverse: the node ends first.
    atexit.register(folder.cleanup)
    atexit.register(kafka.stop)
    return kafka


def _start(folder: Path, extra: dict[str, str]) -> ApacheKafka:
    try:
        return ApacheKafka(folder, extra=extra).with_java(*_JAVA).start()
    except MissingError as error:
        raise SystemExit(str(error)) from None


def empty(bootstrap: str) -> None:
    """Delete all topics and groups. Waits for members that left without a word."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    topics = [name for name in admin.list_topics(timeout=30).topics if not name.startswith("__")]
    if topics:
        for deleted in admin.delete_topics(topics).values():
            deleted.result(30)
    deadline = time.monotonic() + _LEFT
    while groups := [group.group_id for group in admin.list_consumer_groups().result(30).valid]:
        for done in admin.delete_consumer_groups(groups).values():
            try:
                done.result(30)
            except KafkaException:  # it has members, or its coordinator is starting
                if time.monotonic() > deadline:
                    raise
        time.sleep(0.2)
