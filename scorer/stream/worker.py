"""The worker of a partition of the input: it restores the states of its leads, then judges batch after batch."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import ConsumerRecord, TopicPartition

from scorer.domain.instant import SECOND
from scorer.domain.lead import Lead
from scorer.figures.figures import Figures
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.transaction import Offset, TooLargeError
from scorer.runtime.metrics import BatchFigures, Metrics
from scorer.runtime.settings import Settings
from scorer.runtime.spans import BatchSpans, Spans
from scorer.state.input_position import NOTED, InputPosition
from scorer.state.store import LeadStore
from scorer.stream.access_watch import AccessWatch
from scorer.stream.assigned import AssignedPartition, FatalError, Owner, State, traces_of
from scorer.stream.batch import BatchProcessor
from scorer.stream.committer import Committer, RefusedError
from scorer.stream.input_log import seen
from scorer.stream.jobs.enrichments import Enrichments
from scorer.stream.jobs.job import JobFactory
from scorer.stream.jobs.key_figures import KeyFigures
from scorer.stream.jobs.turns import Turns
from scorer.stream.outbox import Outbox, position_message
from scorer.stream.recovery import restore, starting_offset
from scorer.stream.watch import Watch

_PARALLEL_RESTORES: Final = 4
_NAMED: Final = 20
"""Kinds of keys that do not fit which a line of the log names."""


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What the workers of all partitions share.

    `jobs` makes the background jobs of a partition. `rules` gives the object by which the processor judges now; only
    its identity counts.
    """

    settings: Settings
    processor: BatchProcessor
    committer: Committer
    metrics: Metrics
    jobs: JobFactory
    rules: Callable[[], object]
    watch: Watch
    access: AccessWatch
    spans: Spans | None = None
    restores: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_PARALLEL_RESTORES))
    """Limits how many partitions restore at a time."""

    @property
    def limits(self) -> TopicLimits:
        """What the topics accept."""
        return self.processor.limits


