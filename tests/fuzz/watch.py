"""Watches a running service from outside: how far it is, how long it paused, how much memory it takes."""

import asyncio
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service

_EVERY: Final = 0.2


class Watch:
    """Asks for the committed offsets on a thread of its own.

    `ends`: the offset after the last record by partition; it may grow. A partition pauses while it has records and its
    committed offset stays as it is.
    """

    def __init__(self, kafka: Kafka, names: Names, running: Service, ends: Mapping[int, int]) -> None:
        self._kafka = kafka
        self._names = names
        self._running = running
        self._ends = ends
        self._since: dict[int, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), name="watch")
        self._error: BaseException | None = None
        self.committed = dict.fromkeys(ends, 0)
        self.longest_pause = 0.0
        """Seconds."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    @property
    def done(self) -> bool:
        """Whether everything is committed that was written so far."""
        return all(self.committed[partition] >= end for partition, end in self._ends.items())

    def pause(self) -> float:
        """Seconds of the longest pause that lasts at this moment. Raises `AssertionError` if the service ended."""
        status = self._running.process.poll()
        assert status is None, f"the service ended with {status}:\n{self._running.text()[-4000:]}"
        assert self._error is None, f"the watch failed: {self._error!r}"
        now = time.monotonic()
        return max((now - since for since in self._since.values()), default=0.0)

    async def _watch(self) -> None:
        try:
            admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka.bootstrap)
            await admin.start()
            try:
                while not self._stopping.is_set():
                    await self._look(admin)
                    await asyncio.sleep(_EVERY)
            finally:
                await admin.close()
        except Exception as error:  # noqa: BLE001 (shown by `pause`, on the thread that waits)
            self._error = error

    async def _look(self, admin: AIOKafkaAdminClient) -> None:
        partitions = [TopicPartition(self._names.activity, number) for number in self._ends]
        # Before the question, so that the answer cannot be older than what it is compared with.
        ends = dict(self._ends)
        offsets = await admin.list_consumer_group_offsets(self._names.group, partitions=partitions)
        now = time.monotonic()
        for partition, position in offsets.items():
            number, committed = partition.partition, max(0, position.offset)
            if number in self._since:
                self.longest_pause = max(self.longest_pause, now - self._since[number])
            if committed >= ends[number]:
                self._since.pop(number, None)
            elif committed != self.committed[number] or number not in self._since:
                self._since[number] = now
            self.committed[number] = committed


def memory(pid: int, which: str) -> int:
    """Bytes of resident memory of a process: `VmRSS` now, `VmHWM` at most so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{which}:"))
