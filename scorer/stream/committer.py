"""The one transactional producer of a worker process: it commits what the partitions have ready, together.

A transaction takes along every partition that is ready when it begins. So it begins at once while the worker is idle,
and carries more under load. The group's coordinator refuses the offsets of a worker that is not a member of the current
generation any more (KIP-447); the offset of each partition carries the name of the transaction that wrote it. With
these two, every doubt is settled by one question to the coordinator.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from scorer.kafka.message import Message
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.topic_reader import Span
from scorer.kafka.transaction import (
    AbortedError,
    DoubtfulError,
    FencedError,
    GroupFencedError,
    InstanceFencedError,
    Member,
    Offset,
    TooLargeError,
    TransactionalProducer,
    TransactionLimits,
)
from scorer.runtime.backoff import Backoff
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings
from scorer.sources.tick import is_tick
from scorer.stream.access_watch import AccessWatch
from scorer.stream.partition_name import name_of

BATCH_BYTES: Final = 512 * 1024
_GROUP_BYTES: Final = 16 * 1024 * 1024
"""So much is written within a transaction time-out, also where the network is slow."""
_ONE_ONLY: Final = "this broker accepts offsets of former members (no KIP-447), so only one worker is safe"
_ABORT_SECONDS: Final = 30.0
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0

log = structlog.get_logger()


class OutdatedError(Exception):
    """Somebody else has committed for the partition, so what we know of it is not its state any more."""


class WithdrawnError(Exception):
    """The partition is not ours any more, or the worker ends. Nothing of the contribution is committed."""


class RefusedError(Exception):
    """Kafka refuses the contribution for a reason that waiting does not change."""


@dataclass(slots=True, eq=False)
class _Contribution:
    """What one partition has ready. `done`: when the broker got it, in milliseconds since the epoch, if it says so."""

    partition: TopicPartition
    messages: Sequence[Message]
    next_offset: int
    note: str
    done: "asyncio.Future[int | None]"
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(len(message.value) for message in self.messages if message.value is not None)


class Committer:
    """Commits contributions of partitions. `start` first, `join` with each assignment, `hold` before the next one."""

    def __init__(self, settings: Settings, limits: TopicLimits, metrics: Metrics, access: AccessWatch) -> None:
        self.on_fenced: Callable[[], None] = lambda: None
        """Called when the group has gone on without us, so that the consumer joins again."""
        self.on_failure: Callable[[BaseException], None] = lambda error: None
        """Called when no more transactions are possible, so that the process ends."""
        self._settings = settings
        self._limits = limits
        self._metrics = metrics
        self._access = access
        self._stopping = asyncio.Event()
        self._token = secrets.token_hex(4)
        self._count = 0
        self._producer: TransactionalProducer | None = None
        self._task: asyncio.Task[None] | None = None
        self._queue: dict[TopicPartition, _Contribution] = {}
        self._known: dict[TopicPartition, Offset | None] = {}
        self._confirmed: set[TopicPartition] = set()
        self._outdated: set[TopicPartition] = set()
        self._member: Member | None = None
        self._joined = asyncio.Event()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._alone = 0
        self._given_up = False
        self._ended_at = 0.0
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._error = ""
        self.fences = True
        """Whether the broker refuses offsets of a former generation. If not, only one worker may run."""
        self.generation = 0
        """Counts the assignments."""

    @property
    def waits_for(self) -> str:
        """What the current transaction waits for, or why the last one failed; empty if all is well."""
        return (self._producer is not None and self._producer.obstacle) or self._error

    async def start(self) -> None:
        """Connect, and find out whether the broker fences. Raises `KafkaError`."""
        if self._task is not None:
            return
        settings = self._settings
        name = f"{settings.group}-worker"
        producer = self._make(f"{name}-{settings.instance or self._token}")
        try:
            self.fences = await producer.fences_groups(settings.group, TopicPartition(settings.activity_topic, 0))
            if not self.fences and settings.instance is None and settings.unfenced != "allow":
                # Such a broker may never end the open transaction of a worker that was killed, so the next worker does
                # it, by starting with the same name.
                await producer.stop()
                producer = self._make(name)
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._metrics.fences(self.fences)
        if not self.fences:
            log.warning("broker_does_not_fence", group=settings.group, unfenced=settings.unfenced, detail=_ONE_ONLY)
        self._producer = producer
        self._task = asyncio.create_task(self._run(), name="committer")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End after the transaction in flight, and disconnect."""
        self._stopping.set()
        task, self._task = self._task, None
        if task is not None:
            await self.hold()
            self.withdraw(list(self._queue))
            task.cancel()
            await asyncio.wait([task])
        if self._producer is not None:
            await self._producer.stop()

    async def hold(self) -> None:
        """Begin no more transactions until the next `join`. Returns when none is in flight, or after a while: the
        group goes on without a member that waits for too long, and then refuses its offsets."""
        self._leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.session_timeout_ms / 2000):
                await self._idle.wait()

    def join(self, member: Member) -> None:
        """Commit on behalf of this member from now on: for each partition after `take_over` or `outdated`."""
        self.generation += 1
        self._member = member
        self._confirmed.clear()
        self._joined.set()
        self._wake.set()

    def is_current(self, generation: int) -> bool:
        """Whether this is the current assignment, and no other one is under way."""
        return self._joined.is_set() and generation == self.generation

    async def joined(self) -> None:
        """Wait until we are a member of the group with an assignment."""
        await self._joined.wait()

    async def take_over(self, partition: TopicPartition) -> Offset | None:
        """The committed offset of a partition, when no transaction of a former owner can change it any more. None if
        there is none. Raises `KafkaError`."""
        assert self._producer is not None
        generation = self.generation
        # In 0.1.0 every partition had a producer of its own. Such a worker may still run, and nothing else fences it.
        await self._producer.fence(f"{self._settings.group}-{partition.topic}-{partition.partition}")
        found = (await self._producer.stable_offsets(self._settings.group, [partition]))[partition]
        self._known[partition] = found
        self._outdated.discard(partition)
        self._confirm([partition], generation)
        return found

    async def log_span(self, partition: TopicPartition) -> Span:
        """Where the log of a partition begins and ends, with the records of open transactions. Raises `KafkaError`."""
        assert self._producer is not None
        return await self._producer.log_span(partition)

    async def outdated(self, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        """Those of the partitions for which somebody else has committed since we did: they must be taken over. What the
        others have ready is committed from now on. Raises `KafkaError`."""
        assert self._producer is not None
        generation = self.generation
        known = {partition: self._known.get(partition) for partition in partitions}
        found = await self._producer.stable_offsets(self._settings.group, list(known))
        outdated = {partition for partition in known if found[partition] != known[partition]}
        self._confirm(known.keys() - outdated, generation)
        self._outdated |= outdated
        for contribution in [self._queue[partition] for partition in outdated & self._queue.keys()]:
            self._fail([contribution], _outdated(contribution.partition))
        return outdated

    async def commit(
        self, partition: TopicPartition, messages: Sequence[Message], next_offset: int, note: str = ""
    ) -> int | None:
        """Commit the messages and the offset of a partition, with whatever else is ready. It is repeated until it is
        done. `note`: the end of the offset's metadata. Returns when the broker got it, in milliseconds since the epoch,
        if a topic has LogAppendTime.

        Raises `OutdatedError`, `WithdrawnError`, `TooLargeError` or `RefusedError`; nothing is committed then.
        """
        if self._given_up:
            raise WithdrawnError(f"{partition.topic}-{partition.partition}")
        if partition in self._outdated:
            raise _outdated(partition)
        done: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        contribution = _Contribution(partition, messages, next_offset, note, done)
        self._queue[partition] = contribution
        self._wake.set()
        try:
            return await done
        finally:
            self._remove(contribution)

    def withdraw(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop what these partitions have ready. What is in flight is not affected."""
        for partition in partitions:
            if partition in self._queue:
                self._fail([self._queue[partition]], WithdrawnError(f"{partition.topic}-{partition.partition}"))

    def give_up(self) -> None:
        """Drop what is ready, now and later, because no assignment follows. The next owners compute it again."""
        self._given_up = True
        self.withdraw(list(self._queue))

    def _make(self, transactional_id: str) -> TransactionalProducer:
        settings = self._settings
        seconds = settings.transaction_timeout_ms / 1000
        limits = TransactionLimits(settings.transaction_timeout_ms, BATCH_BYTES, _ABORT_SECONDS, seconds)
        return TransactionalProducer(settings, transactional_id, limits)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.on_failure(error)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            await self._joined.wait()
            # Under load, the other partitions that are ready soon come along. An idle worker commits at once.
            await asyncio.sleep(max(0.0, self._ended_at + self._settings.linger_ms / 1000 - loop.time()))
            group = self._ready()
            member = self._member
            if not group or member is None:
                self._wake.clear()
                continue
            self._idle.clear()
            try:
                await self._transact(group, member)
            finally:
                self._ended_at = loop.time()
                self._idle.set()

    def _ready(self) -> list[_Contribution]:
        """What goes into the next transaction: all that is ready, up to a size, in the order in which it came.

        In a new generation, the offset of a partition must be asked first: somebody else may have had it meanwhile.
        """
        ready = [one for one in self._queue.values() if one.partition in self._confirmed]
        if self._alone:
            self._alone -= 1
            return ready[:1]
        group: list[_Contribution] = []
        size = 0
        for contribution in ready:
            size += contribution.size
            if group and size > _GROUP_BYTES:
                break
            group.append(contribution)
        return group

    async def _transact(self, group: Sequence[_Contribution], member: Member) -> None:
        """One try of one transaction. What fails for a reason that passes stays in the queue."""
        assert self._producer is not None
        producer = self._producer
        self._count += 1
        name = f"{self._token}-{self._count}"
        offsets = {one.partition: Offset(one.next_offset, f"{name} {one.note}".rstrip()) for one in group}
        messages = [message for one in group for message in one.messages]
        if self._access.no_ticks is not None:
            # A tick that may not be written must not hold up what it was to be sent with.
            messages = [message for message in messages if not is_tick(message.value)]
        batch_bytes = min(BATCH_BYTES, self._limits.current.batch)
        try:
            await producer.commit(messages, offsets, member, batch_bytes=batch_bytes)
        except AbortedError as error:
            self._metrics.transaction("aborted")
            await self._aborted(group, member, error)
        except (DoubtfulError, FencedError) as error:
            # The broker itself fences a producer whose transaction takes too long.
            self._metrics.transaction("doubtful" if isinstance(error, DoubtfulError) else "fenced")
            log.warning("transaction_doubtful", error=repr(error), cause=repr(error.__cause__))
            await self._settle(group, offsets)
        else:
            self._metrics.transaction("committed")
            self._done(group, offsets, producer.broker_time)

    def _done(
        self, group: Sequence[_Contribution], offsets: dict[TopicPartition, Offset], broker_time: int | None
    ) -> None:
        self._backoff.reset()
        self._error = ""
        for one in group:
            self._known[one.partition] = offsets[one.partition]
            self._remove(one)
            if not one.done.done():
                one.done.set_result(broker_time)

    async def _aborted(self, group: Sequence[_Contribution], member: Member, error: AbortedError) -> None:
        cause = error.__cause__
        partitions = [name_of(partition, self._settings) for partition in sorted(one.partition for one in group)]
        log.warning("transaction_aborted", error=str(error), partitions=partitions)
        match cause:
            case GroupFencedError():
                # Otherwise the group has assigned again meanwhile, with us.
                if self._member is member:
                    self._rejoin()
            case InstanceFencedError():
                reason = f"another worker has joined the group with SCORER_INSTANCE={self._settings.instance}"
                self._fail(group, RefusedError(reason))
            case TooLargeError():
                refused = {id(message) for message in cause.messages}
                for one in group:
                    if any(id(message) in refused for message in one.messages):
                        self._fail([one], TooLargeError(cause.refusal, cause.messages))
            case KafkaError() if not cause.retriable and await self._access.explains(error):
                self._error = f"a permission is missing: {cause}"
                await self._access.allowed(self._stopping)
            case KafkaError() if not cause.retriable:
                # One of the partitions may be the reason, so each is tried for itself.
                if len(group) > 1:
                    self._alone = len(group)
                else:
                    self._fail(group, RefusedError(f"Kafka refused the transaction: {error}"))
            case _:
                await self._pause(error)

    async def _settle(self, group: Sequence[_Contribution], offsets: dict[TopicPartition, Offset]) -> None:
        """End a transaction whose result is not known, and find out what it was."""
        assert self._producer is not None
        while True:
            try:
                await self._producer.settle()
                found = await self._producer.stable_offsets(self._settings.group, list(offsets))
                break
            except KafkaError as error:
                if self._access.refused(error):
                    await self._access.allowed(self._stopping)
                else:
                    await self._pause(error)
        for one in group:
            if found[one.partition] == offsets[one.partition]:
                self._done([one], offsets, None)
            elif found[one.partition] != self._known.get(one.partition):
                self._fail([one], _outdated(one.partition))

    def _rejoin(self) -> None:
        """The group has gone on without us: wait for the next assignment, which says what is still ours."""
        self._leave()
        self.on_fenced()

    def _leave(self) -> None:
        self._joined.clear()
        self._member = None
        self._confirmed.clear()

    def _confirm(self, partitions: Collection[TopicPartition], generation: int) -> None:
        """Commit for these partitions, if their offsets were asked in the present generation."""
        if self.is_current(generation):
            self._confirmed.update(partitions)
            self._wake.set()

    def _fail(self, group: Collection[_Contribution], error: Exception) -> None:
        for one in group:
            self._remove(one)
            if not one.done.done():
                one.done.set_exception(error)

    def _remove(self, contribution: _Contribution) -> None:
        if self._queue.get(contribution.partition) is contribution:
            del self._queue[contribution.partition]

    async def _pause(self, error: Any) -> None:
        self._error = f"{type(error).__name__}: {error}"
        await asyncio.sleep(self._backoff.failed())


def _outdated(partition: TopicPartition) -> OutdatedError:
    return OutdatedError(f"{partition.topic}-{partition.partition}")
