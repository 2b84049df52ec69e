"""Permissions (ACLs) that are taken away, and logins that are refused, while the service runs: it says so, waits, and
goes on when all is well again.

An error says that something is refused, and seldom what. So each refusal wakes a check of all permissions, which
changes nothing. While something is missing the check runs every few seconds, and the workers that were refused
wait for it instead of trying again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from scorer.kafka.access import tick_permission
from scorer.kafka.denied import Permission, denial_behind, refusal, sentence
from scorer.runtime.backoff import pause_unless
from scorer.runtime.episode import Episode, Stage
from scorer.runtime.settings import Settings

_CHECK_SECONDS: Final = 5.0
_LOOK_AGAIN_SECONDS: Final = 0.5
# A broker may refuse something and not tell what. Then only the absence of refusals shows that all is well again; those
# who wait try again more often than this.
_QUIET_SECONDS: Final = 4 * _CHECK_SECONDS
# A worker without partitions may be a spare, or one that may not see the input any more.
_SUSPICION_SECONDS: Final = 15.0


log = structlog.get_logger()


async def _nothing() -> None:
    """No reason."""


class AccessWatch:
    """Told of refusals, it finds out what is missing. `run` does the work. Where only ticks are refused, the service
    goes on without them.

    `look`: what the service needs and Kafka denies now; it may raise `KafkaError`. `suspicious`: whether something is
    wrong that a missing permission could explain. `on_allowed`: called when everything is allowed again. `clock` in
    seconds, monotonic. `refusal_of_us`: why the brokers refuse our login, after `look` has failed; None if they do not.
    """

    def __init__(
        self,
        settings: Settings,
        look: Callable[[], Awaitable[Sequence[Permission]]],
        suspicious: Callable[[], bool] = lambda: False,
        on_allowed: Callable[[], None] = lambda: None,
        refusal_of_us: Callable[[], Awaitable[str | None]] = _nothing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._look = look
        self._suspicious = suspicious
        self._on_allowed = on_allowed
        self._refusal_of_us = refusal_of_us
        self._is_login = False
        self._clock = clock
        self._episode = Episode()
        self._text: str | None = None
        self._certain = False
        self._refused_at = 0.0
        self._refused = asyncio.Event()
        self._tick = tick_permission(settings)
        self._no_ticks: str | None = None

    @property
    def no_ticks(self) -> str | None:
        """Why no ticks may be written into the input, for people; None if they may."""
        return self._no_ticks

    def know(self, denied: Collection[Permission]) -> None:
        """What Kafka was found to deny at the start of the service."""
        self._no_ticks = sentence(self._settings, [self._tick]) if self._tick in denied else None

    def refused(self, error: BaseException) -> bool:
        """Whether the error, or one that caused it, is a refusal for lack of a permission. It is then reported; wait
        with `allowed` and try again. Never waits."""
        denial = denial_behind(error)
        if denial is None:
            return False
        self._refused_at = self._clock()
        if self._text is None:
            self._text, self._certain, self._is_login = refusal(self._settings, denial), False, False
        self._refused.set()
        return True

    def login_refused(self) -> None:
        """A broker may have refused our login. Never waits."""
        self._refused.set()

    async def explains(self, error: BaseException) -> bool:
        """`refused`, and otherwise a look at what is denied now: of several messages in a transaction, one may be
        refused and another fail because of that, and the error may be that of the other. For an error after which the
        process would end."""
        if self.refused(error):
            return True
        ticked = self._no_ticks is None
        await self.check()
        return self._certain or (ticked and self._no_ticks is not None)

    async def allowed(self, closing: asyncio.Event) -> None:
        """Wait until nothing that we need is denied, or until the event is set; some seconds at least, so that no
        worker tries again at once. Needs `run`."""
        await pause_unless(closing, _CHECK_SECONDS)
        while self._certain and not closing.is_set():
            await pause_unless(closing, _LOOK_AGAIN_SECONDS)

    def trouble(self) -> Mapping[str, object]:
        """Details for people: `access`, what is denied. Empty if all is well."""
        return {} if self._text is None else {"access": self._text}

    async def run(self) -> None:
        """Check after each refusal, every few seconds while something is denied, and now and then on suspicion."""
        while True:
            await pause_unless(self._refused, _SUSPICION_SECONDS)
            if self._refused.is_set() or self._no_ticks is not None or self._suspicious():
                await self.check()
            while self._text is not None:
                await asyncio.sleep(_CHECK_SECONDS)
                await self.check()
            # Refusals at a quick pace do not make quick checks.
            await asyncio.sleep(_CHECK_SECONDS)

    async def check(self) -> None:
        """Find out what is denied, and log it. Without an answer of Kafka, everything stays as it is."""
        self._refused.clear()
        try:
            denied = await self._look()
        except (KafkaError, OSError):
            reason = await self._refusal_of_us()
            if reason is not None:
                self._text, self._certain, self._is_login = reason, True, True
                self._tell(self._clock())
            return
        now = self._clock()
        missing = [permission for permission in denied if permission.required]
        ticked = self._no_ticks is None
        self.know(denied)
        explained = ticked and self._no_ticks is not None
        if explained:
            log.warning("access_incomplete", error=self._no_ticks)
        if missing:
            self._text, self._certain, self._is_login = sentence(self._settings, missing), True, False
        elif self._certain or explained or now - self._refused_at >= _QUIET_SECONDS:
            self._text, self._certain = None, False
        self._tell(now)

    def _tell(self, now: float) -> None:
        stage = self._episode.see(self._text is not None, now)
        if stage is Stage.ENDS:
            log.info("kafka_accepts_login" if self._is_login else "kafka_allows_access")
            self._on_allowed()
        elif stage is not None:
            log.error("kafka_refuses_login" if self._is_login else "kafka_denies_access", error=self._text)
