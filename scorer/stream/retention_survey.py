"""What a retention would delete, found in the changelog. Changes nothing."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from scorer.domain.lead import NEVER
from scorer.evaluation.retention import Deletion, deletion
from scorer.kafka.topic_admin import TopicError, describe, topic_admin
from scorer.kafka.topic_reader import topic_reader
from scorer.rules.ruleset import Retention
from scorer.runtime.settings import Settings
from scorer.state.codec import CodecError, decode_lead
from scorer.state.input_position import POSITION_KEY
from scorer.state.marker import MARKER_KEY


class Leaving(NamedTuple):
    """A lead that is deleted unless it has an activity before: when, in microseconds since the epoch, and why."""

    instant: int
    lead_id: str
    reason: str


class Survey(NamedTuple):
    """How many leads are known, and those that are deleted at some time, in the order of time and id."""

    leads: int
    leaving: list[Leaving]

    def until(self, instant: int) -> Iterator[Leaving]:
        """Those that are deleted at the instant or before."""
        for lead in self.leaving:
            if lead.instant > instant:
                return
            yield lead


async def survey_retention(settings: Settings, retention: Retention, now: int) -> Survey:
    """Read the committed states of all partitions. No lead is deleted before `now`, when the retention takes effect at
    the earliest.

    Raises `TopicError` if the changelog does not exist, `CodecError` for a state that cannot be read, and `KafkaError`.
    """
    topic = settings.state_topic
    async with topic_admin(settings) as admin:
        topics = await describe(admin, [topic])
    if topic not in topics:
        raise TopicError(f"the topic {topic} does not exist; create it with `scorer topics ensure`")
    partitions = [TopicPartition(topic, number) for number in range(topics[topic].partitions)]
    known: dict[str, Deletion] = {}
    async with topic_reader(settings) as reader:
        async for record in reader.read(await reader.spans_of(partitions)):
            _note(record, retention, known)
    return Survey(len(known), sorted(_leaving(known, now)))


def _note(record: Any, retention: Retention, known: dict[str, Deletion]) -> None:
    if record.key in (None, MARKER_KEY, POSITION_KEY):
        return
    where = f"offset {record.offset} of {record.topic}-{record.partition}"
    try:
        lead_id = record.key.decode()
        if record.value is None:
            known.pop(lead_id, None)
        else:
            known[lead_id] = deletion(decode_lead(lead_id, record.value), retention)
    except UnicodeDecodeError as error:
        raise CodecError(f"the key of the changelog record at {where} is not UTF-8") from error
    except CodecError as error:
        raise CodecError(f"{where}: {error}") from error


def _leaving(known: Mapping[str, Deletion], now: int) -> Iterator[Leaving]:
    for lead_id, (instant, reason) in known.items():
        if instant < NEVER:
            yield Leaving(max(instant, now), lead_id, reason)
