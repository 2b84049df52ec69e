"""The service as a child process of the demo, exactly as a user would run it."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from scorer.demo.broker import HOST, free_port
from scorer.demo.errors import DemoError
from scorer.runtime.python_path import python_path

_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 15.0
_LOG_LINES: Final = 15
_PR_SET_PDEATHSIG: Final = 1


class ServiceProcess:
    """`python -m scorer run` with these settings, HTTP on free loopback ports, and its log in `folder`.

    A context manager: it starts the process, and at the end stops it and waits for its exit.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.port = free_port()
        self._api_port = free_port()
        self._folder = folder
        self._log = folder / "service.log"
        self._settings = {**settings, "HTTP_HOST": HOST, "HTTP_PORT": str(self.port)}
        self._settings |= {"API_HOST": HOST, "API_PORT": str(self._api_port)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Base URL of /metrics, /health/live and /health/ready."""
        return f"http://{HOST}:{self.port}"

    @property
    def leads_url(self) -> str:
        """Base URL of /leads, open to everybody on this machine."""
        return f"http://{HOST}:{self._api_port}"

    def __enter__(self) -> Self:
        # The environment and a `.env` in the working folder may configure another service: neither is used.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
        environment |= {f"SCORER_{name}": value for name, value in self._settings.items()}
        environment["PYTHONPATH"] = python_path(environment)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "scorer", "run"],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches the whole foreground group; the service must end only when the demo stops it.
                start_new_session=True,
                preexec_fn=_end_with_parent if _libc is not None else None,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            process.terminate()
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass  # it had enough time to commit
        finally:
            # Reached also if the user presses Ctrl-C again.
            if process.poll() is None:
                process.kill()
                process.wait()

    def check(self) -> None:
        """Raise `DemoError` with the end of the log if the service has ended."""
        status = None if self._process is None else self._process.poll()
        if status is not None:
            raise DemoError(f"the service ended with status {status}; {self.last_words()}")

    async def ready(self) -> None:
        """Wait until it processes activities. Raises `DemoError` if it ends or takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _READY_SECONDS
        while not await self._says_ready():
            self.check()
            if loop.time() > deadline:
                raise DemoError(f"the service is not ready after {_READY_SECONDS:.0f} s; {self.last_words()}")
            await asyncio.sleep(0.05)

    async def told(self) -> Mapping[str, object] | None:
        """What /health/ready says; None if it does not answer."""
        answer = await self._ask()
        try:
            content = None if answer is None else msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
        except msgspec.DecodeError:
            return None
        return content if isinstance(content, dict) else None

    def last_words(self) -> str:
        """The end of its log."""
        lines = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "its last log lines:\n" + "\n".join(lines) if lines else "it logged nothing"

    async def _says_ready(self) -> bool:
        answer = await self._ask()
        return answer is not None and b" 200 " in answer.partition(b"\r\n")[0]

    async def _ask(self) -> bytes | None:
        """The answer of /health/ready with its head; None if there is none."""
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                try:
                    writer.write(f"GET /health/ready HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                    return await reader.read()
                finally:
                    writer.close()
        except OSError:  # refused, reset, timed out: not yet
            return None


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    # A killed demo must not leave the service behind.
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
