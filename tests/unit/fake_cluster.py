"""A Kafka in memory, with the parts on which exactly-once processing depends: a group with generations, transactions
that become visible partition by partition after their end was decided, offsets that are pending until then, producers
that are fenced by a newer epoch, time-outs, and requests or answers that are lost or late.

`Cluster.session` takes the place of `scorer.kafka.session.Session`, and `Process` is one worker process without its
consumer: the group here calls its `Partitions`, as aiokafka does.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, NamedTuple, TypeVar

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaConnectionError, KafkaError, ProducerFenced

from scorer.domain.instant import DAY
from scorer.kafka.message import Message
from scorer.kafka.record_limits import TopicLimits
from scorer.kafka.session import Batch, GroupFencedError, Member, Offset, RefusedBatchError
from scorer.kafka.topic_reader import Poll, Span
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings
from scorer.sources.own_events import OwnEvents
from scorer.stream.assigned import State
from scorer.stream.batch import BatchProcessor
from scorer.stream.committer import Committer
from scorer.stream.jobs.job import JobFactory
from scorer.stream.partitions import Partitions
from scorer.stream.source_worker import SourceContext
from scorer.stream.translation import Translator
from scorer.stream.watch import Watch
from scorer.stream.worker import PartitionWorker, WorkerContext
from tests.factory import nothing_denied

Fault = Literal["error", "lost", "answer lost", "late", "slow", "failed", "too large"]
"""`error`: the request is not sent; `failed`: that is known only after a second. `late`: it arrives after a while, and
its answer is lost. A session repeats what is not answered, unless its caller gives up before."""
Result = TypeVar("Result")

_TICK = 0.001
_UNANSWERED = 11.0
"""Seconds after which a session repeats a request."""
_process: "ContextVar[Process]" = ContextVar("process")


@dataclass(slots=True, eq=False)
class Transaction:
    """`partitions`: those that were added. `markers`: those that know the end by now."""

    commit: bool | None = None
    partitions: set[TopicPartition] = field(default_factory=set)
    markers: set[TopicPartition] = field(default_factory=set)
    offsets: dict[TopicPartition, Offset] = field(default_factory=dict)


class Entry(NamedTuple):
    """A record, or the marker of a transaction (no message)."""

    message: Message | None
    transaction: Transaction


@dataclass(slots=True, eq=False)
class Identity:
    """A transactional id at its coordinator."""

    epoch: int = 0
    transaction: Transaction | None = None


def no_fault(step: str) -> Fault | None:
    """Everything works."""
    return None


class Cluster:
    """The brokers. `fault` says what becomes of each request. `gates`: requests that wait until their gate is open."""

    def __init__(self, settings: Settings, inputs: "Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]]"):
        self.settings = settings
        self.inputs = inputs
        self.random = Random(0)
        self.fault: Callable[[str], Fault | None] = no_fault
        self.gates: dict[str, asyncio.Event] = {}
        self.owner: Callable[[Sequence[Process]], Process] = lambda members: self.random.choice(members)
        """Chooses who gets a partition."""
        self.between: Callable[[], Awaitable[None]] = self.pause
        """What happens in a rebalance after all have joined, before they learn what is assigned."""
        self.steps: list[str] = []
        self.logs: defaultdict[TopicPartition, list[Entry]] = defaultdict(list)
        self.identities: defaultdict[str, Identity] = defaultdict(Identity)
        self.generation = 0
        self.members: dict[str, Process] = {}
        self.processes: list[Process] = []
        self.committed: dict[TopicPartition, Offset] = {}
        self.open: list[Transaction] = []
        self._rebalancing = asyncio.Lock()
        self._own = Context()
        self._names = 0

    def numbers(self, topic: str) -> list[int]:
        """The partitions of a topic. Those that are no input have as many as the one of the service."""
        known = {partition.topic for partition in self.inputs}
        found = topic if topic in known else self.settings.activity_topic
        return sorted(partition.partition for partition in self.inputs if partition.topic == found)

    async def pause(self) -> None:
        """The time that a request takes."""
        await asyncio.sleep(self.random.choice((0.0, 0.0, _TICK, 10 * _TICK)))

    def spawn(self, work: Any) -> None:
        """Go on with this whatever becomes of the process that asked for it."""
        asyncio.get_running_loop().create_task(work, context=self._own)

    def session(self, settings: Settings, transactional_id: str, timeout_ms: int) -> "Session":
        """Takes the place of a session."""
        return Session(self, _process.get(), transactional_id, timeout_ms)

    @contextlib.asynccontextmanager
    async def reader(self, *_: object) -> Any:
        """Takes the place of `topic_reader`."""
        yield Reader(self)

    # Transactions.

    async def initialise(self, transactional_id: str) -> int:
        """End what is open, then give out the next epoch."""
        identity = self.identities[transactional_id]
        if identity.transaction is not None and identity.transaction.commit is None:
            self.decide(identity, commit=False)
        identity.epoch += 1
        epoch = identity.epoch
        await self.completed(identity)
        if identity.epoch != epoch:
            raise ProducerFenced
        return epoch

    async def completed(self, identity: Identity) -> None:
        """Wait until the last transaction is complete."""
        while identity.transaction is not None and identity.transaction.commit is not None:  # noqa: ASYNC110
            await asyncio.sleep(20 * _TICK)

    def begin(self, identity: Identity, timeout: float) -> Transaction:
        """The open transaction, or a new one, which the broker aborts after a while."""
        if identity.transaction is None:
            identity.transaction = transaction = Transaction()
            self.open.append(transaction)

            def expire() -> None:
                if identity.transaction is transaction and transaction.commit is None:
                    identity.epoch += 1
                    self.decide(identity, commit=False)

            asyncio.get_running_loop().call_later(timeout, expire)
        return identity.transaction

    def decide(self, identity: Identity, *, commit: bool) -> None:
        """Decide the end of a transaction. Its partitions learn it one after the other, later."""
        transaction = identity.transaction
        assert transaction is not None
        assert transaction.commit is None
        transaction.commit = commit

        async def complete() -> None:
            places: list[TopicPartition | None] = [*sorted(transaction.partitions), None]
            self.random.shuffle(places)
            for place in places:
                await self.pause()
                if place is not None:
                    self.logs[place].append(Entry(None, transaction))
                    transaction.markers.add(place)
                    continue
                if commit:
                    self.committed |= transaction.offsets
                transaction.offsets = {}
            self.open.remove(transaction)
            identity.transaction = None

        self.spawn(complete())

    def unstable(self, partitions: Collection[TopicPartition]) -> bool:
        """Whether a transaction is open that would change an offset."""
        return any(partition in transaction.offsets for transaction in self.open for partition in partitions)

    def stable_end(self, partition: TopicPartition) -> int:
        """The last stable offset."""
        for offset, entry in enumerate(self.logs[partition]):
            if partition not in entry.transaction.markers:
                return offset
        return len(self.logs[partition])

    def messages(self) -> list[tuple[TopicPartition, Message]]:
        """What readers of committed records see, in order within each partition."""
        return [
            (partition, entry.message)
            for partition, log in sorted(self.logs.items())
            for entry in log
            if entry.message is not None and entry.transaction.commit and partition in entry.transaction.markers
        ]

    # The group.

    def check(self, member: Member) -> None:
        """Refuse a member of another generation. Raises `GroupFencedError`."""
        if member.id not in self.members:
            raise GroupFencedError("UnknownMemberIdError")
        if member.generation != self.generation:
            raise GroupFencedError("IllegalGenerationError")

    def expire(self, process: "Process") -> None:
        """The session of a process ends. It does not know that yet, and goes on."""
        self.members = {name: member for name, member in self.members.items() if member is not process}
        process.expired = True

    async def rebalance(self, absent: "Collection[Process]" = ()) -> None:
        """Assign all partitions again, among the processes that are alive and not absent."""
        async with self._rebalancing:
            joining = [one for one in self.processes if one.alive and one not in absent]
            for process in [one for one in self.processes if one in absent]:
                self.expire(process)
            await asyncio.gather(*(process.revoke() for process in joining))
            joining = [process for process in joining if process.alive]
            self.generation += 1
            self.members = {}
            for process in joining:
                if process.expired or not process.consumer.member_id:
                    self._names += 1
                    process.consumer.member_id = f"member-{self._names}"
                    process.expired = False
                # The client knows the new generation before its new assignment.
                process.consumer.generation = self.generation
                self.members[process.consumer.member_id] = process
            await self.between()
            shares: dict[Process, list[TopicPartition]] = {process: [] for process in joining}
            for partition in sorted(self.inputs):
                if joining:
                    shares[self.owner(joining)].append(partition)
            await asyncio.gather(*(process.assign(share) for process, share in shares.items()))

    async def settle(self, done: Callable[[], bool], seconds: float = 120.0) -> None:
        """Let the processes work until it is done; processes that want to rejoin do so."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not done():
            assert loop.time() < deadline, f"it does not get on: {[process.doing() for process in self.processes]}"
            for process in self.processes:
                if process.failure.done():
                    raise process.failure.result()
            if any(process.alive and process.wants_to_join for process in self.processes):
                await self.rebalance()
            await asyncio.sleep(20 * _TICK)

    async def settle_for(self, seconds: float) -> None:
        """`settle` for a time."""
        end = asyncio.get_running_loop().time() + seconds
        await self.settle(lambda: asyncio.get_running_loop().time() >= end)


