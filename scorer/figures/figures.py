"""The key figures of many leads. They can be kept up to date lead by lead, and merged. Pure.

The figures are a function of the leads' states and of nothing else, so that a restart does not reset them.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from scorer.domain.counts import Counts
from scorer.domain.lifecycle import Lifecycle
from scorer.figures.contributions import PHASES, Contributions, Key
from scorer.figures.instants import Instants
from scorer.figures.periods import PeriodSpan
from scorer.figures.summary import HandOvers, PeriodSummary, PhaseFigures, Summary
from scorer.rules.ruleset import Ruleset

KEPT_DAYS: Final = 800
"""Days before are forgotten: two years and a period."""

_ALWAYS: Final = -(1 << 62)


class Figures:
    """Figures of leads that were added. `actions` are the counts of leads under names that begin with `action:`; others
    are ignored, so `Lead.counted` will do."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._of = Contributions(ruleset)
        self._leads = 0
        self._first_day = _ALWAYS
        self._standing: Counter[Key] = Counter()
        self._days: dict[int, Counter[Key]] = {}
        self._waiting: dict[tuple[str, bool], Instants] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Figures) and self._content() == other._content()

    def add(self, lifecycle: Lifecycle | None, actions: Mapping[str, Counts]) -> None:
        """Count a lead."""
        self._change(lifecycle, actions, 1)

    def remove(self, lifecycle: Lifecycle | None, actions: Mapping[str, Counts]) -> None:
        """The inverse of `add` with equal arguments."""
        self._change(lifecycle, actions, -1)

    def merge(self, other: "Figures") -> None:
        """Count the leads of the other figures, too. Raises `ValueError` if they are by other rules."""
        if other._ruleset.revision != self._ruleset.revision:
            raise ValueError("figures by different rules cannot be merged")
        self.forget_before(other._first_day)
        self._leads += other._leads
        for key, times in other._standing.items():
            _count(self._standing, key, times)
        for day, counts in other._days.items():
            for key, times in counts.items():
                self._count(day, key, times)
        for place, instants in other._waiting.items():
            self._waiting.setdefault(place, Instants()).merge(instants)

    def forget(self, now: int) -> None:
        """Forget the days that are too old at `now`, and what is added or removed of them from now on."""
        self.forget_before(self._of.periods.day_of(now) - KEPT_DAYS)

    def forget_before(self, first_day: int) -> None:
        """Forget the days before this one, and what is added or removed of them from now on."""
        if first_day > self._first_day:
            self._first_day = first_day
            for day in [day for day in self._days if day < first_day]:
                del self._days[day]

    def summary(self, now: int) -> Summary:
        """The figures at `now`, in microseconds since the epoch."""
        periods = self._of.periods
        span = periods.period_of(periods.day_of(now))
        promises = sorted(self._waiting.items())
        open_promises, overdue, hot, hot_overdue = (Counter[str]() for _ in range(4))
        for (queue, is_hot), instants in promises:
            waiting, passed = len(instants), instants.passed(now)
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
            self._leads,
            self._labelled("status"),
            self._labelled("rating"),
            self._labelled("category"),
            dict(open_promises),
            dict(overdue),
            dict(hot),
            dict(hot_overdue),
        )

    def _change(self, lifecycle: Lifecycle | None, actions: Mapping[str, Counts], times: int) -> None:
        of = self._of
        self._leads += times
        for key in of.standing(lifecycle):
            _count(self._standing, key, times)
        for dated in of.dated(lifecycle, actions):
            self._count(dated.day, dated.key, times * dated.times)
        waiting = of.waiting(lifecycle)
        if waiting is not None:
            place = (waiting.queue, waiting.is_hot)
            instants = self._waiting.setdefault(place, Instants())
            instants.add(waiting.respond_by, times)
            if not len(instants):
                del self._waiting[place]

    def _count(self, day: int, key: Key, times: int) -> None:
        if day < self._first_day:
            return
        counts = self._days.setdefault(day, Counter())
        _count(counts, key, times)
        if not counts:
            del self._days[day]

    def _labelled(self, kind: str) -> Mapping[str, int]:
        return {key[1]: times for key, times in sorted(self._standing.items()) if key[0] == kind}

    def _period(self, span: PeriodSpan, now: int) -> PeriodSummary:
        periods, targets = self._of.periods, self._ruleset.targets
        days = range(span.first_day, span.last_day + 1)
        by_day = {day: counts for day in days if (counts := self._days.get(day))}
        total: Counter[Key] = Counter()
        for counts in by_day.values():
            total.update(counts)
        queues = sorted({key[1] for key in total if key[0] == "handed_over"})
        by_queue = {queue: _hand_overs(total, [queue]) for queue in queues}
        handed_over = _hand_overs(total, queues)
        elapsed = periods.elapsed_share(span, now)
        start, end = periods.bounds(span)
        actions: dict[str, dict[int, int]] = {}
        handed_over_by_day: Counter[int] = Counter()
        for day, counts in by_day.items():
            for key, times in sorted(counts.items()):
                if key[0] == "action":
                    actions.setdefault(key[1], {})[day] = times
                elif key[0] == "handed_over" and key[2] == "handed_over":
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
            by_queue=by_queue,
            accepted=total["said", "accepted"],
            returned=total["said", "returned"],
            won=total["said", "won"],
            lost=total["said", "lost"],
            forecast=handed_over.handed_over / elapsed if elapsed else None,
            phases=tuple(
                PhaseFigures(phase.value, total["reached", phase.value], total["went_on", phase.value])
                for phase in PHASES
            ),
            ratings=_pairs(total, "rating"),
            statuses=_pairs(total, "status"),
            stages=_pairs(total, "stage"),
            unusual=_pairs(total, "unusual"),
            actions=actions,
            handed_over_by_day=dict(handed_over_by_day),
        )

    def _content(self) -> object:
        return self._ruleset.revision, self._leads, self._first_day, self._standing, self._days, self._waiting


def _count(counts: Counter[Key], key: Key, times: int) -> None:
    left = counts[key] + times
    if left:
        counts[key] = left
    else:
        del counts[key]


def _hand_overs(total: Mapping[Key, int], queues: list[str]) -> HandOvers:
    fields = ("handed_over", "accepted", "returned", "won", "lost")
    return HandOvers(*(sum(total.get(("handed_over", queue, name), 0) for queue in queues) for name in fields))


def _pairs(total: Mapping[Key, int], kind: str) -> Mapping[tuple[str, str], int]:
    return {(key[1], key[2]): times for key, times in sorted(total.items()) if key[0] == kind}
