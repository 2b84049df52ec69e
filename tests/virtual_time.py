"""An event loop whose clock jumps to the next timer whenever nothing else can run.

So a test with pauses and time limits takes no real time, and always runs in the same order. Nothing in it may use
threads, processes or the network.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Selector(selectors.SelectSelector):
    """Waits by moving the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found:
            assert timeout is not None, "every task waits for another one"
            self.now += max(timeout, 0.0)
        return found


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(work: Coroutine[Any, Any, Result], seconds: float = 3600.0) -> Result:
    """The result of the work, in virtual time. `TimeoutError` if it takes more than so many virtual seconds."""

    async def limited() -> Result:
        async with asyncio.timeout(seconds):
            return await work

    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(limited())
