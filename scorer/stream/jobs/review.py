"""The job that judges leads again when time alone may have changed something about them, and deletes those whose
retention has ended, a few at a time, in the transactions of their partition.

It works by the time of the log, so it decides what every other owner of the partition would decide. A lead whose review
has not run yet is reviewed before its next activity, inside `assess`. So it does not matter when the job gets to it.
"""

import contextlib
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import structlog

from scorer.domain.effects import Deleted
from scorer.domain.instant import DAY, SECOND, from_datetime
from scorer.domain.lead import NEVER, NO_CLOCK, Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.evaluation.rule_change import RuleChange
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.tracebacks import traceback_of
from scorer.sources.rejected import Rejected
from scorer.state.codec import CodecError, due_of
from scorer.state.schedule import Schedule
from scorer.state.store import LeadStore
from scorer.stream.effects import stage_effects
from scorer.stream.jobs.rescore import Rescorer
from scorer.stream.outbox import Outbox, state_message
from scorer.stream.too_large import fitting_state

_SLICE: Final = 100
_SLICES_A_SECOND: Final = 10
_LONGEST_WAIT: Final = 1.0
_READ: Final = 2_500
"""States whose bound is read at a time, in about ten milliseconds."""
_STEPS: Final = 8
"""Evaluations for a look ahead. A lead for which they are not enough gets a bound, and another look then."""

log = structlog.get_logger()


