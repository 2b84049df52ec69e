"""How often anybody may ask for what is open to everybody, such as `/metrics`.

Such a request needs no login, and it shares the event loop with the stream.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from scorer.runtime.token_bucket import TokenBucket
from scorer.service.turns import SHARE

_REQUEST_SECONDS: Final = 0.001
"""What a request costs the event loop, whatever the answer."""
_SAVED_SECONDS: Final = 1.0
_LONGEST_WAIT: Final = 0.5
_MOST_ADDRESSES: Final = 256

T = TypeVar("T")


class Paced:
    """An ASGI application whose clients each take a share of the time at most.

    An address that asks more often waits for each answer, and all others are answered at once. So a health check gets
    its answer while somebody else floods the listener. `monotonic` gives seconds.
    """

    def __init__(self, app: ASGIApp, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._monotonic = monotonic
        self._by_address: dict[str, TokenBucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wait = self.wait((scope.get("client") or ("",))[0])
        if wait > 0:
            await asyncio.sleep(wait)
        await self._app(scope, receive, send)

    def wait(self, address: str) -> float:
        """Seconds until a request of this address may be answered, which is half a second at most."""
        bucket = self._by_address.get(address)
        if bucket is None:
            if len(self._by_address) >= _MOST_ADDRESSES:
                self._by_address.clear()
            bucket = self._by_address[address] = TokenBucket(self._monotonic, _SAVED_SECONDS)
        wait = bucket.wait()
        if wait >= _LONGEST_WAIT:
            # A client that closes its connections at once would otherwise leave more and more requests that wait.
            return _LONGEST_WAIT
        bucket.spend(_REQUEST_SECONDS / SHARE)
        return wait


class Shared(Generic[T]):
    """An answer that is made once for all who wait for it, and takes a share of the time at most.

    It is never older than the request. `monotonic` gives seconds, and `processor` those of this process on the
    processor.
    """

    def __init__(
        self,
        work: Callable[[], T],
        monotonic: Callable[[], float] = time.monotonic,
        processor: Callable[[], float] = time.process_time,
    ) -> None:
        self._work = work
        self._processor = processor
        self._pace = TokenBucket(monotonic)
        self._next: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The answer. Raises what the work raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._made())
        return await asyncio.shield(self._next)

    async def _made(self) -> T:
        await asyncio.sleep(self._pace.wait())
        # Who asks from now on gets a later answer.
        self._next = None
        spent = self._processor()
        try:
            return self._work()
        finally:
            self._pace.spend((self._processor() - spent) / SHARE)
