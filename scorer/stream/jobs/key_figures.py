"""The job that counts the leads of one partition for the key figures, and keeps the figures up to date.

After a restore it reads the states a few at a time. A lead that changes meanwhile is read as it was when the survey
began, and its changes are counted as they are committed, so that it does not matter which comes first.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import structlog

from scorer.domain.counts import Counts
from scorer.domain.lead import NO_CLOCK, Lead
from scorer.domain.lifecycle import Lifecycle
from scorer.figures.figures import Figures
from scorer.rules.ruleset import Ruleset
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.token_bucket import TokenBucket
from scorer.state.codec import CodecError, decode_lead, decode_lifecycle
from scorer.state.store import LeadStore
from scorer.stream.jobs.rescore import Rules
from scorer.stream.outbox import Outbox

_SLICE: Final = 200
"""Leads that are read at a time, in a few milliseconds."""
LEADS_A_SECOND: Final = 5_000
"""Leads that a process reads a second, which takes a tenth of its time at most."""

log = structlog.get_logger()


class _Part(NamedTuple):
    """What the figures read of a lead."""

    lifecycle: Lifecycle | None
    counted: Mapping[str, Counts]


class KeyFigures:
    """The job (`Job`) of one partition. It never wants a transaction. All jobs of the process share `pace`."""

    name: Final = "figures"

    def __init__(self, rules: Rules, store: LeadStore, partition: int, pace: TokenBucket) -> None:
        self._rules = rules
        self._store = store
        self._partition = partition
        self._pace = pace
        self._ruleset: Ruleset | None = None
        self._figures: Figures | None = None
        self._actions: tuple[str, ...] = ()
        self._unread: list[str] = []
        self._as_it_was: dict[str, _Part] = {}
        store.on_change.append(self._note)
        self._follow()

    @property
    def remaining(self) -> int:
        """How many leads are not read yet."""
        return len(self._unread)

    @property
    def figures(self) -> Figures | None:
        """The figures of all leads of the partition; None until all are read."""
        self._follow()
        return None if self._unread else self._figures

    def patience(self) -> float | None:
        """Seconds until leads may be read; None if all are."""
        self._follow()
        return self._pace.wait() if self._unread else None

    def ready(self) -> bool:
        """False: reading leads needs no transaction. Each call reads some if there is time for it."""
        self._follow()
        if self._unread and self._pace.take(_SLICE / LEADS_A_SECOND):
            self._read(self._unread[-_SLICE:])
            del self._unread[-_SLICE:]
            if not self._unread:
                self._as_it_was = {}
        return False

    def stage(self, outbox: Outbox, figures: BatchFigures, *, busy: bool) -> bool:
        """Nothing is published."""
        return False

    def committed(self) -> None:
        """Nothing was staged."""

    def _follow(self) -> None:
        """Count from the beginning if other rules have taken effect that name something else."""
        ruleset = self._rules().ruleset
        if ruleset is self._ruleset:
            return
        self._ruleset = ruleset
        if self._figures is not None and self._figures.is_by(ruleset):
            return
        self._figures = Figures(ruleset)
        self._actions = tuple(ruleset.lifecycle.actions)
        self._unread = list(self._store.ids())
        self._as_it_was = {}

    def _read(self, lead_ids: Iterable[str]) -> None:
        assert self._figures is not None
        for lead_id in lead_ids:
            part = self._as_it_was.pop(lead_id, None)
            if part is None:
                state = self._store.state(lead_id)
                if state is None:
                    continue
                try:
                    part = self._part_of(lead_id, state)
                except CodecError as error:
                    # Its next activity becomes a dead letter, which says more.
                    log.warning("lead_not_counted", partition=self._partition, lead=lead_id, error=str(error))
                    continue
            self._figures.add(*part)

    def _part_of(self, lead_id: str, state: bytes) -> _Part:
        found = decode_lifecycle(state)
        if found is None:
            return _part(decode_lead(lead_id, state))
        lifecycle, counts = found
        return _Part(lifecycle, counts() if self._actions else {})

    def _note(self, changed: Mapping[str, Lead], read: Mapping[str, Lead]) -> None:
        """Count what a transaction changes. Most activities change nothing here, which must cost little."""
        actions = self._actions
        for lead_id, after in changed.items():
            before = read.get(lead_id)
            if before is None:
                before = self._committed(lead_id)
            lifecycle = before.lifecycle
            if lifecycle is not after.lifecycle or lifecycle is None:
                self._change(before, after)
                continue
            counted, now_counted = before.counted, after.counted
            if counted is not now_counted:
                for name in actions:
                    if counted.get(name) is not now_counted.get(name):
                        self._change(before, after)
                        break

    def _change(self, before: Lead, after: Lead) -> None:
        assert self._figures is not None
        was_known, is_known = before.clock != NO_CLOCK, after.clock != NO_CLOCK
        if was_known and is_known and not self._unread:
            self._figures.replace(before.known_lifecycle(), after.known_lifecycle(), before.counted, after.counted)
            return
        if was_known:
            part = _part(before)
            if self._unread:
                self._as_it_was.setdefault(before.id, part)
            self._figures.remove(*part)
        if is_known:
            self._figures.add(*_part(after))

    def _committed(self, lead_id: str) -> Lead:
        try:
            return self._store.committed(lead_id) or Lead(lead_id)
        except CodecError:
            return Lead(lead_id)


def _part(lead: Lead) -> _Part:
    return _Part(lead.known_lifecycle(), lead.counted)
