"""What topics there are, and how they are set."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError

from scorer.kafka.connection import connection
from scorer.runtime.settings import Settings

_CONNECT_SECONDS: Final = 15.0


class TopicError(Exception):
    """The topics are not as the service needs them; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is. `replicas`: of the partition that has the fewest. `config` is None where Kafka does not say."""

    partitions: int
    replicas: int
    config: Mapping[str, str] | None


@contextlib.asynccontextmanager
async def connecting(settings: Settings) -> AsyncIterator[None]:
    """At most 15 seconds, or `SCORER_STARTUP_TIMEOUT_S` if that is less, for what is inside. Raises `KafkaError`."""
    seconds = min(_CONNECT_SECONDS, settings.startup_timeout_s)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise KafkaConnectionError(f"no answer within {seconds:g} s") from None


@contextlib.asynccontextmanager
async def topic_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected client. Raises `KafkaError` where Kafka does not answer in time."""
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        async with connecting(settings):
            await admin.start()
        yield admin
    finally:
        await admin.close()


async def describe(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, Topic]:
    """Those of the topics that exist. Raises `KafkaError`."""
    # Asking for a topic by name can create it, so first ask which there are.
    there = set(await admin.list_topics())
    existing = [name for name in names if name in there]
    if not existing:
        return {}
    described: list[dict[str, Any]] = await admin.describe_topics(existing)
    configs = await _configs(admin, existing)
    return {
        each["topic"]: Topic(
            len(each["partitions"]),
            min((len(partition["replicas"]) for partition in each["partitions"]), default=0),
            configs.get(each["topic"]),
        )
        for each in described
        if each["partitions"]
    }


def cleanup_policy(topic: Topic) -> str | None:
    """Its cleanup.policy; None where Kafka does not say."""
    found = (topic.config or {}).get("cleanup.policy")
    return None if found is None else ",".join(sorted(part.strip() for part in found.split(",")))


async def _configs(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The settings of the topics, as far as Kafka tells them: it may forbid it, or not know the question."""
    try:
        responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    except KafkaError:
        return {}
    found: dict[str, dict[str, str]] = {}
    for response in responses:
        for resource in response.to_object()["resources"]:
            if resource["error_code"] == 0:
                found[resource["resource_name"]] = {
                    entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]
                }
    return found
