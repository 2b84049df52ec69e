"""How large a record may be that the service writes, from the settings and from what topics accept."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from scorer.kafka import record_limits
from scorer.kafka.client_internals import record_size
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.sizes import OVERHEAD, record_topic_bytes
from scorer.kafka.topic_admin import Topic, size_limit
from scorer.kafka.transaction import Refusal
from scorer.runtime.settings import Settings, load_settings
from scorer.state.marker import Marker
from scorer.stream.outbox import decision_message, marker_message, state_message
from tests.unit.test_batch import DECISION


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with the longest names."""
    return load_settings(None, rules=tmp_path, group="g" * 238, max_record_bytes=1_000_000)


def topic(accepted: int | None) -> Topic:
    """A topic that accepts so many bytes; None: Kafka does not say."""
    return Topic(
        1, 1, None if accepted is None else {"max.message.bytes": str(accepted), "segment.bytes": "1073741824"}
    )


@pytest.mark.parametrize("accepted", [None, 1_016_384, 1_048_588, 5_000_000])
def test_a_topic_with_room_changes_nothing(settings: Settings, accepted: int | None) -> None:
    limits = TopicLimits(settings)
    before = limits.current
    limits.know({settings.state_topic: topic(accepted), settings.routing_topic: topic(accepted)})
    for limit in (limits.current.state, limits.current.decision, before.state, before.decision):
        assert (limit.size, limit.source) == (1_000_000, "SCORER_MAX_RECORD_BYTES")


def test_the_overhead_is_enough_for_the_longest_key_and_headers(settings: Settings) -> None:
    assert DECISION is not None
    lead_id = "\U0001f600" * 256
    decision = decision_message(DECISION, settings.routing_topic, settings.group, 0)
    large = b"x" * settings.max_record_bytes
    state = state_message(lead_id, large, settings.state_topic, 0, 1 << 60)
    assert record_size(state.key, large, state.headers) <= record_topic_bytes(settings)
    headers = [(name, lead_id.encode() if name == "ce_subject" else value) for name, value in decision.headers]
    assert record_size(lead_id.encode(), large, headers) <= record_topic_bytes(settings)
    marker = marker_message(Marker("f" * 64, 1 << 60, lead_id), settings.state_topic, 0)
    assert record_size(marker.key, marker.value, marker.headers) < 2_048 < OVERHEAD


def test_a_segment_that_is_smaller_than_the_largest_batch_sets_the_limit() -> None:
    assert size_limit(Topic(1, 1, {"max.message.bytes": "2000000", "segment.bytes": "1500000"})) == 1_500_000
    assert size_limit(Topic(1, 1, {"segment.bytes": "1500000"})) is None
    assert size_limit(topic(None)) is None


def test_topics_whose_limits_are_unknown_are_logged_once(settings: Settings) -> None:
    limits = TopicLimits(settings)
    with capture_logs() as logs:
        for _ in range(3):
            limits.know({settings.state_topic: topic(None), settings.routing_topic: topic(2_000_000)})
    assert [(line["event"], line["topics"], line["needed"]) for line in logs] == [
        ("topic_limits_unknown", [settings.state_topic], 1_016_384)
    ]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Topic]:
    """What Kafka says of the topics when it is asked after a refusal; nothing: it does not answer."""
    answer: dict[str, Topic] = {}

    @contextlib.asynccontextmanager
    async def admin(settings: Settings) -> AsyncIterator[None]:
        yield

    async def describe(_: object, names: object) -> tuple[Mapping[str, Topic], frozenset[str]]:
        if not answer:
            raise KafkaConnectionError
        return answer, frozenset()

    monkeypatch.setattr(record_limits, "topic_admin", admin)
    monkeypatch.setattr(record_limits, "describe_visible", describe)
    return answer


def test_a_refusal_teaches_what_the_topic_accepts_now(settings: Settings, told: dict[str, Topic]) -> None:
    limits = TopicLimits(settings)
    limits.know({settings.state_topic: topic(1_048_588)})
    told[settings.state_topic] = topic(90_000)
    with capture_logs() as logs:
        asyncio.run(limits.refused(Refusal(settings.state_topic, "lead-7", 150_000, 1)))
    assert limits.current.state.size == 90_000 - OVERHEAD
    assert limits.current.state.source == f"max.message.bytes of {settings.state_topic}"
    assert limits.current.decision.size == 1_000_000
    assert limits.current.batch == 90_000
    (line,) = logs
    named = {"lead": "lead-7", "topic": settings.state_topic, "size": 150_000, "limit": 90_000}
    assert {name: line[name] for name in named} == named
    assert f"--entity-name {settings.state_topic} --add-config max.message.bytes=1016384" in line["fix"]


@pytest.mark.parametrize("says", [None, 1_048_588])
def test_each_refusal_lowers_a_limit_whatever_kafka_says(
    settings: Settings, told: dict[str, Topic], says: int | None
) -> None:
    limits = TopicLimits(settings)
    if says is not None:
        told[settings.state_topic] = topic(says)
    sizes = []
    for records, size in ((50, 500_000), (25, 240_000), (1, 120_000), (1, 110_000)):
        asyncio.run(limits.refused(Refusal(settings.state_topic, "lead", size, records)))
        sizes.append((limits.current.batch, limits.current.state.size))
    assert sizes[0][0] < 500_000
    assert sizes[1][0] < 240_000
    assert sizes[2][1] < 120_000
    assert sizes[3][1] < 110_000
