"""The job that re-scores known leads after a change of rules, a few at a time, in the transactions of their partition.

A sweep goes through the leads of a partition in the order of their ids. Each of its transactions writes to the
changelog how far it has come (`Marker`). The next owner continues there, so every lead is judged once per sweep.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

import structlog

from scorer.domain.lead import NO_CLOCK, Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.evaluation.rule_change import RuleChange
from scorer.kafka.record_limits import Limit, TopicLimits
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import Settings
from scorer.runtime.token_bucket import TokenBucket
from scorer.runtime.tracebacks import traceback_of
from scorer.sources.rejected import Rejected
from scorer.state.marker import Marker
from scorer.state.store import LeadStore
from scorer.stream.effects import stage_effects
from scorer.stream.outbox import Outbox, marker_message, state_message
from scorer.stream.shadow import Shadow
from scorer.stream.too_large import Trim, fitting_state, untrimmed

_SLICE: Final = 100
_SLICES_A_SECOND: Final = 10
_LONGEST_WAIT: Final = 1.0
# Sorting blocks everything else in the process; this number of ids takes about ten milliseconds.
_RUN: Final = 20_000

log = structlog.get_logger()

Rules = Callable[[], Evaluator]
Clock = Callable[[], int]


def rescored(lead: Lead, evaluator: Evaluator, number: int, since: int = NO_CLOCK) -> Assessment | None:
    """`Evaluator.rescore` after the change of rules `number`, which took effect at `since` (microseconds since the
    epoch); None if the lead was erased or merged, or is deleted."""
    assessment = evaluator.rescore(lead, RuleChange(number, since))
    return None if assessment.evaluation is None else assessment


class Rescorer:
    """What the sweeps of all partitions share.

    `rules` gives the evaluator in effect, `clock` microseconds since the epoch, `monotonic` seconds. All jobs of the
    process share `pace`. `trim`, `limits` and `shadow`: as in `BatchProcessor`.
    """

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        clock: Clock,
        pace: TokenBucket,
        monotonic: Callable[[], float],
        *,
        trim: Trim = untrimmed,
        limits: TopicLimits | None = None,
        shadow: Shadow | None = None,
    ) -> None:
        self.settings = settings
        self.rules = rules
        self.clock = clock
        self.pace = pace
        self.monotonic = monotonic
        self.trim = trim
        self.limits = limits or TopicLimits(settings)
        self.shadow = shadow


class Sweep:
    """The job (`Job`) that re-scores one partition's leads if the rules in effect ask for it."""

    name: Final = "rescore"

    def __init__(self, rescorer: Rescorer, store: LeadStore, partition: int) -> None:
        self._rescorer = rescorer
        self._store = store
        self._partition = partition
        self._written = store.marker
        self._staged: Marker | None = None
        self._evaluator: Evaluator | None = None
        self._goal = Marker("", 0, None)
        self._unsorted: list[str] = []
        self._runs: list[list[str]] = []
        self._ids: Iterator[str] = iter(())
        self._slice: list[str] = []
        self._sweeping = False
        self._last_slice = rescorer.monotonic()
        self.remaining = 0
        """The number of leads that are not re-scored yet."""
        self._follow()

    def patience(self) -> float | None:
        """Seconds until leads may be judged; None if no leads are left."""
        self._follow()
        if self.remaining == 0:
            return None
        return 0.0 if self._unsorted or self._slice else self._rescorer.pace.wait()

    def ready(self) -> bool:
        """Whether leads may be judged now. Each call also sorts some ids first if needed."""
        self._follow()
        if self._unsorted:
            self._runs.append(sorted(self._unsorted[-_RUN:]))
            del self._unsorted[-_RUN:]
            if self._unsorted:
                return False
            self._ids = heapq.merge(*self._runs)
            self._runs = []
        return self.remaining > 0 and (bool(self._slice) or self._rescorer.pace.wait() == 0)

    def stage(self, outbox: Outbox, figures: BatchFigures, *, busy: bool) -> bool:
        """Add decisions, states and the marker. While the worker is `busy`, leads are judged only once a second."""
        ready = self.ready()
        held_back = busy and self._rescorer.monotonic() - self._last_slice < _LONGEST_WAIT
        if ready and not self._slice and not held_back:
            assert self._evaluator is not None
            per_second = self._evaluator.ruleset.rescoring.per_second
            self._slice = list(islice(self._ids, max(1, min(_SLICE, per_second // _SLICES_A_SECOND))))
            self._rescorer.pace.spend(len(self._slice) / per_second)
            self._last_slice = self._rescorer.monotonic()
        marker = self._goal
        if self._slice:
            self._judge(outbox, figures)
            last = self.remaining <= len(self._slice)
            marker = replace(marker, after=None if last else self._slice[-1])
        if marker != self._written:
            # Also without leads to judge, because these rules judged the activities of this transaction.
            outbox.messages.append(marker_message(marker, self._rescorer.settings.state_topic, self._partition))
        self._staged = marker
        return bool(self._slice)

    def committed(self) -> None:
        """Note that the staged work is committed."""
        assert self._staged is not None
        self._written = self._goal = self._staged
        self.remaining -= len(self._slice)
        self._slice = []
        if self.remaining == 0 and self._sweeping:
            self._sweeping = False
            log.info("rescored", partition=self._partition, sweep=self._goal.number)

    def _follow(self) -> None:
        """Start a new sweep if other rules have taken effect, or if it becomes known when they did."""
        evaluator = self._rescorer.rules()
        # An earlier release did not write when.
        is_dated = self._goal.since is not None or self._store.log_time is None
        if evaluator is self._evaluator and is_dated:
            return
        self._evaluator, ruleset = evaluator, evaluator.ruleset
        known = self._written
        # Rules that are the first in an empty partition have always been in effect.
        since = self._store.log_time if len(self._store) else NO_CLOCK
        if known is not None and known.revision == ruleset.revision and (known.since is not None or since is None):
            self._goal = known
        else:
            self._goal = Marker(ruleset.revision, 1 if known is None else known.number + 1, "", since)
        since = self._goal.since
        self._store.change = None if since is None else RuleChange(self._goal.number, since)
        after = self._goal.after
        if after is not None and not ruleset.rescoring.wanted:
            after = None
        self._unsorted = [] if after is None else [lead_id for lead_id in self._store.ids() if lead_id > after]
        self._runs, self._ids, self._slice = [], iter(()), []
        self.remaining = len(self._unsorted)
        self._sweeping = self.remaining > 0
        if self._sweeping:
            log.info("rescoring", partition=self._partition, sweep=self._goal.number, leads=self.remaining)
        else:
            self._goal = replace(self._goal, after=None)

    def _judge(self, outbox: Outbox, figures: BatchFigures) -> None:
        settings, now = self._rescorer.settings, self._rescorer.clock()
        limits = self._rescorer.limits.current
        states: dict[str, bytes] = {}
        for lead_id in self._slice:
            try:
                outcome, assessment, state = self._attempt(lead_id, limits.state)
                if assessment is not None and state is not None:
                    stage_effects(assessment.effects, outbox, figures, settings, now, limits.decision)
                    self._store.stage_encoded(assessment.lead, state)
                    states[lead_id] = state
            except Rejected as rejected:
                # The lead keeps its last decision and its state, and the others must not wait for it.
                outcome = "too_large"
                log.warning(
                    "rescoring_too_large",
                    partition=self._partition,
                    sweep=self._goal.number,
                    lead=lead_id,
                    reason=rejected.reason,
                    detail=rejected.detail,
                )
            figures.rescored[outcome] += 1
        offset = max(0, outbox.next_offset - 1)
        for lead_id, state in states.items():
            outbox.messages.append(state_message(lead_id, state, settings.state_topic, self._partition, offset))

    def _rescored(self, lead: Lead) -> Assessment | None:
        assert self._evaluator is not None
        since = self._goal.since
        return rescored(lead, self._evaluator, self._goal.number, NO_CLOCK if since is None else since)

    def _attempt(self, lead_id: str, limit: Limit) -> tuple[str, Assessment | None, bytes | None]:
        """The outcome; the assessment and the state if there is a decision. Raises `Rejected` for a state that is too
        large."""
        assert self._evaluator is not None
        for again in (True, False):
            try:
                assessment = self._rescored(self._store.get(lead_id))
                if assessment is None:
                    return "skipped", None, None
                if assessment.decision is None:
                    return "unchanged", None, None
                lead, state = fitting_state(assessment.lead, limit, self._rescorer.trim)
                return "published", Assessment(lead, assessment.evaluation, assessment.effects), state
            except (Rejected, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 (the lead keeps its decision, and the others must not wait for it)
                if not again:
                    log.error(
                        "rescoring_failed",
                        partition=self._partition,
                        sweep=self._goal.number,
                        exception=traceback_of(error),
                    )
        return "failed", None, None
