"""Turns: work for others takes a share of the time at most, one piece after the other.

Everything that answers a request shares the interpreter with the stream. So it must not take more than its share,
however many ask.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from scorer.runtime.token_bucket import TokenBucket

SHARE: Final = 0.08
"""The most of the time that turns take."""

_TURN_SECONDS: Final = 0.002
"""What a request costs the event loop besides the work itself."""
_MOST_WAITING: Final = 4
_LONGEST_WAIT: Final = 5.0
_REFUSAL_SECONDS: Final = 1.0
_REFUSALS_A_SECOND: Final = 20

T = TypeVar("T")


class BusyError(Exception):
    """Too many wait for their turn."""


class Turns:
    """Work takes turns. `monotonic` gives seconds, and `processor` those of this process on the processor."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, processor: Callable[[], float] = time.process_time
    ) -> None:
        self._monotonic = monotonic
        self._processor = processor
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._pace = TokenBucket(monotonic)
        self._refusals = TokenBucket(monotonic, saved=1.0)

    async def take(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of the work. Raises `BusyError`: a second later if too many wait already, or if its turn does not
        come within five seconds."""
        if self._waiting >= _MOST_WAITING:
            # An answer at once would only make the client ask again at once, and each request costs the event loop.
            await asyncio.sleep(_REFUSAL_SECONDS)
            raise BusyError
        self._waiting += 1
        try:
            await self._wait()
            try:
                return await self._paid(work)
            finally:
                self._lock.release()
        finally:
            self._waiting -= 1

    async def refuse(self) -> None:
        """Wait until one more stranger may be refused: a few at once, then some each second. Strangers have a queue of
        their own, so that they keep nobody else waiting."""
        wait = min(self._refusals.wait(), _LONGEST_WAIT)
        if wait < _LONGEST_WAIT:
            # One that does not wait for its refusal would otherwise make the queue longer and longer.
            self._refusals.spend(1 / _REFUSALS_A_SECOND)
        await asyncio.sleep(wait)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_LONGEST_WAIT):
                await self._lock.acquire()
                try:
                    await asyncio.sleep(self._pace.wait())
                except BaseException:
                    self._lock.release()
                    raise
        except TimeoutError:
            raise BusyError from None

    async def _paid(self, work: Callable[[], Awaitable[T]]) -> T:
        began, spent = self._monotonic(), self._processor()
        try:
            return await work()
        finally:
            # The processor's time, because on a busy machine a turn may wait long for the processor, and costs no more.
            spent = self._processor() - spent + _TURN_SECONDS
            passed = self._monotonic() - began
            self._pace.spend(max(0.0, spent / SHARE - passed))
