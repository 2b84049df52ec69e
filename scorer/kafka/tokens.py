"""Tokens for OAUTHBEARER: from a file, or from an endpoint for client credentials (RFC 6749, section 4.4)."""

import asyncio
import base64
import json
import math
import re
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import structlog
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from scorer.kafka.tls import authorities
from scorer.runtime.secret_files import secret_in
from scorer.runtime.settings import Settings, SettingsError

_SECONDS: Final = 10.0
"""For the answer of the endpoint, all in all."""
_STEP_SECONDS: Final = 5.0
_MOST_BYTES: Final = 1 << 16
_SHARE: Final = 0.8
"""Of its time, after which a token is replaced."""
_DEFAULT_LIFETIME: Final = 60.0
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""What RFC 6750 allows in a token. Anything else could end it early in the message to the broker."""

log = structlog.get_logger()


class TokenError(KafkaError):  # type: ignore[misc]
    """There is no token to log in with; the message names the setting. `final`: trying again does not help."""

    def __init__(self, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.final = final

    def __str__(self) -> str:
        return str(self.args[0])


def tokens(settings: Settings) -> "FileTokens | EndpointTokens":
    """The provider for these settings, as the clients take it. All clients of the process share its token."""
    return _provider(
        settings.sasl_oauth_token_file,
        settings.sasl_oauth_token_url or "",
        settings.sasl_oauth_client_id or "",
        settings.sasl_oauth_client_secret_file,
        settings.sasl_oauth_scope,
        settings.sasl_oauth_ca_file,
    )


@lru_cache(maxsize=8)
def _provider(
    file: Path | None, url: str, client: str, secret: Path | None, scope: str | None, authority: Path | None
) -> "FileTokens | EndpointTokens":
    if file is not None:
        return FileTokens(file)
    assert secret is not None
    return EndpointTokens(url, client, secret, scope, authority)


class FileTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens in a file that somebody else replaces in time, such as the kubelet."""

    setting = "SCORER_SASL_OAUTH_TOKEN_FILE"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.latest: str | None = None

    async def token(self) -> str:
        """What the file has now. Raises `TokenError`."""
        try:
            token = secret_in("sasl_oauth_token_file", self._path).strip()
        except SettingsError as error:
            raise TokenError(str(error), final=True) from None
        if _TOKEN.fullmatch(token) is None:
            raise TokenError(f"{self.setting} is {str(self._path)!r}, which has no token in it", final=True)
        if self.latest not in (None, token):
            log.info("secret_file_renewed", setting=self.setting)
        self.latest = token
        return token


class EndpointTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens that an endpoint gives for the id and the secret of a client. `clock` in seconds, monotonic."""

    setting = "SCORER_SASL_OAUTH_TOKEN_URL"

    def __init__(
        self,
        url: str,
        client: str,
        secret: Path,
        scope: str | None = None,
        authority: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client = client
        self._secret = secret
        self._scope = scope
        self._authority = authority
        self._clock = clock
        self.latest: str | None = None
        self._fresh_until = -math.inf
        self._valid_until = -math.inf

    async def token(self) -> str:
        """The token that it has, or a new one if a fifth of its time or less is left. Raises `TokenError`.

        While the endpoint gives none, the one that it has serves as long as it is valid.
        """
        if self.latest is not None and self._clock() < self._fresh_until:
            return self.latest
        asked = self._clock()
        try:
            answer = await _in_thread(self._ask)
        except TokenError:
            if self.latest is not None and self._clock() < self._valid_until:
                return self.latest
            raise
        lifetime = _lifetime(answer)
        self.latest = str(answer["access_token"])
        self._fresh_until, self._valid_until = asked + _SHARE * lifetime, asked + lifetime
        return self.latest

    def _ask(self) -> Mapping[str, Any]:
        try:
            secret = secret_in("sasl_oauth_client_secret_file", self._secret)
            context = authorities("sasl_oauth_ca_file", self._authority)
        except SettingsError as error:
            raise TokenError(str(error), final=True) from None
        fields = {"grant_type": "client_credentials"} | ({} if self._scope is None else {"scope": self._scope})
        login = base64.b64encode(f"{quote_plus(self._client)}:{quote_plus(secret)}".encode()).decode()
        request = urllib.request.Request(
            self._url,
            data=urlencode(fields).encode(),
            headers={"Authorization": f"Basic {login}", "Accept": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirects())
        try:
            with opener.open(request, timeout=_STEP_SECONDS) as response:
                return self._read(response.read(_MOST_BYTES + 1))
        except urllib.error.HTTPError as error:
            raise self._refused(error) from None
        except (OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise self._unanswered(reason) from None

    def _read(self, body: bytes) -> Mapping[str, Any]:
        answer = _object(body)
        token = answer.get("access_token")
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise TokenError(
                f"{self._where()} answers without an access_token in JSON: is it a token endpoint?", final=True
            )
        return answer

    def _refused(self, error: urllib.error.HTTPError) -> TokenError:
        answer = _object(error.read(_MOST_BYTES))
        words = [str(answer[name]) for name in ("error", "error_description") if isinstance(answer.get(name), str)]
        said = " ".join(": ".join(words).split())[:200] or error.reason
        names = "SCORER_SASL_OAUTH_CLIENT_ID, SCORER_SASL_OAUTH_CLIENT_SECRET_FILE"
        check = "it may be overloaded"
        if 300 <= error.code < 400:
            check = "a redirection is not followed, so that the secret stays here; name the endpoint itself"
        elif error.code in (400, 401, 403):
            check = f"check {names}{'' if self._scope is None else ' and SCORER_SASL_OAUTH_SCOPE'}"
        elif error.code < 500 and error.code != 429:
            check = "check the address"
        final = error.code < 500 and error.code not in (408, 429)
        return TokenError(f"{self._where()} answers {error.code} ({said}): {check}", final=final)

    def _unanswered(self, reason: object) -> TokenError:
        if isinstance(reason, ssl.SSLCertVerificationError):
            check = "check SCORER_SASL_OAUTH_CA_FILE, and the host name"
            return TokenError(
                f"the certificate of {self._where()} is refused ({reason.verify_message}): {check}", final=True
            )
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        return TokenError(f"{self._where()} does not answer: {text}", final=False)

    def _where(self) -> str:
        return f"the token endpoint {self._url} ({self.setting})"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The secret must not go to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No other request: the redirection is an error then."""


async def _in_thread(ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The result of a function that waits for a network. A thread of the loop's own would delay the end of the process
    for as long as an endpoint sends a byte now and then."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Mapping[str, Any]] = loop.create_future()

    def settle(set_outcome: Callable[[], None]) -> None:
        if not done.done():
            set_outcome()

    def work() -> None:
        try:
            answer = ask()
            outcome = partial(done.set_result, answer)
        except Exception as error:  # noqa: BLE001 (whatever it is, it belongs to the one who waits)
            outcome = partial(done.set_exception, error)
        # The loop may have been closed meanwhile.
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=work, name="token", daemon=True).start()
    try:
        async with asyncio.timeout(_SECONDS):
            return await done
    except TimeoutError:
        raise TokenError(
            f"the token endpoint (SCORER_SASL_OAUTH_TOKEN_URL) does not answer within {_SECONDS:g} s", final=False
        ) from None


def claims_of(token: str) -> Mapping[str, Any]:
    """What a JSON Web Token says, unchecked; empty for another kind of token."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        return _object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}


def expiry_of(token: str) -> datetime | None:
    """When a JSON Web Token expires, if it says so."""
    expires = claims_of(token).get("exp")
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        return None
    try:
        return datetime.fromtimestamp(expires, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _lifetime(answer: Mapping[str, Any]) -> float:
    try:
        lifetime = float(answer.get("expires_in") or _DEFAULT_LIFETIME)
    except (TypeError, ValueError):
        return _DEFAULT_LIFETIME
    return lifetime if math.isfinite(lifetime) and lifetime > 0 else _DEFAULT_LIFETIME


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
