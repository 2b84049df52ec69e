"""The processes of deploy/compose.yaml without a container engine: `python -m tests.deploy.compose_machine FOLDER`.

Run it in a network and a mount namespace of its own (tests/deploy/test_compose.py does), because it takes the names and
the ports of the services as they are in the files. Each service has a loopback address instead of a container.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from tests.brokers.jars import jars
from tests.deploy.compose import DEPLOY, local_path, service_of
from tests.integration.kafka import Kafka

ROOT: Final = Path(__file__).parents[2]
NAMES: Final = ("kafka", "worker-1", "worker-2", "prometheus", "alertmanager")
DEADLINE: Final = 90.0
_JAVA: Final = ("java", "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_CLUSTER_ID: Final = "c2NvcmVyLXRlc3RzLWNvbQ"


def address(name: str) -> str:
    """The loopback address of a service."""
    return f"127.0.1.{NAMES.index(name) + 1}"


def become_the_machine(folder: Path) -> None:
    """Names and addresses as in the network of Compose, and an empty folder for the data of Kafka."""
    hosts = "".join(f"{address(name)} {name}\n" for name in NAMES)
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["mount", "--bind", str(folder / "hosts"), "/etc/hosts"],
        ["mount", "-t", "tmpfs", "tmpfs", "/var/lib"],
    ):
        subprocess.run(command, check=True)
    Path("/var/lib/kafka/data").mkdir(parents=True)


def environment(name: str) -> dict[str, str]:
    """The variables of a service of ours, with the paths of this machine and the address of the service."""
    variables = {each: value for each, value in os.environ.items() if not each.startswith("SCORER_")}
    variables |= {each: local_path(name, str(value)) for each, value in service_of(name)["environment"].items()}
    return variables | (dict.fromkeys(("SCORER_HTTP_HOST", "SCORER_API_HOST"), address(name)) if name in NAMES else {})


@contextmanager
def process(
    command: list[str], log: Path, variables: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that ends at the latest with this one."""
    with log.open("wb") as file:
        running = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=file, stderr=file)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def until(condition: Callable[[], bool], *running: "subprocess.Popen[bytes]") -> None:
    """Return once the condition holds. Raises `AssertionError` when a process ends or the time is up."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert all(each.poll() is None for each in running), "a process ended"
        assert time.monotonic() < deadline, f"not within {DEADLINE} s"
        time.sleep(0.2)


def healthy(name: str) -> bool:
    """Whether the health check of a service succeeds, as the file has it."""
    command = service_of(name)["healthcheck"]["test"][1:]
    command = [sys.executable if word == "python" else word for word in command]
    variables = environment(name) if name != "kafka" else None
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, check=False).returncode == 0


def ensure_topics() -> str:
    """The command of the one-shot service; returns what it prints."""
    command = [sys.executable, "-m", "scorer", *service_of("topics")["command"]]
    done = subprocess.run(command, cwd=ROOT, env=environment("topics"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def send(line: bytes) -> None:
    """Write an activity through the listener for programs on the host."""
    producer = AIOKafkaProducer(bootstrap_servers="localhost:9092")
    await producer.start()
    try:
        await producer.send_and_wait("lead.activity", line, key=json.loads(line)["subject"].encode())
    finally:
        await producer.stop()


def ask_prometheus(query: str) -> list[dict[str, Any]]:
    """The result of a query; empty as long as there is no answer."""
    url = f"http://prometheus:9090/api/v1/query?query={urllib.parse.quote(query)}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return found
    except OSError:
        return []


def main() -> None:
    """Start everything in the order of the file, pass one activity through it, and print as JSON what was seen."""
    folder = Path(sys.argv[1])
    monitored = sys.argv[2:] == ["monitored"]
    become_the_machine(folder)
    properties = DEPLOY / "kafka" / "server.properties"
    tool = [*_JAVA, "-cp", f"{jars()}/*"]
    format_command = [*tool, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)]
    subprocess.run(format_command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    with ExitStack() as stack:
        kafka = stack.enter_context(process([*tool, "kafka.Kafka", str(properties)], folder / "kafka.log"))
        until(lambda: healthy("kafka"), kafka)
        seen: dict[str, Any] = {"created": ensure_topics()}
        workers = [
            stack.enter_context(
                process([sys.executable, "-m", "scorer", "run"], folder / f"{name}.log", environment(name))
            )
            for name in ("worker-1", "worker-2")
        ]
        until(lambda: healthy("worker-1") and healthy("worker-2"), kafka, *workers)
        asyncio.run(send((ROOT / "docs" / "example.jsonl").read_bytes().splitlines()[0]))
        decision = Kafka("kafka:19092").read("lead.routing", 1)[0].value
        seen["decision"] = json.loads(decision or b"{}")["lead_id"]
        if monitored:
            seen["scraped"] = scraped(stack, folder)
        for worker in workers:
            worker.terminate()
        seen["ends"] = [worker.wait(60) for worker in workers]
    print(json.dumps(seen))  # noqa: T201


def scraped(stack: ExitStack, folder: Path) -> list[str]:
    """Start Prometheus with the arguments of the file; the instances that it reaches."""
    arguments = [local_path("prometheus", word) for word in service_of("prometheus")["command"]]
    # The mounted files lie together in the container, and so they do here.
    place = folder / "prometheus"
    (place / "data").mkdir(parents=True)
    for volume in service_of("prometheus")["volumes"]:
        source, target = volume.split(":")[:2]
        if target.startswith("/etc/prometheus/"):
            (place / Path(target).name).symlink_to((DEPLOY / source).resolve())
    arguments = [
        word.replace("/etc/prometheus", str(place)).replace("=/prometheus", f"={place}/data") for word in arguments
    ]
    prometheus = stack.enter_context(process(["prometheus", *arguments], folder / "prometheus.log"))
    until(lambda: len(ask_prometheus("up == 1")) == 2, prometheus)
    return sorted(result["metric"]["instance"] for result in ask_prometheus("up == 1"))


if __name__ == "__main__":
    main()
