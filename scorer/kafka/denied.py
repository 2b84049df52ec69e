"""Permissions (ACLs) by name: what is needed, what is missing, and the command that grants it."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from scorer.kafka.principal import principal
from scorer.runtime.settings import Settings


class Resource(StrEnum):
    """What a permission is for, as people call it."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional id"


class Operation(StrEnum):
    """What is done, as Kafka's tools call it."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DELETE = "Delete"
    DESCRIBE = "Describe"
    DESCRIBE_CONFIGS = "DescribeConfigs"


_OPTIONS: Final = {
    Resource.TOPIC: "--topic",
    Resource.GROUP: "--group",
    Resource.TRANSACTIONAL_ID: "--transactional-id",
}
_PHRASES: Final = {Operation.WRITE: "Write to"}
_MOST_COMMANDS: Final = 2
_KINDS: Final = {
    TopicAuthorizationFailedError: Resource.TOPIC,
    GroupAuthorizationFailedError: Resource.GROUP,
    TransactionalIdAuthorizationFailed: Resource.TRANSACTIONAL_ID,
}
_ERRORS: Final = (*_KINDS, ClusterAuthorizationFailedError)


@dataclass(frozen=True, slots=True)
class Permission:
    """An operation on a resource. `prefixed`: `name` is the beginning of all names. `required` False: without it
    something works less well."""

    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False
    required: bool = True


class DeniedError(KafkaError):  # type: ignore[misc]
    """Kafka refuses something that we need; the message names it and says how to grant it. `message` replaces it where
    nothing is known to be missing."""

    def __init__(self, settings: Settings, missing: Sequence[Permission], message: str | None = None) -> None:
        super().__init__(sentence(settings, missing) if message is None else message)
        self.missing = tuple(missing)

    def __str__(self) -> str:
        return str(self.args[0])


def is_denial(error: BaseException | None) -> bool:
    """Whether Kafka refused a request because a permission is missing."""
    return isinstance(error, (*_ERRORS, DeniedError))


def denial_behind(error: BaseException | None) -> BaseException | None:
    """The refusal for lack of a permission that is this error or a cause of it; None if there is none."""
    while error is not None and not is_denial(error):
        error = error.__cause__
    return error


def sentence(settings: Settings, missing: Iterable[Permission], command: str = "run") -> str:
    """What is missing, and the commands that grant it, on one line. `command`: the one that needs it."""
    by_resource: dict[tuple[Resource, str, bool], list[Permission]] = {}
    for permission in missing:
        by_resource.setdefault((permission.resource, permission.name, permission.prefixed), []).append(permission)
    may_not = []
    for (resource, name, prefixed), permissions in by_resource.items():
        what = f"{resource.value}s {name}*" if prefixed else f"{resource.value} {name}"
        operations = [_PHRASES.get(permission.operation, permission.operation.value) for permission in permissions]
        may_not.append(f"{' and '.join(operations)} the {what}")
    fixes = " and ".join(f"`{grant(settings, *permissions)}`" for permissions in by_resource.values())
    if len(by_resource) > _MOST_COMMANDS:
        fixes = f"the commands that `{checking(command)}` prints"
    return f"{principal(settings)} may not {', '.join(may_not)}: grant it with {fixes}"


def checking(command: str) -> str:
    """The command that shows what is missing for a command."""
    return "scorer topics check-access" if command == "run" else f"scorer topics check-access --for '{command}'"


def refusal(settings: Settings, error: BaseException, command: str = "run") -> str:
    """What Kafka refused with this error, where nobody knows more than the error says."""
    if isinstance(error, DeniedError):
        return str(error)
    first = error.args[0] if error.args else None
    names = ", ".join(sorted(map(str, first))) if isinstance(first, set | frozenset) else str(first or "")
    what = next(
        (f"the {kind} {names}" for refused, kind in _KINDS.items() if isinstance(error, refused)), "the cluster"
    )
    return f"Kafka does not let {principal(settings)} use {what.strip()}: see `{checking(command)}`"


def grant(settings: Settings, *permissions: Permission) -> str:
    """The command that grants permissions for one resource."""
    words = ["kafka-acls", "--bootstrap-server", settings.bootstrap_servers]
    if settings.security_protocol != "PLAINTEXT":
        words += ["--command-config", "admin.properties"]
    words += ["--add", "--allow-principal", principal(settings)]
    words += [word for permission in permissions for word in ("--operation", permission.operation.value)]
    words += [_OPTIONS[permissions[0].resource], permissions[0].name]
    if permissions[0].prefixed:
        words += ["--resource-pattern-type", "prefixed"]
    return shlex.join(words)
