"""What a partition's worker has been given and has not processed yet: batches out, back-pressure in."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Final

from aiokafka import ConsumerRecord

_STALLED_SECONDS: Final = 0.5


class Inbox:
    """Records in order. Full batches under load, small ones soon after they arrive when there is little to do.

    `max_records`: of a batch; twice as many make it full. `linger`: seconds to wait for more where a batch would be
    small.
    """

    def __init__(self, max_records: int, linger: float) -> None:
        self._max_records = max_records
        self._linger = linger
        self._queue: deque[ConsumerRecord[bytes, bytes]] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        """More records should wait until there is room."""
        return len(self._queue) >= 2 * self._max_records and not self._closed

    def put(self, records: "Sequence[ConsumerRecord[bytes, bytes]]") -> None:
        """Take records, in order."""
        self._queue.extend(records)
        self._changed.set()

    async def room(self) -> bool:
        """Wait until there is room. Not for long, False then: one partition that hangs must not hold up the others."""
        try:
            async with asyncio.timeout(_STALLED_SECONDS):
                while self.full:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            return not self.full
        return True

    async def batch(self, patience: float | None = None) -> "list[ConsumerRecord[bytes, bytes]]":
        """The next records; waits for some. Empty once the inbox is closed, when `patience` (seconds) is over or
        somebody nudged."""
        if not self._queue:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._changed.wait()
        if self._linger and 0 < len(self._queue) < self._max_records and not self._closed:
            await asyncio.sleep(self._linger)
        if self._closed:
            return []
        taken = [self._queue.popleft() for _ in range(min(len(self._queue), self._max_records))]
        if len(self._queue) < self._max_records:
            self._room.set()
        return taken

    def nudge(self) -> None:
        """Whoever waits for records goes on, without any."""
        self._changed.set()

    def clear(self) -> None:
        """Drop everything; whoever waits for room goes on."""
        self._queue.clear()
        self._room.set()

    def close(self) -> None:
        """No more batches; whoever waits goes on."""
        self._closed = True
        self._changed.set()
        self._room.set()
