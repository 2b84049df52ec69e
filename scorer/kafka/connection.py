"""Connection arguments for aiokafka's clients and for FastStream."""

from pathlib import Path
from typing import Any

import structlog
from faststream.security import BaseSecurity, SASLOAuthBearer, SASLPlaintext, SASLScram256, SASLScram512

from scorer.kafka.client_internals import RenewedText, renew_credentials
from scorer.kafka.tls import RenewedContext
from scorer.kafka.tokens import tokens
from scorer.runtime.secret_files import secret_in
from scorer.runtime.settings import Settings, SettingsError, variable

CLIENT_ID = "lead-scorer"

log = structlog.get_logger()


def servers(settings: Settings) -> list[str]:
    """The brokers, each as host:port."""
    return [server.strip() for server in settings.bootstrap_servers.split(",")]


def connection(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for an aiokafka client. Raises `SettingsError` if a file of the settings is not usable.

    Each connection that the client makes uses the files as they are then.
    """
    renew_credentials()
    arguments: dict[str, Any] = {
        "bootstrap_servers": servers(settings),
        "client_id": CLIENT_ID,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        arguments["ssl_context"] = RenewedContext(settings)
    if settings.sasl_mechanism is None:
        return arguments
    arguments["sasl_mechanism"] = settings.sasl_mechanism
    if settings.sasl_mechanism == "OAUTHBEARER":
        arguments["sasl_oauth_token_provider"] = tokens(settings)
    else:
        arguments["sasl_plain_username"] = _username(settings)
        arguments["sasl_plain_password"] = _password(settings)
    return arguments


def faststream_connection(settings: Settings) -> dict[str, Any]:
    """The same for a broker of FastStream, which has its own words for it. Raises `SettingsError`."""
    given = connection(settings)
    arguments: dict[str, Any] = {
        "bootstrap_servers": given["bootstrap_servers"],
        "client_id": given["client_id"],
        "security": _security(settings, given),
    }
    if "sasl_oauth_token_provider" in given:
        # The security object has no place for it.
        arguments["sasl_oauth_token_provider"] = given["sasl_oauth_token_provider"]
    return arguments


def _security(settings: Settings, given: dict[str, Any]) -> BaseSecurity | None:
    context = given.get("ssl_context")
    if settings.sasl_mechanism is None:
        return None if context is None else BaseSecurity(ssl_context=context)
    if settings.sasl_mechanism == "OAUTHBEARER":
        return SASLOAuthBearer(ssl_context=context)
    mechanisms = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
    return mechanisms[settings.sasl_mechanism](
        username=given["sasl_plain_username"], password=given["sasl_plain_password"], ssl_context=context
    )


def _username(settings: Settings) -> str:
    path = settings.sasl_username_file
    return settings.sasl_username or "" if path is None else _renewed("sasl_username_file", path)


def _password(settings: Settings) -> str:
    path = settings.sasl_password_file
    if path is not None:
        return _renewed("sasl_password_file", path)
    return settings.sasl_password.get_secret_value() if settings.sasl_password is not None else ""


def _renewed(name: str, path: Path) -> RenewedText:
    """The text in a file. If it cannot be read later, as in the middle of an exchange, the one from before stays."""
    latest: str | None = None

    def read() -> str:
        nonlocal latest
        try:
            now = secret_in(name, path)
        except SettingsError as error:
            if latest is None:
                raise
            log.warning("secret_file_unusable", error=f"{error}. Connections use what it had before")
            return latest
        if latest not in (None, now):
            log.info("secret_file_renewed", setting=variable(name))
        latest = now
        return now

    return RenewedText(read)
