"""How the commands log in to the listener for lead data of a running service."""

import ssl
import urllib.request
from pathlib import Path
from typing import Any, Final, NamedTuple

from scorer.domain.printable import printable

_LONGEST: Final = 65_536


class LoginError(Exception):
    """A file of the login cannot be used; the message names it, and shows no token."""


class Login(NamedTuple):
    """The files of a login, each None if it is not needed."""

    token_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def headers(self) -> dict[str, str]:
        """The headers of a request. Raises `LoginError`."""
        if self.token_file is None:
            return {}
        name = printable(str(self.token_file))
        try:
            with self.token_file.open("rb") as file:
                text = file.read(_LONGEST).decode("ascii")
        except OSError as error:
            raise LoginError(f"--token-file {name}: {error.strerror}") from None
        except UnicodeDecodeError:
            text = ""
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        # A line of the service's own file works too: NAME:TOKEN.
        parts = lines[0].split(":") if len(lines) == 1 else []
        if not 1 <= len(parts) <= 3 or any(" " in part for part in parts):
            raise LoginError(f"--token-file {name}: expected one line, TOKEN or NAME:TOKEN")
        return {"Authorization": f"Bearer {parts[0] if len(parts) == 1 else parts[1]}"}

    def opener(self) -> urllib.request.OpenerDirector:
        """Opens URLs. Not through a proxy, because the service runs in the same network, and without following to
        another address, which would get the token. Raises `LoginError`."""
        return urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context()), _Stays
        )

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.key_file is not None and self.cert_file is None:
            raise LoginError("--key-file is for --cert-file; give both")
        if self.ca_file is not None:
            try:
                context = ssl.create_default_context(cafile=str(self.ca_file))
            except OSError as error:
                raise LoginError(f"--ca-file {printable(str(self.ca_file))}: {_why(error)}") from None
        if self.cert_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file)
            except OSError as error:
                raise LoginError(f"--cert-file {printable(str(self.cert_file))}: {_why(error)}") from None
        return context


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not usable (PEM): {error.reason or error}"
    return error.strerror or str(error)
