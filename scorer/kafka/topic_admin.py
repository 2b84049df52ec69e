"""Which topics exist, and their settings."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError

from scorer.kafka.access_requests import TOPIC_DENIED, topics_of
from scorer.kafka.connection import connection
from scorer.runtime.settings import Settings

MESSAGE_BYTES: Final = "max.message.bytes"
TIMESTAMP_TYPE: Final = "message.timestamp.type"
BROKER_CLOCK: Final = "LogAppendTime"
_SEGMENT_BYTES: Final = "segment.bytes"
_CONNECT_SECONDS: Final = 15.0


class TopicError(Exception):
    """The topics do not meet the needs of the service; the message names the topic and the fix."""


@dataclass(frozen=True, slots=True)
class Topic:
    """An existing topic. `replicas`: of the partition with the fewest. `config`: None if Kafka does not give it."""

    partitions: int
    replicas: int
    config: Mapping[str, str] | None


@contextlib.asynccontextmanager
async def connecting(settings: Settings) -> AsyncIterator[None]:
    """Limit the block to 15 seconds, or to `SCORER_STARTUP_TIMEOUT_S` if that is less. Raises `KafkaError`."""
    seconds = min(_CONNECT_SECONDS, settings.startup_timeout_s)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise KafkaConnectionError(f"no answer within {seconds:g} s") from None


@contextlib.asynccontextmanager
async def topic_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected client. Raises `KafkaError` if Kafka does not answer in time."""
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        async with connecting(settings):
            await admin.start()
        yield admin
    finally:
        await admin.close()


async def describe(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, Topic]:
    """The existing ones of the named topics. Raises `KafkaError`, `TopicAuthorizationFailedError` with the names if
    some may not be described: they may exist or not."""
    topics, hidden = await describe_visible(admin, names)
    if hidden:
        raise TopicAuthorizationFailedError(hidden)
    return topics


async def describe_visible(admin: AIOKafkaAdminClient, names: Sequence[str]) -> tuple[dict[str, Topic], frozenset[str]]:
    """The existing ones of the named topics, and the names of those that we may not describe. Raises `KafkaError`."""
    answers, _ = await topics_of(admin, list(names))
    hidden = frozenset(name for name, answer in answers.items() if answer.error == TOPIC_DENIED)
    existing = {name: answer for name, answer in answers.items() if answer.replicas}
    configs = await _configs(admin, list(existing)) if existing else {}
    topics = {
        name: Topic(len(answer.replicas), min(answer.replicas), configs.get(name)) for name, answer in existing.items()
    }
    return topics, hidden


def cleanup_policy(topic: Topic) -> str | None:
    """The cleanup.policy of a topic; None if Kafka does not give it."""
    policy = (topic.config or {}).get("cleanup.policy")
    return None if policy is None else ",".join(sorted(part.strip() for part in policy.split(",")))


def size_limit(topic: Topic) -> int | None:
    """The largest record batch that a topic accepts, bytes; None if Kafka does not give it. A batch must fit a segment,
    too."""
    config = topic.config or {}
    sizes = [int(config[name]) for name in (MESSAGE_BYTES, _SEGMENT_BYTES) if config.get(name, "").isdecimal()]
    return min(sizes) if MESSAGE_BYTES in config and sizes else None


def raising(settings: Settings, topic: str, size: int) -> str:
    """The command that makes a topic accept batches of `size` bytes."""
    return _altering(settings, topic, MESSAGE_BYTES, str(size))


def without_broker_clock(settings: Settings, topic: Topic) -> str | None:
    """What follows if the senders stamp the records of the input topic, and how to change it; None if the broker does,
    or if Kafka does not say."""
    kind = (topic.config or {}).get(TIMESTAMP_TYPE, BROKER_CLOCK)
    if kind == BROKER_CLOCK:
        return None
    fix = _altering(settings, settings.activity_topic, TIMESTAMP_TYPE, BROKER_CLOCK)
    return (
        f"{TIMESTAMP_TYPE}={kind}, not {BROKER_CLOCK}: activities count as of the time that their senders state, also "
        f"of senders whose clock is ahead, and only ticks bring time into a partition; `{fix}` changes it"
    )


def _altering(settings: Settings, topic: str, name: str, value: str) -> str:
    return (
        f"kafka-configs --bootstrap-server {settings.bootstrap_servers} --alter --entity-type topics "
        f"--entity-name {topic} --add-config {name}={value}"
    )


async def _configs(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The settings of the topics that Kafka gives. It may deny access, or not support the request."""
    try:
        responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    except KafkaError:
        return {}
    configs: dict[str, dict[str, str]] = {}
    for response in responses:
        for resource in response.to_object()["resources"]:
            if resource["error_code"] == 0:
                configs[resource["resource_name"]] = {
                    entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]
                }
    return configs
