"""`scorer topics ensure` with a real broker: it creates missing topics, reports wrong ones, and changes nothing."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion
from typer.testing import CliRunner

from scorer.cli import app
from scorer.kafka import topic_admin
from scorer.kafka import topics as ensuring
from tests.brokers.marks import both, embedded_only
from tests.integration.kafka import Kafka, Names, create_and_see
from tests.integration.service import service, settings_for

pytestmark = both


class Done(NamedTuple):
    """The result of the command: the exit status, and (topic status, topic, text) of each line."""

    status: int
    lines: list[tuple[str, str, str]]
    errors: str

    def of(self, topic: str) -> list[tuple[str, str]]:
        """Status and text of the lines about a topic, without advice."""
        return [
            (topic_status, text)
            for topic_status, name, text in self.lines
            if name == topic and topic_status != "advice"
        ]

    @property
    def advice(self) -> list[tuple[str, str]]:
        """Topic and text of the lines with advice."""
        return [(name, text) for topic_status, name, text in self.lines if topic_status == "advice"]


def ensure(kafka: Kafka, names: Names, *args: str, **settings: str) -> Done:
    """Run the command to its end. One replica by default, so a cluster gives the same lines."""
    given: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("SCORER_"))
    given |= {"SCORER_BOOTSTRAP_SERVERS": kafka.bootstrap, **names.environment}
    given |= {f"SCORER_{name.upper()}": value for name, value in settings.items()}
    replicas = () if "--replication-factor" in args else ("--replication-factor", "1")
    result = CliRunner().invoke(app, ["topics", "ensure", *args, *replicas], env=given, catch_exceptions=False)
    lines = []
    for line in result.stdout.splitlines():
        topic_status, topic, text = line.split(maxsplit=2)
        lines.append((topic_status, topic, text))
    return Done(result.exit_code, lines, result.stderr)


def create(kafka: Kafka, topics: Mapping[str, tuple[int, dict[str, str]]]) -> None:
    """Create topics with partitions and settings."""

    new = [NewTopic(name, count, 1, topic_configs=config) for name, (count, config) in topics.items()]
    asyncio.run(create_and_see(kafka.bootstrap, new))


def config(kafka: Kafka, topic: str) -> dict[str, str]:
    """The settings of a topic."""

    async def work() -> Any:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            return await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        finally:
            await admin.close()

    (response,) = asyncio.run(work())
    (resource,) = response.to_object()["resources"]
    return {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}


def all_topics(names: Names) -> list[str]:
    return [names.activity, names.routing, names.dead_letters, names.state, f"{names.dead_letters}.replayed"]


def test_creates_missing_topics_and_then_finds_all_ok(kafka: Kafka, names: Names) -> None:
    done = ensure(kafka, names, "--partitions", "4", max_value_bytes="2000000")
    assert (done.status, done.errors) == (0, "")
    assert [(topic_status, topic) for topic_status, topic, _ in done.lines] == [
        ("created", topic_name) for topic_name in all_topics(names)
    ]
    shapes = {topic: text for _, topic, text in done.lines}
    assert shapes[names.activity] == "partitions=4 replication.factor=1 cleanup.policy=delete"
    assert shapes[names.state] == "partitions=4 replication.factor=1 cleanup.policy=compact"
    assert shapes[f"{names.dead_letters}.replayed"] == "partitions=1 replication.factor=1 cleanup.policy=compact"
    assert int(config(kafka, names.dead_letters)["max.message.bytes"]) > 2_000_000
    again = ensure(kafka, names, "--partitions", "4", max_value_bytes="2000000")
    assert again.status == 0
    assert [(topic_status, topic) for topic_status, topic, _ in again.lines] == [
        ("ok", topic_name) for topic_name in all_topics(names)
    ]


def test_the_setting_gives_the_number_of_partitions(kafka: Kafka, names: Names) -> None:
    done = ensure(kafka, names, topic_partitions="2")
    assert dict(done.of(names.activity))["created"].startswith("partitions=2 ")
    assert dict(done.of(names.state))["created"].startswith("partitions=2 ")


def test_the_changelog_gets_the_partitions_of_the_existing_input(kafka: Kafka, names: Names) -> None:
    kafka.create({names.activity: 3})
    done = ensure(kafka, names)
    assert done.status == 0
    assert dict(done.of(names.state))["created"].startswith("partitions=3 ")
    other = ensure(kafka, names, "--partitions", "5")
    assert other.status == 1
    assert other.of(names.activity) == [("differs", "3 partitions, not 5; before changing that see docs/operations.md")]


def test_dead_letters_can_be_larger_than_the_input(kafka: Kafka, names: Names) -> None:
    create(kafka, {names.activity: (1, {"max.message.bytes": "3000000"})})
    assert ensure(kafka, names).status == 0
    assert int(config(kafka, names.dead_letters)["max.message.bytes"]) > 3_000_000


def test_differences_are_reported_and_not_changed(kafka: Kafka, names: Names) -> None:
    marks = f"{names.dead_letters}.replayed"
    create(
        kafka,
        {
            names.activity: (3, {"cleanup.policy": "compact", "max.message.bytes": "900000"}),
            names.dead_letters: (2, {"cleanup.policy": "compact", "max.message.bytes": "800000"}),
            names.state: (2, {"cleanup.policy": "compact,delete"}),
            names.routing: (1, {"cleanup.policy": "compact"}),
            marks: (1, {"cleanup.policy": "delete"}),
        },
    )
    for _ in range(2):
        done = ensure(kafka, names)
        assert done.status == 1
        assert done.of(names.routing) == [("ok", "partitions=1 replication.factor=1 cleanup.policy=compact")]
        assert done.of(names.activity) == [
            ("differs", "cleanup.policy=compact, not delete: a later activity of a lead would delete the ones before")
        ]
        assert done.of(names.dead_letters) == [
            ("differs", "cleanup.policy=compact, not delete: records without a key are refused then"),
            ("differs", "max.message.bytes=800000, the input's is 900000: larger dead letters would be cut"),
        ]
        assert done.of(names.state) == [
            (
                "differs",
                f"the changelog {names.state} has 2 partitions, its input {names.activity} has 3; they must be equal. "
                "Leads would lose their state: see docs/operations.md, Changing partitions",
            ),
            ("differs", "cleanup.policy=compact,delete, not compact: old states of leads would be deleted"),
        ]
        assert done.of(marks) == [
            ("differs", "cleanup.policy=delete, not compact: what went back once could go back again")
        ]


def test_a_topic_that_cannot_be_created_is_reported_with_the_reason(kafka: Kafka, names: Names) -> None:
    done = ensure(kafka, names, "--replication-factor", "99")
    assert done.status == 1
    assert [(topic_status, topic) for topic_status, topic, _ in done.lines] == [
        ("failed", topic_name) for topic_name in all_topics(names)
    ]
    assert all(text.startswith("could not be created: ") and "99" in text for _, _, text in done.lines)


def test_too_few_replicas_are_reported(kafka: Kafka, names: Names) -> None:
    assert ensure(kafka, names).status == 0
    done = ensure(kafka, names, "--replication-factor", "2")
    assert done.status == 1
    assert {text for _, _, text in done.lines} == {"replication factor 1, not 2"}


@embedded_only
def test_reports_unknown_settings(kafka: Kafka, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: object, resources: object) -> None:
        raise IncompatibleBrokerVersion("DescribeConfigs is not known here")

    assert ensure(kafka, names).status == 0
    monkeypatch.setattr(AIOKafkaAdminClient, "describe_configs", refuse)
    done = ensure(kafka, names)
    # Unknown settings are neither a difference nor "ok".
    assert done.status == 0
    for topic in all_topics(names):
        (_, shape), (topic_status, text) = done.of(topic)
        assert "cleanup.policy" not in shape
        assert (topic_status, text) == (
            "unknown",
            "Kafka does not show its settings: cleanup.policy and max.message.bytes cannot be checked here",
        )


def hide_at_first(monkeypatch: pytest.MonkeyPatch, *hidden: str) -> None:
    """Kafka does not show these topics when it is asked for the first time, as happens just after their creation."""
    asked = count()

    async def describe(
        admin: AIOKafkaAdminClient, topics: Sequence[str]
    ) -> tuple[dict[str, topic_admin.Topic], frozenset[str]]:
        shown, denied = await topic_admin.describe_visible(admin, topics)
        first = next(asked) == 0
        return {name: topic for name, topic in shown.items() if not (first and name in hidden)}, denied

    monkeypatch.setattr(ensuring, "describe_visible", describe)


@embedded_only  # what Kafka shows is given by the test
def test_an_input_that_is_not_shown_at_once_gives_its_partitions(
    kafka: Kafka, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(kafka, {names.activity: (3, {"max.message.bytes": "3000000"})})
    hide_at_first(monkeypatch, names.activity)
    done = ensure(kafka, names)
    assert done.status == 0
    assert [(topic_status, text.split()[0]) for topic_status, _, text in done.lines if topic_status != "advice"] == [
        ("ok", "partitions=3"),
        *[("created", "partitions=3")] * 3,
        ("created", "partitions=1"),
    ]
    assert int(config(kafka, names.dead_letters)["max.message.bytes"]) > 3_000_000


@embedded_only  # what Kafka shows is given by the test
def test_differences_of_topics_that_are_not_shown_at_once_are_reported(
    kafka: Kafka, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.create({names.activity: 3, names.routing: 1})
    kafka.create({names.state: 2}, {"cleanup.policy": "compact"})
    hide_at_first(monkeypatch, names.activity, names.routing, names.state)
    done = ensure(kafka, names)
    assert done.status == 1
    assert [topic_status for topic_status, _ in done.of(names.routing)] == ["ok"]
    ((topic_status, text),) = done.of(names.state)
    assert topic_status == "differs"
    assert text.startswith(f"the changelog {names.state} has 2 partitions, its input {names.activity} has 3;")


@embedded_only  # what Kafka shows is given by the test
def test_the_changelog_of_the_service_gets_the_partitions_of_an_input_that_is_not_shown_at_once(
    kafka: Kafka, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.create({names.activity: 3})
    hide_at_first(monkeypatch, names.activity)
    settings = settings_for(kafka, names).model_copy(update={"create_topics": True, "topic_partitions": 2})
    topics = asyncio.run(ensuring.ensure_topics(settings))
    assert {topics[name].partitions for name in (names.activity, names.routing, names.state)} == {3}


@embedded_only  # what Kafka shows is given by the test
def test_nothing_is_created_for_an_input_that_stays_unseen(
    kafka: Kafka, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(admin: object, topics: object) -> tuple[dict[str, topic_admin.Topic], frozenset[str]]:
        return {}, frozenset()

    kafka.create({names.activity: 3})
    with monkeypatch.context() as patched:
        patched.setattr(ensuring, "describe_visible", nothing)
        patched.setattr(ensuring, "_SHOWN_ATTEMPTS", 1)
        unseen = ensure(kafka, names)
    why = f"was not created: the input {names.activity} exists, but Kafka does not show it yet; run again"
    assert unseen.status == 1
    assert unseen.lines == [
        ("failed", topic, "exists, but Kafka does not show it yet; run again" if topic == names.activity else why)
        for topic in all_topics(names)
    ]
    assert dict(ensure(kafka, names).of(names.state))["created"].startswith("partitions=3 ")


def test_an_unreachable_kafka_is_one_line(names: Names) -> None:
    done = ensure(Kafka("127.0.0.1:1"), names)
    assert (done.status, done.lines) == (1, [])
    assert done.errors == ("error: Kafka at 127.0.0.1:1 (SCORER_BOOTSTRAP_SERVERS): no Kafka broker answers\n")


@embedded_only
def test_a_wrong_setting_is_one_line(kafka: Kafka, names: Names) -> None:
    done = ensure(kafka, names, topic_partitions="none")
    assert (done.status, done.lines) == (2, [])
    assert "SCORER_TOPIC_PARTITIONS" in done.errors


def test_the_service_starts_on_the_created_topics(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    with service(kafka, names, tmp_path, ready=False, create_topics="false") as refused:
        assert refused.process.wait(30) == 2
        assert "create it with `scorer topics ensure`" in refused.text()
    assert ensure(kafka, names, "--partitions", "2").status == 0
    with service(kafka, names, tmp_path, create_topics="false") as running:
        assert running.terminate() == 0


def test_the_broker_stamps_the_records_of_a_new_input(kafka: Kafka, names: Names) -> None:
    assert ensure(kafka, names).advice == []
    assert config(kafka, names.activity)["message.timestamp.type"] == "LogAppendTime"


def test_an_input_that_senders_stamp_is_advice_and_a_warning_and_can_be_changed(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    kafka.create({names.activity: 1}, {"message.timestamp.type": "CreateTime"})
    done = ensure(kafka, names)
    assert done.status == 0
    ((topic, text),) = done.advice
    assert topic == names.activity
    assert text.startswith("message.timestamp.type=CreateTime, not LogAppendTime: activities count as of the time that")
    assert f"--entity-name {names.activity} --add-config message.timestamp.type=LogAppendTime`" in text
    for kind, warned in (("CreateTime", [text]), ("LogAppendTime", [])):
        kafka.configure(names.activity, "message.timestamp.type", kind)
        with service(kafka, names, tmp_path, create_topics="false") as running:
            assert running.terminate() == 0
            assert [line["why"] for line in running.log() if line["event"] == "input_without_broker_time"] == warned
