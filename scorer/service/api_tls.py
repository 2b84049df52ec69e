"""TLS of the listener for lead data, from files that are read again when they change."""

import ssl
from pathlib import Path

import structlog

from scorer.runtime.file_state import FileState, state_of
from scorer.runtime.settings import Settings

log = structlog.get_logger()


class TlsFilesError(Exception):
    """Certificate, key or CA cannot be used; the message names the files."""


class TlsFiles:
    """The context for the next connection. A connection with an older one ends with its next request.

    New files that do not fit, such as a certificate whose key is not written yet, change nothing: the context before
    stays. With one exception: if the file with the CA of the clients has changed too, nobody is admitted, because a CA
    that was taken away must be gone. Raises `TlsFilesError` if the files do not fit at the start.
    """

    def __init__(self, certificate: Path, key: Path | None, client_ca: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._state = self._states()
        self._context = self._made()

    def current(self) -> ssl.SSLContext:
        """The context that the files say now."""
        state = self._states()
        if state == self._state:
            return self._context
        before, self._state = self._state, state
        try:
            self._context = self._made()
        except TlsFilesError as error:
            if state[-1] != before[-1]:
                # Without a certificate of its own, it shakes no hand.
                self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            log.error("api_tls_refused", error=str(error), admits="nobody" if state[-1] != before[-1] else "as before")
        else:
            log.info("api_tls_loaded", certificate=str(self._certificate))
        return self._context

    def _states(self) -> tuple[FileState, ...]:
        key, client_ca = self._key or self._certificate, self._client_ca or self._certificate
        last = state_of(client_ca) if self._client_ca is not None else ()
        return state_of(self._certificate), state_of(key), last

    def _made(self) -> ssl.SSLContext:
        # A context of its own for each version of the files, so that no session outlives the CA that admitted it.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            # A password that nobody can type would stop the service.
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            files = f"{self._certificate}, {self._key}" if self._key else str(self._certificate)
            raise TlsFilesError(f"{files}: not a certificate with its key (PEM): {_why(error)}") from None
        if self._client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(self._client_ca)
            except (OSError, ValueError) as error:
                raise TlsFilesError(f"{self._client_ca}: no certificate of a CA (PEM): {_why(error)}") from None
        return context


def tls_files(settings: Settings) -> TlsFiles | None:
    """TLS as the settings say; None without. Raises `TlsFilesError`."""
    if settings.api_tls_cert_file is None:
        return None
    return TlsFiles(settings.api_tls_cert_file, settings.api_tls_key_file, settings.api_client_ca_file)


def _no_password() -> str:
    raise ValueError("the key has a password; expected one without")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
