"""Pauses between attempts that fail: each twice as long as the one before.

Not tenacity or stamina: they count the attempts of one call and pause regardless of an event, unless the sleep is ours.
We count failures in a row over several calls, and a stop ends the pause.
"""

import asyncio


class Backoff:
    """Says how long to pause; it does not wait itself. `first` and `longest` in seconds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def failed(self) -> float:
        """Seconds to pause after one more failure."""
        pause, self._next = self._next, min(2 * self._next, self._longest)
        return pause

    def reset(self) -> None:
        """Success: the next pause is the first one again."""
        self._next = self._first


async def pause_unless(event: asyncio.Event, seconds: float) -> None:
    """Pause for so long, or until the event is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
