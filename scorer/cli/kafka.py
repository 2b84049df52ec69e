"""Shared by the commands that talk to Kafka: settings, and error messages of one line."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

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
    # The client also logs the errors that it raises.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    logging.getLogger("aiokafka").propagate = False
    try:
        return asyncio.run(work)
    except SettingsError as error:
        say(f"error: {error}")
        raise typer.Exit(ExitStatus.USAGE) from None
    except (TopicError, ReplayError, PurgeError, ResetError, CodecError) as error:
        denial = denial_behind(error)
        say(
            f"error: {error}"
            if denial is None
            else f"error: {error}. {asyncio.run(_denied(denial, settings, command))}"
        )
    except (KafkaError, OSError) as error:
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
    denial = denial_behind(error)
    if denial is not None:
        return await _denied(denial, settings, command)
    unreachable = isinstance(error, KafkaConnectionError | OSError)
    return (unreachable and await refused_because(settings)) or describe_failure(error, settings)


async def _denied(denial: BaseException, settings: Settings, command: str) -> str:
    """What the command needs and may not do, or what Kafka refused if the check does not show it."""
    with contextlib.suppress(KafkaError, OSError):
        findings = await check(settings, NEEDS[command](settings))
        denied = [need for need, verdict in findings if verdict is Verdict.DENIED and need.required]
        if denied:
            return sentence(settings, denied, command)
    return refusal(settings, denial, command)
