"""Why no broker accepts our connection, where trying again cannot help: the protocol, the certificate, the login.

The Kafka clients raise "Unable to bootstrap" for all reasons, so after such an error we connect to each broker
ourselves and look at what it answers.
"""

import asyncio
import ssl
from typing import Any, Final

from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from scorer.kafka.access_requests import greet, one_connection, shake_hands
from scorer.kafka.connection import connection, servers
from scorer.runtime.settings import Settings

_SECONDS: Final = 5.0
_ILLEGAL_STATE: Final = 34
_PROTOCOLS: Final = {
    (False, False): "PLAINTEXT",
    (False, True): "SASL_PLAINTEXT",
    (True, False): "SSL",
    (True, True): "SASL_SSL",
}
"""By whether the broker wants TLS, and whether it wants SASL."""


class SignInError(KafkaError):  # type: ignore[misc]
    """The brokers answer and do not accept us as the settings say; the message names the cause and the settings."""

    def __str__(self) -> str:
        return str(self.args[0])


async def refused_because(settings: Settings) -> str | None:
    """Why the brokers refuse us, as a sentence with the settings to check; None if one accepts us or none answers.

    Takes up to 15 seconds if a broker accepts connections and is silent, and 5 if it accepts none.
    """
    attempts = [
        _problem(settings, server, host, int(port))
        for server in servers(settings)
        for host, _, port in [server.rpartition(":")]
    ]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    if None in results:
        return None
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, KafkaError | OSError):
            raise result
    return next((result for result in results if isinstance(result, str)), None)


async def _problem(settings: Settings, server: str, host: str, port: int) -> str | None:
    """What is wrong with the settings for this broker; None if nothing is. Raises its error if it does not answer."""
    arguments = connection(settings)
    del arguments["bootstrap_servers"]
    where = f"the broker {server} (SCORER_BOOTSTRAP_SERVERS)"
    try:
        async with asyncio.timeout(_SECONDS), one_connection(host, port, arguments) as ours:
            await greet(ours)
    except SaslAuthenticationFailed as error:
        reason = " ".join(str(error).split()).removeprefix("[Error 58] SaslAuthenticationFailed: ")
        return (
            f"{where} refuses the user {settings.sasl_username!r} with {settings.sasl_mechanism}: check "
            f"SCORER_SASL_USERNAME and SCORER_SASL_PASSWORD. Kafka says: {reason}"
        )
    except ssl.SSLCertVerificationError as error:
        return (
            f"the certificate of {where} is not trusted ({error.verify_message}): check SCORER_TLS_CA_FILE, and that "
            "the certificate is for this host name"
        )
    except TimeoutError:
        raise
    except (KafkaError, OSError) as error:
        if _is_alert(error) or _is_alert(error.__cause__):
            return (
                f"{where} refuses our TLS certificate: check SCORER_TLS_CERT_FILE and SCORER_TLS_KEY_FILE"
                f"{', which are not set' if settings.tls_cert_file is None else ''}. It says: {_alert(error)}"
            )
        found = await _mismatch(settings, where, host, port)
        if found is None and not isinstance(error, UnsupportedSaslMechanismError | IllegalSaslStateError):
            raise
        return found
    return None


async def _mismatch(settings: Settings, where: str, host: str, port: int) -> str | None:
    """What the broker speaks that the settings do not; None if that is not the problem."""
    uses_tls = await _answers_tls(host, port)
    arguments: dict[str, Any] = {"security_protocol": "PLAINTEXT"}
    if uses_tls:
        arguments = {"security_protocol": "SSL", "ssl_context": _trusting()}
    mechanism = settings.sasl_mechanism
    async with asyncio.timeout(_SECONDS), one_connection(host, port, arguments) as plain:
        answer = await shake_hands(plain, mechanism or "PLAIN")
    protocol = _PROTOCOLS[uses_tls, answer.error != _ILLEGAL_STATE]
    if protocol != settings.security_protocol:
        return f"{where} speaks {protocol}, but SCORER_SECURITY_PROTOCOL is {settings.security_protocol}: set it"
    if mechanism is not None and answer.error:
        offered = ", ".join(answer.mechanisms) or "none"
        return f"{where} does not offer SCORER_SASL_MECHANISM={mechanism}; it offers {offered}"
    return None


async def _answers_tls(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=_trusting())
    except ssl.SSLError as error:
        # An alert is an answer in TLS.
        return _is_alert(error)
    except (ConnectionResetError, EOFError, TimeoutError):
        return False
    writer.close()
    return True


def _is_alert(error: BaseException | None) -> bool:
    return isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")


def _alert(error: BaseException) -> str:
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    return str(getattr(cause, "reason", "")).replace("_", " ").lower()


def _trusting() -> ssl.SSLContext:
    """A context that trusts every certificate: nothing secret is sent through it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
