"""`/metrics`, `/health/live` and `/health/ready` over HTTP."""

import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol

import uvicorn

from scorer.metrics import CONTENT_TYPE, Metrics

Message = MutableMapping[str, Any]
Asgi = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
Report = tuple[bool, Mapping[str, object]]


class Health(Protocol):
    """What is asked for its health: (is it well, details for people)."""

    def live(self) -> Report:
        """False where only a restart helps."""

    def ready(self) -> Report:
        """False while activities are not being processed: no assignment yet, or state being restored."""


class HttpError(Exception):
    """The address cannot be bound; the message says which and why."""


def build_asgi(metrics: Metrics, health: Health) -> Asgi:
    """The ASGI application."""

    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        status, content_type, body = _respond(scope["method"], scope["path"], metrics, health)
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return app


def _respond(method: str, path: str, metrics: Metrics, health: Health) -> tuple[int, str, bytes]:
    if path not in ("/metrics", "/health/live", "/health/ready"):
        return _json(404, {"error": "not found; there are /metrics, /health/live and /health/ready"})
    if method not in ("GET", "HEAD"):
        return _json(405, {"error": f"{method} is not allowed; use GET"})
    if path == "/metrics":
        return 200, CONTENT_TYPE, metrics.render()
    ok, details = health.live() if path == "/health/live" else health.ready()
    return _json(200 if ok else 503, details)


def _json(status: int, content: Mapping[str, object]) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(content).encode() + b"\n"


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `HttpError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(128)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        raise HttpError(
            f"cannot listen on {host}:{port} (SCORER_HTTP_HOST, SCORER_HTTP_PORT): {error.strerror or error}"
        ) from None
    return sock


class HttpServer(uvicorn.Server):
    """uvicorn that leaves signals to the service: the order of shutting down is ours."""

    def __init__(self, app: Asgi) -> None:
        super().__init__(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not."""
        yield
