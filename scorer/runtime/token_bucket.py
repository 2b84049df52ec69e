"""A rate limit, for whatever may happen only so often."""

from collections.abc import Callable


class TokenBucket:
    """Work may begin while the bucket is not in debt, whatever it costs; the next work waits until the debt is paid.

    A cost is in seconds: tokens divided by tokens a second. So the rate may differ from call to call, and several
    users with rates of their own share one bucket. `monotonic` gives seconds. `saved`: seconds of idle time that count
    as paid in advance. A bucket is full at first.
    """

    def __init__(self, monotonic: Callable[[], float], saved: float = 0.0) -> None:
        self._monotonic = monotonic
        self._saved = saved
        self._free_at = monotonic() - saved

    def wait(self) -> float:
        """Seconds until work may begin; 0: now."""
        return max(0.0, self._free_at - self._monotonic())

    def spend(self, seconds: float) -> None:
        """Work that costs so much begins now."""
        self._free_at = max(self._free_at, self._monotonic() - self._saved) + seconds

    def take(self, seconds: float) -> bool:
        """Whether work that costs so much may begin now; if so, it is paid for."""
        if self.wait() > 0:
            return False
        self.spend(seconds)
        return True
