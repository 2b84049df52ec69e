"""Asks the service of this container or machine whether it is live or ready: `python -m scorer.service.probe ready`.

For health checks without curl. It imports nothing but the standard library, because a check runs every few seconds.
"""

import http.client
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2

_SECONDS: Final = 4.0
_USAGE: Final = "usage: python -m scorer.service.probe live|ready"
_EVERYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def probe(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """The exit status, 0 only if the service answers that it is well, and a line for people.

    The address is that of SCORER_HTTP_HOST and SCORER_HTTP_PORT; a `.env` file is not read.
    """
    if len(arguments) != 1 or arguments[0] not in ("live", "ready"):
        return USAGE, _USAGE
    port = environment.get("SCORER_HTTP_PORT") or "8080"
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return USAGE, f"SCORER_HTTP_PORT is {port!r}; expected the port on which the service answers, from 1 to 65535"
    host = environment.get("SCORER_HTTP_HOST", "")
    host = _EVERYWHERE.get(host, host)
    connection = http.client.HTTPConnection(host, int(port), timeout=_SECONDS)
    try:
        connection.request("GET", f"/health/{arguments[0]}")
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return FAILED, f"{host}:{port} does not answer: {error}"
    finally:
        connection.close()
    return (OK if answer.status == 200 else FAILED), text


if __name__ == "__main__":
    status, line = probe(sys.argv[1:], os.environ)
    print(line, file=sys.stdout if status == OK else sys.stderr)
    sys.exit(status)
