"""Activities at a fixed rate, and when each was committed together with its results.

The time starts when an activity is due to be written, so a slow writer does not improve the result.
"""

import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import count

from confluent_kafka import KafkaException, Producer

from benchmarks.kafka import INPUT, QUIET, WorkerError
from benchmarks.runs import Committed
from benchmarks.traffic import HEADERS, PARTITIONS, partition_of

PAUSE = 0.003
"""Seconds between two looks of the observer."""
_TICK = 0.002


class Observer:
    """Polls the committed input offsets in a thread: a decision is committed together with the offset of its activity.
    (Reading the decisions would keep the broker's core busy, because it answers empty fetches at once.)
    """

    def __init__(self, bootstrap: str, partitions: int = PARTITIONS, pause: float = PAUSE) -> None:
        self._committed = Committed(bootstrap, partitions)
        self._pause = pause
        self._moments: list[float] = []
        self._offsets: list[list[int]] = [[] for _ in range(partitions)]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopping.wait(self._pause):
            try:
                committed = self._committed.offsets()
            except KafkaException:
                continue
            self._moments.append(time.perf_counter())
            for offsets, offset in zip(self._offsets, committed, strict=True):
                offsets.append(offset)

    def stop(self) -> None:
        """Disconnect."""
        self._stopping.set()
        self._thread.join()
        self._committed.close()

    def committed_at(self, partition: int, offset: int) -> float:
        """When the commit of the record was seen. Raises IndexError if it never was."""
        return self._moments[bisect_right(self._offsets[partition], offset)]


def places(events: Sequence[tuple[str, bytes]], partitions: int = PARTITIONS) -> list[tuple[int, int]]:
    """Partition and offset of each event, in a topic without other records."""
    offsets = [count() for _ in range(partitions)]
    numbers = (partition_of(lead, partitions) for lead, _ in events)
    return [(number, next(offsets[number])) for number in numbers]


def write(
    bootstrap: str,
    events: Sequence[tuple[str, bytes]],
    rate: float,
    partitions: int = PARTITIONS,
    stopping: threading.Event | None = None,
) -> list[float]:
    """Write the events at that rate until `stopping`. Returns when each was due."""
    # The default of Kafka's own producers: it saves the broker a request for each record.
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, **QUIET})
    due: list[float] = []
    began = time.perf_counter()
    for number, (lead, value) in enumerate(events):
        if stopping is not None and stopping.is_set():
            break
        moment = began + number / rate
        while (ahead := moment - time.perf_counter()) > 0:
            producer.poll(0)
            time.sleep(min(ahead, _TICK))
        due.append(moment)
        producer.produce(INPUT, value, key=lead, partition=partition_of(lead, partitions), headers=HEADERS)
    if producer.flush(30):
        raise WorkerError("the broker did not take the activities")
    return due


class Feeder:
    """Writes activities at a fixed rate in a thread. Raises what went wrong there in `due`."""

    def __init__(self, bootstrap: str, events: Sequence[tuple[str, bytes]], rate: float, partitions: int) -> None:
        self._due: list[float] = []
        self._error: WorkerError | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write, args=(bootstrap, events, rate, partitions), daemon=True)
        self._thread.start()

    def _write(self, bootstrap: str, events: Sequence[tuple[str, bytes]], rate: float, partitions: int) -> None:
        try:
            self._due = write(bootstrap, events, rate, partitions, self._stopping)
        except WorkerError as error:
            self._error = error

    def stop(self) -> None:
        """Leave out what is not written yet."""
        self._stopping.set()

    def due(self) -> list[float]:
        """When each activity was due, once all are written (`time.perf_counter`)."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._due