class Session:
    """The requests of a transactional id in one epoch. `Cluster.fault` decides about each."""

    def __init__(self, cluster: Cluster, process: "Process", transactional_id: str, timeout_ms: int) -> None:
        self.obstacle = ""
        self._cluster = cluster
        self._process = process
        self._id = transactional_id
        self._timeout = timeout_ms / 1000
        self._epoch = -1

    async def _request(
        self,
        step: str,
        effect: Callable[[], Awaitable[Result]],
        refused: Callable[[], KafkaError] = KafkaError,
    ) -> Result:
        cluster = self._cluster
        fault = cluster.fault(step)
        gate = cluster.gates.get(step)
        cluster.steps.append(step)
        await cluster.pause()
        if gate is not None:
            await gate.wait()
        if not self._process.alive or fault == "error":
            raise KafkaConnectionError(f"no connection for {step}")
        if fault == "too large":
            raise refused()
        if fault == "slow":
            await asyncio.sleep(cluster.random.uniform(0, 12))
        elif fault == "failed":
            await asyncio.sleep(1.0)
            raise KafkaConnectionError(f"no connection for {step}")
        elif fault == "late":
            cluster.spawn(self._late(effect))
            await asyncio.sleep(_UNANSWERED)
            raise KafkaConnectionError(f"no answer to {step}")
        elif fault == "lost":
            await asyncio.sleep(_UNANSWERED)
        result = await effect()
        if fault == "answer lost":
            # A repeated request changes nothing.
            await asyncio.sleep(_UNANSWERED)
        await cluster.pause()
        return result

    async def _late(self, effect: Callable[[], Awaitable[object]]) -> None:
        await asyncio.sleep(self._cluster.random.uniform(0, _UNANSWERED - 0.5))
        with contextlib.suppress(KafkaError):
            await effect()

    def _identity(self) -> Identity:
        identity = self._cluster.identities[self._id]
        if identity.epoch != self._epoch:
            raise ProducerFenced
        return identity

    async def open(self) -> None:
        self._epoch = await self._request("open", lambda: self._cluster.initialise(self._id))

    async def initialise(self, transactional_id: str) -> None:
        await self._request("initialise", lambda: self._cluster.initialise(transactional_id))

    async def close(self) -> None:
        pass

    async def partitions_of(self, topic: str) -> list[int]:
        return self._cluster.numbers(topic)

    async def add(self, partitions: Collection[TopicPartition], group: str | None) -> None:
        async def effect() -> None:
            await self._cluster.completed(self._identity())
            self._cluster.begin(self._identity(), self._timeout).partitions.update(partitions)

        await self._request("add", effect)

    async def produce(self, all_batches: Sequence[Sequence[Batch]]) -> int | None:
        async def effect() -> None:
            transaction = self._identity().transaction
            assert transaction is not None
            for batch in (batch for part in all_batches for batch in part):
                assert batch.partition in transaction.partitions
                self._cluster.logs[batch.partition] += [Entry(message, transaction) for message in batch.messages]

        await self._request("produce", effect, lambda: RefusedBatchError(all_batches[0][0]))
        return None

    async def commit_offsets(self, member: Member, offsets: Mapping[TopicPartition, Offset]) -> None:
        async def effect() -> None:
            transaction = self._identity().transaction
            assert transaction is not None
            self._cluster.check(member)
            transaction.offsets |= offsets

        await self._request("commit_offsets", effect)

    async def end(self, *, commit: bool) -> None:
        async def effect() -> None:
            self._cluster.decide(self._identity(), commit=commit)

        await self._request("commit" if commit else "abort", effect)

    async def stable_offsets(
        self, group: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Offset | None]:
        cluster = self._cluster

        async def effect() -> dict[TopicPartition, Offset | None]:
            while cluster.unstable(partitions):  # noqa: ASYNC110
                await asyncio.sleep(20 * _TICK)
            return {partition: cluster.committed.get(partition) for partition in partitions}

        return await self._request("stable_offsets", effect)

    async def log_span(self, partition: TopicPartition) -> Span:
        is_input = partition in self._cluster.inputs

        async def effect() -> Span:
            return Span(0, len(self._cluster.inputs[partition] if is_input else self._cluster.logs[partition]))

        return await self._request("input_span" if is_input else "log_span", effect)


