"""Why no broker accepts our connection, where trying again cannot help: the protocol, the certificate, the login.

The Kafka clients raise "Unable to bootstrap" for all reasons, so after such an error we connect to each broker
ourselves and look at what it answers.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from scorer.kafka.access_requests import greet, one_connection, shake_hands
from scorer.kafka.certificate import certificate_in
from scorer.kafka.connection import connection, servers
from scorer.kafka.principal import user
from scorer.kafka.tokens import TokenError, expiry_of, tokens
from scorer.runtime.settings import Settings, variable

_SECONDS: Final = 5.0
_TOKEN_SECONDS: Final = 10.0
_SETTING: Final = "SCORER_BOOTSTRAP_SERVERS"
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_EXPIRED: Final = 10
_OTHER_HOST: Final = (62, 64)
"""Codes of OpenSSL: the name does not fit, the IP address does not fit."""
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

    Takes up to 15 seconds if a broker accepts connections and is silent, and 5 if it accepts none; up to 10 more for a
    token.
    """
    answers = await _answers(settings, dict.fromkeys(servers(settings), _SETTING))
    accepted = [answer for answer in answers.values() if answer.told]
    if accepted:
        # The clients go on with the addresses that the brokers tell, which may be other ones.
        told = [address for answer in accepted for address in answer.told]
        others = {address: "an address that the brokers tell" for address in told if address not in answers}
        answers |= await _answers(settings, others)
        answers = {address: answers[address] for address in told}
        if any(answer.told for answer in answers.values()):
            return None
    return next((answer.problem for answer in answers.values() if answer.problem is not None), None)


class _Answer(NamedTuple):
    """Of a broker. `problem`: a sentence. `told`: the addresses of all brokers, if it accepts us. Both empty: none."""

    problem: str | None = None
    told: Sequence[str] = ()


async def _answers(settings: Settings, brokers: Mapping[str, str]) -> dict[str, _Answer]:
    """What each of these brokers answers. `brokers`: where each host:port comes from."""

    async def answer(server: str, origin: str) -> _Answer:
        host, _, port = server.rpartition(":")
        try:
            return await _problem(settings, f"the broker {server} ({origin})", host, int(port))
        except (KafkaError, OSError):
            return _Answer()

    answers = await asyncio.gather(*(answer(server, origin) for server, origin in brokers.items()))
    return dict(zip(brokers, answers, strict=True))


async def _problem(settings: Settings, where: str, host: str, port: int) -> _Answer:
    """What is wrong with the settings for this broker. Raises its error if it does not answer."""
    arguments = connection(settings)
    del arguments["bootstrap_servers"]
    seconds = _SECONDS + (_TOKEN_SECONDS if settings.sasl_mechanism == "OAUTHBEARER" else 0.0)
    try:
        async with asyncio.timeout(seconds), one_connection(host, port, arguments) as ours:
            return _Answer(told=[f"{name}:{number}" for name, number in await greet(ours)])
    except TokenError as error:
        if not error.final:
            raise
        return _Answer(str(error))
    except SaslAuthenticationFailed as error:
        reason = " ".join(str(error).split()).removeprefix("[Error 58] SaslAuthenticationFailed: ")
        return _Answer(f"{where} refuses {_login(settings)}. Kafka says: {reason}")
    except ssl.SSLCertVerificationError as error:
        return _Answer(_distrusted(where, error))
    except TimeoutError:
        raise
    except (KafkaError, OSError) as error:
        if _is_alert(error) or _is_alert(error.__cause__):
            return _Answer(
                f"{where} refuses our TLS certificate: check SCORER_TLS_CERT_FILE and SCORER_TLS_KEY_FILE"
                f"{_ours(settings)}. It says: {_alert(error)}"
            )
        found = await _mismatch(settings, where, host, port)
        if found is None and not isinstance(error, UnsupportedSaslMechanismError | IllegalSaslStateError):
            raise
        return _Answer(found)


def _login(settings: Settings) -> str:
    """Whom a broker refuses, and what to check."""
    if settings.sasl_mechanism == "OAUTHBEARER":
        given = tokens(settings)
        expiry = expiry_of(given.latest or "")
        expired = ""
        if expiry is not None and expiry < datetime.now(UTC):
            expired = f", which expired at {expiry:{_TIME}}"
        return f"our token of {user(settings)!r}{expired}: check {given.setting}"
    names = [
        variable(name if getattr(settings, name) is not None else f"{name}_file")
        for name in ("sasl_username", "sasl_password")
    ]
    return f"the user {user(settings)!r} with {settings.sasl_mechanism}: check {' and '.join(names)}"


def _distrusted(where: str, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _OTHER_HOST:
        return (
            f"the certificate of {where} is for another host ({error.verify_message.strip().rstrip('.')}): use a name "
            "that is in the certificate as the address of the broker"
        )
    if error.verify_code == _EXPIRED:
        return f"the certificate of {where}, or of its authority, has expired: it must be renewed there"
    return f"the certificate of {where} is not trusted ({error.verify_message}): check SCORER_TLS_CA_FILE"


def _ours(settings: Settings) -> str:
    """What is wrong with our certificate, as far as we see it."""
    if settings.tls_cert_file is None:
        return ", which are not set"
    certificate = certificate_in(settings.tls_cert_file)
    now = datetime.now(UTC)
    if certificate is not None and certificate.ends < now:
        return f"; the certificate expired at {certificate.ends:{_TIME}}"
    if certificate is not None and certificate.begins > now:
        return f"; the certificate is valid from {certificate.begins:{_TIME}} on"
    return ""


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
