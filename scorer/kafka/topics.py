"""The topics that the service needs: checked before it starts, and created if the settings say so."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from scorer.domain.printable import counted
from scorer.kafka.access_requests import TOPIC_DENIED
from scorer.kafka.denied import DeniedError, Operation, Permission, Resource, sentence
from scorer.kafka.sizes import (
    DEFAULT_LIMIT,
    OVERHEAD,
    SMALLEST_LETTERS,
    dead_letter_topic_bytes,
    record_topic_bytes,
)
from scorer.kafka.topic_admin import (
    BROKER_CLOCK,
    MESSAGE_BYTES,
    TIMESTAMP_TYPE,
    Topic,
    TopicError,
    cleanup_policy,
    describe_visible,
    raising,
    size_limit,
    topic_admin,
    without_broker_clock,
)
from scorer.runtime import record_bytes
from scorer.runtime.settings import Settings, variable

_REPLICAS: Final = 3
_SHOWN_ATTEMPTS: Final = 25
_SHOWN_PAUSE: Final = 0.2
_POLICY: Final = "cleanup.policy"
_NOT_OURS: Final = "its sender creates it, or `scorer topics ensure --sources`; or take it out of SCORER_SOURCES"
_BROKER_CLOCK: Final = {TIMESTAMP_TYPE: BROKER_CLOCK}
"""For the input, because its timestamps are the time of the log. For the topics that every worker writes, because the
broker then tells the worker its time, which shows a wrong clock."""

__all__ = ["Need", "TopicError", "TopicFinding", "TopicStatus", "ensure_and_report", "ensure_topics", "needs"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Need:
    """A topic as it should be. `config`: its settings at creation. `partitions` None: as many as the input has."""

    topic: str
    setting: str | None
    compact: bool | None
    """True: it must be compacted. False: it must not be. None: both are fine."""
    why: str
    config: Mapping[str, str] = field(default_factory=dict)
    partitions: int | None = None
    least_bytes: int = 0
    """The largest batch with one record that we may write there; 0 if it is always small or cut."""
    ours: bool = True
    """Whether we create it, and have a say in its settings. Not so the topic of another sender."""


class TopicStatus(StrEnum):
    """The status of a topic. `differs` and `failed` need a person; with `advice` the service works, but less well."""

    OK = "ok"
    CREATED = "created"
    ADVICE = "advice"
    DIFFERS = "differs"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TopicFinding:
    """One line of a report on topics."""

    status: TopicStatus
    topic: str
    text: str


def needs(settings: Settings, source: Topic | None = None) -> tuple[Need, ...]:
    """The topics of the service, the input first. `source`: the input topic if it exists."""
    least = record_topic_bytes(settings)
    room = {MESSAGE_BYTES: str(max(DEFAULT_LIMIT, least))}
    letters = {MESSAGE_BYTES: str(dead_letter_topic_bytes(settings, _limit(source))), **_BROKER_CLOCK}
    lost = "a later activity of a lead would delete the ones before"
    shadow = (
        ()
        if settings.shadow_rules is None
        else (Need(settings.shadow_topic, "shadow_topic", None, "", room, least_bytes=least),)
    )
    companies = (
        ()
        if settings.company_topic is None
        else (
            Need(
                settings.company_topic,
                "company_topic",
                True,
                "profiles that have not changed for long would be deleted",
                {_POLICY: "compact", **_BROKER_CLOCK},
            ),
        )
    )
    return (
        Need(settings.activity_topic, "activity_topic", False, lost, _BROKER_CLOCK),
        Need(settings.routing_topic, "routing_topic", None, "", room, least_bytes=least),
        Need(
            settings.dead_letter_topic,
            "dead_letter_topic",
            False,
            "records without a key are refused then",
            letters,
            least_bytes=SMALLEST_LETTERS,
        ),
        Need(
            settings.state_topic,
            "state_topic",
            True,
            "old states of leads would be deleted",
            {_POLICY: "compact", **room, **_BROKER_CLOCK},
            least_bytes=least,
        ),
        Need(
            settings.replay_marks_topic,
            None,
            True,
            "what went back once could go back again",
            {_POLICY: "compact"},
            partitions=1,
        ),
        *shadow,
        *companies,
        *(Need(topic, "sources", None, "", ours=False) for topic in settings.source_topics),
    )


async def ensure_topics(settings: Settings) -> dict[str, Topic]:
    """Check the topics; create what is missing of ours if `SCORER_CREATE_TOPICS` says so. Returns the topics.

    Raises `TopicError` if one is missing, if one is known to accept less than we may write, or if the changelog has
    another number of partitions than the input, because the states of leads would be on the wrong partitions. Raises
    `KafkaError` if Kafka cannot be reached, and `DeniedError` if a topic may not be described.
    """
    async with topic_admin(settings) as admin:
        names = [need.topic for need in needs(settings)]
        topics, hidden = await describe_visible(admin, names)
        needed = [need.topic for need in needs(settings) if need.setting is not None]
        unseen = [Permission(Resource.TOPIC, name, Operation.DESCRIBE) for name in needed if name in hidden]
        if unseen:
            raise DeniedError(settings, unseen)
        if settings.create_topics and len(topics) < len(names):
            creation = await _create_missing(admin, settings, topics)
            if creation.failures:
                raise TopicError("; ".join(f"the topic {name} {text}" for name, text in creation.failures.items()))
            topics = await _describe_when_there(
                admin, [need.topic for need in needs(settings) if need.ours or need.topic in topics]
            )
            if creation.created:
                counts = {name: topics[name].partitions for name in names if name in creation.created & topics.keys()}
                log.info("topics_created", partitions=counts)
    for need in needs(settings):
        if need.setting is not None and need.topic not in topics:
            fix = "create it with `scorer topics ensure`, or set SCORER_CREATE_TOPICS=true" if need.ours else _NOT_OURS
            raise TopicError(f"the topic {need.topic} ({variable(need.setting)}) does not exist; {fix}")
    inputs, states = topics[settings.activity_topic].partitions, topics[settings.state_topic].partitions
    if inputs != states:
        raise TopicError(_unequal(settings, states, inputs))
    small = [
        f"the topic {need.topic} has {text}"
        for need in needs(settings)
        if need.topic in topics and (text := _too_small(settings, need, topics[need.topic])) is not None
    ]
    if small:
        raise TopicError("; ".join(small))
    advice = without_broker_clock(settings, topics[settings.activity_topic])
    if advice is not None:
        log.warning("input_without_broker_time", topic=settings.activity_topic, why=advice)
    return topics


async def ensure_and_report(
    settings: Settings, partitions: int | None, replicas: int | None, *, sources: bool = False
) -> list[TopicFinding]:
    """Create the missing topics, and report on each topic.

    `partitions`: of the input if it is created; None takes the setting. `replicas`: of each topic; None takes three, or
    the number of brokers if that is less. `sources`: also create topics of other senders, with as many partitions as
    the input. Raises `KafkaError` if Kafka cannot be reached.
    """
    names = [need.topic for need in needs(settings)]
    async with topic_admin(settings) as admin:
        before, hidden = await describe_visible(admin, names)
        failures = {name: sentence(settings, [Permission(Resource.TOPIC, name, Operation.DESCRIBE)]) for name in hidden}
        creation = await _create_missing(admin, settings, before, partitions, replicas, hidden, sources=sources)
        failures |= creation.failures
        expected = [need.topic for need in needs(settings) if need.ours or sources or need.topic in before]
        topics = await _describe_when_there(admin, [name for name in expected if name not in failures])
        wanted = replicas or await _default_replicas(admin)
    findings: list[TopicFinding] = []
    for need in needs(settings):
        if need.topic in failures:
            findings.append(TopicFinding(TopicStatus.FAILED, need.topic, failures[need.topic]))
        if need.topic not in topics:
            if not need.ours and not sources and need.topic not in failures:
                findings.append(TopicFinding(TopicStatus.FAILED, need.topic, f"does not exist; {_NOT_OURS}"))
            elif need.topic not in failures:
                did = "created" if need.topic in creation.created else "exists"
                findings.append(
                    TopicFinding(TopicStatus.FAILED, need.topic, f"{did}, but Kafka does not show it yet; run again")
                )
            continue
        topic = topics[need.topic]
        differences = list(_differences(settings, need, topics, partitions, wanted))
        if need.topic in creation.created:
            findings.append(TopicFinding(TopicStatus.CREATED, need.topic, _shape(topic)))
        elif not differences:
            findings.append(TopicFinding(TopicStatus.OK, need.topic, _shape(topic)))
        findings += [TopicFinding(TopicStatus.DIFFERS, need.topic, text) for text in differences]
        advice = without_broker_clock(settings, topic) if need.topic == settings.activity_topic else None
        if advice is not None:
            findings.append(TopicFinding(TopicStatus.ADVICE, need.topic, advice))
        if topic.config is None:
            text = "Kafka does not show its settings: cleanup.policy and max.message.bytes cannot be checked here"
            findings.append(TopicFinding(TopicStatus.UNKNOWN, need.topic, text))
    return findings


def _differences(
    settings: Settings, need: Need, topics: Mapping[str, Topic], partitions: int | None, replicas: int
) -> Iterable[str]:
    topic = topics[need.topic]
    if not need.ours:
        return
    source = topics.get(settings.activity_topic)
    if need.topic == settings.activity_topic and partitions not in (None, topic.partitions):
        yield f"{counted(topic.partitions, 'partition')}, not {partitions}; before changing that see docs/operations.md"
    if need.topic == settings.state_topic and source is not None and source.partitions != topic.partitions:
        yield _unequal(settings, topic.partitions, source.partitions)
    if topic.replicas < replicas:
        yield f"replication factor {topic.replicas}, not {replicas}"
    policy = cleanup_policy(topic)
    if policy is not None and need.compact is not None:
        if need.compact and policy != "compact":
            yield f"cleanup.policy={policy}, not compact: {need.why}"
        if not need.compact and "compact" in policy.split(","):
            yield f"cleanup.policy={policy}, not delete: {need.why}"
    small = _too_small(settings, need, topic)
    if small is not None:
        yield small
    elif need.topic == settings.dead_letter_topic and source is not None:
        limit, input_limit = _limit(topic), _limit(source)
        if limit is not None and input_limit is not None and limit < input_limit:
            yield f"{MESSAGE_BYTES}={limit}, the input's is {input_limit}: larger dead letters would be cut"


def _too_small(settings: Settings, need: Need, topic: Topic) -> str | None:
    """What is wrong if the topic accepts less than we may write, and what to do; None otherwise."""
    limit = size_limit(topic)
    if limit is None or limit >= need.least_bytes:
        return None
    name, least = MESSAGE_BYTES, need.least_bytes
    if _limit(topic) != limit:
        name, least = "segment.bytes", max(least, 1 << 20)
    text = f"{name}={limit}, but {need.least_bytes} are needed"
    fix = raising(settings, need.topic, least).replace(MESSAGE_BYTES, name)
    if need.least_bytes != record_topic_bytes(settings):
        return f"{text} for dead letters: run `{fix}`"
    setting = variable("max_record_bytes")
    text = f"{text} with {setting}={settings.max_record_bytes}: run `{fix}`"
    most = limit - OVERHEAD
    return f"{text}, or set {setting}={most} or less" if most >= record_bytes.LEAST else text


def _limit(topic: Topic | None) -> int | None:
    size = None if topic is None else (topic.config or {}).get(MESSAGE_BYTES)
    return None if size is None else int(size)


def _unequal(settings: Settings, states: int, inputs: int) -> str:
    return (
        f"the changelog {settings.state_topic} has {counted(states, 'partition')}, its input "
        f"{settings.activity_topic} has {inputs}; they must be equal. Leads would lose their state: see "
        "docs/operations.md, Changing partitions"
    )


def _shape(topic: Topic) -> str:
    policy = cleanup_policy(topic)
    text = f"partitions={topic.partitions} replication.factor={topic.replicas}"
    return text if policy is None else f"{text} {_POLICY}={policy}"


@dataclass(frozen=True, slots=True)
class _Creation:
    """What came of the creation of topics. Topics in neither field existed already."""

    created: frozenset[str]
    failures: Mapping[str, str]
    """The names of topics that could not be created, with the reasons."""


async def _create_missing(
    admin: AIOKafkaAdminClient,
    settings: Settings,
    topics: Mapping[str, Topic],
    partitions: int | None = None,
    replicas: int | None = None,
    hidden: Collection[str] = (),
    *,
    sources: bool = False,
) -> _Creation:
    """Create the topics that are not among `topics`. `hidden`: they may exist. `sources`: also those of other senders.

    The input comes first. A topic that another process has just created may not be shown yet, and the others need its
    number of partitions.
    """
    name = settings.activity_topic
    source = topics.get(name)
    missing = [
        need.topic
        for need in needs(settings)
        if need.topic not in topics and need.topic not in hidden and (need.ours or sources)
    ]
    if not missing:
        return _Creation(frozenset(), {})
    inputs = partitions or settings.topic_partitions
    replicas = replicas or await _default_replicas(admin)
    created: frozenset[str] = frozenset()
    failures: dict[str, str] = {}
    if name in missing:
        first = [need for need in needs(settings) if need.topic == name]
        created, failures = await _create(admin, settings, first, inputs, replicas)
        if name not in created and name not in failures:
            source = (await _describe_when_there(admin, [name])).get(name)
            if source is None:
                unseen = "exists, but Kafka does not show it yet; run again"
                why = f"was not created: the input {name} {unseen}"
                return _Creation(created, {**dict.fromkeys(missing, why), name: unseen})
    elif source is None and partitions is None and settings.state_topic in missing:
        failures[settings.state_topic] = (
            f"was not created: it needs as many partitions as the input {name}, which may not be described"
        )
    others = [
        need
        for need in needs(settings, source)
        if need.topic in missing and need.topic != name and need.topic not in failures
    ]
    inputs = inputs if source is None else source.partitions
    more, failed = await _create(admin, settings, others, inputs, replicas)
    return _Creation(created | more, failures | failed)


async def _create(
    admin: AIOKafkaAdminClient, settings: Settings, missing: Sequence[Need], partitions: int, replicas: int
) -> tuple[frozenset[str], dict[str, str]]:
    """The names of those that were created, and of those that failed, with the reasons. `partitions`: of the input.

    Topics that exist are in neither, because another process may create them at the same time.
    """
    if not missing:
        return frozenset(), {}
    new = [
        NewTopic(
            name=need.topic,
            num_partitions=need.partitions or partitions,
            replication_factor=replicas,
            topic_configs=dict(need.config),
        )
        for need in missing
    ]
    response = await admin.create_topics(new)
    created: set[str] = set()
    failures: dict[str, str] = {}
    for name, code, *message in response.topic_errors:
        error = for_code(code)
        if code == 0:
            created.add(name)
        elif code == TOPIC_DENIED:
            denied = sentence(settings, [Permission(Resource.TOPIC, name, Operation.CREATE)])
            failures[name] = f"could not be created: {denied}"
        elif error is not TopicAlreadyExistsError:
            why = message[0] if message and message[0] else error.__name__
            failures[name] = f"could not be created: {why}"
    return frozenset(created), failures


async def _describe_when_there(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, Topic]:
    """`describe`, repeated for a while: not all brokers know a new topic at once."""
    topics, _ = await describe_visible(admin, names)
    for _ in range(_SHOWN_ATTEMPTS):
        if len(topics) == len(names):
            break
        await asyncio.sleep(_SHOWN_PAUSE)
        topics, _ = await describe_visible(admin, names)
    return topics


async def _default_replicas(admin: AIOKafkaAdminClient) -> int:
    return min(_REPLICAS, max(1, len((await admin.describe_cluster())["brokers"])))
