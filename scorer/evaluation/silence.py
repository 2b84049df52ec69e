"""What time alone changes about a lead: the first instant at which a decision has to be published although nothing
happened.

Time changes a lead at two kinds of instants: at 00:00 UTC, when the points of signals decay or leave their window, and
when a `days_since` passes a bound of a rule. Between them every answer stays the same. Most of these instants change
nothing that is published, and a range of days in which the points stay between two bounds is skipped as a whole.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from scorer.domain.instant import DAY
from scorer.domain.lead import NEVER, Lead, Published
from scorer.evaluation.criteria import CriteriaTables
from scorer.evaluation.notes import Notes
from scorer.evaluation.results import Evaluation
from scorer.evaluation.routing import RoutingTable
from scorer.evaluation.signal_points import SignalPoints, SignalWorth, signal_points
from scorer.rules.ruleset import Ruleset

MOST_STEPS: Final = 1 << 30
_SOON: Final = 400 * DAY
"""Further ahead nobody has an activity in hand, and the points of then would push out those of now."""


class Due(NamedTuple):
    """`instant`: if `certain`, the first one at which time alone makes a decision necessary, `NEVER` if there is none.
    Otherwise there is no such instant before it."""

    instant: int
    certain: bool


class Silence:
    """Looks ahead in the time of one lead after another. Deterministic.

    `evaluate` judges a lead as of an instant; `is_worth_publishing` says whether the evaluation differs enough from the
    last published decision.
    """

    def __init__(
        self,
        ruleset: Ruleset,
        tables: CriteriaTables,
        routing: RoutingTable,
        signals: Mapping[str, SignalPoints],
        evaluate: Callable[[Lead, int], Evaluation],
        is_worth_publishing: Callable[[Published, Evaluation], bool],
    ) -> None:
        self.ruleset = ruleset
        self.tables = tables
        self.routing = routing
        self.signals = signals
        self.evaluate = evaluate
        self.is_worth_publishing = is_worth_publishing

    def first_change(self, lead: Lead, after: int, until: int, steps: int = MOST_STEPS) -> Due:
        """The first instant in (`after`, `until`] at which time alone makes a decision necessary; uncertain if there is
        none, or if more than `steps` evaluations would be needed to find it.

        That is an instant at which score, rating, grade, route or queue change and then differ from the published
        decision as `publish` says.
        """
        published = lead.published
        if published is None:
            return Due(NEVER, certain=True)
        evaluation = self.evaluate(lead, after)
        if evaluation.until > until or evaluation.until >= NEVER:
            return Due(evaluation.until, certain=evaluation.until >= NEVER)
        if self._is_calm(lead, published, evaluation, until):
            return Due(until + 1, certain=False)
        if isinstance(lead.notes, Notes):
            # What is remembered about distant days is of no use to the next activity.
            lead = lead.with_notes(lead.notes.copy())
        return _Walk(self, lead, published, evaluation, steps).to(until)

    def _is_calm(self, lead: Lead, published: Published, evaluation: Evaluation, until: int) -> bool:
        """Whether nothing is published up to `until`, by a look at the points of that day alone. False if unknown.

        Most activities come days after the last one of their lead, so this is what they pay for the silence before
        them. The points that it finds out are remembered for the activity.
        """
        tables, notes = self.tables, lead.notes
        if not isinstance(notes, Notes) or notes.facts is not lead.facts or notes.mark != tables.mark:
            return False
        if until - evaluation.now > _SOON:
            return False
        times = tables.times(lead.facts) if notes.times is None else notes.times
        now, clock = evaluation.now, lead.clock
        if tables.valid_until(times, now) <= until or clock + tables.idle(now - clock)[1] <= until:
            return False
        if tables.returned_at(times) is not None or self.is_worth_publishing(published, evaluation):
            return False
        day, worth, points, signals = until // DAY, notes.worth, evaluation.signal_points, self.signals
        then: dict[str, SignalWorth] = {}
        low = high = 0
        for name, counts in lead.counted.items():
            signal = signals.get(name)
            if signal is not None:
                known = worth.get(name)
                if known is None or known[0] is not counts or not known[2] <= day < known[3]:
                    known = then[name] = signal.worth(counts, day, known)
                old, new = points.get(name, 0), known[1]
                if old != new and self.routing.signal_moves(name, old, new):
                    return False
                low += old if old < 0 else new
                high += new if old < 0 else old
        least, most = self.unpublished_range(published, evaluation)
        if not least <= low <= high <= most:
            return False
        worth.update(then)
        notes.day = max(notes.day, day)
        return True

    def unpublished_range(self, published: Published, evaluation: Evaluation) -> tuple[int, int]:
        """The least and the most engagement with which nothing is published as long as the criteria stay."""
        fit, engagement = evaluation.standing.score
        low, high = self.routing.same_route(fit, engagement)
        step = self.ruleset.publishing.score_step
        last = published.score.total - fit
        return max(low, last - step + 1), min(high, last + step - 1)


class _Walk:
    """One look ahead: the evaluations of one lead, later and later."""

    def __init__(self, silence: Silence, lead: Lead, published: Published, evaluation: Evaluation, steps: int) -> None:
        self._silence = silence
        self._lead = lead
        self._published = published
        self._steps = steps
        self._signals = [
            (name, counts, signal)
            for name, counts in lead.counted.items()
            if (signal := silence.signals.get(name)) is not None
        ]
        self._last_day = max(
            (counts[-2] + len(signal.signal.weights) for _, counts, signal in self._signals), default=0
        )
        self._times = silence.tables.times(lead.facts)
        self._returned = silence.tables.returned_at(self._times)
        self._worth = lead.notes.worth.copy() if isinstance(lead.notes, Notes) else {}
        self._points: dict[int, tuple[int, ...]] = {}
        self._see(evaluation)

    def _look(self, now: int) -> bool:
        """Move on to `now`. True if a decision has to be published."""
        before, was_pending = self._evaluation, self._pending
        self._steps -= 1
        self._see(self._silence.evaluate(self._lead, now))
        return self._pending and not (was_pending and _outcome(before) == _outcome(self._evaluation))

    def _see(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._pending = self._silence.is_worth_publishing(self._published, evaluation)
        self._set_bounds()

    def _set_bounds(self) -> None:
        """The least and the most engagement with which nothing is published as long as the criteria stay."""
        if self._pending:
            self._low = self._high = self._evaluation.score.engagement
        else:
            self._low, self._high = self._silence.unpublished_range(self._published, self._evaluation)

    def to(self, until: int) -> Due:
        tables, lead = self._silence.tables, self._lead
        while True:
            now = self._evaluation.now
            idle_until = tables.idle(now - lead.clock)[1]
            crossing = min(tables.valid_until(self._times, now), lead.clock + idle_until)
            last = min(crossing - 1, until)
            found = self._within(min(last // DAY, max(self._last_day, now // DAY)))
            if found is not None:
                return found
            if crossing > until:
                return Due(until + 1, certain=False)
            if crossing >= NEVER:
                return Due(NEVER, certain=True)
            if self._steps <= 0:
                return Due(crossing, certain=False)
            if self._look(crossing):
                return Due(crossing, certain=True)

    def _within(self, last: int) -> Due | None:
        """The same for the midnights up to that of the day `last`; None if there is no such instant among them."""
        ranges = [(self._evaluation.now // DAY, last)]
        while ranges:
            first, last = ranges.pop()
            if first >= last or self._is_calm(first, last):
                continue
            if last - first > 1:
                middle = (first + last) // 2
                ranges += [(middle, last), (first, middle)]
            elif self._steps <= 0:
                return Due(last * DAY, certain=False)
            elif self._look(last * DAY):
                return Due(last * DAY, certain=True)
        return None

    def _is_calm(self, first: int, last: int) -> bool:
        """Whether nothing is published at the midnights after day `first` up to that of `last`. Points only decay, so
        that those of both ends are bounds of those in between."""
        silence = self._silence
        before, after = self._points_on(first), self._points_on(last)
        if self._returned is not None and self._since_return_moves(self._returned // DAY, first, last):
            return False
        if before == after:
            return True
        low = high = 0
        for (name, _, _), old, new in zip(self._signals, before, after, strict=True):
            if old != new and silence.routing.signal_moves(name, old, new):
                return False
            low += old if old < 0 else new
            high += new if old < 0 else old
        return self._low <= low and high <= self._high

    def _since_return_moves(self, returned: int, first: int, last: int) -> bool:
        """Whether the routing rules may tell the points since the return on `returned` apart on these days."""
        known = self._lead.rules_at_return
        low = high = sum(
            rule.points
            for result in self._evaluation.criteria_result.criteria
            for rule in result.rules
            if rule.id not in known
        )
        for _, counts, signal in self._signals:
            ends = [signal_points(signal.signal, counts, day, returned) for day in (first, last)]
            low += min(ends)
            high += max(ends)
        return self._silence.routing.since_return_moves(low, high)

    def _points_on(self, day: int) -> tuple[int, ...]:
        known = self._points.get(day)
        if known is None:
            points = []
            for name, counts, signal in self._signals:
                worth = self._worth.get(name)
                if worth is None or worth[0] is not counts or not worth[2] <= day < worth[3]:
                    worth = signal.worth(counts, day, worth)
                    # Later days follow from the first one.
                    self._worth.setdefault(name, worth)
                points.append(worth[1])
            known = self._points[day] = tuple(points)
        return known


def _outcome(evaluation: Evaluation) -> tuple[object, ...]:
    (score, rating, grade, _), routing = evaluation.standing, evaluation.routing
    return score, rating, grade, routing.route, routing.queue
