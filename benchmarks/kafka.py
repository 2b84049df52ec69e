"""A fresh broker with input, and a worker that is watched from the broker's side: what is committed, and when."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import IO, Any

import msgspec
import psutil
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.measuring import progress
from benchmarks.traffic import HEADERS, PARTITIONS, RULES, histories, lead_name, partition_of
from scorer.demo.broker import EmbeddedBroker, free_port
from scorer.rules.engine import default_engine
from scorer.ruleset_files import load_ruleset
from scorer.stream.codec import encode_lead
from scorer.stream.marker import Marker, marker_message

ROOT = Path(__file__).parents[1]
SCRATCH = ROOT / ".cache" / "bench"
STREAMS_PYTHON = Path(os.environ.get("BENCH_STREAMS_PYTHON", ROOT / ".cache" / "bench-streams" / "bin" / "python"))
"""Quix Streams and Faust ask for other versions of our packages, so they have an environment of their own."""
IN_STREAMS_PYTHON = ("quix", "quix_same", "faust_app")

INPUT = "lead.activity"
OUTPUT = "lead.routing"
DEAD = "lead.activity.dlq"
STATE = "bench.lead-state"
GROUP = "bench"
_QUIET = {"log_level": 0}
_POLL = 0.05
_FIRST = 400
_STALLED = 240.0
_READY = 300.0


class WorkerError(Exception):
    """A worker ended or stood still; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a worker came to, between its first commit and its last."""

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
        """CPU seconds of the broker for one activity, and for keeping its file."""
        return self.broker_cpu / self.activities


@contextlib.contextmanager
def broker(core: int | None) -> Iterator[EmbeddedBroker]:
    """A fresh broker, bound to a core, with empty topics."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with EmbeddedBroker(SCRATCH) as running:
        if core is not None:
            for thread in psutil.Process(running.pid).threads():
                os.sched_setaffinity(thread.id, {core})
        topics = [NewTopic(name, PARTITIONS, 1) for name in (INPUT, OUTPUT, DEAD)]
        topics.append(NewTopic(STATE, PARTITIONS, 1, config={"cleanup.policy": "compact"}))
        admin = AdminClient({"bootstrap.servers": running.bootstrap, **_QUIET})
        for made in admin.create_topics(topics).values():
            made.result(30)
        yield running


def fill_input(bootstrap: str, events: Iterable[tuple[str, bytes]]) -> int:
    """Write the activities; returns how many."""
    return _fill(bootstrap, ((INPUT, partition_of(lead), lead, value, HEADERS) for lead, value in events))


@cache
def sample_states() -> tuple[str, list[bytes]]:
    """The revision of the rules, and states of leads with a history each that were judged by them."""
    ruleset = load_ruleset(RULES, default_engine())
    return ruleset.revision, [encode_lead(lead) for lead in histories(ruleset=ruleset)]


def fill_states(bootstrap: str, leads: int) -> None:
    """Write what a service that has run for long leaves behind: a state with a history for each lead, and that all
    of them were judged by the rules in force, for otherwise all would be judged anew while we measure."""
    revision, states = sample_states()
    names = map(lead_name, range(leads))
    # Without the header that names an input offset: these states come from before the topic.
    _fill(bootstrap, ((STATE, partition_of(n), n, s, []) for n, s in zip(names, cycle(states), strict=False)))
    judged = [marker_message(Marker(revision, 1, None), STATE, number) for number in range(PARTITIONS)]
    _fill(bootstrap, ((STATE, number, each.key, each.value, []) for number, each in enumerate(judged)))


