"""Apache Kafka in child processes: KRaft, one node or several, free loopback ports, a fresh data folder."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from scorer.demo.broker import die_with_parent
from tests.brokers.jars import VERSION, jars
from tests.brokers.secured import LISTENERS, Secured

_HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 20.0
_JAVA: Final = (
    *("java", "-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"),
)
_CLUSTER_ID: Final = "c2NvcmVyLXRlc3RzLWthZg"
_SETTINGS: Final = {
    "process.roles": "broker,controller",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "num.partitions": "1",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    # A group in a test has its members at once.
    "group.initial.rebalance.delay.ms": "0",
    "log.segment.bytes": "67108864",
    "log.cleaner.dedupe.buffer.size": "2097152",
}


class ApacheKafka:
    """A cluster of `nodes` brokers, each also a controller. `extra` are server properties that replace ours.

    `secured` adds listeners with SASL and TLS (`bootstrap_of`), and ACLs.

    With three nodes, internal topics have three replicas and two must be in sync, as in production. Use it as a context
    manager, or call `start` and `stop`. The logs of the nodes stay in `root`; `logs` gives their ends.
    """

    def __init__(
        self,
        root: Path,
        nodes: int = 1,
        version: str = VERSION,
        extra: Mapping[str, str] | None = None,
        secured: Secured | None = None,
    ) -> None:
        self._classpath = f"{jars(version)}/*"
        self._root = root = root.resolve()
        self._extra = dict(extra or {})
        self._secured = secured
        self._nodes = [_Node(number, root / f"node{number}") for number in range(1, nodes + 1)]
        if secured is not None:
            for node in self._nodes:
                node.java = (*_JAVA, *secured.java_options())

    @property
    def bootstrap(self) -> str:
        """`host:port` of all nodes, as `SCORER_BOOTSTRAP_SERVERS` takes it."""
        return ",".join(f"{_HOST}:{node.port}" for node in self._nodes)

    def bootstrap_of(self, listener: str) -> str:
        """`host:port` of all nodes for one of the listeners of `secured`."""
        return ",".join(f"{_HOST}:{node.ports[listener]}" for node in self._nodes)

    @property
    def pids(self) -> list[int]:
        """The process ids of the nodes. Raises `AssertionError` if one is not running."""
        return [node.pid for node in self._nodes]

    def start(self) -> Self:
        """Start all nodes and return once each knows all others. Raises `AssertionError` with their logs."""
        try:
            voters = ",".join(f"{node.number}@{_HOST}:{node.controller_port}" for node in self._nodes)
            for node in self._nodes:
                self._configure(node, voters)
                node.launch(self._classpath)
            self._await_all()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End all nodes and remove their data. Their logs stay."""
        for node in self._nodes:
            # A stopped process would not notice the end.
            node.signal(signal.SIGCONT)
            node.signal(signal.SIGTERM)
        for node in self._nodes:
            node.end(_STOP_SECONDS)
            shutil.rmtree(node.data, ignore_errors=True)

    def with_java(self, *options: str) -> Self:
        """The same, started with other options of the virtual machine than the ones that suit tests."""
        for node in self._nodes:
            node.java = ("java", *options)
        return self

    def signal(self, number: int, name: signal.Signals) -> None:
        """Send a signal to a node, counted from 1."""
        self._nodes[number - 1].signal(name)

    def kill(self, number: int) -> None:
        """End a node at once, as `kill -9` does, and wait for its end."""
        self._nodes[number - 1].signal(signal.SIGKILL)
        self._nodes[number - 1].end(_STOP_SECONDS)

    def await_end(self, number: int) -> None:
        """Wait for the end of a node that got a signal. One that takes too long is killed."""
        self._nodes[number - 1].end(_STOP_SECONDS)

    def restart(self, number: int) -> None:
        """Start a node again that has ended, with its data and its ports. Returns once it accepts connections."""
        node = self._nodes[number - 1]
        node.launch(self._classpath)
        self._await(node, node.is_up)

    def mend(self) -> None:
        """Continue the nodes that were stopped and start those that have ended. Returns once each knows all others."""
        for node in self._nodes:
            if node.running:
                node.signal(signal.SIGCONT)
            else:
                node.launch(self._classpath)
        self._await_all()

    def logs(self) -> str:
        """The last lines that each node wrote."""
        return "\n".join(f"node {node.number}:\n{node.last_lines()}" for node in self._nodes)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _configure(self, node: "_Node", voters: str) -> None:
        replicas = str(min(3, len(self._nodes)))
        settings = {
            **_SETTINGS,
            "node.id": str(node.number),
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://{_HOST}:{node.port},CONTROLLER://{_HOST}:{node.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{_HOST}:{node.port}",
            "log.dirs": str(node.data),
            "default.replication.factor": replicas,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": "2" if len(self._nodes) > 1 else "1",
            "min.insync.replicas": "2" if len(self._nodes) > 1 else "1",
        }
        if self._secured is not None:
            for name, port in node.ports.items():
                settings["listeners"] += f",{name}://{_HOST}:{port}"
                settings["advertised.listeners"] += f",{name}://{_HOST}:{port}"
            settings |= self._secured.settings(_HOST)
        settings |= self._extra
        node.folder.mkdir(parents=True, exist_ok=True)
        node.properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        command = [*_JAVA, "-cp", self._classpath, "kafka.tools.StorageTool", "format"]
        command += ["-t", _CLUSTER_ID, "-c", str(node.properties)]
        command += [] if self._secured is None else self._secured.format_options()
        done = subprocess.run(command, capture_output=True, text=True, timeout=_START_SECONDS, check=False)
        assert done.returncode == 0, f"the storage of Kafka cannot be formatted: {done.stdout}{done.stderr}"

    def _await_all(self) -> None:
        for node in self._nodes:
            self._await(node, lambda node=node: node.knows(len(self._nodes)))  # type: ignore[misc]

    def _await(self, node: "_Node", condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not condition():
            assert node.running, f"node {node.number} of Kafka ended:\n{self.logs()}"
            assert time.monotonic() < deadline, f"Kafka did not start within {_START_SECONDS} s:\n{self.logs()}"
            time.sleep(0.05)


class _Node:
    """One broker process."""

    java: Sequence[str] = _JAVA

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.folder = folder
        self.data = folder / "data"
        self.port = _port()
        self.controller_port = _port()
        self.ports = {name: _port() for name in LISTENERS}
        self.properties = folder / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"node {self.number} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self, classpath: str) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self.java, "-cp", classpath, "kafka.Kafka", str(self.properties)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")},
                # Ctrl-C in the terminal ends the tests, and they end the nodes.
                start_new_session=True,
                # A test process that is killed leaves no node behind.
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )

    def is_up(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((_HOST, self.port), 1.0):
            return True
        return False

    def knows(self, count: int) -> bool:
        """Whether it answers, and lists this number of nodes that serve clients."""
        return self.is_up() and asyncio.run(_brokers(f"{_HOST}:{self.port}")) == count

    def signal(self, name: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(name)

    def end(self, seconds: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def last_lines(self, count: int = 30) -> str:
        log = self.folder / "server.log"
        return "\n".join(log.read_text("utf-8", "replace").splitlines()[-count:]) if log.is_file() else ""


def _port() -> int:
    """A free port for a node. Those that the system gives to outgoing connections are left out: one of them could take
    the port before the node is up, or while it is down."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((_HOST, port))
            return port


async def _brokers(address: str) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=5000)
    try:
        await admin.start()
        return len((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError):
        return 0
    finally:
        await admin.close()
