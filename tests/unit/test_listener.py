"""A client that takes too long loses its connection, whatever it waits for."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from scorer.service.listener import HttpServer, Limits

LARGE = 1 << 26
"""Bytes: more than the sockets of both sides hold."""
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
LIMITS = Limits(header_seconds=60.0, answer_seconds=0.2)


@asynccontextmanager
async def serving(
    endpoint: Callable[[Request], Awaitable[Response]],
) -> AsyncIterator[tuple[HttpServer, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A server, and a client that has connected to it."""
    app = Starlette(routes=[Route("/", endpoint, methods=["POST"])])
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = HttpServer(app, LIMITS)
        running = asyncio.create_task(server.serve(sockets=[sock]))
        reader, writer = await asyncio.open_connection(*sock.getsockname(), limit=1 << 10)
        try:
            yield server, reader, writer
        finally:
            writer.transport.abort()
            server.should_exit = server.force_exit = True
            await running


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 30))


async def without_connections(server: HttpServer) -> None:
    """Return once the server has closed all of them."""
    while not server.server_state.connections:  # noqa: ASYNC110 (uvicorn has no event for either)
        await asyncio.sleep(0.01)
    while server.server_state.connections:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def test_a_client_that_does_not_send_the_rest_of_its_body_is_not_waited_for() -> None:
    async def endpoint(request: Request) -> Response:
        return Response(await request.body())

    async def scenario() -> None:
        async with serving(endpoint) as (_, reader, writer):
            writer.write(REQUEST + b"half")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(1)

    run(scenario())


def test_a_client_does_not_wait_for_ever_for_an_answer() -> None:
    async def endpoint(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    async def scenario() -> None:
        async with serving(endpoint) as (_, reader, writer):
            writer.write(REQUEST + b"x" * 100)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(1)

    run(scenario())


async def _whole(request: Request) -> Response:
    return Response(bytes(LARGE))


async def _stream(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(LARGE >> 16):
            yield bytes(1 << 16)

    return StreamingResponse(parts())


@pytest.mark.parametrize("endpoint", [_whole, _stream])
def test_a_client_that_does_not_read_its_answer_is_cut_off(endpoint: Callable[[Request], Awaitable[Response]]) -> None:
    async def scenario() -> None:
        async with serving(endpoint) as (server, _, writer):
            # The reader stops at its limit, so the rest of the answer stays on the server's side.
            writer.write(REQUEST + b"x" * 100)
            await without_connections(server)

    run(scenario())
