"""The embedded broker: noida-db, a small binary that speaks the Kafka protocol, in a child process.

It is for the demo and the tests, never for production: one node, no TLS, and everything in memory.
"""

import contextlib
import ctypes
import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1


class BrokerError(Exception):
    """The embedded broker is missing or does not start; the message says what to do."""


class EmbeddedBroker:
    """A broker on a free loopback port with a fresh data folder. `stop` ends it and removes the folder.

    `root` is the parent of the data folder (default: the system's temporary folder). Port 0 picks a free port.
    Use it as a context manager, or call `start` and `stop`. On Linux it also ends when the process that
    started it dies, so that a `kill -9` leaves no process behind.
    """

    def __init__(self, root: Path | None = None, port: int = 0) -> None:
        self._root = root
        self._port = port
        self._wanted_port = port
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port`, as `SCORER_BOOTSTRAP_SERVERS` takes it. Valid after `start`."""
        return f"{HOST}:{self._port}"

    @property
    def pid(self) -> int:
        """The process id of the broker itself. Raises `BrokerError` if it is not running."""
        if self._process is None:
            raise BrokerError("the embedded broker is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the broker process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it and return once it accepts connections. Raises `BrokerError`."""
        if self.running:
            return self
        binary = _binary()
        if self._root is not None:
            self._root.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="broker-", dir=self._root))
        try:
            # Another process can take the port before the broker does: try others.
            for _ in range(1 if self._wanted_port else 3):
                self._port = self._wanted_port or free_port()
                if self._spawn(binary, self._folder):
                    return self
            raise BrokerError(f"the embedded broker did not start on {self.bootstrap}: {self._last_words()}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and remove its data. Does nothing if it is not running."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self, binary: Path, folder: Path) -> bool:
        arguments = ["start", "--only", "kafka", "--kafka-port", str(self._port)]
        arguments += ["--host", HOST, "--data-dir", str(folder / "data")]
        with (folder / "broker.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(binary), *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches the whole foreground group; the broker must outlive the last commit.
                start_new_session=True,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            # Another broker could answer on this port, so ours must have logged that it listens.
            if self.bootstrap in self._log() and _answers(self._port):
                return True
            time.sleep(0.01)
        self._process.kill()
        self._process.wait()
        return False

    def _log(self) -> str:
        if self._folder is None:
            return ""
        with contextlib.suppress(OSError):
            return (self._folder / "broker.log").read_text(errors="replace")
        return ""

    def _last_words(self) -> str:
        return " / ".join(line.strip() for line in self._log().splitlines()[-3:]) or "it logged nothing"


def free_port() -> int:
    """A loopback TCP port that is free right now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1.0):
        return True
    return False


def _binary() -> Path:
    # The `noida-db` command is a wrapper with another process id; signals must reach the binary itself.
    spec = importlib.util.find_spec("noida_db")
    if spec is None or spec.origin is None:
        raise BrokerError("the embedded broker is not installed: pip install 'lead-scorer[demo]'")
    binary = Path(spec.origin).with_name("noida-db")
    if not binary.is_file():
        raise BrokerError(f"the package noida-db contains no binary for this platform: {binary} is missing")
    if not binary.stat().st_mode & 0o100:
        binary.chmod(0o755)
    return binary


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
