"""The story of a lead that this worker holds, for `GET /leads/{id}`.

A thread tells a story, with an engine of its own: requests must neither block the stream nor displace its results from
the cache of its engine. While the thread works, the stream is several times slower, because both need the interpreter.
So stories take turns.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from scorer.domain.lead import NO_CLOCK, Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.explain.story import NothingToExplain, explain_lead, parse_time
from scorer.rules.ruleset import Ruleset
from scorer.state.codec import CodecError

Answer = tuple[int, Mapping[str, object]]
log = structlog.get_logger()


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
    state, 503 not here yet. One at a time."""

    def __init__(self, holder: Holder, rules: Callable[[], Ruleset]) -> None:
        self._holder = holder
        self._rules = rules
        self._evaluator: Evaluator | None = None

    async def story(self, lead_id: str, at: str | None) -> Answer:
        """The answer for a lead as of `at`, or as of its latest activity if `at` is None."""
        try:
            now = None if at is None else parse_time(at)
        except ValueError as error:
            return 400, {"error": f"at: {error}"}
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
