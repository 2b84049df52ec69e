"""The report of a backtest as a page for sales managers: first the answer in words, then the figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from scorer.backtest.impact import Matrix, Moves, Side, without_rules
from scorer.backtest.outcomes import RuleOutcomes
from scorer.backtest.run import CAUTION, Backtest, a_week, percent, plural
from scorer.domain.score import Rating, Route
from scorer.report.backtest_charts import Named, score_chart, shares, week_chart
from scorer.report.charts import Bar, Tone, bars, heat_table
from scorer.report.page import number, render, signed

_SHOWN = 10
"""Number of rules and leads that are shown at once; the rest can be unfolded."""


def backtest_page(result: Backtest) -> str:
    """The whole page, self-contained."""
    sides = _sides(result)
    return render(
        "backtest.html.j2",
        {
            "result": result,
            "sides": sides,
            "tiles": _tiles(result),
            "weeks": _weeks(sides),
            "scores": _scores(sides),
            "score_table": [
                (name, _score(side.scores.lowest), _score(side.scores.highest), _decimal(side.scores.median))
                for name, _, side in sides
            ],
            "ratings": _split(sides, "ratings"),
            "routes": _split(sides, "routes"),
            "matrices": _matrices(result),
            "moves": _moves(result),
            "caution": CAUTION,
            "share": percent,
            "activities": plural(result.input.activities, "activity"),
            "without_rules": without_rules,
            "rule_bars": _rule_bars(result),
            "conversion": _conversion(result),
            "predictive_rules": _predictive_rules(result),
            "all_leads": sum(result.new.ratings.values()),
            "shown": _SHOWN,
            "shares": shares,
        },
    )


def _sides(result: Backtest) -> Sequence[tuple[str, Tone, Side]]:
    """What is compared: (name, colour, result of a ruleset), the old ruleset first."""
    new: tuple[str, Tone, Side] = ("new rules", "series-2", result.new)
    if result.old is None:
        return [("these rules", "series-2", result.new)]
    return [("today", "series-1", result.old), new]


def _tiles(result: Backtest) -> list[tuple[str, str, str]]:
    """(name, value, additional text)."""
    new, old, outcomes = result.new, result.old, result.outcomes
    tiles = [
        (
            "Leads for sales a week",
            _a_week(new.handovers.per_week),
            f"{number(new.handovers.total)} in total" if old is None else f"today {_a_week(old.handovers.per_week)}",
        )
    ]
    if result.changes is not None:
        leads = sum(new.ratings.values())
        of = f"of {plural(leads, 'lead')}"
        changes = result.changes
        tiles += [
            (f"{name} changed", number(moved.changed), of)
            for name, moved in (
                ("Rating", changes.ratings),
                ("Route", changes.routes),
                ("Queue", changes.queues),
                ("Grade", changes.grades),
            )
        ]
    if outcomes is not None and outcomes.won:
        before = outcomes.old
        tiles.append(
            (
                "Hand-overs won",
                percent(outcomes.new.sales.precision),
                f"{percent(outcomes.base_rate)} of all leads"
                if before is None
                else f"today {percent(before.sales.precision)}, {percent(outcomes.base_rate)} of all leads",
            )
        )
        tiles.append(
            (
                "Won deals handed over",
                percent(outcomes.new.sales.recall),
                f"{number(outcomes.new.sales.won)} of {number(outcomes.won)}"
                if before is None
                else f"today {percent(before.sales.recall)}",
            )
        )
        auc = outcomes.new.auc
        if auc is not None:
            rest = f"95% confidence: {auc.low:.2f} to {auc.high:.2f}"
            if before is not None and before.auc is not None:
                rest = f"today {before.auc.value:.3f}"
            tiles.append(("Ranking (AUC)", f"{auc.value:.3f}", rest))
    return tiles


def _weeks(sides: Sequence[tuple[str, Tone, Side]]) -> Markup | None:
    if len(sides[0][2].handovers.weeks) < 2:
        return None
    means = ", ".join(f"{name} {_a_week(side.handovers.per_week)}" for name, _, side in sides)
    series = [(name, tone, side.handovers.weeks) for name, tone, side in sides]
    return week_chart(series, f"Leads handed over to sales by week. Average: {means}.")


def _scores(sides: Sequence[tuple[str, Tone, Side]]) -> Markup:
    series: list[Named] = [(name, tone, side.scores.counts) for name, tone, side in sides]
    medians = ", ".join(f"{name} {_decimal(side.scores.median)}" for name, _, side in sides)
    return score_chart(series, f"Number of leads by score. Median: {medians}.")


def _split(sides: Sequence[tuple[str, Tone, Side]], what: str) -> Markup | None:
    """Ratings or routes of the leads, if there is only one ruleset. For two, the matrix shows more."""
    if len(sides) > 1:
        return None
    counted: Mapping[Rating, int] | Mapping[Route, int] = getattr(sides[0][2], what)
    total = sum(counted.values())
    tones: Mapping[str, Tone] = {
        "hot": "hot", "warm": "warm", "cold": "cold", "sales": "sales", "nurture": "nurture", "discard": "discard"
    }  # fmt: skip
    rows = [
        Bar(str(name), leads, f"{number(leads)} ({percent(leads / total) if total else '0%'})", tones[str(name)])
        for name, leads in reversed(list(counted.items()))
    ]
    return bars(rows, caption=f"Leads by {what.removesuffix('s')}")


def _matrices(result: Backtest) -> list[tuple[str, Matrix, Markup]]:
    changes = result.changes
    if changes is None:
        return []
    return [(name, matrix, _heat(matrix)) for name, matrix in (("Rating", changes.ratings), ("Route", changes.routes))]


def _moves(result: Backtest) -> list[tuple[str, Moves]]:
    changes = result.changes
    if changes is None:
        return []
    return [(name, moves) for name, moves in (("Queue", changes.queues), ("Grade", changes.grades)) if moves.changed]


def _heat(matrix: Matrix) -> Markup:
    names = list(matrix.counts)
    counts = [list(row.values()) for row in matrix.counts.values()]
    return heat_table(names, names, counts, row_title="today", column_title="new")


def _rule_bars(result: Backtest) -> Markup | None:
    if result.changes is None or not result.changes.rules:
        return None
    rows = [
        Bar(
            rule.reason,
            rule.leads,
            f"{signed(rule.usual)} for {number(rule.leads)}",
            "plus" if rule.points > 0 else "minus",
        )
        for rule in result.changes.rules[:_SHOWN]
    ]
    return bars(rows, caption="Rules that give different points: the usual change for a lead, and the number of leads")


def _conversion(result: Backtest) -> list[dict[str, Any]]:
    outcomes = result.outcomes
    if outcomes is None:
        return []
    before = [None] * len(Rating) if outcomes.old is None else outcomes.old.conversion
    return [
        {"rating": str(new.rating), "new": new, "old": old}
        for new, old in zip(outcomes.new.conversion, before, strict=True)
    ]


def _predictive_rules(result: Backtest) -> list[RuleOutcomes]:
    """Rules that applied, sorted by how well they separate won from lost leads."""
    if result.outcomes is None:
        return []
    fired = [rule for rule in result.outcomes.new.rules if rule.won or rule.lost]
    return sorted(fired, key=lambda rule: (-abs((rule.won_share or 0) - (rule.lost_share or 0)), rule.rule))


def _decimal(value: float | None) -> str:
    return "–" if value is None else number(value, 1).removesuffix(".0")


def _score(value: int | None) -> str:
    return "–" if value is None else number(value)


def _a_week(value: float | None) -> str:
    return "–" if value is None else a_week(value)
