"""The audit log of the commands that change something for good: who did it, and what came of it."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from scorer.cli.common import ExitStatus, say
from scorer.kafka.principal import known_user
from scorer.runtime.audit import Audit, AuditError
from scorer.runtime.settings import Settings, SettingsError

Outcome = dict[str, object]


@contextmanager
def audited(settings: Settings, action: str, **fields: object) -> Iterator[Outcome]:
    """Write `ACTION_started` before the work and `ACTION_ended` after it, also if it fails. The caller puts what came
    of it into the mapping. Without a line before, the command exits and the work does not begin."""
    common = {**fields, "who": who(), "kafka_user": known_user(settings)}
    try:
        audit = Audit(settings)
        audit.write(f"{action}_started", **common)
    except (AuditError, SettingsError) as error:
        say(f"error: {error}; nothing was done")
        raise typer.Exit(ExitStatus.USAGE) from None
    outcome: Outcome = {"completed": False}
    try:
        yield outcome
        outcome["completed"] = True
    finally:
        try:
            audit.write(f"{action}_ended", **common, **outcome)
        except AuditError as error:
            say(f"error: {error}; what was done is not recorded: {outcome}")
            raise typer.Exit(ExitStatus.FINDINGS) from None
        finally:
            audit.close()


def who() -> str:
    """The user of the operating system, and the one before `sudo`."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = f"uid {number}"
    before = os.environ.get("SUDO_USER")
    return name if before is None else f"{name} (sudo by {before})"
