"""What another ruleset would change: ratings, routes, hand-overs a week, the leads that move, and the rules behind."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from scorer.backtest.outcomes import rules
from scorer.backtest.tally import Mover, RulePoints, SideTally, Tally, Week, compare
from scorer.domain.score import Rating, Route
from scorer.rules.ruleset import Ruleset

MAX_WEEKS = 520
"""Over a longer time, weeks without a hand-over are left out."""


@dataclass(frozen=True, slots=True)
class WeekCount:
    """Hand-overs to sales in an ISO week (`2026-W05`), which starts on the Monday `starts`."""

    week: str
    starts: str
    leads: int


@dataclass(frozen=True, slots=True)
class Handovers:
    """Hand-overs to sales. `per_week` is the mean over the weeks with activities."""

    total: int
    per_week: float | None
    weeks: Sequence[WeekCount]


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of all leads: extremes, median and mean, and the number of leads by score, ascending."""

    lowest: int | None
    median: float | None
    mean: float | None
    highest: int | None
    counts: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Side:
    """The results of one ruleset."""

    name: str
    revision: str
    warm: int
    hot: int
    decisions: int
    ratings: Mapping[Rating, int]
    routes: Mapping[Route, int]
    scores: Scores
    handovers: Handovers


@dataclass(frozen=True, slots=True)
class Matrix:
    """Numbers of leads by the result of the old ruleset (outer key) and of the new one."""

    changed: int
    share: float | None
    counts: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A rule whose points differ between the rulesets. `leads` is how many leads it affects, `points` the sum of the
    differences, and `usual` the most frequent difference."""

    criterion: str
    rule: str
    reason: str
    leads: int
    points: int
    usual: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of a ruleset for one lead."""

    score: int
    rating: Rating
    route: Route
    grade: str
    queue: str | None


@dataclass(frozen=True, slots=True)
class Moved:
    """A lead with another result, and every rule whose points for it differ."""

    lead_id: str
    old: Judgement
    new: Judgement
    steps: int
    difference: int
    rules: Sequence[RulePoints]


@dataclass(frozen=True, slots=True)
class Move:
    """The number of leads that move from one queue or grade to another. None means no queue."""

    old: str | None
    new: str | None
    leads: int


@dataclass(frozen=True, slots=True)
class Moves:
    """Leads whose queue or grade differs, the most frequent moves first."""

    changed: int
    share: float | None
    moves: Sequence[Move]


@dataclass(frozen=True, slots=True)
class Changes:
    """Both rulesets compared over the same leads. `otherwise` counts leads whose rating, route, queue or grade differs.
    `scores` counts leads by the difference of their scores."""

    otherwise: int
    share: float | None
    ratings: Matrix
    routes: Matrix
    queues: Moves
    grades: Moves
    scores_changed: int
    mean_difference: float | None
    scores: Mapping[int, int]
    rules: Sequence[RuleChange]
    movers: Sequence[Moved]


def without_rules(mover: Moved) -> str:
    """Why a lead moves although every rule gives it the same points."""
    if mover.steps or mover.old.grade != mover.new.grade:
        return "other bounds"
    return "other routing" if mover.old.route is not mover.new.route else "other queue"


def side(tally: SideTally, ruleset: Ruleset, active: Sequence[Week], listed: Sequence[Week]) -> Side:
    """The results of a ruleset. Hand-overs are listed for the weeks `listed`; their mean is over the weeks `active`."""
    return Side(
        ruleset.name,
        ruleset.revision,
        ruleset.ratings.warm,
        ruleset.ratings.hot,
        tally.decisions,
        {rating: tally.ratings[rating] for rating in Rating},
        {route: tally.routes[route] for route in Route},
        scores(tally.scores),
        _handovers(tally.handovers, active, listed),
    )


def scores(counted: Mapping[int, int]) -> Scores:
    """The statistics of scores, given as numbers of leads by score."""
    total = sum(counted.values())
    if not total:
        return Scores(None, None, None, None, {})
    ordered = sorted(counted.items())
    mean = sum(score * count for score, count in ordered) / total
    return Scores(ordered[0][0], _median(ordered, total), mean, ordered[-1][0], dict(ordered))


