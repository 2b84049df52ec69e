"""TLS with files that may change: each new connection uses them as they are then."""

import hashlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from scorer.runtime.secret_files import secret_in
from scorer.runtime.settings import Settings, SettingsError

log = structlog.get_logger()


class RenewedContext(ssl.SSLContext):
    """The context of the brokers' certificates and of ours. Raises `SettingsError` if a file is not usable.

    Once it is in use it keeps what it has while the files are not usable, as in the middle of an exchange of
    certificate and key, and logs that once. A context cannot forget an authority, so it makes a new one of the changed
    files for the connections to come; those that are open stay.
    """

    def __new__(cls, settings: Settings) -> "RenewedContext":
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._complaint: str | None = None
        self._digest = _digest(settings)
        self._now = _context(settings)

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """asyncio begins each connection with it."""
        return self._current().wrap_bio(*arguments, **named)

    def _current(self) -> ssl.SSLContext:
        try:
            digest = _digest(self._settings)
            if digest != self._digest:
                self._now = _context(self._settings)
                self._digest = digest
                log.info("tls_files_renewed")
            self._complaint = None
        except SettingsError as error:
            if self._complaint != str(error):
                self._complaint = str(error)
                log.warning("tls_files_unusable", error=f"{error}. Connections use what the files had before")
        return self._now


def _files(settings: Settings) -> dict[str, Path]:
    names = ("tls_ca_file", "tls_cert_file", "tls_key_file", "tls_key_password_file")
    return {name: path for name in names if (path := getattr(settings, name)) is not None}


def _digest(settings: Settings) -> bytes:
    """Of all files. The time of a change does not show it: it may be the same for two writes."""
    digest = hashlib.sha256()
    for name, path in _files(settings).items():
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise _wrong(name, path, f"cannot be read: {error.strerror}") from None
    return digest.digest()


def authorities(name: str, path: Path | None) -> ssl.SSLContext:
    """A context that trusts the authorities in the file of a setting, or the system's. Raises `SettingsError`."""
    try:
        return ssl.create_default_context(cafile=path)
    except (ssl.SSLError, OSError) as error:
        raise _wrong(name, path, f"has no usable certificates (PEM): {_reason(error)}") from None


def _context(settings: Settings) -> ssl.SSLContext:
    context = authorities("tls_ca_file", settings.tls_ca_file)
    if settings.tls_cert_file is not None:
        _load_ours(settings, settings.tls_cert_file, context)
    return context


def _load_ours(settings: Settings, certificate: Path, context: ssl.SSLContext) -> None:
    key = settings.tls_key_file
    where = ("tls_cert_file", certificate) if key is None else ("tls_key_file", key)
    try:
        # Without a function OpenSSL would ask for the passphrase on the terminal.
        context.load_cert_chain(certificate, key, _passphrase(settings, *where))
    except (ssl.SSLError, OSError) as error:
        reason = _reason(error)
        if "mismatch" in reason:
            what = f"does not belong to the certificate in SCORER_TLS_CERT_FILE ({str(certificate)!r})"
            raise _wrong(*where, what) from None
        if settings.tls_key_password_file is not None:
            hint = "is SCORER_TLS_KEY_PASSWORD_FILE its passphrase?"
            raise _wrong(*where, f"cannot be used as key of SCORER_TLS_CERT_FILE ({reason}): {hint}") from None
        names = "SCORER_TLS_CERT_FILE" if key is None else "SCORER_TLS_CERT_FILE, SCORER_TLS_KEY_FILE"
        raise SettingsError(f"{names}: not usable as PEM files: {reason}") from None


def _passphrase(settings: Settings, name: str, path: Path) -> Callable[[], str]:
    def passphrase() -> str:
        if settings.tls_key_password_file is None:
            raise _wrong(name, path, "is encrypted; set SCORER_TLS_KEY_PASSWORD_FILE to a file with its passphrase")
        return secret_in("tls_key_password_file", settings.tls_key_password_file)

    return passphrase


def _wrong(name: str, path: Path | None, what: str) -> SettingsError:
    return SettingsError(f"SCORER_{name.upper()} is {str(path)!r}, which {what}")


def _reason(error: OSError) -> str:
    """What OpenSSL says, in lower case and without the place in its code."""
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else error.strerror or str(error)