class PartitionWorker(AssignedPartition):
    """Judges the records of one partition of the input, and keeps the states of its leads."""

    def __init__(
        self,
        partition: TopicPartition,
        consumer: Any,
        owner: Owner,
        context: WorkerContext,
        predecessor: "asyncio.Task[None] | None" = None,
    ) -> None:
        self._context = context
        self._jobs = Turns()
        self._store = LeadStore(context.settings.cache_leads)
        self._noted = False
        self._end: int | None = None
        super().__init__(partition, consumer, owner, context, predecessor)

    def rules_changed(self) -> None:
        """Other rules have taken effect: let the jobs look at them."""
        self._inbox.nudge()

    def companies_changed(self, companies: Collection[str]) -> None:
        """The profiles of these companies have changed: let the job look at their leads."""
        job = self._jobs.find(Enrichments)
        if job is not None:
            job.changed(companies)
            self._inbox.nudge()

    @property
    def caught_up(self) -> bool:
        """Whether everything is processed that was in the log when its end was first seen."""
        if self._end is None and self._is_ours():
            self._end = self._consumer.highwater(self.partition)
        return self._end is not None and self._is_ours() and self._reached() >= self._end

    def remaining(self) -> Counter[str]:
        """How much work each background job still has, by its name."""
        return self._jobs.remaining() if self._accepts() else Counter()

    @property
    def figures(self) -> Figures | None:
        """The key figures of the partition; None while they are not known."""
        if self.state not in (State.RUNNING, State.REJOINING):
            return None
        job = self._jobs.find(KeyFigures)
        return None if job is None else job.figures

    def lead(self, lead_id: str) -> Lead | None:
        """The committed state of a lead while we own its partition; else None."""
        return self._store.committed(lead_id) if self._accepts() else None

    async def _prepare(self, committed: Offset | None) -> int | None:
        self._store = LeadStore(self._settings.cache_leads)
        committer = self._committer
        self._step = "its turn to restore, after other partitions"
        async with self._context.restores:
            if self._closing.is_set():
                return None
            self._step = "its changelog"
            in_state = await self._unless_closing(self._restore())
        if self._closing.is_set():
            return None
        self._step = "the log of the input"
        position = self._store.position
        self._store.log_time = None if position is None else position.log_time
        self._noted = position is not None
        start: int | None = await self._unless_closing(
            starting_offset(self._settings, committer.log_span, self.partition, committed, in_state, position)
        )
        return start

    def _opened(self) -> Mapping[str, object]:
        self._end = None
        self._jobs = Turns(self._context.jobs(self._store, self.partition.partition))
        self._measure_log_time()
        return {"leads": len(self._store), "restored": self.progress.done}

    async def _restore(self) -> int | None:
        """Read the changelog. We ask for its end after the committed offset. So the end lies behind everything that was
        committed with that offset, and behind open transactions that could hide it."""
        changelog = TopicPartition(self._settings.state_topic, self.partition.partition)
        span = await self._committer.log_span(changelog)
        metrics = self._metrics
        return await restore(self._settings, changelog, span, self._store, self.progress, metrics.restored)

    def _patience(self) -> float | None:
        return self._jobs.patience()

    def _is_due(self) -> bool:
        return self._jobs.ready()

    async def _transact(self, batch: "list[ConsumerRecord[bytes, bytes]]", reached: int) -> None:
        # With an empty batch, only the jobs work.
        spans = self._spans(batch)
        try:
            await self._commit(batch, reached, spans)
        except BaseException as error:
            if spans is not None:
                spans.failed(error)
            raise

    async def _commit(
        self, batch: "list[ConsumerRecord[bytes, bytes]]", reached: int, spans: BatchSpans | None
    ) -> None:
        limits = self._context.processor.limits
        outbox, figures = Outbox(self.next_offset, log_time=self._store.log_time), BatchFigures()
        accepted = limits.current.topics
        try:
            if batch:
                self._step = "the assessment of a batch"
                outbox, figures = await self._process(batch, spans)
                outbox.next_offset = max(outbox.next_offset, reached)
                position = InputPosition(outbox.next_offset, seen(batch[-1]), outbox.log_time)
                outbox.messages.append(position_message(position, self._settings.state_topic, self.partition.partition))
            self._jobs.stage(outbox, figures, busy=len(self._inbox) > 0)
            self._step = "the end of its transaction"
            noted = self._noted or bool(batch)
            note = NOTED if noted else ""
            broker_time = await self._committer.commit(self.partition, outbox.messages, outbox.next_offset, note)
        except TooLargeError as error:
            self._store.discard()
            await self._accept_less(error, accepted)
            raise
        except RefusedError as error:
            self._store.discard()
            raise FatalError(str(error)) from error
        except BaseException:
            self._store.discard()
            raise
        self._store.log_time = outbox.log_time
        self._store.commit()
        self._noted = noted
        self._jobs.committed()
        self._backoff.reset()
        self._step, self._last_error = "the next batch", ""
        self.next_offset = outbox.next_offset
        self._metrics.committed(figures, time.time())
        if spans is not None:
            spans.committed(figures.dead_letters.total())
        if batch:
            self._context.watch.committed(batch, figures.dead_letters, broker_time)
        if figures.unfitting:
            self._log_unfitting(figures.unfitting)
        self._measure_log_time()
        self.measure_lag()

    def _log_unfitting(self, counts: Counter[tuple[str, str]]) -> None:
        named = counts.most_common(_NAMED)
        shown = {f"{field} {reason}": count for (field, reason), count in named}
        self.log.info("activities_unfitting", keys=shown, others=counts.total() - sum(shown.values()))

    def _spans(self, batch: "list[ConsumerRecord[bytes, bytes]]") -> BatchSpans | None:
        """The spans of a batch; None if nothing is traced."""
        if self._context.spans is None or not batch:
            return None
        return self._context.spans.batch(self.partition.partition, batch[0].offset, len(batch), traces_of(batch))

    async def _process(
        self, batch: "list[ConsumerRecord[bytes, bytes]]", spans: BatchSpans | None
    ) -> tuple[Outbox, BatchFigures]:
        """Judge a batch. Heartbeats, requests and the transactions of other partitions run between the steps."""
        while True:
            rules = self._context.rules()
            # The jobs notice other rules now. So the change of rules has its instant before anything is judged by them.
            self._jobs.ready()
            steps = self._context.processor.steps(batch, self._store, spans)
            try:
                while True:
                    next(steps)
                    self._inbox.step()
                    await asyncio.sleep(0)
            except StopIteration as done:
                result: tuple[Outbox, BatchFigures] = done.value
            # Two revisions never judge one batch, because the marker in the changelog names one.
            if self._context.rules() is rules:
                return result
            self._store.discard()

    def _measure_log_time(self) -> None:
        log_time = self._store.log_time
        self._metrics.log_time(self.partition.partition, None if log_time is None else log_time / SECOND)

    def _forget(self) -> None:
        self._store = LeadStore(0)
        self._jobs = Turns()
        self._metrics.log_time(self.partition.partition, None)
