"""Shared by the commands that talk to Kafka: settings, and error messages of one line."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import typer
from aiokafka.errors import KafkaConnectionError, KafkaError

from scorer.cli.common import ExitStatus, say
from scorer.dlq.purge import PurgeError
from scorer.dlq.replay import ReplayError
from scorer.kafka.access import NEEDS, Verdict, check
from scorer.kafka.denied import denial_behind, refusal, sentence
from scorer.kafka.sign_in import refused_because
from scorer.kafka.topic_admin import TopicError
from scorer.runtime.settings import Settings, SettingsError, load_settings
from scorer.state.codec import CodecError
from scorer.stream.offset_reset import ResetError

T = TypeVar("T")

FAILURES: Final = (SettingsError, ReplayError, PurgeError, ResetError, TopicError, CodecError, KafkaError, OSError)
"""What work with Kafka raises if Kafka or the settings are the reason."""


def settings_or_exit() -> Settings:
    """Load the settings. If they are invalid, print why and exit."""
    try:
        # These commands also run without rules, on an operator's machine.
        return load_settings(rules=Path())
    except SettingsError as error:
        say(f"error: {error}")
        raise typer.Exit(ExitStatus.USAGE) from None


def run_or_exit(work: Coroutine[Any, Any, T], settings: Settings, command: str) -> T:
    """Run the work and return its result. If Kafka does not answer or refuses, print one line on stderr and exit.

    `command`: its name among `access.NEEDS`, to say what it may not do.
    """
    silence_client()
    try:
        return asyncio.run(work)
    except FAILURES as error:
        fail(error, settings, command)


def silence_client() -> None:
    """The client also logs the errors that it raises: keep them from stderr."""
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    logging.getLogger("aiokafka").propagate = False


def fail(error: Exception, settings: Settings, command: str) -> NoReturn:
    """Print one line on stderr about one of `FAILURES`, and exit."""
    if isinstance(error, SettingsError):
        say(f"error: {error}")
        raise typer.Exit(ExitStatus.USAGE)
    if isinstance(error, ReplayError | PurgeError | ResetError):
        denied = asyncio.run(_denied(error, settings, command)) if error.__cause__ else None
        say(f"error: {error}" if denied is None else f"error: {error}. {denied}")
    elif isinstance(error, TopicError | CodecError):
        say(f"error: {error}")
    else:
        say(f"error: {asyncio.run(_explanation(error, settings, command))}")
    raise typer.Exit(ExitStatus.FINDINGS)


def describe_failure(error: Exception, settings: Settings) -> str:
    """What went wrong with Kafka, on one line."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if "Unable to bootstrap" in reason:
        reason = "no Kafka broker answers"
    return f"Kafka at {settings.bootstrap_servers} (SCORER_BOOTSTRAP_SERVERS): {reason}"


async def _explanation(error: Exception, settings: Settings, command: str) -> str:
    """`describe_failure`, or the permission that is missing, or why the login fails."""
    if isinstance(error, KafkaConnectionError | OSError):
        return await refused_because(settings) or describe_failure(error, settings)
    return await _denied(error, settings, command) or describe_failure(error, settings)


async def _denied(error: Exception, settings: Settings, command: str) -> str | None:
    """What the command needs and may not do. Otherwise what Kafka refused, or None if the error is no refusal.

    In a transaction the refusal of one message can make another fail, and the error may be that of the other.
    """
    with contextlib.suppress(KafkaError, OSError):
        findings = await check(settings, NEEDS[command](settings))
        denied = [need for need, verdict in findings if verdict is Verdict.DENIED and need.required]
        if denied:
            return sentence(settings, denied, command)
    denial = denial_behind(error)
    return None if denial is None else refusal(settings, denial, command)
