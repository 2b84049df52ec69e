"""What each command needs Kafka to allow, and a check of it that changes nothing.

Kafka tells the operations that it allows on topics, groups and the cluster to those who may describe them. For a
transactional id, we ask to end a transaction of a producer that does not exist: the error tells whether we may write.
For the creation of topics, Kafka has a request that only validates.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    InvalidProducerIdMapping,
    KafkaError,
    NotCoordinatorForGroupError,
    TransactionalIdAuthorizationFailed,
)

from scorer.kafka.access_requests import TOPIC_DENIED, TopicAnswer, end_of_nothing, group_operations, topics_of
from scorer.kafka.denied import DeniedError, Operation, Permission, Resource
from scorer.kafka.topic_admin import topic_admin
from scorer.runtime.settings import Settings

_BITS: Final = {
    Operation.READ: 3,
    Operation.WRITE: 4,
    Operation.CREATE: 5,
    Operation.DELETE: 6,
    Operation.DESCRIBE: 8,
    Operation.DESCRIBE_CONFIGS: 10,
}
_ID_DENIED: Final = TransactionalIdAuthorizationFailed.errno
_NO_SUCH_PRODUCER: Final = (0, InvalidProducerIdMapping.errno)
"""Kafka's answer to a client that may write. 0: a broker that does not look."""
_RESERVED: Final = "check-access"
_ATTEMPTS: Final = 50
_PAUSE: Final = 0.1
_MOVING: Final = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)


