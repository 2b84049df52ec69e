"""`/metrics`, `/health/live` and `/health/ready` over HTTP, for everybody who reaches the port."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from scorer.runtime.metrics import CONTENT_TYPE, Metrics
from scorer.service.pace import Paced, Shared

Report = tuple[bool, Mapping[str, object]]
Endpoint = Callable[[Request], Awaitable[Response]]
_METHODS: Final = "GET, HEAD"


class Health(Protocol):
    """Reports the health of the service: (whether it is well, details for people)."""

    def live(self) -> Report:
        """False if only a restart helps."""

    def ready(self) -> Report:
        """False while activities are not being processed as they should: without an assignment, while state is being
        restored, while a partition does not advance, or with a wrong clock."""


def build_asgi(metrics: Metrics, health: Health) -> ASGIApp:
    """The ASGI application."""

    def rendered() -> bytes:
        metrics.health(_status(health))
        return metrics.render()

    page = Shared(rendered)

    async def metrics_page(request: Request) -> Response:
        return _Answer(await page.get(), media_type=CONTENT_TYPE)

    async def live(request: Request) -> Response:
        return _health(health.live())

    async def ready(request: Request) -> Response:
        return _health(health.ready())

    def not_allowed(request: Request, error: Exception) -> Response:
        # Starlette's patterns also match a path with a line break at its end.
        return _not_allowed(request) if _is_exact(request) else _not_found(request)

    routes = [Route("/metrics", metrics_page), Route("/health/live", live), Route("/health/ready", ready)]
    app = Starlette(
        routes=[Route(route.path, _exactly(route.endpoint)) for route in routes],
        exception_handlers={404: _not_found, 405: not_allowed},
    )
    app.router.redirect_slashes = False
    return Paced(app)


def _exactly(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        return await endpoint(request) if _is_exact(request) else _not_found(request)

    return answer


def _is_exact(request: Request) -> bool:
    path: bytes = request.scope["raw_path"]
    return not path.endswith(b"%0A")


class _Answer(Response):
    """An answer that has no body for HEAD, but the same length as for GET."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            self.body = b""
        await super().__call__(scope, receive, send)


def _status(health: Health) -> str:
    if not health.live()[0]:
        return "dead"
    return str(health.ready()[1].get("status", ""))


def _health(report: Report) -> Response:
    well, details = report
    return _json(200 if well else 503, details)


def _not_found(request: Request, error: Exception | None = None) -> Response:
    return _json(404, {"error": "not found; there are /metrics, /health/live and /health/ready"})


def _not_allowed(request: Request) -> Response:
    return _json(405, {"error": f"{request.method} is not allowed; use GET"}, {"allow": _METHODS})


def _json(status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    # Starlette's own JSON leaves out the blanks and the line break that these answers have always had.
    return _Answer(json.dumps(content) + "\n", status, headers, "application/json")
