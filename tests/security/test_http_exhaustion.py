"""HTTP clients take neither the descriptors nor the log nor the time of the service."""

import asyncio
import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from scorer.runtime.metrics import BatchFigures, Metrics
from scorer.service.http import build_asgi
from scorer.service.listener import HttpServer
from tests.security.certificates import Authority
from tests.unit.test_lead_explanations import Worker, api, known

ROOT = Path(__file__).parents[2]
DESCRIPTORS = 256
SILENT = 400
CLIENTS = 16
ANSWER_SECONDS = 2.0
CONNECT_SECONDS = 0.2
STEP_SECONDS = 0.0005


class Running:
    """`scorer run` that waits for a Kafka which does not exist, with few file descriptors."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def text(self) -> str:
        """Its log so far."""
        return self._log.read_text()

    def port(self, event: str) -> int:
        """The port that the log line names."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for line in self.text().splitlines():
                if f'"{event}"' in line:
                    port: int = json.loads(line)["port"]
                    return port
            time.sleep(0.05)
        raise AssertionError(f"no {event}:\n{self.text()}")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
    certificate, key = Authority(tmp_path, "CA").certificate("service")
    environment |= {
        "SCORER_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "SCORER_HTTP_PORT": "0",
        "SCORER_API_PORT": "0",
        "SCORER_API_TLS_CERT_FILE": str(certificate),
        "SCORER_API_TLS_KEY_FILE": str(key),
    }
    path = tmp_path / "service.log"
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))"
    start = (
        f"{limited}; import runpy, sys; sys.argv = ['scorer', 'run']; runpy.run_module('scorer', run_name='__main__')"
    )
    with path.open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", start], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield Running(path)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def connections(port: int, count: int, first: bytes) -> Iterator[list[socket.socket]]:
    """Connections that send their first bytes and then nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > count + 100, f"needs more than {soft} of {hard} descriptors"
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.settimeout(CONNECT_SECONDS)
            # A full backlog is the listener's right answer to a flood.
            with contextlib.suppress(OSError):
                client.connect(("127.0.0.1", port))
                client.sendall(first)
                made.append(client)
        yield made


def live(port: int) -> int:
    """The status of the health check; fails without an answer in time."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=ANSWER_SECONDS) as response:
        status: int = response.status
        return status


def closed(client: socket.socket) -> bool:
    """Whether the other side has closed, after whatever it answered."""
    client.setblocking(False)
    try:
        while client.recv(65536):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def left_open(clients: Sequence[socket.socket], sent: bytes = b"") -> list[socket.socket]:
    """The connections that the other side has not closed within nine seconds. Meanwhile `sent` goes to each of them now
    and then."""
    deadline = time.monotonic() + 9
    left = list(clients)
    while left and time.monotonic() < deadline:
        time.sleep(0.5)
        for client in left if sent else ():
            with contextlib.suppress(OSError):
                client.sendall(sent)
        left = [client for client in left if not closed(client)]
    return left


def test_more_silent_connections_than_descriptors_leave_health_and_log_alone(running: Running) -> None:
    port = running.port("http_listening")
    with connections(port, SILENT, b"") as made:
        assert len(made) > DESCRIPTORS
        for _ in range(4):
            assert live(port) == 200
            time.sleep(0.5)
        assert "out of system resource" not in running.text()
        assert len(running.text()) < 50_000


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01"], ids=["silent", "half of a handshake"])
def test_a_flood_of_the_listener_for_lead_data_reaches_neither_health_nor_the_descriptors(
    running: Running, first: bytes
) -> None:
    port, health = running.port("api_listening"), running.port("http_listening")
    with connections(port, SILENT, first) as made:
        assert len(made) > DESCRIPTORS
        for _ in range(4):
            assert live(health) == 200
            time.sleep(0.5)
        assert "out of system resource" not in running.text()
        assert len(running.text()) < 50_000


def test_a_handshake_that_does_not_go_on_is_closed(running: Running) -> None:
    with connections(running.port("api_listening"), 8, b"\x16\x03\x01") as made:
        assert len(made) == 8
        assert left_open(made) == []


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"GET /health/live HTTP/1.1\r\nHost:",
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nx",
    ],
    ids=["silent", "half of the headers", "half of the body"],
)
def test_half_open_requests_are_closed_even_if_they_send_a_byte_now_and_then(running: Running, first: bytes) -> None:
    port = running.port("http_listening")
    with connections(port, 8, first) as made:
        assert len(made) == 8
        assert left_open(made, b"a" if first else b"") == []


def test_a_connection_that_is_kept_alive_is_closed_when_it_asks_no_more(running: Running) -> None:
    port = running.port("http_listening")
    with connections(port, 8, b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n") as made:
        assert len(made) == 8
        assert left_open(made) == []


def test_a_client_that_does_not_read_its_answers_gives_its_place_to_others(running: Running) -> None:
    port = running.port("http_listening")
    with connections(port, SILENT, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 300):
        assert live(port) == 200


STORM = textwrap.dedent("""
    import sys, threading, urllib.request
    def ask():
        while True:
            try:
                urllib.request.urlopen(sys.argv[1], timeout=10).read()
            except OSError:
                pass
    for _ in range(int(sys.argv[2])):
        threading.Thread(target=ask).start()
""")


@pytest.mark.parametrize("lead_id", ["lead-1", "nobody"])
def test_many_questions_leave_the_event_loop_half_of_its_turns(lead_id: str) -> None:
    busy, idle = asyncio.run(turns_in_a_storm(api(Worker(known())), f"/leads/{lead_id}"))
    assert busy > idle / 2


@pytest.mark.parametrize("path", ["/metrics", "/health/ready"])
def test_many_scrapes_leave_the_event_loop_a_quarter_of_its_turns_at_least(path: str) -> None:
    metrics = Metrics()
    types = Counter({f"lead.type_{number}": 1 for number in range(500)})
    metrics.committed(BatchFigures(activities=types), now=1.0)
    busy, idle = asyncio.run(turns_in_a_storm(build_asgi(metrics, Worker(known())), path))
    assert busy > idle / 4


async def turns_in_a_storm(app: ASGIApp, path: str) -> tuple[float, float]:
    """Turns of a loop that always has work, for each second of the processor: in a storm of requests, and without."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = HttpServer(app)
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        idle = await turns(1.5)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}{path}"
        storm = await asyncio.create_subprocess_exec(sys.executable, "-c", STORM, url, str(CLIENTS))
        try:
            await turns(1.0)
            busy = await turns(3.0)
        finally:
            storm.kill()
            await storm.wait()
        server.should_exit = True
        await serving
    return busy, idle


async def turns(seconds: float) -> float:
    """Turns for each second that this process had the processor: other processes on the machine do not count."""
    deadline, began, count = time.monotonic() + seconds, time.process_time(), 0
    while time.monotonic() < deadline:
        work = time.thread_time() + STEP_SECONDS
        while time.thread_time() < work:
            pass
        await asyncio.sleep(0)
        count += 1
    return count / (time.process_time() - began)
