"""Spreads activities over processes. Leads are independent, and each lead always goes to the same process.

A shard is the work and the memory of one process. The parent splits blocks of lines by lead, sends them as bytes, and
returns the answers in the order of the input. The result does not depend on the number of processes.
"""

import multiprocessing
import os
import signal
import threading
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Final, Protocol

import msgspec

from scorer.offline.activity_files import Block
from scorer.sources.strict_json import decoded_whole

AHEAD: Final = 4
"""Blocks in progress at a time: enough to keep every process busy, few enough to hold in memory."""


class Shard(Protocol):
    """Lives in one process and sees all lines of its leads, in the order of the input."""

    def handle(self, task: str, places: Sequence[int], lines: Sequence[bytes]) -> Any:
        """Do the task with the lines; `places` are their places in the file. The answer must be picklable."""

    def finish(self, until: int | None) -> Any:
        """The result, after the last line; what time alone changes until this instant (microseconds since the epoch)
        is part of it. The shard is then as it was at first."""


Maker = Callable[[], Shard]
"""Makes the shard, in its own process. Picklable: a function of a module, or a partial of one."""


class ShardError(Exception):
    """A process ended before its work was done."""


class Shards(Protocol):
    """Shards at work."""

    def run(self, task: str, blocks: Iterable[Block]) -> Iterator[tuple[Block, list[Any]]]:
        """Send the blocks to the shards. Yields each block with its answers, in the order of the blocks."""

    def finish(self, until: int | None = None) -> list[Any]:
        """The result of each shard. Then they can run again, about other leads."""


def usable_cores() -> int:
    """The number of processes that can run at the same time."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


@contextmanager
def open_shards(make: Maker, count: int) -> Iterator[Shards]:
    """Open `count` shards, each in its own process; a single one stays in this process. On exit, also after an
    exception or Ctrl-C, every process has ended. Calls to the shards raise `ShardError` if a process is lost."""
    if count == 1:
        yield _Alone(make())
        return
    spread = _Spread(make, count)
    try:
        yield spread
    finally:
        spread.close()


def shard_of(line: bytes, count: int) -> int:
    """The shard of a line, 0 to `count` - 1, by its lead. Unlike `hash`, it is the same in every process. A line
    without a lead is rejected by any shard."""
    try:
        subject = decoded_whole(_subject, line).subject
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
    return zlib.crc32(subject.encode("utf-8", "surrogatepass")) % count


class _Subject(msgspec.Struct):
    subject: str


_subject: Final = msgspec.json.Decoder(_Subject).decode


class _Alone:
    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    def run(self, task: str, blocks: Iterable[Block]) -> Iterator[tuple[Block, list[Any]]]:
        for block in blocks:
            yield block, [self._shard.handle(task, block.places, block.lines)]

    def finish(self, until: int | None = None) -> list[Any]:
        return [self._shard.finish(until)]


class _Spread:
    def __init__(self, make: Maker, count: int) -> None:
        # Spawned, never forked: the rule engine must not be shared, and each process loads its own rules.
        context = multiprocessing.get_context("spawn")
        self._pools = [
            ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(make,)) for _ in range(count)
        ]
        with _without_interrupts():
            for pool in self._pools:
                pool.submit(_ready)

    def run(self, task: str, blocks: Iterable[Block]) -> Iterator[tuple[Block, list[Any]]]:
        waiting: deque[tuple[Block, list[Future[Any]]]] = deque()
        for block in blocks:
            waiting.append((block, self._send(task, block)))
            if len(waiting) > AHEAD:
                yield _answered(*waiting.popleft())
        while waiting:
            yield _answered(*waiting.popleft())

    def finish(self, until: int | None = None) -> list[Any]:
        with _losses():
            return [future.result() for future in [pool.submit(_finish, until) for pool in self._pools]]

    def close(self) -> None:
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)

    def _send(self, task: str, block: Block) -> list[Future[Any]]:
        count = len(self._pools)
        parts: list[tuple[array[int], list[bytes]]] = [(array("Q"), []) for _ in range(count)]
        for place, line in zip(block.places, block.lines, strict=True):
            places, lines = parts[shard_of(line, count)]
            places.append(place)
            lines.append(line)
        # One bytes object for all lines, because pickling thousands of objects one by one is slow.
        with _losses():
            return [
                pool.submit(_handle, task, places.tobytes(), b"\n".join(lines))
                for pool, (places, lines) in zip(self._pools, parts, strict=True)
                if lines
            ]


def _answered(block: Block, futures: list[Future[Any]]) -> tuple[Block, list[Any]]:
    with _losses():
        return block, [future.result() for future in futures]


@contextmanager
def _losses() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise ShardError("a worker process was killed; is there enough memory?") from None


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C. The terminal sends it to all of them, but the parent ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# In the worker process

_make: Maker
_shard: Shard | None = None


def _begin(make: Maker) -> None:
    global _make
    _make = make
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End with the parent. A killed parent cannot end its children, and they would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _ready() -> None:
    """Make the shard now, not with the first lines."""
    _get()


def _get() -> Shard:
    global _shard
    if _shard is None:
        _shard = _make()
    return _shard


def _handle(task: str, places: bytes, lines: bytes) -> Any:
    return _get().handle(task, array("Q", places), lines.split(b"\n"))


def _finish(until: int | None) -> Any:
    return _get().finish(until)
