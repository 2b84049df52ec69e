"""Who may read lead data: Host, web pages of others, tokens, certificates."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from starlette.types import Scope

from scorer.contracts.openapi import BEARER, CERTIFICATE
from scorer.runtime.settings import Settings, is_loopback
from scorer.service.api_tokens import Tokens
from scorer.service.listener import PEER

_REALM: Final = 'Bearer realm="lead-scorer"'
NO_SCOPE: Final = f'{_REALM}, error="insufficient_scope"'
_OWN_PAGES: Final = (b"none", b"same-origin")


class Client(NamedTuple):
    """Who asks: `token:NAME`, `certificate:SUBJECT`, both, or `loopback`; and whether they may read leads."""

    who: str
    leads: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a stranger."""

    status: int
    error: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Access:
    """Admits clients as the settings say. Without tokens and without certificates it admits everybody: then the
    listener is on loopback. Raises `TokenFileError`."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = None if settings.api_token_file is None else Tokens(settings.api_token_file)
        self._certificates = settings.api_client_ca_file is not None
        self._hosts = tuple(_plain(host) for host in (settings.api_host, *settings.api_hosts))

    @property
    def schemes(self) -> Sequence[str]:
        """The security schemes of the OpenAPI document that a client needs, all together."""
        return [*([BEARER] if self._tokens else []), *([CERTIFICATE] if self._certificates else [])]

    def admit(self, scope: Scope) -> Client | Refusal:
        """Who sent a request, or why it is refused."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, []).append(value)
        if not self._is_own(headers.get(b"host", [])):
            # So a name that an attacker lets point to this address gives a browser no way in (DNS rebinding).
            return Refusal(421, "this Host is not one of this service; SCORER_API_ALLOWED_HOSTS names them")
        if not set(headers.get(b"sec-fetch-site", [])) <= set(_OWN_PAGES) or b"origin" in headers:
            return Refusal(403, "web pages of others may not read this")
        return self._known(scope, headers.get(b"authorization", []))

    def _known(self, scope: Scope, given: list[bytes]) -> Client | Refusal:
        parts, leads = [], True
        if self._tokens is not None:
            scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
            if scheme.lower() != b"bearer":
                return _login("expected the header Authorization: Bearer TOKEN")
            reader = self._tokens.reader(token.strip())
            if reader is None:
                return _login("this token is not valid", ', error="invalid_token"')
            parts, leads = [f"token:{reader.name}"], reader.scope == "all"
        if self._certificates:
            # The handshake has asked for it already.
            if PEER not in scope:
                return _login("expected a certificate of the client")
            parts.append(f"certificate:{scope[PEER]}")
        return Client(" ".join(parts) or "loopback", leads)

    def _is_own(self, given: list[bytes]) -> bool:
        if len(given) != 1:
            return False
        name = _name(given[0].decode("latin-1"))
        return name is not None and (is_loopback(name) or any(_fits(name, each) for each in self._hosts))


def _login(error: str, more: str = "") -> Refusal:
    return Refusal(401, error, {"www-authenticate": _REALM + more})


def _name(host: str) -> str | None:
    """The name or the address of a Host header, without its port; None if it is none."""
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        if not bracket or port.strip("0123456789") not in ("", ":"):
            return None
    else:
        name, _, port = host.partition(":")
        if port.strip("0123456789"):
            return None
    return _plain(name) or None


def _plain(name: str) -> str:
    try:
        return ipaddress.ip_address(name.strip("[]")).compressed
    except ValueError:
        return name.lower().removesuffix(".")


def _fits(name: str, allowed: str) -> bool:
    if allowed.startswith("*."):
        label, dot, rest = name.partition(".")
        return bool(label and dot) and rest == allowed[2:]
    # The address that stands for all addresses is no name under which anybody is reached.
    return name == allowed and allowed not in ("0.0.0.0", "::")