class Reviews:
    """The job (`Job`) that reviews one partition's leads. `schedule` has their bounds, in seconds since the epoch."""

    name: Final = "review"

    def __init__(self, rescorer: Rescorer, store: LeadStore, partition: int) -> None:
        self._rescorer = rescorer
        self._store = store
        self._partition = partition
        self.schedule = Schedule()
        self._evaluator: Evaluator | None = None
        self._mark = b""
        self._change: RuleChange | None = None
        self._unread: list[str] = []
        self._slice: list[str] = []
        self._bounds: dict[str, int] = {}
        self._judged = False
        self._deleted: list[str] = []
        self._last_slice = rescorer.monotonic()
        store.on_commit = self._note
        self._follow()

    @property
    def remaining(self) -> int:
        """How many leads are due by the time of the log, at most."""
        log_time = self._store.log_time
        return len(self._slice) + (0 if log_time is None else self.schedule.overdue(log_time // SECOND))

    @property
    def complete(self) -> bool:
        """Whether every lead is in the schedule that may ever be due."""
        self._follow()
        return not self._unread

    def patience(self) -> float | None:
        """Seconds until leads may be judged; None if none is due."""
        self._follow()
        if self._unread:
            return 0.0
        if self._is_due(self._store.log_time):
            return self._rescorer.pace.wait()
        return None

    def ready(self) -> bool:
        """Whether leads may be judged now. Each call also reads some bounds first if needed."""
        return self._ready(self._store.log_time)

    def stage(self, outbox: Outbox, figures: BatchFigures, *, busy: bool) -> bool:
        """Add decisions and states. While the worker is `busy`, leads are judged only once a second."""
        log_time = outbox.log_time
        ready = self._ready(log_time)
        held_back = busy and self._rescorer.monotonic() - self._last_slice < _LONGEST_WAIT
        if ready and not self._slice and not held_back and log_time is not None:
            assert self._evaluator is not None
            per_second = self._evaluator.ruleset.rescoring.per_second
            self._slice = self.schedule.take(log_time // SECOND, max(1, min(_SLICE, per_second // _SLICES_A_SECOND)))
            self._rescorer.pace.spend(len(self._slice) / per_second)
            self._last_slice = self._rescorer.monotonic()
        self._bounds, self._deleted = {}, []
        # A transaction that failed may have had the first time of the log. Its leads wait until that is read again.
        self._judged = False
        if self._slice and log_time is not None:
            self._judged = True
            self._judge(outbox, figures, log_time)
        return self._judged

    def committed(self) -> None:
        """Note that the staged work is committed."""
        for lead_id, due in self._bounds.items():
            self._put(lead_id, due)
        if self._rescorer.shadow is not None:
            for lead_id in self._deleted:
                self._rescorer.shadow.forget(lead_id)
        self._deleted = []
        if self._judged:
            self._slice, self._bounds, self._judged = [], {}, False

    def _ready(self, log_time: int | None) -> bool:
        self._follow()
        if self._unread:
            self._read(self._unread[-_READ:])
            del self._unread[-_READ:]
        if self._unread:
            return False
        return self._is_due(log_time) and (bool(self._slice) or self._rescorer.pace.wait() == 0)

    def _is_due(self, log_time: int | None) -> bool:
        if log_time is None:
            return False
        return bool(self._slice) or self.schedule.first(log_time // SECOND) is not None

    def _follow(self) -> None:
        """Make a new schedule if other rules have taken effect."""
        evaluator, change = self._rescorer.rules(), self._store.change
        self._evaluator = evaluator
        if evaluator.mark == self._mark and change == self._change:
            return
        self._mark, self._change = evaluator.mark, change
        self._unread = list(self._store.ids())
        self._slice, self._bounds = [], {}
        self.schedule = Schedule()

    def _read(self, lead_ids: Iterable[str]) -> None:
        """Put leads into the schedule without judging or decoding them."""
        assert self._evaluator is not None
        change = self._change
        since = NO_CLOCK if change is None else change.since
        ruleset = self._evaluator.ruleset
        is_due = ruleset.rescoring.wanted or ruleset.retention.shortest is not None
        others = since if change is not None and is_due else NEVER
        for lead_id in lead_ids:
            # An activity that was committed meanwhile has put the lead there, or has removed it.
            state = self._store.state(lead_id)
            if state is not None and self.schedule.due(lead_id) is None:
                due, mark = due_of(state)
                self._put(lead_id, max(due, since) if mark == self._mark else others)

    def _note(self, changed: Iterable[Lead], removed: Iterable[str]) -> None:
        if self._evaluator is None:
            return
        due_at, put, mark, change = self._evaluator.due, self._put, self._mark, self._change
        since = NO_CLOCK if change is None else change.since
        for lead in changed:
            # The usual case without a call.
            known = lead.judged_by == mark and lead.judged_at >= since
            put(lead.id, lead.due if known else due_at(lead, change))
        for lead_id in removed:
            self.schedule.remove(lead_id)

    def _put(self, lead_id: str, due: int) -> None:
        if due >= NEVER:
            self.schedule.remove(lead_id)
        else:
            # Rounded up, so that a look at a lead that is due within the second finds it due.
            self.schedule.put(lead_id, -(-due // SECOND) if due > 0 else 0)

    def _judge(self, outbox: Outbox, figures: BatchFigures, log_time: int) -> None:
        for lead_id in self._slice:
            figures.reviews[self._attempt(lead_id, outbox, figures, log_time)] += 1

    def _attempt(self, lead_id: str, outbox: Outbox, figures: BatchFigures, log_time: int) -> str:
        """The outcome of one lead. If our code fails twice, the lead keeps its decision, and the others must not wait
        for it."""
        for again in (True, False):
            try:
                return self._staged(self._reviewed(lead_id, log_time), outbox, figures, log_time)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001
                if not again:
                    log.error("review_failed", partition=self._partition, exception=traceback_of(error))
        self._keep(lead_id, outbox, figures, log_time)
        return "failed"

    def _keep(self, lead_id: str, outbox: Outbox, figures: BatchFigures, log_time: int) -> None:
        """Leave a lead that cannot be judged as it is, and look again tomorrow. But nothing is kept for ever."""
        assert self._evaluator is not None
        with contextlib.suppress(CodecError):
            end = self._evaluator.deletion(self._store.get(lead_id), self._change)
            if end.instant <= log_time:
                deleted = Assessment(Lead(lead_id), None, (Deleted(end.reason, end.instant),), 1)
                self._stage(deleted, outbox, figures)
                return
        self._bounds[lead_id] = log_time + DAY

    def _staged(self, assessment: Assessment, outbox: Outbox, figures: BatchFigures, log_time: int) -> str:
        """Stage the reviews of a lead, in order, up to the first one whose decision or state is too large. So it does
        not matter whether they are done together. The lead then keeps what it has, and the others must not wait."""
        if not assessment.effects:
            return "unchanged"
        lead_id = assessment.lead.id
        try:
            self._stage(assessment, outbox, figures)
        except Rejected as rejected:
            why, detail = rejected.reason, rejected.detail
            log.warning("review_too_large", partition=self._partition, lead=lead_id, reason=why, detail=detail)
        else:
            return "deleted" if _is_deletion(assessment) else "published"
        assert self._evaluator is not None
        for decision in assessment.decisions[-2::-1]:
            until = from_datetime(datetime.fromisoformat(decision.decided_at))
            part = self._evaluator.catch_up(self._store.get(lead_id), until, self._change)
            with contextlib.suppress(Rejected):
                self._stage(part, outbox, figures)
                break
        self._keep(lead_id, outbox, figures, log_time)
        return "too_large"

    def _stage(self, assessment: Assessment, outbox: Outbox, figures: BatchFigures) -> None:
        """Raises `Rejected` if a decision or the state is too large. Nothing is staged then."""
        settings, limits, shadow = self._rescorer.settings, self._rescorer.limits.current, self._rescorer.shadow
        lead, state = assessment.lead, None
        if not _is_deletion(assessment):
            lead, state = fitting_state(lead, limits.state, self._rescorer.trim)
        stage_effects(assessment.effects, outbox, figures, settings, self._rescorer.clock(), limits.decision)
        if state is None:
            self._store.stage_removal(lead.id)
            self._deleted.append(lead.id)
        else:
            self._store.stage_encoded(lead, state)
        offset = max(0, outbox.next_offset - 1)
        outbox.messages.append(state_message(lead.id, state, settings.state_topic, self._partition, offset))
        if shadow is not None:
            shadow.compare(None, assessment, outbox, figures)

    def _reviewed(self, lead_id: str, log_time: int) -> Assessment:
        """The lead after its reviews that are due. If they publish nothing, it has a new bound."""
        assert self._evaluator is not None
        evaluator, change = self._evaluator, self._change
        lead = self._store.get(lead_id)
        due = evaluator.refine(lead, NEVER, change, _STEPS)
        if due.instant <= log_time:
            assessment = evaluator.catch_up(lead, log_time, change)
            if assessment.effects:
                return assessment
            due = evaluator.refine(lead, log_time, change)
        # A bound in the past would be looked at again at once, for ever.
        self._bounds[lead_id] = max(due.instant, log_time + 1)
        return Assessment(lead)


def _is_deletion(assessment: Assessment) -> bool:
    return isinstance(assessment.effects[-1], Deleted)
