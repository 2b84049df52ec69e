"""`/metrics`, `/health/live`, `/health/ready` and `/leads/{id}` over HTTP."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol
from urllib.parse import parse_qs, unquote_to_bytes

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from scorer.runtime.metrics import CONTENT_TYPE, Metrics

Report = tuple[bool, Mapping[str, object]]
Endpoint = Callable[[Request], Awaitable[Response]]
_LEADS: Final = b"/leads/"
_QUERY_FIELDS: Final = 10
_RETRY_SECONDS: Final = "1"


class Health(Protocol):
    """Reports the health of the service: (whether it is well, details for people)."""

    def live(self) -> Report:
        """False if only a restart helps."""

    def ready(self) -> Report:
        """False while activities are not being processed as they should: without an assignment, while state is being
        restored, while a partition does not advance, or with a wrong clock."""


class Leads(Protocol):
    """Tells the story of a lead."""

    async def story(self, lead_id: str, at: str | None) -> tuple[int, Mapping[str, object]]:
        """Status and content of the answer; `at` as in the request."""


def build_asgi(metrics: Metrics, health: Health, leads: Leads | None) -> Starlette:
    """The ASGI application; without `leads`, only metrics and health."""

    async def metrics_page(request: Request) -> Response:
        metrics.health(_status(health))
        return _Answer(metrics.render(), media_type=CONTENT_TYPE)

    async def live(request: Request) -> Response:
        return _health(health.live())

    async def ready(request: Request) -> Response:
        return _health(health.ready())

    routes = [Route("/metrics", metrics_page), Route("/health/live", live), Route("/health/ready", ready)]
    not_found = _nothing_but_health
    if leads is not None:
        routes.append(_lead_route(leads))
        not_found = _not_found

    def not_allowed(request: Request, error: Exception) -> Response:
        # Starlette's patterns also match a path with a line break at its end, and a prefix that is percent-encoded.
        return _not_allowed(request) if _is_exact(request) else not_found(request)

    app = Starlette(
        routes=[Route(route.path, _exactly(route.endpoint, not_found)) for route in routes],
        exception_handlers={404: not_found, 405: not_allowed},
    )
    app.router.redirect_slashes = False
    return app


def _exactly(endpoint: Endpoint, not_found: Callable[[Request], Response]) -> Endpoint:
    async def answer(request: Request) -> Response:
        return await endpoint(request) if _is_exact(request) else not_found(request)

    return answer


def _is_exact(request: Request) -> bool:
    path: bytes = request.scope["raw_path"]
    return path.startswith(_LEADS) or (not request.scope["path"].startswith("/leads/") and not path.endswith(b"%0A"))


class _Anything(Convertor[str]):
    """The rest of a path. Unlike Starlette's own convertor, it accepts line breaks, because an id may contain them."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())


class _Answer(Response):
    """An answer that has no body for HEAD, but the same length as for GET."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            self.body = b""
        await super().__call__(scope, receive, send)


def _lead_route(leads: Leads) -> Route:
    async def lead(request: Request) -> Response:
        return await _lead(request, leads)

    return Route("/leads/{quoted:anything}", lead)


async def _lead(request: Request, leads: Leads) -> Response:
    # The raw path, because in a decoded one a slash of the id would look like one of the path.
    path: bytes = request.scope["raw_path"]
    try:
        lead_id = unquote_to_bytes(path[len(_LEADS) :]).decode()
    except ValueError:
        return _lead_answer(400, {"error": "the lead id must be UTF-8, percent-encoded"})
    try:
        query = request.scope["query_string"].decode()
        parameters = parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS)
    except ValueError:
        return _lead_answer(400, {"error": "the part after ? must be at=TIME in UTF-8, percent-encoded"})
    if not lead_id or set(parameters) - {"at"} or len(parameters.get("at", [])) > 1:
        return _lead_answer(400, {"error": "expected /leads/{id} or /leads/{id}?at=TIME"})
    return _lead_answer(*await leads.story(lead_id, parameters["at"][0] if "at" in parameters else None))


def _lead_answer(status: int, content: Mapping[str, object]) -> Response:
    headers = {"cache-control": "no-store"}
    if status == 503:
        headers["retry-after"] = _RETRY_SECONDS
    return _json(status, content, headers)


def _status(health: Health) -> str:
    if not health.live()[0]:
        return "dead"
    return str(health.ready()[1].get("status", ""))


def _health(report: Report) -> Response:
    well, details = report
    return _json(200 if well else 503, details)


def _not_found(request: Request, error: Exception | None = None) -> Response:
    message = "not found; there are /metrics, /health/live, /health/ready and /leads/{id}"
    return _json(404, {"error": message})


def _nothing_but_health(request: Request, error: Exception | None = None) -> Response:
    return _json(404, {"error": "not found; there are /metrics, /health/live and /health/ready"})


def _not_allowed(request: Request) -> Response:
    content = {"error": f"{request.method} is not allowed; use GET"}
    path: bytes = request.scope["raw_path"]
    return _lead_answer(405, content) if path.startswith(_LEADS) else _json(405, content)


def _json(status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    # Starlette's own JSON leaves out the blanks and the line break that these answers have always had.
    return _Answer(json.dumps(content) + "\n", status, headers, "application/json")