def changes(tally: Tally, old: Ruleset, new: Ruleset) -> Changes:
    """What the new ruleset changes."""
    leads = tally.differences.total()
    total = sum(difference * count for difference, count in tally.differences.items())
    return Changes(
        tally.otherwise,
        tally.otherwise / leads if leads else None,
        _matrix(tally.ratings, Rating, leads),
        _matrix(tally.routes, Route, leads),
        _moves(tally.queues, leads),
        _moves(tally.grades, leads),
        leads - tally.differences[0],
        total / leads if leads else None,
        dict(sorted(tally.differences.items())),
        _rule_changes(tally.rules, old, new),
        [_moved(mover) for mover in tally.movers],
    )


def between(weeks: Sequence[Week]) -> Sequence[Week]:
    """The weeks, ascending, with the missing weeks between them unless that makes more than ten years."""
    if not weeks:
        return []
    first, last = monday(min(weeks)), monday(max(weeks))
    count = (last - first).days // 7 + 1
    if count > MAX_WEEKS:
        return sorted(weeks)
    days = (first + timedelta(weeks=index) for index in range(count))
    return [day.isocalendar()[:2] for day in days]


def monday(week: Week) -> date:
    """The first day of an ISO week."""
    return date.fromisocalendar(*week, 1)


def _handovers(counted: Counter[Week], active: Sequence[Week], listed: Sequence[Week]) -> Handovers:
    total = counted.total()
    weeks = [WeekCount(f"{week[0]:04}-W{week[1]:02}", monday(week).isoformat(), counted[week]) for week in listed]
    return Handovers(total, total / len(active) if active else None, weeks)


def _median(ordered: Sequence[tuple[int, int]], total: int) -> float:
    def at(position: int) -> int:
        for score, count in ordered:
            position -= count
            if position < 0:
                return score
        raise IndexError(position)

    return (at((total - 1) // 2) + at(total // 2)) / 2


def _matrix(
    counted: Mapping[tuple[Rating, Rating], int] | Mapping[tuple[Route, Route], int],
    names: type[Rating] | type[Route],
    leads: int,
) -> Matrix:
    pairs = {(str(old), str(new)): count for (old, new), count in counted.items()}
    table = {str(old): {str(new): pairs.get((str(old), str(new)), 0) for new in names} for old in names}
    changed = sum(count for (old, new), count in pairs.items() if old != new)
    return Matrix(changed, changed / leads if leads else None, table)


def _moves(counted: Mapping[tuple[str | None, str | None], int] | Mapping[tuple[str, str], int], leads: int) -> Moves:
    moves = [Move(old, new, count) for (old, new), count in counted.items() if old != new]
    moves.sort(key=lambda move: (-move.leads, move.old or "", move.new or ""))
    changed = sum(move.leads for move in moves)
    return Moves(changed, changed / leads if leads else None, moves)


def _rule_changes(counted: Mapping[tuple[str, str, int], int], old: Ruleset, new: Ruleset) -> list[RuleChange]:
    reasons = {(criterion, rule): reason for criterion, rule, reason, _ in [*rules(old), *rules(new)]}
    by_rule: defaultdict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    for (criterion, rule, more), leads in counted.items():
        by_rule[criterion, rule][more] += leads
    rule_changes = [
        RuleChange(
            *name,
            reasons.get(name, f"limit of {name[0]}"),
            differences.total(),
            sum(more * leads for more, leads in differences.items()),
            min(differences, key=lambda more: (-differences[more], more)),
        )
        for name, differences in by_rule.items()
    ]
    return sorted(rule_changes, key=lambda change: (-change.leads, -abs(change.points), change.criterion, change.rule))


def _moved(mover: Mover) -> Moved:
    old, new = (Judgement(*lead[:5]) for lead in (mover.old, mover.new))
    difference = new.score - old.score
    return Moved(mover.lead_id, old, new, mover.steps, difference, compare(mover.old, mover.new))
