"""`/metrics`, `/health/live`, `/health/ready` and `/leads/{id}` over HTTP."""

import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote_to_bytes

import uvicorn

from scorer.runtime.metrics import CONTENT_TYPE, Metrics

Message = MutableMapping[str, Any]
Asgi = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
_LEADS = b"/leads/"
Report = tuple[bool, Mapping[str, object]]


class Health(Protocol):
    """What is asked for its health: (is it well, details for people)."""

    def live(self) -> Report:
        """False where only a restart helps."""

    def ready(self) -> Report:
        """False while activities are not being processed: no assignment yet, or state being restored."""


class HttpError(Exception):
    """The address cannot be bound; the message says which and why."""


class Leads(Protocol):
    """What is asked for the story of a lead."""

    async def story(self, lead_id: str, at: str | None) -> tuple[int, Mapping[str, object]]:
        """Status and content of the answer; `at` as it was given."""


def build_asgi(metrics: Metrics, health: Health, leads: Leads) -> Asgi:
    """The ASGI application."""

    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        # The path as it was sent: decoded, a slash in an id would look like one of the path.
        path: bytes = scope["raw_path"]
        if path.startswith(_LEADS):
            status, content_type, body = await _lead(scope["method"], path[len(_LEADS) :], scope["query_string"], leads)
        else:
            status, content_type, body = _respond(scope["method"], scope["path"], metrics, health)
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        if path.startswith(_LEADS):
            headers.append((b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return app


def _respond(method: str, path: str, metrics: Metrics, health: Health) -> tuple[int, str, bytes]:
    if path not in ("/metrics", "/health/live", "/health/ready"):
        return _json(404, {"error": "not found; there are /metrics, /health/live, /health/ready and /leads/{id}"})
    if method not in ("GET", "HEAD"):
        return _json(405, {"error": f"{method} is not allowed; use GET"})
    if path == "/metrics":
        return 200, CONTENT_TYPE, metrics.render()
    ok, details = health.live() if path == "/health/live" else health.ready()
    return _json(200 if ok else 503, details)


async def _lead(method: str, quoted: bytes, query: bytes, leads: Leads) -> tuple[int, str, bytes]:
    if method not in ("GET", "HEAD"):
        return _json(405, {"error": f"{method} is not allowed; use GET"})
    try:
        lead_id = unquote_to_bytes(quoted).decode()
        asked = parse_qs(query.decode(), keep_blank_values=True, errors="strict", max_num_fields=10)
    except ValueError:
        return _json(400, {"error": "the lead id must be UTF-8, percent-encoded"})
    if not lead_id or set(asked) - {"at"} or len(asked.get("at", [])) > 1:
        return _json(400, {"error": "expected /leads/{id} or /leads/{id}?at=TIME"})
    return _json(*await leads.story(lead_id, asked["at"][0] if "at" in asked else None))


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
