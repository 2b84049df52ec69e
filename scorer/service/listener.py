"""A listener for HTTP that its clients cannot exhaust.

The service scores in the same event loop and with the same file descriptors. So a listener has few connections. Every
connection has a deadline, and a new connection takes the place of the oldest one.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_KEEP_ALIVE_SECONDS: Final = 5
_BACKLOG: Final = 32


class HttpError(Exception):
    """The address cannot be bound; the message names it and the reason."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the clients of one listener may take.

    `connections`: open at the same time. `backlog`: not yet accepted. `header_seconds`: from the connection, or the
    first byte on a connection that is kept alive, to the end of the headers. `answer_seconds`: from there to the end of
    the answer, and from there until the client has read it.
    """

    connections: int = 64
    backlog: int = _BACKLOG
    header_seconds: float = 5.0
    answer_seconds: float = 30.0


def bind(host: str, port: int, names: str = "SCORER_HTTP_HOST, SCORER_HTTP_PORT") -> socket.socket:
    """A bound socket; port 0 takes a free one. `names`: the settings that say so. Raises `HttpError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            # Without this, two sockets can be bound to the same address, and the second one fails later.
            sock.listen(_BACKLOG)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        raise HttpError(f"cannot listen on {host}:{port} ({names}): {error.strerror or error}") from None
    return sock


class HttpServer(uvicorn.Server):
    """uvicorn with limits. It leaves signals to the service, which decides on the order of the shutdown."""

    def __init__(self, app: Starlette, limits: Limits | None = None) -> None:
        super().__init__(_Config(app, limits or Limits()))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class _Config(uvicorn.Config):
    def __init__(self, app: Starlette, limits: Limits) -> None:
        super().__init__(
            app,
            http=_Connection,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            # asyncio accepts this number of connections in one turn of the loop, before any of them can be closed.
            backlog=limits.backlog,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        self.limits = limits
        self.open: dict[_Connection, None] = {}
        """The connections, oldest first."""


class _Connection(H11Protocol):
    """One deadline runs at any time, except between two requests, where uvicorn has one.

    A deadline starts with a phase and never moves within it, so a client cannot extend it with a byte now and then.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(config, _Config)
        self._limits = config.limits
        self._open = config.open
        self._deadline: asyncio.TimerHandle | None = None
        self._answering: object | None = None
        self._idle = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self._open) >= self._limits.connections:
            # Whatever it does: a client that asks at once, as health checks do, is answered before it is the oldest.
            next(iter(self._open)).end()
        self._open[self] = None
        self._within(self._limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.pop(self, None)
        self._stop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._idle:
            self._idle = False
            self._within(self._limits.header_seconds)
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()
        if not self._in_flight():
            # uvicorn closes an idle connection, but a transport closes only when everything is sent.
            self._idle = True
            self._within(self._limits.answer_seconds)

    def _in_flight(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _follow(self) -> None:
        if self._in_flight() and self.cycle is not self._answering:
            self._answering = self.cycle
            self._idle = False
            self._within(self._limits.answer_seconds)

    def _within(self, seconds: float) -> None:
        self._stop_deadline()
        self._deadline = self.loop.call_later(seconds, self.end)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def end(self) -> None:
        """Close at once, whatever is not yet sent."""
        # Not close(), which would wait for a client that does not read.
        self._open.pop(self, None)
        self.transport.abort()
