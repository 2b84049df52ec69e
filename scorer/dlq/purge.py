"""Removes all dead letters of a lead, while the service writes new ones.

Kafka deletes records only from the beginning of a partition up to an offset. So the dead letters that stay and lie
before the last one of the lead are first written again, at the end of the same partition. Then everything up to the
last one of the lead is deleted. What the service writes meanwhile comes after it and is not touched.

A copy keeps the key, value, headers and, without LogAppendTime, timestamp. Two headers are added: the key of the mark
of the dead letter, which therefore is still sent back only once, and the offset of the record that was copied. Copies
are committed before anything is deleted. If the purge is killed in between, readers count a dead letter once
(`queue.is_second`), and the next purge recognises the copies and does not write them again. All purges of a dead letter
topic share one transactional id, so they fence each other like replays.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from scorer.dlq.chunks import chunks
from scorer.dlq.queue import COPIED_FROM, FIRST_POSITION, dead_letter_of, is_second, mark_of
from scorer.kafka.message import Headers, Message
from scorer.kafka.tool_producer import TOOL_LIMITS, tool_producer
from scorer.kafka.topic_admin import TopicError, cleanup_policy, describe
from scorer.kafka.topic_reader import Span, TopicReader
from scorer.kafka.transaction import (
    AbortedError,
    DoubtfulError,
    FencedError,
    TransactionalProducer,
)
from scorer.runtime.settings import Settings

__all__ = ["Chosen", "Plan", "Purge", "PurgeError", "PurgeReport", "plan", "transactional_id"]

_RECORDS: Final = 500
_BYTES: Final = 4 * 1024 * 1024
_SUBJECT_HEADER: Final = "ce_subject"
Relation = Literal["own", "contains", "none"]


class PurgeError(Exception):
    """The purge ended early; the message gives the reason and what to do. No dead letter is lost, and none of other
    leads counts twice."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whose dead letters to remove. `containing`: also those that contain the id anywhere in key, value or headers."""

    lead: str
    containing: bool = False

    def relation(self, record: Any) -> Relation:
        """A dead letter is the lead's own if its key, its `ce_subject` or the subject in its value is the id. In a
        batch, one such subject is enough, because the value holds the whole batch."""
        lead = self.lead.encode()
        value: bytes = record.value or b""
        if record.key == lead or any(name == _SUBJECT_HEADER and text == lead for name, text in record.headers):
            return "own"
        escaped = json.dumps(self.lead)[1:-1].encode()
        in_value = lead in value or escaped in value
        # An escape can spell the id in another way, and only parsing sees that.
        if (in_value or b"\\" in value) and self.lead in _subjects(value):
            return "own"
        elsewhere = (record.key or b"", *(text or b"" for _, text in record.headers))
        return "contains" if in_value or any(lead in part for part in elsewhere) else "none"

    def selects(self, relation: Relation) -> bool:
        """Whether dead letters with this relation to the lead are removed."""
        return relation == "own" or (self.containing and relation == "contains")


@dataclass(slots=True)
class Plan:
    """What a purge does. `removed`: how many, by reason. `containing`: how many others contain the id. `ends`: for each
    partition with something to remove, the offset after it. `kept`: the offsets to copy first."""

    removed: Counter[str] = field(default_factory=Counter)
    containing: int = 0
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    kept: dict[TopicPartition, set[int]] = field(default_factory=dict)
    spans: Mapping[TopicPartition, Span] = field(default_factory=dict)

    @property
    def rewritten(self) -> int:
        """How many dead letters are copied."""
        return sum(map(len, self.kept.values()))


@dataclass(slots=True)
class PurgeReport:
    """The result of a purge. `arrived`: dead letters of the lead that were written while it ran, and remain."""

    removed: int = 0
    copied: int = 0
    arrived: int = 0


class _TooLargeError(Exception):
    pass


def transactional_id(settings: Settings) -> str:
    """The transactional id that all purges of a dead letter topic share, so that they fence each other."""
    return f"{settings.dead_letter_topic}.purge"


async def plan(reader: TopicReader, admin: AIOKafkaAdminClient, settings: Settings, chosen: Chosen) -> Plan:
    """Read the dead letters and say what a purge would do now. Raises `TopicError` and `KafkaError`."""
    name = settings.dead_letter_topic
    topics = await describe(admin, (name,))
    if name not in topics:
        raise TopicError(
            f"the topic {name} (SCORER_DEAD_LETTER_TOPIC) does not exist; create it with `scorer topics ensure`"
        )
    policy = cleanup_policy(topics[name])
    if policy not in (None, "delete"):
        raise TopicError(
            f"the topic {name} has cleanup.policy={policy}, so Kafka does not delete its records up to an offset; set "
            "it to delete"
        )
    spans = await reader.spans(name, topics[name].partitions)
    result = Plan(spans=spans)
    others: dict[TopicPartition, dict[int, bytes]] = defaultdict(dict)
    async for record in reader.read(spans):
        partition = TopicPartition(name, record.partition)
        relation = chosen.relation(record)
        second = is_second(record, spans)
        if chosen.selects(relation):
            result.ends[partition] = record.offset + 1
            if not second:
                result.removed[dead_letter_of(record, replayed=False).reason] += 1
            continue
        others[partition][record.offset] = mark_of(record)
        result.containing += relation == "contains" and not second
    for partition, end in result.ends.items():
        # One of several copies of a dead letter is enough, and none if one is after the end.
        first_of: dict[bytes, int] = {}
        safe: set[bytes] = set()
        for offset, mark in others[partition].items():
            if offset < end:
                first_of.setdefault(mark, offset)
            else:
                safe.add(mark)
        result.kept[partition] = {offset for mark, offset in first_of.items() if mark not in safe}
    return result


