"""A listener for HTTP that its clients cannot exhaust.

The service scores in the same event loop and with the same file descriptors. So a listener has few connections. Every
connection has a deadline, and a new connection takes the place of the oldest one.

With TLS a connection counts from its first byte, not only from the end of the handshake.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_KEEP_ALIVE_SECONDS: Final = 5
_BACKLOG: Final = 32
PEER: Final = "scorer.peer"
"""In the scope of a request: the subject of the client's verified certificate, such as `CN=crm,O=Acme`."""

Contexts = Callable[[], ssl.SSLContext]
"""Gives the context for the next connection."""


_log = logging.getLogger("uvicorn.error")


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
    """uvicorn with limits. It leaves signals to the service, which decides on the order of the shutdown. `contexts`:
    for TLS; without, it speaks plain HTTP."""

    def __init__(self, app: ASGIApp, limits: Limits | None = None, contexts: Contexts | None = None) -> None:
        super().__init__(_Config(app, limits or Limits(), contexts))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class _Open(Protocol):
    """A connection that counts."""

    def end(self) -> None:
        """Close at once."""


class _Config(uvicorn.Config):
    def __init__(self, app: ASGIApp, limits: Limits, contexts: Contexts | None) -> None:
        super().__init__(
            app,
            http=_Connection if contexts is None else _Handshake,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            # asyncio accepts this number of connections in one turn of the loop, before any of them can be closed.
            backlog=limits.backlog,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        self.limits = limits
        self.contexts = contexts
        self.open: dict[_Open, None] = {}
        """The connections, oldest first."""

    def admit(self, connection: _Open) -> None:
        """Count a new connection; the oldest one ends if there are too many."""
        if len(self.open) >= self.limits.connections:
            # Whatever it does: a client that asks at once, as health checks do, is answered before it is the oldest.
            next(iter(self.open)).end()
        self.open[connection] = None


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
        self._own = config
        self._limits = config.limits
        self._open = config.open
        self._contexts = config.contexts
        self._context: ssl.SSLContext | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._answering: object | None = None
        self._idle = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        secure = transport.get_extra_info("ssl_object")
        if secure is not None:
            self._context = secure.context
            self.app = _with_peer(self.app, secure)
        self._own.admit(self)
        self._within(self._limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.pop(self, None)
        self._stop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._contexts is not None and not self._in_flight() and self._contexts() is not self._context:
            # The certificate that admitted this client may not be admitted any more.
            self.end()
            return
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


class _Handshake(asyncio.Protocol):
    """A connection until the end of its TLS handshake; a `_Connection` follows.

    asyncio could do the handshake itself, but would tell of a connection only when it is over. A client that says
    nothing would keep a descriptor for a minute.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        assert isinstance(config, _Config)
        assert config.contexts is not None
        self._config = config
        self._contexts = config.contexts
        self._inner = _Connection(config, server_state, app_state, _loop)
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # Its bytes are for the one who does the handshake.
        transport.pause_reading()
        self._config.admit(self)
        self._task = self._loop.create_task(self._shake(transport))

    def data_received(self, data: bytes) -> None:
        # A request may come with the end of the handshake, before `start_tls` returns.
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        self._config.open.pop(self, None)

    async def _shake(self, transport: asyncio.Transport) -> None:
        seconds = self._config.limits.header_seconds
        try:
            secure = await self._loop.start_tls(
                transport,
                self,
                self._contexts(),
                server_side=True,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )
        except Exception as error:  # noqa: BLE001 (whatever a client sends ends only its own connection)
            self._config.open.pop(self, None)
            transport.abort()
            _log.warning("TLS handshake failed: %s", getattr(error, "reason", None) or error or type(error).__name__)
            return
        self._config.open.pop(self, None)
        if secure is None or secure.is_closing():
            transport.abort()
            return
        secure.set_protocol(self._inner)
        self._inner.connection_made(secure)
        if self._early:
            self._inner.data_received(self._early)

    def end(self) -> None:
        """Close at once."""
        self._config.open.pop(self, None)
        if self._transport is not None:
            self._transport.abort()


def _with_peer(app: Any, secure: ssl.SSLObject) -> Any:
    """The application, told of the client's certificate, which the context has verified."""
    certificate = secure.getpeercert()
    if not certificate:
        return app
    subject = _subject(certificate)

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, PEER: subject}, receive, send)

    return told


_SHORT: Final = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}


def _subject(certificate: Any) -> str:
    # The most particular part first, as in RFC 4514.
    parts = [(_SHORT.get(name, name), value) for each in certificate.get("subject", ()) for name, value in each]
    return ",".join(f"{name}={value.replace(',', chr(92) + ',')}" for name, value in reversed(parts)) or "no subject"
