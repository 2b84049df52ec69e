"""Shared by the commands that talk to Kafka: settings, and error messages of one line."""

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import typer
from aiokafka.errors import KafkaError

from scorer.cli.common import ExitStatus, say
from scorer.dlq.purge import PurgeError
from scorer.dlq.replay import ReplayError
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


def run_or_exit(work: Coroutine[Any, Any, T], settings: Settings) -> T:
    """Run the work and return its result. If Kafka does not answer or refuses, print one line on stderr and exit."""
    # The client also logs the errors that it raises.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    logging.getLogger("aiokafka").propagate = False
    try:
        return asyncio.run(work)
    except SettingsError as error:
        say(f"error: {error}")
        raise typer.Exit(ExitStatus.USAGE) from None
    except (TopicError, ReplayError, PurgeError, ResetError, CodecError) as error:
        say(f"error: {error}")
    except (KafkaError, OSError) as error:
        say(f"error: {describe_failure(error, settings)}")
    raise typer.Exit(ExitStatus.FINDINGS)


def describe_failure(error: Exception, settings: Settings) -> str:
    """What went wrong with Kafka, on one line."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if "Unable to bootstrap" in reason:
        reason = "no Kafka broker answers"
    return f"Kafka at {settings.bootstrap_servers} (SCORER_BOOTSTRAP_SERVERS): {reason}"