class Purge:
    """Removes the dead letters of a lead. `report` contains only what is certain, also after an exception."""

    def __init__(
        self, reader: TopicReader, admin: AIOKafkaAdminClient, settings: Settings, report: PurgeReport
    ) -> None:
        self._reader = reader
        self._admin = admin
        self._settings = settings
        self._chunk_limit = _RECORDS
        self.report = report

    async def run(self, chosen: Chosen) -> None:
        """Copy what stays, then delete. Raises `TopicError`, `PurgeError` and `KafkaError`."""
        while True:
            try:
                await self._attempt(chosen)
                return
            except _TooLargeError:
                # A batch of many may be too large where each record fits. The copies so far are recognised.
                self._chunk_limit = 1

    async def _attempt(self, chosen: Chosen) -> None:
        # Before reading: from here on, no other purge copies.
        async with tool_producer(self._settings, transactional_id(self._settings)) as producer:
            planned = await plan(self._reader, self._admin, self._settings, chosen)
            # A deletion of nothing shows whether Kafka lets us delete, before anything is copied.
            await self._delete({partition: planned.spans[partition].first for partition in planned.ends})
            await self._copy(producer, planned)
        await self._delete(planned.ends)
        self.report.removed = planned.removed.total()
        self.report.arrived = (await plan(self._reader, self._admin, self._settings, chosen)).removed.total()

    async def _copy(self, producer: TransactionalProducer, planned: Plan) -> None:
        wanted = {partition: offsets for partition, offsets in planned.kept.items() if offsets}
        spans = {partition: Span(min(offsets), max(offsets) + 1) for partition, offsets in wanted.items()}
        missing = {partition: set(offsets) for partition, offsets in wanted.items()}

        def is_missing(record: Any) -> bool:
            offsets = missing[TopicPartition(record.topic, record.partition)]
            if record.offset not in offsets:
                return False
            offsets.discard(record.offset)
            return True

        async for chunk in chunks(self._reader.read(spans), is_missing, self._chunk_limit, _BYTES):
            await self._send(producer, chunk)
        if any(missing.values()):
            # Their retention has ended, or another purge deleted them. Its copies are unknown to our plan.
            raise PurgeError("dead letters were deleted by others meanwhile, so nothing was removed; run it again")

    async def _send(self, producer: TransactionalProducer, records: Sequence[Any]) -> None:
        topic = self._settings.dead_letter_topic
        try:
            await producer.commit([_copy_of(record) for record in records])
        except FencedError as error:
            raise PurgeError(
                f"another purge of {topic} has taken over (or a transaction took more than "
                f"{TOOL_LIMITS.timeout_ms // 1000} s); this one ends. Run it again: nothing is copied twice"
            ) from error
        except (AbortedError, DoubtfulError) as error:
            cause = error.__cause__
            if isinstance(cause, MessageSizeTooLargeError):
                if len(records) > 1:
                    raise _TooLargeError from None
                place = f"{records[0].partition}:{records[0].offset}"
                raise PurgeError(
                    f"{topic} does not accept a copy of the dead letter at {place}, because it is too large; raise "
                    "max.message.bytes of the topic and run it again. Nothing was removed"
                ) from cause
            raise PurgeError(
                f"the dead letters to keep could not all be copied ({cause!r}), so nothing was removed; run it again: "
                "nothing is copied twice"
            ) from cause
        self.report.copied += len(records)

    async def _delete(self, ends: Mapping[TopicPartition, int]) -> None:
        if not ends:
            return
        try:
            await self._admin.delete_records({partition: RecordsToDelete(end) for partition, end in ends.items()})
        except KafkaError as error:
            raise PurgeError(
                f"Kafka does not delete records of {self._settings.dead_letter_topic} ({error!r}); it needs the "
                "operation Delete on the topic, and cleanup.policy=delete. Then run it again: nothing is copied twice"
            ) from error


def _copy_of(record: Any) -> Message:
    headers: Headers = [(name, value) for name, value in record.headers if name not in (FIRST_POSITION, COPIED_FROM)]
    headers += [(FIRST_POSITION, mark_of(record)), (COPIED_FROM, str(record.offset).encode())]
    return Message(record.topic, record.partition, record.key, record.value, headers, timestamp=record.timestamp)


def _subjects(value: bytes) -> set[object]:
    """The subjects of an event or of a batch of events; none if the value is not JSON."""
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return set()
    events = decoded if isinstance(decoded, list) else [decoded]
    subjects = [event.get("subject") for event in events if isinstance(event, dict)]
    return {subject for subject in subjects if isinstance(subject, str)}
