"""The records that wait for a partition worker. It gives out batches and applies back-pressure."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from aiokafka import ConsumerRecord

_STALLED_SECONDS: Final = 0.5
_BATCH_BYTES: Final = 16 * 1024 * 1024
_EVENT_BYTES: Final = 250
"""Of a record with several events, each counts as an activity of this size. Most real ones are larger."""
_ARRAY: Final = b"[ \t\r\n"
"""How a JSON array may begin."""


class Inbox:
    """Records in order. Batches are large under load; under a low load they are small and leave soon.

    `max_records` and `max_bytes` (of the values) limit a batch, which has at least one record. A record with several
    events counts as several records. The inbox is full at twice either limit.
    """

    def __init__(self, max_records: int, max_bytes: int = _BATCH_BYTES) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._queue: deque[ConsumerRecord[bytes, bytes]] = deque()
        self._bytes = 0
        self._steps = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether new records must wait until there is room."""
        reached_limit = len(self._queue) >= 2 * self._max_records or self._bytes >= 2 * self._max_bytes
        return reached_limit and not self._closed

    @property
    def low(self) -> bool:
        """Whether there is less than a batch, so that more records are wanted."""
        return len(self._queue) < self._max_records and self._bytes < self._max_bytes

    def put(self, records: "Sequence[ConsumerRecord[bytes, bytes]]") -> None:
        """Add records, in order."""
        self._queue.extend(records)
        self._bytes += sum(map(_size, records))
        self._changed.set()

    async def room(self) -> bool:
        """Wait until there is room. False if the records are not being processed: one partition that hangs must not
        block the others."""
        while self.full:
            steps = self._steps
            self._room.clear()
            try:
                async with asyncio.timeout(_STALLED_SECONDS):
                    await self._room.wait()
            except TimeoutError:
                if self._steps == steps:
                    return not self.full
        return True

    def step(self) -> None:
        """Report that the worker makes progress."""
        self._steps += 1

    async def batch(self, patience: float | None = None) -> "list[ConsumerRecord[bytes, bytes]]":
        """Wait for records and return the next batch. Empty after `close`, after `nudge`, or after `patience` seconds
        without a record."""
        if not self._queue:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._changed.wait()
        if self._closed:
            return []
        taken = self._take()
        self.step()
        if self.low:
            self._room.set()
        return taken

    def _take(self) -> "list[ConsumerRecord[bytes, bytes]]":
        taken: list[ConsumerRecord[bytes, bytes]] = []
        taken_bytes = events = 0
        for record in islice(self._queue, self._max_records):
            taken_bytes += _size(record)
            events += _events(record)
            if taken and (taken_bytes > self._max_bytes or events > self._max_records):
                taken_bytes -= _size(record)
                break
            taken.append(record)
        for _ in taken:
            self._queue.popleft()
        self._bytes -= taken_bytes
        return taken

    def nudge(self) -> None:
        """Wake the task that waits for records. It gets none."""
        self._changed.set()

    def clear(self) -> None:
        """Drop everything and wake the tasks that wait for room."""
        self._queue.clear()
        self._bytes = 0
        self._room.set()

    def close(self) -> None:
        """Give out no more batches and wake all waiting tasks."""
        self._closed = True
        self._changed.set()
        self._room.set()


def _size(record: "ConsumerRecord[bytes, bytes]") -> int:
    return 0 if record.value is None else len(record.value)


def _events(record: "ConsumerRecord[bytes, bytes]") -> int:
    """How many activities a record may have, from its size and the first byte of its value. A batch is a JSON array."""
    value = record.value
    return 1 + len(value) // _EVENT_BYTES if value and value[0] in _ARRAY else 1
