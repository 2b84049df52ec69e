"""The worker of one assigned partition: it takes over, restores, then has one batch after the other committed."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, OffsetOutOfRangeError

from scorer.domain.instant import SECOND
from scorer.domain.lead import Lead
from scorer.figures.figures import Figures
from scorer.kafka.client_internals import on_out_of_range, position_of
from scorer.kafka.topic_admin import raising
from scorer.kafka.transaction import Offset, TooLargeError
from scorer.runtime.backoff import Backoff, pause_unless
from scorer.runtime.metrics import BatchFigures, Metrics
from scorer.runtime.settings import Settings
from scorer.runtime.spans import BatchSpans, Spans
from scorer.sources.tracing import trace_of_record
from scorer.state.input_position import NOTED, InputPosition
from scorer.state.store import LeadStore
from scorer.stream.access_watch import AccessWatch
from scorer.stream.batch import BatchProcessor
from scorer.stream.committer import Committer, OutdatedError, RefusedError, WithdrawnError
from scorer.stream.inbox import Inbox
from scorer.stream.input_log import seen
from scorer.stream.jobs.job import JobFactory
from scorer.stream.jobs.key_figures import KeyFigures
from scorer.stream.jobs.turns import Turns
from scorer.stream.outbox import Outbox, position_message
from scorer.stream.recovery import Progress, restore, starting_offset
from scorer.stream.stall import Standing
from scorer.stream.watch import Watch

_PARALLEL_RESTORES: Final = 4
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_NAMED: Final = 20
"""Kinds of keys that do not fit which a line of the log names."""

log = structlog.get_logger()


class State(StrEnum):
    """What a partition worker is doing."""

    RESTORING = "restoring"
    RUNNING = "running"
    REJOINING = "rejoining"
    CLOSED = "closed"


class FatalError(Exception):
    """The worker cannot continue from a certain position, so the process must end."""


class Owner(Protocol):
    """The part of `Partitions` that a worker reports to."""

    def failed(self, error: BaseException) -> None:
        """The process must end."""


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


class PartitionWorker:
    """Processes the records of one partition while it is assigned to us.

    `offer` adds records, `room` waits while too many are unprocessed (back-pressure). `close` ends the worker after its
    current transaction; the next owner processes the rest. During a rebalance, `suspend` keeps it from taking records;
    then `go_on`, if the partition stays ours and nobody else has committed for it, or `restart`.
    """

    def __init__(
        self,
        partition: TopicPartition,
        consumer: Any,
        owner: Owner,
        context: WorkerContext,
        predecessor: "asyncio.Task[None] | None" = None,
    ) -> None:
        self.partition = partition
        self.state = State.RESTORING
        self.progress = Progress()
        self.next_offset = 0
        self._handed_over = 0
        self._consumer = consumer
        self._owner = owner
        self._context = context
        self._settings = settings = context.settings
        self._metrics = context.metrics
        self._jobs = Turns()
        self._predecessor = predecessor
        self._store = LeadStore(settings.cache_leads)
        self._committer = context.committer
        self._inbox = Inbox(settings.max_records)
        self._held_back = False
        self._out_of_range = False
        self._outdated = False
        self._noted = False
        self._step = "the end of its former worker"
        self._last_error = ""
        self._closing = asyncio.Event()
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self.log = log.bind(topic=partition.topic, partition=partition.partition)
        self.task = asyncio.create_task(self._run(), name=f"partition-{partition.partition}")

    def offer(self, records: "Sequence[ConsumerRecord[bytes, bytes]]") -> None:
        """Add records in order. Those that come while the worker is not running are dropped, because it will seek."""
        if self._accepts() and records:
            # Markers of transactions have offsets too, and the consumer has passed those that follow.
            position = position_of(self._consumer, self.partition) or 0
            self._handed_over = max(records[-1].offset + 1, position)
            self._inbox.put(records)

    async def room(self) -> None:
        """Wait a moment while too many records are unprocessed. A partition that is still full then is not fetched
        until there is room."""
        if self._accepts() and not await self._inbox.room() and self._accepts():
            self.log.warning("partition_held_back", queued=len(self._inbox), offset=self.next_offset)
            self._pause_fetching()
            self._held_back = True

    def rules_changed(self) -> None:
        """Other rules have taken effect: let the jobs look at them."""
        self._inbox.nudge()

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

    def close(self) -> None:
        """Start to end. Never blocks; await `task` for the end."""
        self._closing.set()
        self._inbox.close()

    def suspend(self) -> None:
        """The group assigns its partitions again. What is in memory stays, and new records are not taken."""
        if self.state is State.RUNNING:
            self.state = State.REJOINING

    def go_on(self) -> None:
        """The partition has stayed ours: continue with what is in memory."""
        if self.state is not State.REJOINING or self._closing.is_set():
            return
        try:
            self._continue_at(self._handed_over)
        except IllegalStateError:
            # The next rebalance has begun, and decides again.
            return
        self.state = State.RUNNING
        self._inbox.nudge()

    def restart(self) -> None:
        """Somebody else has committed for the partition meanwhile: restore."""
        if self.state is State.REJOINING:
            self._outdated = True
            self._inbox.nudge()

    def _accepts(self) -> bool:
        return self.state is State.RUNNING and not self._closing.is_set()

    async def _run(self) -> None:
        try:
            if self._predecessor is not None:
                await self._outlive(self._predecessor)
                self._predecessor = None
            while not self._closing.is_set():
                try:
                    if await self._open():
                        await self._work()
                except WithdrawnError:
                    return
                except OutdatedError as error:
                    self.log.warning("partition_reopened", error=repr(error), offset=self.next_offset)
                    self._pause_fetching()
                except (TooLargeError, KafkaError) as error:
                    self.log.warning("partition_reopened", error=repr(error), offset=self.next_offset)
                    self._pause_fetching()
                    if self._context.access.refused(error):
                        self._step, self._last_error = "a permission", f"{type(error).__name__}: {error}"
                        await self._context.access.allowed(self._closing)
                    else:
                        await self._back_off(error)
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                self._owner.failed(error)
            raise
        finally:
            self._shut()

    async def _outlive(self, predecessor: "asyncio.Task[None]") -> None:
        """Let the former worker of the partition end. One that hangs is cancelled."""
        await asyncio.wait([predecessor], timeout=self._settings.transaction_timeout_ms / 1000)
        if not predecessor.done():
            predecessor.cancel()
            await asyncio.wait([predecessor])

    async def _open(self) -> bool:
        """Take over, restore, seek. False if we lost the partition meanwhile."""
        self.state = State.RESTORING
        self._held_back = self._out_of_range = self._outdated = False
        self._inbox.clear()
        self.progress = Progress()
        self._store = LeadStore(self._settings.cache_leads)
        started = time.monotonic()
        committer = self._committer
        generation, committed = await self._unless_closing(self._take_over()) or (0, None)
        self._step = "its turn to restore, after other partitions"
        async with self._context.restores:
            if self._closing.is_set():
                return False
            self._step = "its changelog"
            in_state = await self._unless_closing(self._restore())
        if self._closing.is_set():
            return False
        self._step = "the log of the input"
        position = self._store.position
        self._store.log_time = None if position is None else position.log_time
        self._noted = position is not None
        start = await self._unless_closing(
            starting_offset(self._settings, committer.log_span, self.partition, committed, in_state, position)
        )
        while not self._closing.is_set() and not committer.is_current(generation):
            # The group has assigned its partitions again meanwhile. Nobody else may have committed for this one.
            generation, again = await self._unless_closing(self._take_over()) or (0, None)
            if again != committed and not self._closing.is_set():
                raise OutdatedError(f"{again} is committed, and {committed} was restored")
        if self._closing.is_set():
            return False
        try:
            self._continue_at(start)
        except IllegalStateError:
            return False
        self.next_offset = self._handed_over = start
        self._jobs = Turns(self._context.jobs(self._store, self.partition.partition))
        self.state = State.RUNNING
        self._measure_log_time()
        self._step = "the next batch"
        self.log.info(
            "partition_running",
            offset=start,
            leads=len(self._store),
            restored=self.progress.done,
            seconds=round(time.monotonic() - started, 3),
        )
        return True

    async def _take_over(self) -> tuple[int, Offset | None]:
        """The generation in which the partition is ours, and its committed offset."""
        self._step = "the group, which must assign partitions again"
        await self._committer.joined()
        generation = self._committer.generation
        self._step = "the committed offset, which an open transaction of a former owner may still change"
        return generation, await self._committer.take_over(self.partition)

    async def _restore(self) -> int | None:
        """Read the changelog. We ask for its end after the committed offset. So the end lies behind everything that was
        committed with that offset, and behind open transactions that could hide it."""
        changelog = TopicPartition(self._settings.state_topic, self.partition.partition)
        span = await self._committer.log_span(changelog)
        metrics = self._metrics
        return await restore(self._settings, changelog, span, self._store, self.progress, metrics.restored)

    def _continue_at(self, offset: int) -> None:
        self._consumer.seek(self.partition, offset)
        on_out_of_range(self._consumer, self.partition, self._lose_position)
        if not self._held_back:
            self._consumer.resume(self.partition)

    async def _unless_closing(self, work: Any) -> Any:
        """The result of the work. If the worker is closed meanwhile, the work is cancelled and the result is None."""
        task = asyncio.ensure_future(work)
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait([task, closing], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            return None
        finally:
            closing.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    async def _work(self) -> None:
        while not self._closing.is_set():
            batch = await self._next_batch(self._jobs.patience())
            if self._outdated:
                raise OutdatedError(f"somebody else has committed since {self.next_offset}")
            if self._out_of_range and not batch:
                raise OffsetOutOfRangeError(self.next_offset)
            # Taken before the batch is judged, because more records come meanwhile.
            reached = 0 if len(self._inbox) else self._handed_over
            if batch or (self._jobs.ready() and not self._closing.is_set()):
                await self._transact(batch, reached)

    async def _next_batch(self, patience: float | None) -> "list[ConsumerRecord[bytes, bytes]]":
        batch = await self._inbox.batch(patience)
        wanted = self.next_offset
        for record in batch:
            if record.offset < wanted:
                where = f"{record.topic}-{record.partition}"
                raise FatalError(f"{where} returned offset {record.offset} again after {wanted - 1}")
            wanted = record.offset + 1
        if self._inbox.low:
            self._fetch_again()
        return batch

    async def _transact(self, batch: "list[ConsumerRecord[bytes, bytes]]", reached: int) -> None:
        """Process a batch and have it committed. With an empty batch, only the jobs work. `reached`: the consumer's
        offset after the batch if nothing else waits, or 0."""
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

    async def _accept_less(self, error: TooLargeError, accepted: Mapping[str, int]) -> None:
        """Learn what the topic accepts. `accepted`: what was known of the topics before the transaction.

        Raises `FatalError` if the record cannot be made small enough.
        """
        refusal = error.refusal
        limit = accepted.get(refusal.topic)
        if limit is not None and refusal.records == 1 and refusal.size > limit:
            fix = raising(self._settings, refusal.topic, refusal.size)
            raise FatalError(f"{error}; it accepts {limit:,}, and this record cannot be smaller: run `{fix}`")
        await self._context.processor.limits.refused(refusal)
        # Each refusal lowers a limit, so this ends.
        self._backoff.reset()

    def _spans(self, batch: "list[ConsumerRecord[bytes, bytes]]") -> BatchSpans | None:
        """The spans of a batch; None if nothing is traced."""
        if self._context.spans is None or not batch:
            return None
        traces = (trace_of_record(record.headers, record.value) for record in batch)
        causes = (trace for trace in traces if trace is not None)
        return self._context.spans.batch(self.partition.partition, batch[0].offset, len(batch), causes)

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

    def measure_lag(self) -> None:
        """Update the metric of the lag."""
        if not self._is_ours():
            return
        highwater = self._consumer.highwater(self.partition)
        if highwater is not None:
            self._metrics.lag(self.partition.partition, max(0, highwater - self._reached()))

    def standing(self) -> Standing:
        """How far the partition is, and what it waits for."""
        restored = self.progress.done
        if self.state is State.REJOINING:
            return Standing(self.next_offset, restored, "the group, which must assign partitions again")
        if self.state is State.RESTORING:
            return Standing(None, restored, self._waiting())
        if not self._is_ours():
            return Standing(self.next_offset, restored, None)
        highwater = self._consumer.highwater(self.partition)
        waits_for = None
        if self.next_offset < self._handed_over:
            waits_for = self._waiting()
        elif highwater is not None and self._reached() < highwater:
            waits_for = self._missing_records()
        polled = self._consumer.last_poll_timestamp(self.partition)
        return Standing(self.next_offset, restored, waits_for, highwater, polled)

    def _is_ours(self) -> bool:
        # The consumer may have lost the partition during the transaction.
        return self._accepts() and self.partition in self._consumer.assignment()

    def _reached(self) -> int:
        if self.next_offset < self._handed_over:
            return self.next_offset
        # Markers of transactions have offsets too, and no record of ours comes after them.
        return max(self.next_offset, position_of(self._consumer, self.partition) or 0)

    def _waiting(self) -> str:
        error = self._last_error or self._committer.waits_for
        return f"{self._step}; the last error: {error}" if error else self._step

    def _missing_records(self) -> str:
        reached = self._reached()
        stable = self._consumer.last_stable_offset(self.partition)
        if stable is not None and 0 <= stable <= reached:
            return f"a producer that has had a transaction open in the input since offset {stable}"
        return f"records: fetches return none, although the log goes on after offset {reached}"

    async def _back_off(self, error: Exception) -> None:
        self._step, self._last_error = "its next attempt", f"{type(error).__name__}: {error}"
        await pause_unless(self._closing, self._backoff.failed())

    def _fetch_again(self) -> None:
        if self._held_back:
            self._held_back = False
            with contextlib.suppress(IllegalStateError):
                self._consumer.resume(self.partition)

    def _lose_position(self) -> None:
        """The input no longer has the offset that comes next: open again, which finds out why, when what was read is
        processed."""
        self.log.warning("offset_out_of_range", offset=self._handed_over)
        self._out_of_range = True
        self._pause_fetching()
        self._inbox.nudge()

    def _pause_fetching(self) -> None:
        try:
            self._consumer.pause(self.partition)
        except IllegalStateError:
            return

    def _shut(self) -> None:
        self.state = State.CLOSED
        self._inbox.clear()
        self._store = LeadStore(0)
        self._jobs = Turns()
        self._metrics.lag(self.partition.partition, None)
        self._metrics.log_time(self.partition.partition, None)