class Verdict(StrEnum):
    """Whether Kafka allows something."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNKNOWN = "unknown"


class AccessFinding(NamedTuple):
    """The result of the check of one permission."""

    permission: Permission
    verdict: Verdict


def topic_needs(settings: Settings, name: str, *operations: Operation) -> list[Permission]:
    """These operations on a topic, with Describe, and with DescribeConfigs if possible."""
    needed = [Permission(Resource.TOPIC, name, operation) for operation in (Operation.DESCRIBE, *operations)]
    return [*needed, Permission(Resource.TOPIC, name, Operation.DESCRIBE_CONFIGS, required=False)]


def tick_permission(settings: Settings) -> Permission:
    """What ticks need. Without it the service works, and nothing cools in a silent partition. Records that get a key
    (`SCORER_NULL_KEYS=rekey`), translated ones (`SCORER_SOURCES`) and enrichments (`SCORER_COMPANY_TOPIC`) cannot
    wait."""
    needed = settings.null_keys == "rekey" or bool(settings.source_topics) or settings.company_topic is not None
    return Permission(Resource.TOPIC, settings.activity_topic, Operation.WRITE, required=needed)


def _run(settings: Settings) -> list[Permission]:
    reading, writing = Operation.READ, Operation.WRITE
    creating = (Operation.CREATE,) if settings.create_topics else ()
    into_input = []
    permission = tick_permission(settings)
    if permission.required or settings.tick_seconds > 0:
        into_input.append(permission)
    needs = [
        *topic_needs(settings, settings.activity_topic, reading, *creating),
        *into_input,
        *_reading_sources(settings),
        *topic_needs(settings, settings.routing_topic, writing, *creating),
        *topic_needs(settings, settings.dead_letter_topic, writing, *creating),
        *topic_needs(settings, settings.state_topic, reading, writing, *creating),
    ]
    if settings.create_topics:
        needs += topic_needs(settings, settings.replay_marks_topic, *creating)
    if settings.shadow_rules is not None:
        needs += topic_needs(settings, settings.shadow_topic, writing, *creating)
    if settings.company_topic is not None:
        needs += topic_needs(settings, settings.company_topic, reading, *creating)
    return [*needs, *_group(settings, reading), *_ids(f"{settings.group}-", prefixed=True)]


def _topics_ensure(settings: Settings) -> list[Permission]:
    names = [settings.activity_topic, settings.routing_topic, settings.dead_letter_topic, settings.state_topic]
    names.append(settings.replay_marks_topic)
    if settings.shadow_rules is not None:
        names.append(settings.shadow_topic)
    if settings.company_topic is not None:
        names.append(settings.company_topic)
    needed = [need for name in names for need in topic_needs(settings, name, Operation.CREATE)]
    return [*needed, *(need for topic in settings.source_topics for need in topic_needs(settings, topic))]


def _reading_sources(settings: Settings) -> list[Permission]:
    return [need for topic in settings.source_topics for need in topic_needs(settings, topic, Operation.READ)]


def _reading_input(settings: Settings) -> list[Permission]:
    return topic_needs(settings, settings.activity_topic, Operation.READ)


def _dlq_list(settings: Settings) -> list[Permission]:
    return [
        *topic_needs(settings, settings.dead_letter_topic, Operation.READ),
        *topic_needs(settings, settings.replay_marks_topic, Operation.READ),
    ]


def _dlq_replay(settings: Settings) -> list[Permission]:
    return [
        *topic_needs(settings, settings.dead_letter_topic, Operation.READ),
        *topic_needs(settings, settings.replay_marks_topic, Operation.READ, Operation.WRITE),
        *topic_needs(settings, settings.activity_topic, Operation.WRITE),
        *(need for topic in settings.source_topics for need in topic_needs(settings, topic, Operation.WRITE)),
        *_ids(f"{settings.dead_letter_topic}.replay"),
    ]


def _dlq_purge(settings: Settings) -> list[Permission]:
    return [
        *topic_needs(settings, settings.dead_letter_topic, Operation.READ, Operation.WRITE, Operation.DELETE),
        *_ids(f"{settings.dead_letter_topic}.purge"),
    ]


def _offsets_show(settings: Settings) -> list[Permission]:
    return [
        *topic_needs(settings, settings.activity_topic, Operation.READ),
        *_reading_sources(settings),
        *topic_needs(settings, settings.state_topic, Operation.READ),
        *_group(settings),
    ]


def _offsets_reset(settings: Settings) -> list[Permission]:
    return [
        *topic_needs(settings, settings.activity_topic, Operation.READ),
        *_reading_sources(settings),
        *topic_needs(settings, settings.state_topic, Operation.READ, Operation.WRITE),
        *_group(settings, Operation.READ),
        *_ids(f"{settings.group}-", prefixed=True),
    ]


def _retention(settings: Settings) -> list[Permission]:
    return topic_needs(settings, settings.state_topic, Operation.READ)


NEEDS: Final[Mapping[str, Callable[[Settings], list[Permission]]]] = {
    "run": _run,
    "topics ensure": _topics_ensure,
    "topics dump": _reading_input,
    "score": _reading_input,
    "backtest": _reading_input,
    "report": _reading_input,
    "explain": _reading_input,
    "dlq list": _dlq_list,
    "dlq replay": _dlq_replay,
    "dlq purge": _dlq_purge,
    "offsets show": _offsets_show,
    "offsets reset": _offsets_reset,
    "retention": _retention,
}
"""The permissions that each command needs with these settings. docs/operations.md has the same table."""


def _group(settings: Settings, *operations: Operation) -> list[Permission]:
    return [Permission(Resource.GROUP, settings.group, operation) for operation in (Operation.DESCRIBE, *operations)]


def _ids(name: str, *, prefixed: bool = False) -> list[Permission]:
    operations = (Operation.DESCRIBE, Operation.WRITE)
    return [Permission(Resource.TRANSACTIONAL_ID, name, operation, prefixed) for operation in operations]


async def check(settings: Settings, permissions: Sequence[Permission]) -> list[AccessFinding]:
    """Find out which of them Kafka allows, in the same order. Changes nothing. Raises `KafkaError`.

    The creation of a topic that exists is not required any more.
    """
    async with topic_admin(settings) as admin:
        names = list(dict.fromkeys(each.name for each in permissions if each.resource is Resource.TOPIC))
        topics, _ = await topics_of(admin, names) if names else ({}, None)
        creatable = [each.name for each in permissions if each.operation is Operation.CREATE]
        refused = await _not_creatable(admin, creatable)
        groups: dict[str, frozenset[Operation] | None] = {}
        ids: dict[str, frozenset[Operation] | None] = {}
        for each in permissions:
            if each.resource is Resource.GROUP and each.name not in groups:
                groups[each.name] = await _on_group(admin, each.name)
            if each.resource is Resource.TRANSACTIONAL_ID and each.name not in ids:
                ids[each.name] = await _on_id(admin, f"{each.name}{_RESERVED}" if each.prefixed else each.name)
    findings = []
    for each in permissions:
        if each.operation is Operation.CREATE:
            verdict = Verdict.UNKNOWN if refused is None else _verdict(each.name not in refused)
            if each.name in topics and topics[each.name].replicas:
                each = replace(each, required=False)
        elif each.resource is Resource.TOPIC:
            verdict = _on_topic(topics.get(each.name), each.operation)
        else:
            allowed = (groups if each.resource is Resource.GROUP else ids)[each.name]
            verdict = Verdict.UNKNOWN if allowed is None else _verdict(each.operation in allowed)
        findings.append(AccessFinding(each, verdict))
    return findings


async def require(settings: Settings) -> list[Permission]:
    """Check what the service needs. Returns what is wanted and not allowed. Raises `DeniedError` if something is
    missing without which it cannot work, and `KafkaError`."""
    denied = await missing(settings)
    required = [permission for permission in denied if permission.required]
    if required:
        raise DeniedError(settings, required)
    return denied


async def missing(settings: Settings) -> list[Permission]:
    """What the service needs or wants and Kafka denies. Raises `KafkaError`."""
    findings = await check(settings, _run(settings))
    denied = [permission for permission, verdict in findings if verdict is Verdict.DENIED]
    return [each for each in denied if each.required or each.operation is not Operation.CREATE]


def _verdict(allowed: bool) -> Verdict:
    return Verdict.ALLOWED if allowed else Verdict.DENIED


def _on_topic(answer: TopicAnswer | None, operation: Operation) -> Verdict:
    if answer is None:
        return Verdict.UNKNOWN
    if answer.error == TOPIC_DENIED:
        # Without Describe, Kafka says no more. Every other operation that we need on it is then of no use.
        return Verdict.DENIED
    if answer.operations is None:
        return Verdict.ALLOWED if operation is Operation.DESCRIBE else Verdict.UNKNOWN
    return _verdict(bool(answer.operations >> _BITS[operation] & 1))


async def _not_creatable(admin: AIOKafkaAdminClient, names: Sequence[str]) -> set[str] | None:
    """Which of these topics we may not create; None if Kafka does not say."""
    if not names:
        return set()
    try:
        response = await admin.create_topics([NewTopic(name, 1, 1) for name in names], validate_only=True)
    except KafkaError:
        return None
    return {name for name, code, *_ in response.topic_errors if code == TOPIC_DENIED}


async def _on_group(admin: AIOKafkaAdminClient, group: str) -> frozenset[Operation] | None:
    """The operations that are allowed on a group; None if Kafka does not say."""
    for _ in range(_ATTEMPTS):
        try:
            bits = await group_operations(admin, group)
        except GroupAuthorizationFailedError:
            return frozenset()
        except _MOVING:
            await asyncio.sleep(_PAUSE)
        else:
            return None if bits is None else frozenset(name for name, bit in _BITS.items() if bits >> bit & 1)
    return None


async def _on_id(admin: AIOKafkaAdminClient, transactional_id: str) -> frozenset[Operation] | None:
    """The same for a transactional id."""
    for _ in range(_ATTEMPTS):
        try:
            code = await end_of_nothing(admin, transactional_id)
        except TransactionalIdAuthorizationFailed:
            return frozenset()
        except _MOVING:
            await asyncio.sleep(_PAUSE)
            continue
        if code == _ID_DENIED:
            return frozenset({Operation.DESCRIBE})
        if code in _NO_SUCH_PRODUCER:
            return frozenset({Operation.DESCRIBE, Operation.WRITE})
        await asyncio.sleep(_PAUSE)
    return None
