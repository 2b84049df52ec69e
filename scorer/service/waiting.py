"""What the log says while Kafka cannot be reached at the start: one sentence at once, then one a minute."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from aiokafka.errors import KafkaConnectionError

from scorer.runtime.settings import Settings

_REPEAT_SECONDS: Final = 60.0
_CHECK: Final = "Check the address, that a broker runs there, and that the network lets this machine reach it"
_CHECK_SECURITY: Final = "; also SCORER_SECURITY_PROTOCOL and the SASL and TLS settings"

log = structlog.get_logger()


class KafkaWait:
    """Counts the failed attempts and reports them. `clock` in seconds; it should be monotonic."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._began = clock()
        self._told: float | None = None
        self._attempts = 0
        self._client = _LastWords()

    @contextmanager
    def quiet_client(self) -> Iterator[None]:
        """The Kafka client logs each failure itself, twice and with a repr. Within the block it only gives the reason.
        With the log level DEBUG its lines stay."""
        client = logging.getLogger("aiokafka")
        before = client.propagate
        client.propagate = self._settings.log_level == "DEBUG"
        client.addHandler(self._client)
        try:
            yield
        finally:
            client.propagate = before
            client.removeHandler(self._client)

    def slow(self) -> None:
        """The first attempt takes long."""
        if self._told is None:
            self._first("Kafka cannot be reached", "no answer yet")

    def failed(self, error: Exception) -> None:
        """An attempt failed and there will be another."""
        self._attempts += 1
        now = self._clock()
        failure, reason = self._reason(error)
        if self._told is None:
            self._first(failure, reason)
        elif now - self._told >= _REPEAT_SECONDS:
            self._told = now
            log.warning("kafka_not_yet", error=self._sentence(failure, reason) + self._rest())

    def gave_up(self, error: Exception) -> None:
        """The last attempt failed too."""
        self._attempts += 1
        log.error("kafka_unreachable", error=self._sentence(*self._reason(error)) + self._rest())

    def _first(self, failure: str, reason: str) -> None:
        self._told = self._clock()
        limit = f"{self._settings.startup_timeout_s:g} s (SCORER_STARTUP_TIMEOUT_S)"
        log.warning("kafka_not_yet", error=f"{self._sentence(failure, reason)}. Trying again for up to {limit}")

    def _sentence(self, failure: str, reason: str) -> str:
        return f"{failure} (SCORER_BOOTSTRAP_SERVERS={self._settings.bootstrap_servers}): {reason}"

    def _rest(self) -> str:
        attempts = "1 attempt" if self._attempts == 1 else f"{self._attempts} attempts"
        return f", after {attempts} in {self._clock() - self._began:.0f} s. {self._check()}"

    def _check(self) -> str:
        plain = self._settings.security_protocol == "PLAINTEXT"
        return _CHECK if plain else _CHECK + _CHECK_SECURITY

    def _reason(self, error: Exception) -> tuple[str, str]:
        """What failed, and why."""
        failure = "Kafka cannot be reached" if isinstance(error, (KafkaConnectionError, OSError)) else "Kafka refuses"
        reason = _plain(error)
        if "Unable to bootstrap" in reason:
            # The client raises this for all reasons and logs which one it was.
            reason = self._client.reason or "no broker answers"
        self._client.reason = ""
        return failure, reason


class _LastWords(logging.Handler):
    """Keeps the reason of the client's last message."""

    reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        last = record.args[-1] if isinstance(record.args, tuple) and record.args else None
        self.reason = _plain(last) if isinstance(last, Exception) else " ".join(record.getMessage().split())


def _plain(error: Exception) -> str:
    """One line for people, without the name of the error class and the addresses, which the sentence names."""
    text = " ".join(str(error).split())
    number = re.search(r"\[Errno (\d+)\]", text)
    if number is not None and (isinstance(error, OSError) or "onnect" in text):
        return os.strerror(int(number[1]))
    if isinstance(error, KafkaConnectionError):
        text = text.removeprefix("KafkaConnectionError: ")
    return text or type(error).__name__
