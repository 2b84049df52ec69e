"""The key figures of an instant, as plain values."""

from collections.abc import Mapping

import msgspec


class HandOvers(msgspec.Struct, frozen=True):
    """Hand-overs of a period, and what has become of them so far. Those that were won or lost count as accepted, too,
    because sales has worked on them. A rate is None without hand-overs."""

    handed_over: int = 0
    accepted: int = 0
    returned: int = 0
    won: int = 0
    lost: int = 0

    @property
    def acceptance_rate(self) -> float | None:
        """The share that was accepted."""
        return self._share(self.accepted)

    @property
    def return_rate(self) -> float | None:
        """The share that was returned."""
        return self._share(self.returned)

    @property
    def win_rate(self) -> float | None:
        """The share that was won: the closing rate of the targets."""
        return self._share(self.won)

    def _share(self, part: int) -> float | None:
        return part / self.handed_over if self.handed_over else None


class PhaseFigures(msgspec.Struct, frozen=True):
    """How often leads reached a phase of the funnel, and how often they went on from there to a later one so far.

    A lead counts once per phase and period. It also reaches the phases that it jumps over: a CRM in which sales goes
    from contact straight to negotiation must not show more offers lost than made.
    """

    phase: str
    reached: int = 0
    went_on: int = 0

    @property
    def ratio(self) -> float | None:
        """The share that went on; None if nobody reached the phase."""
        return self.went_on / self.reached if self.reached else None


class PeriodSummary(msgspec.Struct, frozen=True):
    """The figures of a period.

    `start` and `end`: its first instant and the first one after it, in microseconds since the epoch. `elapsed`: the
    share of its time that has passed, from 0 to 1. `needed`: the opportunities that the targets need; None without
    targets. `handed_over`: what leads of the period became; `by_queue`: the same, by the queue of the hand-over
    (empty: none, `other`: not in the rules). `accepted`, `returned`, `won`, `lost`: what sales said in the period, also
    of earlier hand-overs. `forecast`: the hand-overs of the whole period if it goes on as so far; None at its start.

    Transitions are counts by (before, after). Stages are those that the rules name, `other`, or `none` before the
    first. `unusual`: those of `statuses` that do not usually follow each other. `actions`: sales actions by action and
    day (days since 1970-01-01, in UTC). `handed_over_by_day`: by local day.
    """

    label: str
    first_day: int
    last_day: int
    start: int
    end: int
    elapsed: float
    needed: float | None
    handed_over: HandOvers
    by_queue: Mapping[str, HandOvers]
    accepted: int
    returned: int
    won: int
    lost: int
    forecast: float | None
    phases: tuple[PhaseFigures, ...]
    ratings: Mapping[tuple[str, str], int]
    statuses: Mapping[tuple[str, str], int]
    stages: Mapping[tuple[str, str], int]
    unusual: Mapping[tuple[str, str], int]
    actions: Mapping[str, Mapping[int, int]]
    handed_over_by_day: Mapping[int, int]


class Summary(msgspec.Struct, frozen=True):
    """The figures at an instant, `now`, in microseconds since the epoch: of the period that contains it, of the one
    before, and of all leads as they are.

    `by_rating`: the published rating, or `none`. `by_category`: `other` is not in the rules, `none` is not judged yet.
    `open_promises`, `overdue` and `hot_untouched` by queue: leads that wait for an answer, those that have waited too
    long, and those among the open ones whose published rating is hot; `hot_overdue`: hot and waiting for too long.
    """

    now: int
    zone: str
    period: PeriodSummary
    previous: PeriodSummary
    leads: int
    by_status: Mapping[str, int]
    by_rating: Mapping[str, int]
    by_category: Mapping[str, int]
    open_promises: Mapping[str, int]
    overdue: Mapping[str, int]
    hot_untouched: Mapping[str, int]
    hot_overdue: Mapping[str, int]
