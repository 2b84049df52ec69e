"""The story of a lead that this worker holds, for `GET /leads/{id}`.

A thread tells one story at a time, with an engine of its own: requests must neither block the stream nor displace its
results from the cache of its engine. While the thread works, the stream is several times slower, because both need the
interpreter. So stories take only a share of the time.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import structlog

from scorer.domain.lead import NO_CLOCK, Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.explain.story import NothingToExplain, explain_lead, parse_time
from scorer.rules.ruleset import Ruleset
from scorer.runtime.token_bucket import TokenBucket
from scorer.state.codec import CodecError

Answer = tuple[int, Mapping[str, object]]
log = structlog.get_logger()

_SHARE: Final = 0.25
_REQUEST_SECONDS: Final = 0.002
"""What a request costs the event loop in addition to its story."""
_MOST_WAITING: Final = 4
_REFUSAL_SECONDS: Final = 1.0


class Holder(Protocol):
    """Has the states of leads: the partitions of this worker."""

    def lead(self, lead_id: str) -> Lead | None:
        """The committed state; None if this worker does not have it."""

    def partition_of(self, lead_id: str) -> int | None:
        """The partition where Kafka's own clients put the lead."""

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """Whether all partitions are processed; `partitions` says what each is doing."""


class LeadExplanations:
    """Answers with HTTP status and content: 200 the story, 400 a wrong time, 404 not here, 410 erased, 500 a bad
    state, 503 not here yet, or too many questions."""

    def __init__(self, holder: Holder, rules: Callable[[], Ruleset]) -> None:
        self._holder = holder
        self._rules = rules
        self._evaluator: Evaluator | None = None
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._pace = TokenBucket(time.monotonic)

    async def story(self, lead_id: str, at: str | None) -> Answer:
        """The answer for a lead as of `at`, or as of its latest activity if `at` is None."""
        try:
            now = None if at is None else parse_time(at)
        except ValueError as error:
            return 400, {"error": f"at: {error}"}
        if self._waiting >= _MOST_WAITING:
            # An answer at once would only make the client ask again at once, and each question costs the event loop.
            await asyncio.sleep(_REFUSAL_SECONDS)
            return 503, {"error": "too many questions at once; ask again"}
        self._waiting += 1
        try:
            async with self._lock:
                return await self._paced(lead_id, now)
        finally:
            self._waiting -= 1

    async def _paced(self, lead_id: str, now: int | None) -> Answer:
        await asyncio.sleep(self._pace.wait())
        began = time.monotonic()
        try:
            return await self._answer(lead_id, now)
        finally:
            took = time.monotonic() - began + _REQUEST_SECONDS
            # The time that it took has passed already.
            self._pace.spend(took / _SHARE - took)

    async def _answer(self, lead_id: str, now: int | None) -> Answer:
        try:
            lead = self._holder.lead(lead_id)
        except CodecError as error:
            log.error("story_failed", error=str(error))
            return 500, {"error": "the state of this lead cannot be read; the log of the worker says why"}
        if lead is None:
            return self._not_held(lead_id)
        if now is not None and now < lead.clock != NO_CLOCK:
            return 400, {"error": "at: the lead has been active since; the state knows no past"}
        return await asyncio.to_thread(self._explained, lead, now)

    def _explained(self, lead: Lead, now: int | None) -> Answer:
        try:
            return 200, explain_lead(lead, self._explaining(), now).model_dump(mode="json")
        except NothingToExplain as error:
            return (410 if error.reason == "erased" else 404), {"error": str(error)}

    def _explaining(self) -> Evaluator:
        rules = self._rules()
        if self._evaluator is None or self._evaluator.ruleset.revision != rules.revision:
            self._evaluator = Evaluator(rules, default_engine("compiled"))
        return self._evaluator

    def _not_held(self, lead_id: str) -> Answer:
        ready, details = self._holder.ready()
        partition, partitions = self._holder.partition_of(lead_id), details["partitions"]
        here = {"partition": partition, "partitions": partitions}
        if not ready:
            return 503, {"error": f"not found yet, for this worker is {details['status']}; ask again", **here}
        # A producer may choose partitions in its own way, so the default partition is likely but not certain.
        if isinstance(partitions, Mapping) and str(partition) in partitions:
            return 404, {
                "error": "nothing is known about this lead; its default partition is held by this worker",
                **here,
            }
        return 404, {"error": "nothing is known about this lead here; another worker may hold it", **here}
