"""The health check for containers: an answer of the service, no answer, and a wrong call."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from scorer.service.probe import FAILED, OK, USAGE, probe


class Answers(http.server.BaseHTTPRequestHandler):
    """200 for liveness and 503 for readiness."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/live" else 503)
        self.end_headers()
        self.wfile.write(b'{"status": "restoring"}\n')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield str(server.server_address[1])
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("what", "status"), [("live", OK), ("ready", FAILED)])
def test_the_answer_decides(port: str, what: str, status: int) -> None:
    assert probe([what], {"SCORER_HTTP_PORT": port}) == (status, '{"status": "restoring"}')


@pytest.mark.parametrize("host", ["", "0.0.0.0", "127.0.0.1"])
def test_it_asks_where_the_service_listens(port: str, host: str) -> None:
    assert probe(["live"], {"SCORER_HTTP_PORT": port, "SCORER_HTTP_HOST": host})[0] == OK


def test_no_answer_is_a_failure() -> None:
    status, line = probe(["live"], {"SCORER_HTTP_PORT": "1"})
    assert status == FAILED
    assert line.startswith("127.0.0.1:1 does not answer: ")


@pytest.mark.parametrize("port", ["0", "http", "70000"])
def test_a_port_that_it_cannot_ask_is_a_wrong_call(port: str) -> None:
    status, line = probe(["live"], {"SCORER_HTTP_PORT": port})
    assert status == USAGE
    assert line.startswith(f"SCORER_HTTP_PORT is '{port}'; expected the port")


@pytest.mark.parametrize("arguments", [[], ["alive"], ["live", "ready"]])
def test_it_says_how_it_is_called(arguments: list[str]) -> None:
    assert probe(arguments, {}) == (USAGE, "usage: python -m scorer.service.probe live|ready")


def test_it_loads_nothing_but_the_standard_library(port: str) -> None:
    code = "import sys, scorer.service.probe; print([name for name in sys.modules if name in ('pydantic', 'aiokafka')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
