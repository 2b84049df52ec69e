"""Pauses between attempts that fail: each twice as long as the one before.

Not tenacity or stamina: they count the attempts of one call and pause regardless of an event, unless the sleep is ours.
We count failures in a row over several calls, and a stop ends the pause.
"""

import asyncio


class ExhaustedError(Exception):
    """Too many failures in a row."""


class Backoff:
    """Says how long to pause; it does not wait itself.

    `first` and `longest` in seconds. `limit`: so many failures in a row are allowed; None: any number.
    """

    def __init__(self, first: float, longest: float, limit: int | None = None) -> None:
        self._first = first
        self._longest = longest
        self._limit = limit
        self._next = first
        self.failures = 0
        """Failures since the last success."""

    def failed(self) -> float:
        """Seconds to pause after one more failure. Raises `ExhaustedError` where it is one too many."""
        self.failures += 1
        if self._limit is not None and self.failures > self._limit:
            raise ExhaustedError(f"{self.failures} failures in a row")
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause

    def reset(self) -> None:
        """Success: the next pause is the first one again."""
        self.failures = 0
        self._next = self._first


async def pause_unless(event: asyncio.Event, seconds: float) -> None:
    """Pause for so long, or until the event is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
