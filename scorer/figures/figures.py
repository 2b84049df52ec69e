"""The key figures of many leads. They can be kept up to date lead by lead, and merged. Pure.

The figures are a function of the leads' states and of nothing else, so that a restart does not reset them.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from scorer.domain.counts import Counts
from scorer.domain.lifecycle import Lifecycle
from scorer.figures.contributions import (
    ACTIONS,
    CATEGORY,
    HAND_OVERS,
    PHASES,
    RATING,
    REACHED,
    SAID,
    STAGE,
    STATUS,
    UNUSUAL,
    WENT_ON,
    Contributions,
    Entry,
    Key,
    Names,
    Waiting,
    names_of,
)
from scorer.figures.instants import Instants
from scorer.figures.periods import PeriodSpan
from scorer.figures.summary import HandOvers, PeriodSummary, PhaseFigures, Summary
from scorer.rules.ruleset import Ruleset

KEPT_DAYS: Final = 800
"""Days before are forgotten: two years and a period."""

Days = dict[int, dict[Key, int]]
_ALWAYS: Final = -(1 << 62)


class Figures:
    """Figures of leads that were added. `actions` are the counts of leads under names that begin with `action:`; others
    are ignored, so `Lead.counted` will do. A lead may be removed before it is added: the order does not matter.

    The attributes are sums that other figures take over in `merge`; change them by the methods only.
    """

    def __init__(self, ruleset: Ruleset) -> None:
        self._of = Contributions(ruleset)
        self.leads = 0
        self.first_day = _ALWAYS
        self.standing: dict[Key, int] = {}
        self.periods: Days = {}
        self.days: Days = {}
        self.waiting: dict[tuple[str, bool], Instants] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Figures) and self.content() == other.content()

    @property
    def names(self) -> Names:
        """What the rules name."""
        return self._of.names

    def is_by(self, ruleset: Ruleset) -> bool:
        """Whether figures by these rules would be the same."""
        return self._of.names == names_of(ruleset)

    def add(self, lifecycle: Lifecycle | None, actions: Mapping[str, Counts]) -> None:
        """Count a lead."""
        self._change(lifecycle, actions, 1)

    def remove(self, lifecycle: Lifecycle | None, actions: Mapping[str, Counts]) -> None:
        """The inverse of `add` with equal arguments."""
        self._change(lifecycle, actions, -1)

    def merge(self, other: "Figures") -> None:
        """Count the leads of the other figures, too. Raises `ValueError` if their rules name something else."""
        if other.names != self._of.names:
            raise ValueError("figures by different rules cannot be merged")
        self.forget_before(other.first_day)
        self.leads += other.leads
        for key, times in other.standing.items():
            _count(self.standing, key, times)
        for ours, theirs in ((self.days, other.days), (self.periods, other.periods)):
            for day, counts in theirs.items():
                for key, times in counts.items():
                    self._count(ours, day, key, times)
        for place, instants in other.waiting.items():
            self.waiting.setdefault(place, Instants()).merge(instants)
            if self.waiting[place].is_empty:
                del self.waiting[place]

    def forget(self, now: int) -> None:
        """Forget the days that are too old at `now`, and what is added or removed of them from now on."""
        self.forget_before(self._of.periods.day_of(now) - KEPT_DAYS)

    def forget_before(self, first_day: int) -> None:
        """Forget the days before this one and the periods that began before it, and what is added or removed of them
        from now on."""
        if first_day > self.first_day:
            self.first_day = first_day
            for counted in (self.days, self.periods):
                for day in [day for day in counted if day < first_day]:
                    del counted[day]

    def summary(self, now: int) -> Summary:
        """The figures at `now`, in microseconds since the epoch."""
        periods = self._of.periods
        span = periods.period_of(periods.day_of(now))
        promises = sorted(self.waiting.items())
        open_promises, overdue, hot, hot_overdue = (Counter[str]() for _ in range(4))
        for (queue, is_hot), instants in promises:
            waiting, passed = instants.total, instants.passed(now)
            open_promises[queue] += waiting
            overdue[queue] += passed
            if is_hot:
                hot[queue] += waiting
                hot_overdue[queue] += passed
        return Summary(
            now,
            periods.zone_name,
            self._period(span, now),
            self._period(periods.period_before(span), now),
            self.leads,
            self._labelled(STATUS),
            self._labelled(RATING),
            self._labelled(CATEGORY),
            dict(open_promises),
            dict(overdue),
            dict(hot),
            dict(hot_overdue),
        )

    def actions_on(self, day: int) -> Counter[str]:
        """The sales actions of a UTC day (days since 1970-01-01)."""
        counts = self.days.get(day, {})
        return Counter({key[1]: times for key, times in counts.items() if key[0] == ACTIONS})

    def replace(
        self,
        before: Lifecycle | None,
        after: Lifecycle | None,
        counted_before: Mapping[str, Counts],
        counted_after: Mapping[str, Counts],
    ) -> None:
        """`remove` and `add` in one step. It costs less, because most of a lead's history stays."""
        of = self._of
        if before is not after:
            for entry, times in of.changes(before, after):
                self._enter(entry, times)
            self._wait(of.waiting(before), -1)
            self._wait(of.waiting(after), 1)
        if of.names.actions and counted_before is not counted_after:
            self._act(counted_before, -1)
            self._act(counted_after, 1)

    def _change(self, lifecycle: Lifecycle | None, actions: Mapping[str, Counts], times: int) -> None:
        self.leads += times
        for entry in self._of.entries(lifecycle):
            self._enter(entry, times)
        self._wait(self._of.waiting(lifecycle), times)
        self._act(actions, times)

    def _enter(self, entry: Entry, times: int) -> None:
        instant, key = entry
        if instant is None:
            _count(self.standing, key, times)
            return
        day = self._of.periods.day_of(instant)
        if key[0] == HAND_OVERS:
            self._count(self.days, day, key, times)
        self._count(self.periods, self._of.periods.first_day_of(day), key, times)

    def _act(self, counted: Mapping[str, Counts], times: int) -> None:
        for day, key, number in self._of.actions(counted):
            self._count(self.days, day, key, times * number)

    def _wait(self, waiting: Waiting | None, times: int) -> None:
        if waiting is None:
            return
        place = (waiting.queue, waiting.is_hot)
        instants = self.waiting.setdefault(place, Instants())
        instants.add(waiting.respond_by, times)
        if instants.is_empty:
            del self.waiting[place]

    def _count(self, counted: Days, day: int, key: Key, times: int) -> None:
        if day < self.first_day:
            return
        counts = counted.get(day)
        if counts is None:
            counts = counted[day] = {}
        _count(counts, key, times)
        if not counts:
            del counted[day]

    def _labelled(self, kind: str) -> Mapping[str, int]:
        return {key[1]: times for key, times in sorted(self.standing.items()) if key[0] == kind}

    def _period(self, span: PeriodSpan, now: int) -> PeriodSummary:
        periods, targets = self._of.periods, self._of.names.targets
        total = Counter(self.periods.get(span.first_day, {}))
        queues = sorted({key[1] for key in total if key[0] == HAND_OVERS})
        handed_over = _hand_overs(total, queues)
        elapsed = periods.elapsed_share(span, now)
        start, end = periods.bounds(span)
        actions: dict[str, dict[int, int]] = {}
        handed_over_by_day: Counter[int] = Counter()
        for day in range(span.first_day, span.last_day + 1):
            for key, times in sorted(self.days.get(day, {}).items()):
                if key[0] == ACTIONS:
                    actions.setdefault(key[1], {})[day] = times
                elif key[2] == HAND_OVERS:
                    handed_over_by_day[day] += times
        return PeriodSummary(
            label=span.label,
            first_day=span.first_day,
            last_day=span.last_day,
            start=start,
            end=end,
            elapsed=elapsed,
            needed=None if targets is None else float(targets.needed),
            handed_over=handed_over,
            by_queue={queue: _hand_overs(total, [queue]) for queue in queues},
            accepted=total[SAID, "accepted"],
            returned=total[SAID, "returned"],
            won=total[SAID, "won"],
            lost=total[SAID, "lost"],
            forecast=handed_over.handed_over / elapsed if elapsed else None,
            phases=tuple(
                PhaseFigures(phase.value, total[REACHED, phase.value], total[WENT_ON, phase.value]) for phase in PHASES
            ),
            ratings=_pairs(total, RATING),
            statuses=_pairs(total, STATUS),
            stages=_pairs(total, STAGE),
            unusual=_pairs(total, UNUSUAL),
            actions=actions,
            handed_over_by_day=dict(handed_over_by_day),
        )

    def content(self) -> object:
        """What makes figures equal."""
        return self._of.names, self.leads, self.first_day, self.standing, self.periods, self.days, self.waiting


def _count(counts: dict[Key, int], key: Key, times: int) -> None:
    left = counts.get(key, 0) + times
    if left:
        counts[key] = left
    else:
        counts.pop(key, None)


def _hand_overs(total: Mapping[Key, int], queues: list[str]) -> HandOvers:
    fields = ("handed_over", "accepted", "returned", "won", "lost")
    return HandOvers(*(sum(total.get((HAND_OVERS, queue, name), 0) for queue in queues) for name in fields))


def _pairs(total: Mapping[Key, int], kind: str) -> Mapping[tuple[str, str], int]:
    return {(key[1], key[2]): times for key, times in sorted(total.items()) if key[0] == kind}
