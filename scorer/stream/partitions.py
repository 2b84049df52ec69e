"""The workers of our partitions: started, kept and ended with the assignment."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from scorer.dlq.dead_letter import SHORTENED
from scorer.domain.lead import Lead
from scorer.figures.gauges import gauges
from scorer.kafka.client_internals import cut_large_records, generation_of, request_rejoin
from scorer.kafka.sizes import whole_bytes
from scorer.kafka.transaction import Member
from scorer.runtime.backoff import Backoff
from scorer.stream.assigned import AssignedPartition, State
from scorer.stream.input_log import Change, InputChangedError
from scorer.stream.partition_name import name_of
from scorer.stream.source_worker import SourceContext, SourceWorker
from scorer.stream.worker import PartitionWorker, WorkerContext

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_NO_TICKS: Final = "off: in a partition without records, time changes no decision, because"

log = structlog.get_logger()


class UnfencedError(Exception):
    """The broker does not fence former owners, so a second worker could make decisions twice."""

    def __init__(self, group: str, ours: int, partitions: int) -> None:
        super().__init__(
            f"this worker has {ours} of {partitions} partitions, so the group {group} has another member, and this "
            "broker accepts offsets of former members (KIP-447 does not work): run one worker only, or set "
            "SCORER_UNFENCED=allow if doubled decisions do no harm"
        )


class Partitions(ConsumerRebalanceListener):  # type: ignore[misc]
    """The workers of the assigned partitions. `attach` gives access to the consumer, which is created later.

    `no_ticks`: why no ticks are written now, for people; None if they are. `sources`: what the workers of other
    senders' partitions share; None without such topics.
    """

    def __init__(
        self,
        context: WorkerContext,
        no_ticks: Callable[[], str | None] = lambda: None,
        sources: SourceContext | None = None,
    ) -> None:
        self._context = context
        self._sources = sources
        self._no_ticks = no_ticks
        self._find_consumer: Callable[[], Any] = lambda: None
        self._workers: dict[TopicPartition, AssignedPartition] = {}
        self._ending: dict[TopicPartition, asyncio.Task[None]] = {}
        self._assigned_once = False
        self._rejoining = False
        self._draining = False
        self._confirming: asyncio.Task[None] | None = None
        self._committer = context.committer
        self._committer.on_fenced = self._rejoin
        self._committer.on_failure = self.failed
        context.metrics.refresh = self._refresh
        self.failure: asyncio.Future[BaseException] | None = None
        """Gets the reason when the process must end."""

    def attach(self, consumer: Callable[[], Any]) -> None:
        """Set the function that returns the consumer, which pauses, seeks and resumes partitions."""
        self._find_consumer = consumer

    @property
    def _consumer(self) -> Any:
        return self._find_consumer()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let the transaction in flight end, and begin no other one. The workers keep what they have in memory, because
        most partitions stay where they are."""
        partitions = sorted(revoked)
        if partitions:
            log.info("partitions_revoked", **self._named(partitions))
        self._suspend()
        self._measure()
        await self._committer.hold()
        if self._draining:
            self._committer.give_up()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pause the partitions. Those that stay go on when the group says that nobody else has committed for them; the
        others get a worker, which restores, seeks and resumes by itself."""
        partitions = sorted(assigned)
        consumer, settings = self._consumer, self._context.settings
        log.info("partitions_assigned", **self._named(partitions))
        if not self._assigned_once and settings.instance is not None and settings.source_topics:
            # Kafka gives a worker with a fixed name its former partitions, and looks at no topic that is new to it.
            request_rejoin(consumer)
        self._assigned_once = True
        self._rejoining = False
        for partition in self._workers.keys() - set(partitions):
            self._committer.withdraw([partition])
            self._close(partition)
        if self._draining:
            return
        self._context.watch.assigned(name_of(partition, settings) for partition in partitions)
        consumer.pause(*partitions)
        if not self._may_go_on(partitions):
            return
        # Here, because the consumer exists and reads nothing yet.
        cut_large_records(consumer, whole_bytes(settings), SHORTENED)
        generation, member_id = generation_of(consumer)
        self._committer.join(Member(settings.group, generation, member_id, settings.instance))
        # One that restores finds out by itself.
        stayed = [worker for worker in self._workers.values() if worker.state is State.REJOINING]
        for partition in partitions:
            if partition not in self._workers:
                self._workers[partition] = self._worker_of(partition, consumer)
        self._confirming = asyncio.create_task(self._confirm(stayed), name="confirm")
        self._measure()

    def _worker_of(self, partition: TopicPartition, consumer: Any) -> AssignedPartition:
        predecessor = self._ending.get(partition)
        if self._sources is not None and partition.topic in self._sources.translators:
            return SourceWorker(partition, consumer, self, self._sources, predecessor)
        return PartitionWorker(partition, consumer, self, self._context, predecessor)

    def _named(self, partitions: Sequence[TopicPartition]) -> dict[str, list[int | str]]:
        """The names of partitions of the input, and of those of other senders if there are any."""
        names = [name_of(partition, self._context.settings) for partition in partitions]
        others = [name for name in names if isinstance(name, str)]
        ours = [name for name in names if not isinstance(name, str)]
        return {"partitions": [*ours], **({"sources": [*others]} if others else {})}

    @property
    def _judges(self) -> list[PartitionWorker]:
        """The workers of the input."""
        return [worker for worker in self._workers.values() if isinstance(worker, PartitionWorker)]

    @property
    def behind(self) -> bool:
        """Whether activities wait to be judged."""
        return any(worker.behind for worker in self._judges)

    async def _confirm(self, workers: Sequence[AssignedPartition]) -> None:
        """Let the workers go on whose partitions have stayed ours, unless somebody else has committed for them."""
        if not workers:
            return
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            try:
                outdated = await self._committer.outdated([worker.partition for worker in workers])
                break
            except KafkaError as error:
                log.warning("partitions_not_confirmed", error=repr(error))
                await asyncio.sleep(backoff.failed())
        for worker in workers:
            if worker.partition in outdated:
                worker.restart()
            else:
                worker.go_on()
        self._measure()

    def _may_go_on(self, partitions: Sequence[TopicPartition]) -> bool:
        """False if the group has another member and the broker does not fence former ones: the process ends."""
        settings = self._context.settings
        if self._committer.fences or settings.unfenced == "allow":
            return True
        topics = (settings.activity_topic, *settings.source_topics)
        everything = sum(len(self._consumer.partitions_for_topic(topic) or ()) for topic in topics)
        if len(partitions) >= everything:
            return True
        self.failed(UnfencedError(settings.group, len(partitions), everything))
        return False

    async def dispatch(self, records: "Sequence[ConsumerRecord[bytes, bytes]]") -> None:
        """Give each worker its records; wait a little if one has too many.

        All workers get their records before anything is awaited. Otherwise a worker could restart meanwhile and take
        old records for the next ones.
        """
        by_partition: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = {}
        for record in records:
            by_partition.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
        workers = [self._workers[partition] for partition in by_partition if partition in self._workers]
        for worker in workers:
            worker.offer(by_partition[worker.partition])
        await asyncio.gather(*(worker.room() for worker in workers))

    def rules_changed(self) -> None:
        """Tell the workers that other rules have taken effect."""
        for worker in self._judges:
            worker.rules_changed()

    def companies_changed(self, companies: Collection[str]) -> None:
        """Tell the workers that the profiles of these companies have changed."""
        for worker in self._judges:
            worker.companies_changed(companies)

    def caught_up(self, partition: int) -> bool:
        """Whether a partition of the input is ours and was read to its end."""
        worker = self._workers.get(TopicPartition(self._context.settings.activity_topic, partition))
        return isinstance(worker, PartitionWorker) and worker.caught_up

    async def drain(self, seconds: float) -> bool:
        """End all workers after their current transaction. False if some did not end in time."""
        self._draining = True
        if self._rejoining:
            self._committer.give_up()
        for partition in list(self._workers):
            self._close(partition)
        tasks = list(self._ending.values())
        if not tasks:
            return True
        _, pending = await asyncio.wait(tasks, timeout=seconds)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=1.0)
        return not pending

    def _rejoin(self) -> None:
        """The group has gone on without us: join again to learn the assignment."""
        self._suspend()
        if self._draining:
            self._committer.give_up()
        request_rejoin(self._consumer)

    def _suspend(self) -> None:
        self._rejoining = True
        # The answer is about the assignment before.
        if self._confirming is not None:
            self._confirming.cancel()
        for worker in self._workers.values():
            worker.suspend()

    def failed(self, error: BaseException) -> None:
        """A worker cannot go on: end the process."""
        if isinstance(error, UnfencedError):
            log.error("broker_does_not_fence", error=str(error))
        elif isinstance(error, InputChangedError):
            found = error.found
            log.error(
                "states_lost" if found.change is Change.STATES_LOST else "input_changed",
                error=str(error),
                change=found.change,
                topic=found.partition.topic,
                partition=found.partition.partition,
                committed=found.offset,
                first=found.span.first,
                end=found.span.end,
            )
        else:
            log.error("worker_failed", error=repr(error), exc_info=error)
        if self.failure is not None and not self.failure.done():
            self.failure.set_result(error)

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """Whether every assigned partition advances, and what each is doing. A worker without partitions is
        ready too, because there may be more workers than partitions."""
        settings = self._context.settings
        states = {
            str(name_of(partition, settings)): worker.state.value for partition, worker in sorted(self._workers.items())
        }
        details: dict[str, object] = {"partitions": states}
        restoring = [worker for worker in self._workers.values() if worker.state is State.RESTORING]
        if restoring:
            details["restoring"] = {
                str(name_of(worker.partition, settings)): {"done": worker.progress.done, "total": worker.progress.total}
                for worker in restoring
            }
        running = all(state == State.RUNNING for state in states.values())
        trouble = self._context.watch.trouble()
        details |= trouble
        why = self._no_ticks()
        if why is not None:
            details["ticks"] = f"{_NO_TICKS} {why}"
        joined = self._assigned_once and not self._rejoining
        ready = joined and running and not self._draining and not trouble
        details["status"] = "ready" if ready else self._unready(bool(restoring), trouble)
        return ready, details

    def lead(self, lead_id: str) -> Lead | None:
        """The committed state of a lead in one of our partitions, or None. It searches all of them, because the
        producer of the input may choose partitions in another way than Kafka's own clients."""
        return next((lead for worker in self._judges if (lead := worker.lead(lead_id)) is not None), None)

    def partition_of(self, lead_id: str) -> int | None:
        """The partition where Kafka's own clients put a lead; None while the topic is not known yet."""
        numbers = self._consumer and self._consumer.partitions_for_topic(self._context.settings.activity_topic)
        return int(DefaultPartitioner()(lead_id.encode(), sorted(numbers), sorted(numbers))) if numbers else None

    def measure(self) -> None:
        """Update the metrics of partitions by state and of their lag, and notice those that do not advance."""
        self._measure()
        for worker in self._workers.values():
            worker.measure_lag()
        self._context.watch.look(
            {
                name_of(partition, self._context.settings): worker.standing()
                for partition, worker in self._workers.items()
            },
            self.missing_topics(),
        )

    def missing_topics(self) -> list[str]:
        """The topics that we read and that Kafka does not show: nobody gets their partitions."""
        if not self._assigned_once:
            return []
        settings, consumer = self._context.settings, self._consumer
        topics = (settings.activity_topic, *settings.source_topics)
        return [topic for topic in topics if not consumer.partitions_for_topic(topic)]

    def _unready(self, restoring: bool, trouble: Container[str]) -> str:
        if self._draining:
            return "stopping"
        if not self._assigned_once:
            return "waiting for an assignment"
        if "stalled" in trouble:
            return "stalled"
        if restoring:
            return "restoring"
        return "clock off" if "clock" in trouble else "rejoining"

    def _close(self, partition: TopicPartition) -> None:
        worker = self._workers.pop(partition, None)
        if worker is None:
            return
        worker.close()
        self._ending[partition] = worker.task

        def forget(task: "asyncio.Task[None]") -> None:
            if self._ending.get(partition) is task:
                del self._ending[partition]
            if not task.cancelled():
                task.exception()  # marks it as retrieved: the worker has reported it

        worker.task.add_done_callback(forget)

    def _refresh(self) -> None:
        self._measure()
        figures = [worker.figures for worker in self._judges]
        complete = [part for part in figures if part is not None]
        # Some of the partitions would look like fewer leads.
        known = len(complete) == len(figures) > 0
        self._context.metrics.key_figures(gauges(complete, time.time_ns() // 1000) if known else {})

    def _measure(self) -> None:
        judges = self._judges
        counts = Counter(worker.state.value for worker in judges)
        everything = Counter(worker.state.value for worker in self._workers.values())
        metrics = self._context.metrics
        metrics.remaining(sum((worker.remaining() for worker in judges), Counter()))
        numbers = self._consumer and self._consumer.partitions_for_topic(self._context.settings.activity_topic)
        if numbers:
            metrics.input_partitions(len(numbers))
        states = [state.value for state in State if state is not State.CLOSED]
        metrics.partitions({state: counts[state] for state in states})
        if self._sources is not None:
            metrics.sources.partitions({state: everything[state] - counts[state] for state in states})
