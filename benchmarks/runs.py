"""A run: workers process activities, and their progress is read from the broker."""

import contextlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks.kafka import (
    DEAD,
    GROUP,
    INPUT,
    KAFKA,
    QUIET,
    SCRATCH,
    Broker,
    WorkerError,
    broker,
    committed_outputs,
    cores,
    fill_input,
    fill_states,
    stay_with_broker,
)
from benchmarks.traffic import PARTITIONS, past
from benchmarks.worker import STREAMS_IN_JAVA, Worker, ours, peer, wait_until_shared
from scorer.demo.broker import free_port

_POLL = 0.05
_FIRST = 400
_STALLED = 240.0


class Progress(Protocol):
    """Says how far the workers are."""

    def done(self) -> int:
        """How many activities, or other units, are done."""


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a run, from when the worker found the activities to the last commit."""

    activities: int
    seconds: float
    worker_cpu: float
    broker_cpu: float
    rss: int

    @property
    def rate(self) -> float:
        """Activities a second."""
        return self.activities / self.seconds

    @property
    def cpu(self) -> float:
        """CPU seconds of the workers for one activity."""
        return self.worker_cpu / self.activities

    @property
    def broker(self) -> float:
        """CPU seconds of the broker for one activity, including its file."""
        return self.broker_cpu / self.activities


def one_run(name: str, events: Sequence[tuple[str, bytes]], leads: int, kind: str = "noida") -> Run:
    """A run of `ours` or a peer alone on its core, with a fresh broker on the other one. Raises `WorkerError`."""
    worker_core, broker_core = cores()
    if kind == KAFKA:
        stay_with_broker()
    with broker(broker_core, kind) as running, tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        made, port = {worker_core}, free_port()
        if name == "ours":
            fill_states(running.bootstrap, leads)
            # With a million leads the local broker does not answer for seconds while it writes its file.
            worker = ours(running.bootstrap, made, session_timeout_ms="60000", http_port=str(port))
        else:
            worker = peer(name, running.bootstrap, made, Path(folder))
        with worker:
            if name == "ours":
                wait_until_shared([port], [worker])
            # They have no states to begin with, and a virtual machine needs work before it is fast.
            before = list(past(leads)) if name in STREAMS_IN_JAVA else []
            return measure(running, [worker], events, before)


def measure(
    running: Broker,
    workers: Sequence[Worker],
    events: Sequence[tuple[str, bytes]],
    before: Sequence[tuple[str, bytes]] = (),
) -> Run:
    """The cost of these activities for running workers, after the activities `before`. Raises `WorkerError`.

    The workers first commit a few activities, so all of them are running. They are paused while the others are written,
    so that the broker's cost of writing the input is not measured. The measurement starts when they resume and ends
    with the last commit.
    """
    with contextlib.closing(Committed(running.bootstrap)) as seen:
        first = fill_input(running.bootstrap, (*before, *events[:_FIRST]))
        wait_until_done(seen, workers, first)
        for worker in workers:
            worker.pause()
        total = first + fill_input(running.bootstrap, events[_FIRST:])
        run = watch(seen, workers, running.pid, first, total)
    if dead := committed_outputs(running.bootstrap, DEAD):
        raise WorkerError(f"{dead} of the activities were taken for broken")
    return run


class Committed:
    """Progress by the offsets of a topic that are committed at the broker."""

    def __init__(self, bootstrap: str, partitions: int = PARTITIONS, topic: str = INPUT) -> None:
        # By default it would ask for stable offsets: Kafka has none to give while a transaction is open, and the client
        # asks again until there are. Then the time of a commit is the time at which no next transaction was open.
        settings = {"isolation.level": "read_uncommitted", "group.id": GROUP}
        self._consumer = Consumer({"bootstrap.servers": bootstrap, **settings, **QUIET})
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]

    def offsets(self) -> list[int]:
        """The offset of each partition. Raises `KafkaException` if the broker does not answer."""
        return [max(0, position.offset) for position in self._consumer.committed(self._partitions, timeout=10)]

    def done(self) -> int:
        """How many activities are committed, over all partitions; 0 if the broker does not answer."""
        try:
            return sum(self.offsets())
        except KafkaException:
            return 0

    def reached_the_end(self) -> bool:
        """Whether no record is left. The marker of the last transaction may be: it has an offset, and is no record."""
        ends = [self._consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in self._partitions]
        return all(end - offset <= 1 for offset, end in zip(self.offsets(), ends, strict=True))

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


def wait_until_done(progress: Progress, workers: Sequence[Worker], count: int, seconds: float = _STALLED) -> None:
    """Wait until that many activities are done. Raises `WorkerError` if it takes longer or a worker ends."""
    deadline = time.monotonic() + seconds
    while (done := progress.done()) < count:
        for worker in workers:
            worker.check()
        if time.monotonic() > deadline:
            words = workers[0].last_words()
            raise WorkerError(f"{done} of {count} done {seconds:.0f} s after the last was written: {words}")
        time.sleep(_POLL)


def watch(progress: Progress, workers: Sequence[Worker], broker_pid: int, before: int, total: int) -> Run:
    """Measure from now until all `total` activities are done; `before` of them already are. Raises `WorkerError`."""
    broker = psutil.Process(broker_pid)
    began, cpu, broker_cpu = time.monotonic(), sum(worker.cpu() for worker in workers), cpu_of(broker)
    done, moved = before, began
    for worker in workers:
        worker.resume()
    while done < total:
        time.sleep(_POLL)
        count, now = progress.done(), time.monotonic()
        for worker in workers:
            worker.check()
        if count > done:
            done, moved = count, now
        elif now - moved > _STALLED:
            words = workers[0].last_words()
            raise WorkerError(f"{done} of {total} done, nothing new for {_STALLED:.0f} s: {words}")
    spent = sum(worker.cpu() for worker in workers) - cpu
    rss = sum(worker.rss() for worker in workers)
    return Run(total - before, moved - began, spent, cpu_of(broker) - broker_cpu, rss)


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds of a process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)