class Reader:
    """Reads committed records, and waits for open transactions."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def polls(self, spans: Mapping[TopicPartition, Span], on_stall: object = None) -> Any:
        ((partition, span),) = spans.items()
        cluster = self._cluster
        log = cluster.logs[partition]
        position = span.first
        while position < span.end:
            await cluster.pause()
            stop = min(span.end, cluster.stable_end(partition), position + 3)
            records = [
                ConsumerRecord(
                    partition.topic, partition.partition, offset, 0, 0, key, value, None, 0, 0, tuple(message.headers)
                )
                for offset, (message, transaction) in enumerate(log[position:stop], position)
                if message is not None and transaction.commit
                for key, value in [(message.key, message.value)]
            ]
            position = max(position, stop)
            yield Poll(records, {partition: position})


class Consumer:
    """The consumer of one process."""

    def __init__(self, cluster: Cluster) -> None:
        self.generation = -1
        self.member_id = ""
        self.assigned: list[TopicPartition] = []
        self.rejoin = False
        self._cluster = cluster
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    @property
    def _coordinator(self) -> "Consumer":
        return self

    def request_rejoin(self) -> None:
        self.rejoin = True

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        """Begin an assignment, in which nothing is paused and no position is known."""
        self.assigned = list(partitions)
        self._positions = {}
        self._paused = set()

    def assignment(self) -> set[TopicPartition]:
        return set(self.assigned)

    def _check(self, *partitions: TopicPartition) -> None:
        for partition in partitions:
            if partition not in self.assigned:
                raise IllegalStateError(f"{partition} is not assigned")

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._check(partition)
        self._positions[partition] = offset

    def pause(self, *partitions: TopicPartition) -> None:
        self._check(*partitions)
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._check(*partitions)
        self._paused.difference_update(partitions)

    def highwater(self, partition: TopicPartition) -> int:
        return len(self._cluster.inputs[partition])

    def last_stable_offset(self, partition: TopicPartition) -> int:
        return self.highwater(partition)

    def last_poll_timestamp(self, partition: TopicPartition) -> int:
        return 0

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(self._cluster.numbers(topic))

    def poll(self) -> "list[ConsumerRecord[bytes, bytes]]":
        """Some records of each partition that is not paused."""
        found: list[ConsumerRecord[bytes, bytes]] = []
        for partition in self.assigned:
            if partition in self._paused:
                continue
            committed = self._cluster.committed.get(partition)
            position = self._positions.get(partition, 0 if committed is None else committed.next)
            records = self._cluster.inputs[partition][position : position + self._cluster.random.randint(1, 9)]
            self._positions[partition] = position + len(records)
            found += records
        return found


class Process:
    """One worker process."""

    def __init__(self, cluster: Cluster, processor: BatchProcessor, jobs: JobFactory) -> None:
        settings = cluster.settings
        self.alive = True
        self.expired = False
        self.consumer = Consumer(cluster)
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._cluster = cluster
        self._tasks: list[asyncio.Task[Any]] = []
        self._rebalancing = False
        metrics = Metrics()
        self._context = Context()
        self._context.run(_process.set, self)
        self.committer = self._context.run(
            Committer, settings, TopicLimits(settings), metrics, nothing_denied(settings)
        )
        rules = object()
        context = WorkerContext(
            settings,
            processor,
            self.committer,
            metrics,
            jobs,
            lambda: rules,
            Watch(settings, metrics),
            nothing_denied(settings),
        )
        limits = TopicLimits(settings)
        sources = SourceContext(
            settings,
            {
                topic: Translator(OwnEvents(), settings, lambda: 21_000 * DAY, limits)
                for topic in settings.source_topics
            },
            self.committer,
            metrics,
            Watch(settings, metrics),
            nothing_denied(settings),
            limits,
            lambda: self.partitions.behind,
        )
        self.partitions = Partitions(context, sources=sources)
        self.partitions.attach(lambda: self.consumer)
        self.partitions.failure = self.failure
        cluster.processes.append(self)

    def _task(self, work: Any) -> "asyncio.Task[Any]":
        return asyncio.get_running_loop().create_task(work, context=self._context)

    def adopt(self, task: "asyncio.Task[Any]") -> None:
        """Note a task of this process, which ends when the process is killed."""
        self._tasks.append(task)

    @property
    def wants_to_join(self) -> bool:
        """Whether it has learnt that the group has gone on, or has never joined it."""
        return self.consumer.rejoin

    def doing(self) -> dict[str, object]:
        """What its partitions do."""
        return {f"{partition.partition}": worker.standing() for partition, worker in self.partitions._workers.items()}

    async def start(self) -> None:
        """Connect, then read what is assigned."""
        while True:
            try:
                await self._task(self.committer.start())
                break
            except KafkaError:
                await asyncio.sleep(0.2)
        self._task(self._read())

    async def _read(self) -> None:
        while True:
            records = [] if self._rebalancing else self.consumer.poll()
            if records:
                await self.partitions.dispatch(records)
            await asyncio.sleep(_TICK if records else 50 * _TICK)

    async def revoke(self) -> None:
        """The group begins to assign again."""
        self._rebalancing = True
        self.consumer.rejoin = False
        with contextlib.suppress(asyncio.CancelledError):
            await self._task(self.partitions.on_partitions_revoked(self.consumer.assigned))

    async def assign(self, partitions: Collection[TopicPartition]) -> None:
        """The group has assigned."""
        await self._cluster.pause()
        if not self.alive:
            return
        self.consumer.assign(partitions)
        with contextlib.suppress(asyncio.CancelledError):
            await self._task(self.partitions.on_partitions_assigned(partitions))
        self._rebalancing = False

    def kill(self) -> None:
        """End at once. What the brokers have received from it stays."""
        self.alive = False
        for task in self._tasks:
            task.cancel()

    async def leave(self) -> None:
        """End in good order."""
        assert await self._task(self.partitions.drain(60.0))
        await self._task(self.committer.stop())
        self.kill()

    def running(self) -> dict[TopicPartition, PartitionWorker]:
        """The workers of the input that run."""
        return {worker.partition: worker for worker in self.partitions._judges if worker.state is State.RUNNING}


def adopting() -> None:
    """Let each process know its tasks, from now on in this event loop."""

    def make(loop: asyncio.AbstractEventLoop, work: Any, **arguments: Any) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **arguments)
        context = arguments.get("context")
        process = _process.get(None) if context is None else context.get(_process)
        if process is not None:
            process.adopt(task)
        return task

    asyncio.get_running_loop().set_task_factory(make)
