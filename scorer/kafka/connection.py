"""Connection arguments for aiokafka's clients and for FastStream."""

import ssl
from typing import Any

from aiokafka.helpers import create_ssl_context
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from scorer.runtime.settings import Settings, SettingsError

CLIENT_ID = "lead-scorer"


def servers(settings: Settings) -> list[str]:
    """The brokers, each as host:port."""
    return [server.strip() for server in settings.bootstrap_servers.split(",")]


def connection(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for an aiokafka client. Raises `SettingsError` if a TLS file is not usable."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": servers(settings),
        "client_id": CLIENT_ID,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        arguments["ssl_context"] = _ssl_context(settings)
    if settings.sasl_mechanism is not None:
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        arguments["sasl_plain_username"] = settings.sasl_username
        arguments["sasl_plain_password"] = _password(settings)
    return arguments


def security(settings: Settings) -> BaseSecurity | None:
    """The same for FastStream. Raises `SettingsError` if a TLS file is not usable."""
    uses_tls = settings.security_protocol.endswith("SSL")
    context = _ssl_context(settings) if uses_tls else None
    if settings.sasl_mechanism is None:
        return BaseSecurity(ssl_context=context, use_ssl=True) if uses_tls else None
    mechanisms = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
    return mechanisms[settings.sasl_mechanism](
        username=settings.sasl_username or "",
        password=_password(settings),
        ssl_context=context,
        use_ssl=uses_tls,
    )


def _password(settings: Settings) -> str:
    return settings.sasl_password.get_secret_value() if settings.sasl_password is not None else ""


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=None if settings.tls_ca_file is None else str(settings.tls_ca_file),
            certfile=None if settings.tls_cert_file is None else str(settings.tls_cert_file),
            keyfile=None if settings.tls_key_file is None else str(settings.tls_key_file),
        )
    except (ssl.SSLError, OSError) as error:
        files = "SCORER_TLS_CA_FILE, SCORER_TLS_CERT_FILE, SCORER_TLS_KEY_FILE"
        raise SettingsError(f"{files}: not usable as PEM files: {error}") from None
    return context
