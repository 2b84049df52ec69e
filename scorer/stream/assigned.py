"""A partition of a topic that is assigned to us: its worker takes over and opens it, then has one batch after the other
committed. What a batch becomes is the matter of each kind of worker."""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, OffsetOutOfRangeError

from scorer.domain.trace_context import TraceContext
from scorer.kafka.client_internals import on_out_of_range, position_of
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.topic_admin import raising
from scorer.kafka.transaction import Offset, TooLargeError
from scorer.runtime.backoff import Backoff, pause_unless
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings
from scorer.sources.tracing import trace_of_record
from scorer.stream.access_watch import AccessWatch
from scorer.stream.committer import Committer, OutdatedError, WithdrawnError
from scorer.stream.inbox import Inbox
from scorer.stream.partition_name import name_of
from scorer.stream.recovery import Progress
from scorer.stream.stall import Standing

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0

log = structlog.get_logger()


class State(StrEnum):
    """What a partition worker is doing."""

    RESTORING = "restoring"
    RUNNING = "running"
    REJOINING = "rejoining"
    CLOSED = "closed"


def traces_of(records: "Iterable[ConsumerRecord[bytes, bytes]]") -> Iterator[TraceContext]:
    """The traces of those records that belong to one."""
    traces = (trace_of_record(record.headers, record.value) for record in records)
    return (trace for trace in traces if trace is not None)


class FatalError(Exception):
    """The worker cannot continue from a certain position, so the process must end."""


class Owner(Protocol):
    """The part of `Partitions` that a worker reports to."""

    def failed(self, error: BaseException) -> None:
        """The process must end."""


class Shared(Protocol):
    """What the workers of all partitions share."""

    @property
    def settings(self) -> Settings:
        """The settings of the service."""

    @property
    def committer(self) -> Committer:
        """Commits what the partitions have ready."""

    @property
    def metrics(self) -> Metrics:
        """The metrics of the service."""

    @property
    def access(self) -> AccessWatch:
        """Told of refusals."""

    @property
    def limits(self) -> TopicLimits:
        """What the topics accept."""


