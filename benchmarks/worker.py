"""A measured process: the service, or one of `benchmarks/peers`."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec
import psutil

from benchmarks import kafka_streams
from benchmarks.kafka import GROUP, ROOT, STATE, WorkerError, sample_states
from benchmarks.traffic import PARTITIONS
from tests.brokers.jars import MissingError

STREAMS_PYTHON = Path(os.environ.get("BENCH_STREAMS_PYTHON", ROOT / ".cache" / "bench-streams" / "bin" / "python"))
"""Quix Streams and Faust need other versions of our packages, so they have their own environment."""
IN_STREAMS_PYTHON = ("quix", "quix_same", "faust_app")
STREAMS_IN_JAVA = {"streams_weights": "weights", "streams_tables": "tables"}
"""Jobs on Kafka Streams, by peer."""
_READY = 300.0


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
        """Stop it until `resume`."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it continue."""
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Ask it to end, and do not wait."""
        self._process.terminate()

    def check(self) -> None:
        """Raise `WorkerError` if it has ended."""
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
    """One of `benchmarks/peers`. `folder` holds its state and the files that it needs.

    Raises `WorkerError` if it needs Java or Maven and they are missing.
    """
    if job := STREAMS_IN_JAVA.get(name):
        try:
            return Worker([*kafka_streams.java(), job, bootstrap, str(folder)], {}, cores)
        except MissingError as error:
            raise WorkerError(str(error)) from None
    python = str(STREAMS_PYTHON) if name in IN_STREAMS_PYTHON else sys.executable
    if name == "quix_same":
        (folder / "states.msgpack").write_bytes(msgspec.msgpack.encode(sample_states()[1]))
    script = str(ROOT / "benchmarks" / "peers" / f"{name}.py")
    return Worker([python, script, bootstrap, str(folder)], {"PYTHONPATH": str(ROOT)}, cores)


def wait_until_shared(ports: Sequence[int], workers: Sequence[Worker], count: int = PARTITIONS) -> None:
    """Wait until all workers are ready and share the partitions. Raises `WorkerError`."""
    deadline = time.monotonic() + _READY
    while time.monotonic() < deadline:
        for worker in workers:
            worker.check()
        held = [partitions(port) for port in ports]
        if sum(held) == count and min(held) > 0:
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
