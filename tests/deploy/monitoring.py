"""Prometheus and Alertmanager as child processes, with the configuration of `deploy/mixin` and other targets."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import pytest

from scorer.demo.broker import die_with_parent

T = TypeVar("T")
ROOT: Final = Path(__file__).parents[2]
MIXIN: Final = ROOT / "deploy" / "mixin"
_HOST: Final = "127.0.0.1"
_NOBODY: Final = "http://receiver.invalid"
_START_SECONDS: Final = 60.0
_DURATION: Final = re.compile(r"(?<![\w.$])(\d+)(ms|s|m|h|d)(?![\w.])")
_MILLISECONDS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def program(name: str) -> str:
    """The path of a program. Skips the test where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(
            f"{name} is not on this machine (Debian has it: apt-get install prometheus prometheus-alertmanager)"
        )
    return found


def promtool(*arguments: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run promtool, with this text as its input."""
    command = [program("promtool"), *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)


def faster(text: str, factor: int) -> str:
    """The text of a configuration or of rules with all durations divided by `factor`, at least a millisecond each.
    Comments and sentences have no durations that anything depends on."""

    def shorter(match: re.Match[str]) -> str:
        return f"{max(1, int(match[1]) * _MILLISECONDS[match[2]] // factor)}ms"

    return _DURATION.sub(shorter, text)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


class _Server:
    """A program with an HTTP interface, started on a free loopback port."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"{_HOST}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def get(self, path: str, **parameters: str) -> Any:
        """The answer of the HTTP interface as JSON. Raises `AssertionError` with what it says instead."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}{query}", timeout=20) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}{query}: {error.code} {error.read().decode()}") from None

    def log(self) -> str:
        """What it wrote."""
        return (self.folder / f"{self.name}.log").read_text("utf-8", "replace")

    def __enter__(self) -> Self:
        with (self.folder / f"{self.name}.log").open("wb") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(os.environ),
                start_new_session=True,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
        try:
            until(self._is_ready, _START_SECONDS, lambda: f"{self.name} does not start:\n{self.log()}")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended:\n{self.log()}"
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5):
                return True
        except OSError:
            return False


class Prometheus(_Server):
    """Prometheus with the files of `deploy/mixin`. `targets` are addresses of services (`host:port`), `alertmanager`
    that of Alertmanager. All durations of configuration and rules are divided by `factor`. `data` keeps the samples.
    `replaced`: texts of the alerts, each of which is there once, and what stands there instead."""

    name = "prometheus"

    def __init__(
        self,
        folder: Path,
        targets: Iterable[str] = (),
        alertmanager: str | None = None,
        *,
        factor: int = 1,
        data: Path | None = None,
        replaced: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        self._binary = program("prometheus")
        self._data = data or folder / "data"
        self._factor = factor
        copy_of_mixin(folder / "mixin", {"lead-scorer": list(targets)}, alertmanager, factor)
        alerts = folder / "mixin" / "alerts.yaml"
        for before, after in (replaced or {}).items():
            replace(alerts, before, after)

    def command(self) -> list[str]:
        return [
            self._binary,
            f"--config.file={self.folder / 'mixin' / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._data}",
            f"--web.listen-address={self.address}",
            "--storage.tsdb.retention.time=3650d",
            # An expression then looks as far back as it does in production, in units of the scrape interval.
            f"--query.lookback-delta={faster('5m', self._factor)}",
            "--log.level=warn",
        ]

    def query(self, expression: str, **parameters: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        result: list[dict[str, Any]] = self.get("/api/v1/query", query=expression, **parameters)["data"]["result"]
        return result

    def range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The result of a range query. Times are seconds since the epoch."""
        answer = self.get("/api/v1/query_range", query=expression, start=str(start), end=str(end), step=str(step))
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def alerts(self) -> set[tuple[str, str]]:
        """(name, state) of all alerts that are pending or firing."""
        return {
            (alert["labels"]["alertname"], alert["state"]) for alert in self.get("/api/v1/alerts")["data"]["alerts"]
        }


class Alertmanager(_Server):
    """Alertmanager with the files of `deploy/mixin`. It notifies the receivers at that address (`http://host:port`)."""

    name = "alertmanager"

    def __init__(self, folder: Path, receiver: str, *, factor: int = 1) -> None:
        super().__init__(folder)
        self._binary = program("prometheus-alertmanager")
        text = (MIXIN / "alertmanager.yml").read_text()
        assert text.count(f'"{_NOBODY}/') == 2
        (folder / "alertmanager.yml").write_text(faster(text, factor).replace(_NOBODY, receiver))

    def command(self) -> list[str]:
        return [
            self._binary,
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'alertmanager'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]

    def firing(self) -> set[str]:
        """The names of the alerts that have not ended and that nothing inhibits."""
        alerts = self.get("/api/v2/alerts", active="true", inhibited="false")
        return {alert["labels"]["alertname"] for alert in alerts}


class Receiver:
    """Takes the notifications of Alertmanager: (alert, status, receiver) of each, in order."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, str]] = []
        notes = self.notes

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                notes.extend(
                    (alert["labels"]["alertname"], alert["status"], self.path.rpartition("/")[2])
                    for alert in body["alerts"]
                )
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def copy_of_mixin(
    folder: Path, targets: Mapping[str, list[str]], alertmanager: str | None = None, factor: int = 1
) -> None:
    """A copy of `deploy/mixin` with other targets and all durations divided by `factor`."""
    for source in sorted(MIXIN.glob("*.y*ml")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / source.name).write_text(faster(source.read_text(), factor))
    (folder / "targets").mkdir()
    managers = [] if alertmanager is None else [alertmanager]
    for name, addresses in {**targets, "alertmanager": managers}.items():
        (folder / "targets" / f"{name}.json").write_text(json.dumps([{"targets": addresses}]))


def replace(path: Path, before: str, after: str) -> None:
    """Replace a text in a file, which must be there once."""
    text = path.read_text()
    assert text.count(before) == 1, f"{path}: {before!r} is there {text.count(before)} times"
    path.write_text(text.replace(before, after))


def until(condition: Callable[[], T], seconds: float, message: Callable[[], str]) -> T:
    """The result of the function once it is true. Raises `AssertionError` if the time is up."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(message())
        time.sleep(0.1)
