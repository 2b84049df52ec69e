"""The service as its users start it: a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from scorer.runtime.settings import Settings, load_settings
from tests import planted
from tests.integration.kafka import DEADLINE, Kafka, Names, create_and_see

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
RULES = ROOT / "rules" / "b2b"


class Service:
    """A running `scorer run`."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log
        self._address: str | None = None

    def log(self) -> list[dict[str, Any]]:
        """Its log so far, without the audit log."""
        return [line for line in self._lines() if line.get("log") != "audit"]

    def audit(self) -> list[dict[str, Any]]:
        """Its audit log so far, if it goes to stderr."""
        return [line for line in self._lines() if line.get("log") == "audit"]

    def _lines(self) -> list[dict[str, Any]]:
        lines = self._log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def text(self) -> str:
        """All output of the service."""
        return self._log.read_text()

    @property
    def address(self) -> str:
        """The address of its open HTTP server."""
        if self._address is None:
            self._address = self._announced("http_listening")
        return self._address

    @property
    def api_address(self) -> str:
        """The address of its HTTP server for lead data; `api_port` must be set."""
        return self._announced("api_listening")

    def _announced(self, event: str) -> str:
        address: str = self.wait(lambda: next((line["address"] for line in self.log() if line["event"] == event), None))
        return address

    def get(self, path: str, address: str | None = None) -> tuple[int, str]:
        """Status and body of an HTTP request to this address, else to the open one; status 0 without an answer."""
        try:
            with urllib.request.urlopen(
                (address or self.address) + path, timeout=5 if address is None else 30
            ) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> dict[str, Any] | None:
        """The details if it is ready, else None."""
        status, body = self.get("/health/ready")
        details: dict[str, Any] = json.loads(body) if body else {}
        return details if status == 200 else None

    def unready(self) -> dict[str, Any]:
        """The details if it is not ready, else empty."""
        status, body = self.get("/health/ready")
        details: dict[str, Any] = json.loads(body) if status == 503 else {}
        return details

    def metric(self, sample: str) -> float:
        """The value of one sample, 0 if it does not exist."""
        for line in self.get("/metrics")[1].splitlines():
            if line.rpartition(" ")[0] == sample:
                return float(line.rpartition(" ")[2])
        return 0.0

    def wait(self, condition: Callable[[], T | None]) -> T:
        """The result of the function once it is true. Fails if the process ends or the time is up."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            result = condition()
            if result:
                return result
            if self.process.poll() is not None:
                raise AssertionError(f"the service ended with {self.process.returncode}:\n{self.text()}")
            time.sleep(0.02)
        raise AssertionError(f"not within {DEADLINE} s; the output of the service:\n{self.text()}")

    def terminate(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


def settings_for(kafka: Kafka, names: Names) -> Settings:
    """The settings of the service."""
    return load_settings(
        None,
        bootstrap_servers=kafka.bootstrap,
        rules=RULES,
        activity_topic=names.activity,
        routing_topic=names.routing,
        dead_letter_topic=names.dead_letters,
        state_topic=names.state,
        group=names.group,
    )


def with_times_of_senders(bootstrap: str, topic: str, partitions: int) -> None:
    """Make the input if it is missing and Kafka can be reached. The broker does not stamp its records, whose times most
    tests need."""

    async def work() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            if topic in await admin.list_topics():
                return
            replicas = min(3, len((await admin.describe_cluster())["brokers"]))
        finally:
            await admin.close()
        config = {"message.timestamp.type": "CreateTime"}
        await create_and_see(bootstrap, [NewTopic(topic, partitions, replicas, topic_configs=config)])

    with suppress(KafkaError):
        asyncio.run(work())


@contextmanager
def service(
    kafka: Kafka, names: Names, folder: Path, *, ready: bool = True, code: str = str(ROOT), **settings: str
) -> Iterator[Service]:
    """The service, ready to process. It is ended on leaving. `code`: the root of the project whose code it runs.

    Unless `create_topics` is among the settings, there is an input, and activities arrive at their own times in it.
    """
    if "create_topics" not in settings:
        with_times_of_senders(kafka.bootstrap, names.activity, int(settings.get("topic_partitions", 2)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
    environment |= {
        "PYTHONPATH": code,
        "SCORER_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "SCORER_RULES": str(RULES),
        "SCORER_HTTP_PORT": "0",
        "SCORER_CREATE_TOPICS": "true",
        "SCORER_TOPIC_PARTITIONS": "2",
        "SCORER_SESSION_TIMEOUT_MS": "6000",
        # The input of most tests has activities of a time long ago, which a tick would put into the past. An earlier
        # version refuses the setting.
        **({"SCORER_TICK_SECONDS": "0"} if code == str(ROOT) else {}),
        **names.environment,
        **{f"SCORER_{name.upper()}": value for name, value in settings.items()},
    }
    path = folder / f"service-{time.monotonic_ns()}.log"
    # The service itself has no fault points.
    module = "tests.faults.worker" if any(name.startswith("fault_") for name in settings) else "scorer"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "run"], cwd=code, env=environment, stdout=log, stderr=log
        )
    running = Service(process, path)
    try:
        if ready:
            running.wait(running.ready)
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    # Its folder need not be that of a test, which is searched anyway.
    assert planted.found_in(path.read_bytes()) == [], "the service shows a personal value"