def _fill(bootstrap: str, records: Iterable[tuple[str, int, str | bytes | None, bytes | None, Any]]) -> int:
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 20, "batch.size": 500_000, "acks": "all", **_QUIET}
    )
    count = 0
    for topic, partition, key, value, headers in records:
        while True:
            try:
                producer.produce(topic, value, key=key, partition=partition, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
        count += 1
    if left := producer.flush(300):
        raise WorkerError(f"the broker did not take {left} of {count} records")
    return count


class Worker:
    """A process that consumes the input, bound to some cores; its output goes to a file."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], cores: set[int]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**kept, **environment, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=self._log,
            stderr=self._log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self._seen = psutil.Process(self._process.pid)

    def cpu(self) -> float:
        """CPU seconds so far."""
        with contextlib.suppress(psutil.NoSuchProcess):
            times = self._seen.cpu_times()
            return float(times.user + times.system)
        raise WorkerError(f"the worker ended: {self.last_words()}")

    def rss(self) -> int:
        """Resident bytes now."""
        return int(self._seen.memory_info().rss)

    def pause(self) -> None:
        """Let it stand still until `resume`."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def check(self) -> None:
        """Raise `WorkerError` where it has ended."""
        if self._process.poll() is not None:
            raise WorkerError(f"the worker ended with status {self._process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")[-1_500:]

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.resume()
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


def ours(bootstrap: str, cores: set[int], **settings: str) -> Worker:
    """The service, as it would run in production."""
    environment = {
        "BOOTSTRAP_SERVERS": bootstrap,
        "RULES": str(ROOT / "rules" / "b2b"),
        "HTTP_PORT": "0",
        "GROUP": GROUP,
        "STATE_TOPIC": STATE,
        **{name.upper(): value for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "scorer", "run"]
    return Worker(command, {f"SCORER_{name}": value for name, value in environment.items()}, cores)


def peer(name: str, bootstrap: str, cores: set[int], folder: Path) -> Worker:
    """One of `benchmarks/peers`. `folder` is for its state; what it needs from here is put there too."""
    python = str(STREAMS_PYTHON) if name in IN_STREAMS_PYTHON else sys.executable
    if name == "quix_same":
        (folder / "states.msgpack").write_bytes(msgspec.msgpack.encode(sample_states()[1]))
    script = str(ROOT / "benchmarks" / "peers" / f"{name}.py")
    return Worker([python, script, bootstrap, str(folder)], {"PYTHONPATH": str(ROOT)}, cores)


def one_run(name: str, events: Sequence[tuple[str, bytes]], leads: int) -> Run:
    """A run of `ours` or a peer alone on its core, with a fresh broker on the other one. Raises `WorkerError`."""
    worker_core, broker_core = cores()
    with broker(broker_core) as running, tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        made, port = {worker_core}, free_port()
        if name == "ours":
            fill_states(running.bootstrap, leads)
            # With a million leads in it the local broker is deaf for seconds while it writes its file.
            worker = ours(running.bootstrap, made, session_timeout_ms="60000", http_port=str(port))
        else:
            worker = peer(name, running.bootstrap, made, Path(folder))
        with worker:
            if name == "ours":
                wait_until_shared([port], [worker])
            return measure(running, [worker], events)


def measure(running: EmbeddedBroker, workers: Sequence[Worker], events: Sequence[tuple[str, bytes]]) -> Run:
    """From the first commit of these activities to the last, of workers that are started. Raises `WorkerError`.

    All are at work already, for they have committed a few activities before. While the others are written they stand
    still, and then find everything there: what they do is not mixed with what writing the input costs the broker.
    """
    first = fill_input(running.bootstrap, events[:_FIRST])
    wait_until_committed(running.bootstrap, workers, first)
    for worker in workers:
        worker.pause()
    total = first + fill_input(running.bootstrap, events[_FIRST:])
    for worker in workers:
        worker.resume()
    run = watch(running.bootstrap, workers, running.pid, first, total)
    if dead := committed_outputs(running.bootstrap, DEAD):
        raise WorkerError(f"{dead} of the activities were taken for broken")
    return run


def wait_until_shared(ports: Sequence[int], workers: Sequence[Worker]) -> None:
    """Wait until all workers are ready and the partitions are shared out. Raises `WorkerError`."""
    deadline = time.monotonic() + _READY
    while time.monotonic() < deadline:
        for worker in workers:
            worker.check()
        held = [partitions(port) for port in ports]
        if sum(held) == PARTITIONS and min(held) > 0:
            return
        time.sleep(0.2)
    raise WorkerError(f"the partitions were not shared out within {_READY:.0f} s; held: {held}")


def partitions(port: int) -> int:
    """How many partitions a worker processes."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith('scorer_partitions{state="running"}'):
                    return int(float(line.rpartition(" ")[2]))
    except OSError:
        pass
    return 0


@contextlib.contextmanager
def commits(bootstrap: str) -> Iterator[Callable[[], int]]:
    """What tells how many activities are committed, over all partitions; 0 where the broker does not answer."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": GROUP, "enable.auto.commit": False, **_QUIET})
    partitions = [TopicPartition(INPUT, number) for number in range(PARTITIONS)]

    def committed() -> int:
        try:
            return sum(max(0, each.offset) for each in consumer.committed(partitions, timeout=10))
        except KafkaException:
            return 0

    try:
        yield committed
    finally:
        consumer.close()


def wait_until_committed(bootstrap: str, workers: Sequence[Worker], count: int, seconds: float = _STALLED) -> None:
    """Wait until so many activities are committed. Raises `WorkerError` where it takes longer or a worker ends."""
    deadline = time.monotonic() + seconds
    with commits(bootstrap) as committed:
        while (found := committed()) < count:
            for worker in workers:
                worker.check()
            if time.monotonic() > deadline:
                words = workers[0].last_words()
                raise WorkerError(f"{found} of {count} committed {seconds:.0f} s after the last was written: {words}")
            time.sleep(_POLL)


def watch(bootstrap: str, workers: Sequence[Worker], broker_pid: int, before: int, total: int) -> Run:
    """Wait until everything is committed; count from the first commit after the `before` activities that are committed
    already to the last. Raises `WorkerError`."""
    broker = psutil.Process(broker_pid)
    first: tuple[int, float, float, float] | None = None
    done, moved = before, time.monotonic()
    with commits(bootstrap) as committed:
        while True:
            count = committed()
            now = time.monotonic()
            for worker in workers:
                worker.check()
            if count > done:
                done, moved = count, now
                times = broker.cpu_times()
                cpu = sum(worker.cpu() for worker in workers)
                broker_cpu = float(times.user + times.system)
                if first is None:
                    first = (count, now, cpu, broker_cpu)
                elif count >= total:
                    started, began, cpu_before, broker_before = first
                    rss = sum(worker.rss() for worker in workers)
                    return Run(count - started, now - began, cpu - cpu_before, broker_cpu - broker_before, rss)
            if first is not None and first[0] >= total:
                raise WorkerError("everything was committed at once; too few activities to measure")
            if now - moved > _STALLED:
                words = workers[0].last_words()
                raise WorkerError(f"{count} of {total} committed, nothing new for {_STALLED:.0f} s: {words}")
            time.sleep(_POLL)


def committed_outputs(bootstrap: str, topic: str = OUTPUT) -> int:
    """How many records there are in a topic, with the marks of transactions where the broker counts them."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "count", **_QUIET})
    try:
        marks = (consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10) for n in range(PARTITIONS))
        return sum(high - low for low, high in marks)
    finally:
        consumer.close()


def cores() -> tuple[int, int]:
    """A core for the worker and one for the broker; the same where there is only one."""
    found = sorted(os.sched_getaffinity(0))
    if len(found) < 2:
        progress("one core only: broker and worker share it")
    return found[-1], found[0]