class AssignedPartition(ABC):
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
        shared: Shared,
        predecessor: "asyncio.Task[None] | None" = None,
    ) -> None:
        self.partition = partition
        self.state = State.RESTORING
        self.progress = Progress()
        self.next_offset = 0
        self._handed_over = 0
        self._consumer = consumer
        self._owner = owner
        self._shared = shared
        self._settings = settings = shared.settings
        self._name = name_of(partition, settings)
        self._metrics = shared.metrics
        self._predecessor = predecessor
        self._committer = shared.committer
        self._inbox = Inbox(settings.max_records)
        self._held_back = False
        self._out_of_range = False
        self._outdated = False
        self._step = "the end of its former worker"
        self._last_error = ""
        self._closing = asyncio.Event()
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self.log = log.bind(topic=partition.topic, partition=partition.partition)
        self.task = asyncio.create_task(self._run(), name=f"partition-{self._name}")

    @abstractmethod
    async def _prepare(self, committed: Offset | None) -> int | None:
        """Make ready what the work needs, and find the offset to start from; None if we are closed meanwhile. Raises
        `KafkaError` and `OutdatedError`."""

    @abstractmethod
    def _opened(self) -> Mapping[str, object]:
        """Ready to process, from `next_offset` on. Returns details for the log."""

    @abstractmethod
    async def _transact(self, batch: "list[ConsumerRecord[bytes, bytes]]", reached: int) -> None:
        """Process a batch and have it committed. `reached`: the consumer's offset after the batch if nothing else
        waits, or 0. The batch is empty only if `_is_due`."""

    @abstractmethod
    def _forget(self) -> None:
        """The partition is not ours any more: let go of what is in memory."""

    def _patience(self) -> float | None:
        """How long to wait for records, in seconds; None: until there are some."""
        return None

    def _is_due(self) -> bool:
        """Whether there is work without records."""
        return False

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
            self._hold_back()

    @property
    def behind(self) -> bool:
        """Whether more than a batch waits to be processed."""
        return self._accepts() and not self._inbox.low

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
                    if self._shared.access.refused(error):
                        self._step, self._last_error = "a permission", f"{type(error).__name__}: {error}"
                        await self._shared.access.allowed(self._closing)
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
        """Take over, prepare, seek. False if we lost the partition meanwhile."""
        self.state = State.RESTORING
        self._held_back = self._out_of_range = self._outdated = False
        self._inbox.clear()
        self.progress = Progress()
        started = time.monotonic()
        generation, committed = await self._unless_closing(self._take_over()) or (0, None)
        start = await self._prepare(committed)
        while not self._closing.is_set() and not self._committer.is_current(generation):
            # The group has assigned its partitions again meanwhile. Nobody else may have committed for this one.
            generation, again = await self._unless_closing(self._take_over()) or (0, None)
            if again != committed and not self._closing.is_set():
                raise OutdatedError(f"{again} is committed, and {committed} was restored")
        if start is None or self._closing.is_set():
            return False
        try:
            self._continue_at(start)
        except IllegalStateError:
            return False
        self.next_offset = self._handed_over = start
        details = self._opened()
        self.state = State.RUNNING
        self._step = "the next batch"
        self.log.info("partition_running", offset=start, **details, seconds=round(time.monotonic() - started, 3))
        return True

    async def _take_over(self) -> tuple[int, Offset | None]:
        """The generation in which the partition is ours, and its committed offset."""
        self._step = "the group, which must assign partitions again"
        await self._committer.joined()
        generation = self._committer.generation
        self._step = "the committed offset, which an open transaction of a former owner may still change"
        return generation, await self._committer.take_over(self.partition)

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
            batch = await self._next_batch(self._patience())
            if self._outdated:
                raise OutdatedError(f"somebody else has committed since {self.next_offset}")
            if self._out_of_range and not batch:
                raise OffsetOutOfRangeError(self.next_offset)
            # Taken before the batch is judged, because more records come meanwhile.
            reached = 0 if len(self._inbox) else self._handed_over
            if batch or (self._is_due() and not self._closing.is_set()):
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

    async def _accept_less(self, error: TooLargeError, accepted: Mapping[str, int]) -> None:
        """Learn what the topic accepts. `accepted`: what was known of the topics before the transaction.

        Raises `FatalError` if the record cannot be made small enough.
        """
        refusal = error.refusal
        limit = accepted.get(refusal.topic)
        if limit is not None and refusal.records == 1 and refusal.size > limit:
            fix = raising(self._settings, refusal.topic, refusal.size)
            raise FatalError(f"{error}; it accepts {limit:,}, and this record cannot be smaller: run `{fix}`")
        await self._shared.limits.refused(refusal)
        # Each refusal lowers a limit, so this ends.
        self._backoff.reset()

    def measure_lag(self) -> None:
        """Update the metric of the lag."""
        if not self._is_ours():
            return
        highwater = self._consumer.highwater(self.partition)
        if highwater is not None:
            self._metrics.lag(self._name, max(0, highwater - self._reached()))

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
            return f"a producer that has had a transaction open in the topic since offset {stable}"
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
        """The topic no longer has the offset that comes next: open again, which finds out why, when what was read is
        processed."""
        self.log.warning("offset_out_of_range", offset=self._handed_over)
        self._out_of_range = True
        self._pause_fetching()
        self._inbox.nudge()

    def _hold_back(self) -> None:
        self._pause_fetching()
        self._held_back = True

    def _pause_fetching(self) -> None:
        try:
            self._consumer.pause(self.partition)
        except IllegalStateError:
            return

    def _shut(self) -> None:
        self.state = State.CLOSED
        self._inbox.clear()
        self._metrics.lag(self._name, None)
        self._forget()
