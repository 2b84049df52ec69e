"""The addresses for lead data: `/leads/{id}`, `/ruleset`, `/asyncapi`, `/openapi.json`.

Routes come from the definition of the OpenAPI document, so neither has a path that the other lacks.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol
from urllib.parse import parse_qs, unquote_to_bytes

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from scorer.contracts.openapi import OPERATIONS, Operation, openapi
from scorer.runtime.tracebacks import traceback_of
from scorer.service.api_access import NO_SCOPE, Access, Client, Refusal
from scorer.service.turns import BusyError, Turns

log = structlog.get_logger()

Content = Mapping[str, object]
_LEADS: Final = b"/leads/"
_QUERY_FIELDS: Final = 10
_RETRY_SECONDS: Final = "1"
_METHODS: Final = "GET, HEAD"
_HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}


class Leads(Protocol):
    """Tells the story of a lead."""

    async def story(self, lead_id: str, at: str | None) -> tuple[int, Content]:
        """Status and content of the answer; `at` as in the request."""


class ReadAudit(Protocol):
    """Records who has read what."""

    def write(self, event: str, **fields: object) -> None:
        """Record an event. Raises if that fails."""


class Sources(NamedTuple):
    """Where the answers come from. `documents`: the content of the addresses that always answer the same."""

    leads: Leads
    ruleset: Callable[[], Content]
    documents: Mapping[str, Content]


class _Answer(NamedTuple):
    status: int
    content: Content
    headers: Mapping[str, str] = {}


class Api:
    """The ASGI application. A client is admitted before it learns anything, also whether a path exists."""

    def __init__(self, sources: Sources, access: Access, audit: ReadAudit, turns: Turns | None = None) -> None:
        self._leads = sources.leads
        self._access = access
        self._audit = audit
        self._turns = turns or Turns()
        documents = {**sources.documents, "openapi": openapi([access.schemes])}
        self._texts = {name: _text(content) for name, content in documents.items()}
        self._ruleset = sources.ruleset
        self._operations = {operation.path.encode(): operation for operation in OPERATIONS if not operation.leads}
        self._lead = next(operation for operation in OPERATIONS if operation.leads)
        known = {"lead", "ruleset", *self._texts}
        assert {operation.id for operation in OPERATIONS} == known, "an operation has no handler, or the reverse"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        response = await self._respond(scope)
        if scope["method"] == "HEAD":
            # The length stays that of GET.
            response.body = b""
        await response(scope, receive, send)

    async def _respond(self, scope: Scope) -> Response:
        try:
            client = self._access.admit(scope)
            if isinstance(client, Refusal):
                await self._turns.refuse()
                return _response(_Answer(client.status, {"error": client.error}, client.headers))
            return await self._turns.take(lambda: self._worked(scope, client))
        except BusyError:
            return _response(_Answer(503, {"error": "too many ask at once; ask again"}))
        except Exception as error:  # noqa: BLE001 (any fault of ours is an answer, not the end of the connection)
            log.error("api_failed", error=type(error).__qualname__, exception=traceback_of(error))
            return _response(_Answer(500, {"error": "a fault of the service; the log of the worker says more"}))

    async def _worked(self, scope: Scope, client: Client) -> Response:
        path: bytes = scope["raw_path"]
        operation = self._operations.get(path) or (self._lead if path.startswith(_LEADS) else None)
        if operation is None:
            paths = ", ".join(each.path for each in OPERATIONS)
            return _response(_Answer(404, {"error": f"not found; there are {paths}"}))
        if scope["method"] not in _METHODS.split(", "):
            return _response(_Answer(405, {"error": "only GET and HEAD are allowed"}, {"allow": _METHODS}))
        if operation.leads:
            return _response(await self._lead_answer(scope, client))
        if scope["query_string"]:
            return _response(_Answer(400, {"error": f"{operation.path} takes no query"}))
        return _response(self._plain(operation))

    def _plain(self, operation: Operation) -> _Answer | str:
        return self._texts.get(operation.id) or _Answer(200, self._ruleset())

    async def _lead_answer(self, scope: Scope, client: Client) -> _Answer:
        # The raw path, because in a decoded one a slash of the id would look like one of the path.
        path: bytes = scope["raw_path"]
        try:
            lead_id = unquote_to_bytes(path[len(_LEADS) :]).decode()
        except UnicodeDecodeError:
            return _Answer(400, {"error": "the lead id must be UTF-8, percent-encoded"})
        if not lead_id:
            return _Answer(400, {"error": "expected /leads/{id} or /leads/{id}?at=TIME"})
        answer = await self._allowed(scope, client, lead_id)
        refused = await self._recorded(scope, client, lead_id, answer.status)
        return refused or answer

    async def _allowed(self, scope: Scope, client: Client, lead_id: str) -> _Answer:
        if not client.leads:
            return _Answer(403, {"error": "this token may not read leads"}, {"www-authenticate": NO_SCOPE})
        try:
            query = scope["query_string"].decode()
            parameters = parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS)
        except ValueError:
            return _Answer(400, {"error": "the part after ? must be at=TIME in UTF-8, percent-encoded"})
        if set(parameters) - {"at"} or len(parameters.get("at", [])) > 1:
            return _Answer(400, {"error": "expected /leads/{id} or /leads/{id}?at=TIME"})
        return _Answer(*await self._leads.story(lead_id, parameters["at"][0] if "at" in parameters else None))

    async def _recorded(self, scope: Scope, client: Client, lead_id: str, status: int) -> _Answer | None:
        """None if it was recorded that the lead was read; else the answer instead."""
        address = (scope.get("client") or ("",))[0]
        path = scope["raw_path"].decode("ascii")

        def write() -> None:
            self._audit.write("lead_read", who=client.who, lead=lead_id, path=path, status=status, address=address)

        try:
            # In a thread, because a disk may be slow.
            await asyncio.to_thread(write)
        except Exception as error:  # noqa: BLE001 (whatever it is: what cannot be recorded is not shown)
            log.error("lead_read_not_recorded", error=repr(error))
            return _Answer(503, {"error": "the audit log cannot be written, so nothing is shown; ask again"})
        return None


def _text(content: Content) -> str:
    return json.dumps(content) + "\n"


def _response(answer: _Answer | str) -> Response:
    if isinstance(answer, str):
        return Response(answer, 200, _HEADERS, "application/json")
    headers = {**_HEADERS, **answer.headers}
    if answer.status == 503:
        headers["retry-after"] = _RETRY_SECONDS
    return Response(_text(answer.content), answer.status, headers, "application/json")
