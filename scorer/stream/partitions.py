"""Which partitions are ours: workers come and go with the assignment. The callbacks never wait."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from scorer.domain.lead import Lead
from scorer.kafka.client_internals import request_rejoin
from scorer.stream.worker import PartitionWorker, State, WorkerContext

log = structlog.get_logger()


class Partitions(ConsumerRebalanceListener):  # type: ignore[misc]
    """The workers of the assigned partitions. `attach` says where the consumer is found once it exists."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._find_consumer: Callable[[], Any] = lambda: None
        self._workers: dict[TopicPartition, PartitionWorker] = {}
        self._ending: dict[TopicPartition, asyncio.Task[None]] = {}
        self._assigned_once = False
        self._draining = False
        self.failure: asyncio.Future[BaseException] | None = None
        """Done when the process must end, with the reason."""

    def attach(self, consumer: Callable[[], Any]) -> None:
        """Say how to get at the consumer that pauses, seeks and resumes."""
        self._find_consumer = consumer

    @property
    def _consumer(self) -> Any:
        return self._find_consumer()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let the workers end after the transaction under way. Not awaited: whoever gets the partition fences us."""
        partitions = sorted(revoked)
        if partitions:
            log.info("partitions_revoked", partitions=[each.partition for each in partitions])
        for partition in partitions:
            self._close(partition)
        self._measure()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pause what is new and start a worker for each; it restores, seeks and resumes on its own."""
        partitions = sorted(assigned)
        log.info("partitions_assigned", partitions=[each.partition for each in partitions])
        self._assigned_once = True
        for partition in list(self._workers):
            self._close(partition)
        if self._draining:
            return
        self._consumer.pause(*partitions)
        for partition in partitions:
            self._workers[partition] = PartitionWorker(
                partition, self._consumer, self, self._context, self._ending.get(partition)
            )
        self._measure()

    async def dispatch(self, records: "Sequence[ConsumerRecord[bytes, bytes]]") -> None:
        """Give each worker its records; waits a little while one has too many.

        All get theirs before anything is awaited: a worker could begin anew meanwhile, and then take old records for
        the next ones.
        """
        by_partition: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = {}
        for record in records:
            by_partition.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
        workers = [self._workers[partition] for partition in by_partition if partition in self._workers]
        for worker in workers:
            worker.offer(by_partition[worker.partition])
        await asyncio.gather(*(worker.room() for worker in workers))

    def rules_changed(self) -> None:
        """Other rules are in force from now on."""
        for worker in self._workers.values():
            worker.rules_changed()

    async def drain(self, seconds: float) -> bool:
        """End all workers after what they are doing; False where some did not within the time."""
        self._draining = True
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

    def fenced(self, worker: PartitionWorker) -> None:
        """A worker lost its partition to another: ask the group who owns what."""
        if self._workers.get(worker.partition) is worker:
            request_rejoin(self._consumer)

    def failed(self, error: BaseException) -> None:
        """A worker cannot go on: end the process."""
        log.error("worker_failed", error=repr(error), exc_info=error)
        if self.failure is not None and not self.failure.done():
            self.failure.set_result(error)

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """Whether every assigned partition is being processed, and what each is doing. To own none is ready, too:
        there may be more workers than partitions."""
        states = {str(each.partition): worker.state.value for each, worker in sorted(self._workers.items())}
        details: dict[str, object] = {"partitions": states}
        restoring = [worker for worker in self._workers.values() if worker.state is State.RESTORING]
        if restoring:
            details["restoring"] = {
                str(worker.partition.partition): {"done": worker.progress.done, "total": worker.progress.total}
                for worker in restoring
            }
        running = all(state == State.RUNNING for state in states.values())
        ready = self._assigned_once and running and not self._draining
        details["status"] = "ready" if ready else self._unready(bool(restoring))
        return ready, details

    def lead(self, lead_id: str) -> Lead | None:
        """The committed state of a lead that one of our partitions holds. All are asked: who writes the input may
        choose partitions in another way than Kafka's own clients."""
        return next((lead for each in self._workers.values() if (lead := each.lead(lead_id)) is not None), None)

    def partition_of(self, lead_id: str) -> int | None:
        """The partition where Kafka's own clients put a lead; None while the topic is not known yet."""
        numbers = self._consumer and self._consumer.partitions_for_topic(self._context.settings.activity_topic)
        return int(DefaultPartitioner()(lead_id.encode(), sorted(numbers), sorted(numbers))) if numbers else None

    def measure(self) -> None:
        """Bring the metrics of partitions by state and of their lag up to date."""
        self._measure()
        for worker in self._workers.values():
            worker.measure_lag()

    def _unready(self, restoring: bool) -> str:
        if self._draining:
            return "stopping"
        if not self._assigned_once:
            return "waiting for an assignment"
        return "restoring" if restoring else "rejoining"

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
                task.exception()  # seen: the worker has reported it

        worker.task.add_done_callback(forget)

    def _measure(self) -> None:
        counts = Counter(worker.state.value for worker in self._workers.values())
        metrics = self._context.metrics
        metrics.remaining(sum((worker.remaining() for worker in self._workers.values()), Counter()))
        metrics.partitions({state.value: counts[state.value] for state in State if state is not State.CLOSED})
