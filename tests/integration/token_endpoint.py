"""A token endpoint for client credentials, over real HTTPS, in a thread."""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote_plus

from tests.brokers.authority import Authority


class Asked(NamedTuple):
    """A request: the id and the secret of the client, and the fields of the form."""

    client: str
    secret: str
    fields: Mapping[str, list[str]]


Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers, body."""


class Endpoint:
    """`url`: its address. `asked`: the requests so far. `answer`: gives the answer to one, and can be replaced."""

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.url = ""


def granted(**fields: Any) -> Answer:
    """A token, or whatever else the endpoint gives."""
    return 200, {"Content-Type": "application/json"}, json.dumps({"token_type": "Bearer", **fields}).encode()


def refused(error: str, status: int = 401) -> Answer:
    """As RFC 6749 says."""
    return status, {"Content-Type": "application/json"}, json.dumps({"error": error}).encode()


@contextmanager
def token_endpoint(authority: Authority, answer: Callable[[Asked], Answer]) -> Iterator[Endpoint]:
    """The endpoint, until the block ends. Its certificate is for 127.0.0.1."""
    endpoint = Endpoint(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            login = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
            client, _, secret = login.partition(":")
            fields = parse_qs(self.rfile.read(length).decode())
            asked = Asked(unquote_plus(client), unquote_plus(secret), fields)
            endpoint.asked.append(asked)
            status, headers, body = endpoint.answer(asked)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("endpoint", "/CN=127.0.0.1", hosts="IP:127.0.0.1"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    endpoint.url = f"https://127.0.0.1:{server.server_address[1]}/token"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
