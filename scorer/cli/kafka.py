"""What the commands that talk to Kafka share: settings, and one line for whatever is wrong with it."""

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import typer
from aiokafka.errors import KafkaError

from scorer.cli.common import ExitStatus, say
from scorer.dlq.replay import ReplayError
from scorer.kafka.topic_admin import TopicError
from scorer.runtime.settings import Settings, SettingsError, load_settings

T = TypeVar("T")


def settings_or_exit() -> Settings:
    """The settings; what is wrong with them is printed and ends the command."""
    try:
        # These commands work where no rules are: on an operator's machine.
        return load_settings(rules=Path())
    except SettingsError as error:
        say(f"error: {error}")
        raise typer.Exit(ExitStatus.USAGE) from None


def run_or_exit(work: Coroutine[Any, Any, T], settings: Settings) -> T:
    """The result; a Kafka that does not answer or refuses is one line on stderr and ends the command."""
    # The client logs what it also raises.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    logging.getLogger("aiokafka").propagate = False
    try:
        return asyncio.run(work)
    except SettingsError as error:
        say(f"error: {error}")
        raise typer.Exit(ExitStatus.USAGE) from None
    except (TopicError, ReplayError) as error:
        say(f"error: {error}")
    except (KafkaError, OSError) as error:
        say(f"error: {describe_failure(error, settings)}")
    raise typer.Exit(ExitStatus.FINDINGS)


def describe_failure(error: Exception, settings: Settings) -> str:
    """One line on what Kafka did not do."""
    what = " ".join(str(error).split()) or type(error).__name__
    if "Unable to bootstrap" in what:
        what = "nobody answers, or not as Kafka"
    return f"Kafka at {settings.bootstrap_servers} (SCORER_BOOTSTRAP_SERVERS): {what}"
