"""Reads the topic of companies: to its end, and then what is added to it.

Every worker reads all of it, without a group, because the leads of a company are in all partitions of the input. After
an error it reads the topic again from its beginning, and what has changed meanwhile is found by comparison.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from scorer.kafka.topic_admin import describe, topic_admin
from scorer.kafka.topic_reader import Pace, Span, TopicReader, topic_reader
from scorer.runtime.backoff import Backoff
from scorer.runtime.company_metrics import CompanyMetrics
from scorer.runtime.settings import Settings
from scorer.stream.access_watch import AccessWatch
from scorer.stream.companies import Companies, Findings, TooManyError

_PACE: Final = Pace(
    # A fetch is parsed in one go, and a poll is read in one go. Nothing else runs meanwhile.
    fetch_bytes=1024 * 1024,
    fetch_total_bytes=4 * 1024 * 1024,
    fetch_wait_ms=500,
    poll_ms=500,
    poll_records=100,
    patient=True,
)
_LOOK_SECONDS: Final = 2.0
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 300.0

log = structlog.get_logger()


class _ChangedError(Exception):
    """Records are missing that were there, or the topic has more partitions: it must be read from its beginning."""


class CompanyTopic:
    """Keeps `companies` as the topic has them. `on_change` is called with the companies whose profile has changed."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        companies: Companies,
        metrics: CompanyMetrics,
        access: AccessWatch,
        on_change: Callable[[Collection[str]], None],
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._companies = companies
        self._metrics = metrics
        self._access = access
        self._on_change = on_change
        self._pauses = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)

    async def run(self) -> None:
        """Read for ever. While the topic cannot be read, the leads keep what they have."""
        while True:
            try:
                await self._follow()
            except _ChangedError as error:
                log.warning("company_topic_changed", topic=self._topic, why=str(error))
            except TooManyError as error:
                log.error("company_topic_too_large", topic=self._topic, error=str(error))
                await self._pause()
            except (KafkaError, OSError) as error:
                self._access.refused(error)
                log.error("company_topic_not_read", topic=self._topic, error=str(error) or repr(error))
                await self._pause()

    async def _pause(self) -> None:
        self._companies.ready = False
        self._measure()
        await asyncio.sleep(self._pauses.failed())

    async def _follow(self) -> None:
        self._companies.ready = False
        self._measure()
        async with topic_admin(self._settings) as admin:
            topics = await describe(admin, [self._topic])
        if self._topic not in topics:
            raise KafkaError(f"the topic {self._topic} does not exist; create it with `scorer topics ensure`")
        partitions = topics[self._topic].partitions
        async with topic_reader(self._settings, _PACE) as reader:
            spans = await reader.spans(self._topic, partitions)
            found = Companies(self._settings.company_profiles)
            await self._read(reader, spans, found)
            log.info("company_topic_read", topic=self._topic, profiles=len(found.profiles))
            changed = self._companies.replace(found.profiles)
            while True:
                self._tell(changed)
                await asyncio.sleep(_LOOK_SECONDS)
                if reader.partitions(self._topic) not in (None, partitions):
                    raise _ChangedError("the topic has another number of partitions")
                spans = _rest(spans, await reader.spans(self._topic, partitions))
                changed = await self._read(reader, spans, self._companies)

    def _tell(self, changed: Collection[str]) -> None:
        """Let the workers look at the leads of these companies."""
        companies = self._companies
        was_ready = companies.ready
        # An empty topic was not filled yet, or is the wrong one. Nobody withdraws everything by it.
        companies.ready = was_ready or bool(companies.profiles)
        self._measure()
        if companies.ready:
            self._pauses.reset()
            if changed or not was_ready:
                self._on_change(changed)

    async def _read(self, reader: TopicReader, spans: dict[TopicPartition, Span], companies: Companies) -> set[str]:
        """Read the spans. Returns the companies whose profile has changed."""
        findings = Findings()
        changed: set[str] = set()
        try:
            async for records, _ in reader.polls(spans):
                for record in records:
                    company = companies.read(record, findings)
                    if company is not None:
                        changed.add(company)
        finally:
            self._report(findings)
        companies.check()
        return changed

    def _report(self, findings: Findings) -> None:
        self._metrics.read(findings.outcomes, findings.dropped)
        if findings.first_rejected is not None:
            first, detail = findings.first_rejected
            log.warning("company_records_rejected", reasons=dict(findings.rejected), first=first, detail=detail)
        if findings.first_dropped is not None:
            keys = {f"{field} {reason}": count for (field, reason), count in findings.dropped.items()}
            log.warning("company_keys_dropped", keys=keys, first=findings.first_dropped)

    def details(self) -> Mapping[str, object]:
        """Details for people."""
        return {"ready": self._companies.ready, "profiles": len(self._companies.profiles)}

    def _measure(self) -> None:
        self._metrics.table(len(self._companies.profiles), ready=self._companies.ready)


def _rest(read: dict[TopicPartition, Span], now: dict[TopicPartition, Span]) -> dict[TopicPartition, Span]:
    """What was added. Raises `_ChangedError` if it cannot be told."""
    rest = {}
    for partition, (first, end) in now.items():
        position = read[partition].end
        if end < position or first > position:
            raise _ChangedError(
                f"{partition.topic}-{partition.partition} has {first} to {end}, and {position} was next"
            )
        rest[partition] = Span(position, end)
    return rest
