"""The key figures as a page for sales managers: first the answer in words, then the figures."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial

from markupsafe import Markup

from scorer.backtest.run import plural
from scorer.domain.rounding import percent
from scorer.figures.report_model import PeriodFigures, PhaseReached, Ranking, Report, Responses, RuleLift
from scorer.keyfigures.headline import amount, basis, broken_promises, duration
from scorer.report.charts import Bar, Mark, Scale, Series, Tone, bars, heat_table, histogram, lines, track
from scorer.report.page import number, render

_SHOWN = 10
"""Number of rules that are shown at once; the rest can be unfolded."""
_PERIODS = 24
"""Number of periods in charts and tables by period."""
_COLUMNS = 12
"""Number of periods in tables with one column per period."""
_TONES: Mapping[str, Tone] = {"hot": "hot", "warm": "warm", "cold": "cold"}


def keyfigures_page(result: Report) -> str:
    """The whole page, self-contained."""
    return render(
        "report.html.j2",
        {
            "result": result,
            "tiles": _tiles(result),
            "production": _production(result),
            "periods": result.periods[-_PERIODS:],
            "funnel": _funnel(result),
            "matrices": _matrices(result),
            "base": _base(result),
            "actions": _actions(result),
            "answers": [(queue, _answers(queue)) for queue in result.responses],
            "rules": [] if result.outcomes is None else result.outcomes.rules,
            "interval": _interval,
            "rankings": _rankings(result),
            "share": percent,
            "amount": amount,
            "basis": basis,
            "unmeasured": any(queue.unmeasured for queue in result.responses),
            "duration": partial(duration, is_business=result.in_business_time),
            "activities": plural(result.input.activities, "activity"),
            "shown": _SHOWN,
        },
    )


def _tiles(result: Report) -> list[tuple[str, str, str]]:
    """(name, value, additional text)."""
    tiles = []
    made, total = result.production, result.total
    if made is not None:
        tiles.append((f"Handed over in {made.period}", number(made.handed_over), f"{amount(made.needed)} needed"))
        if made.forecast is None:
            tiles.append((f"Forecast for {made.period}", "–", "less than 10% of it has passed"))
        elif made.elapsed < 1:
            share = percent(made.forecast / made.needed)
            tiles.append((f"Forecast for {made.period}", amount(made.forecast), f"{share} of those needed"))
        target = f"{percent(made.revenue_share)} of {amount(made.revenue)}"
        tiles.append((f"Value won in {made.period}", amount(made.revenue_won), target))
    else:
        tiles.append(("Handed over to sales", number(total.handed_over), "in the whole input"))
    if total.handed_over:
        of = f"of {plural(total.handed_over, 'hand-over')}"
        tiles += [
            ("Accepted by sales", percent(total.acceptance_rate), f"{percent(total.return_rate)} returned"),
            ("Won of all so far", percent(total.win_rate), of),
            (
                "Won of those decided",
                percent(total.decided_win_rate),
                f"of {number(total.decided)}; {number(total.handed_over - total.decided)} undecided",
            ),
        ]
    promises = sum(queue.promises for queue in result.responses)
    if promises:
        broken, due = broken_promises(result)
        tiles.append(("Promises broken", number(broken), f"of {number(due)} kept or broken, {number(promises)} in all"))
        waiting = result.waiting
        tiles.append(
            ("Waiting too long now", number(waiting.overdue), f"{number(waiting.hot_untouched)} hot and waiting")
        )
    return tiles


def _production(result: Report) -> Markup | None:
    """Hand-overs by period, beside those that are needed."""
    periods = result.periods[-_PERIODS:]
    if not periods:
        return None
    counts = [period.hand_overs.handed_over for period in periods]
    series = Series("handed over", "series-2", values=counts)
    describe = "Leads handed over by period: " + ", ".join(
        f"{period.label} {count}" for period, count in zip(periods, counts, strict=True)
    )
    made = result.production
    marks = [] if made is None else [Mark(made.needed, f"{amount(made.needed)} needed", "hot")]
    return histogram([series], x_labels=_ends(periods), describe=f"{describe}.", marks=marks)


def _ends(periods: Sequence[PeriodFigures]) -> list[str]:
    """Labels below a chart: the first, the last, and one between them."""
    if len(periods) < 3:
        return [period.label for period in periods]
    return [periods[0].label, periods[len(periods) // 2].label, periods[-1].label]


def _funnel(result: Report) -> list[tuple[PhaseReached, Markup]]:
    """(phase, bar)."""
    phases = result.funnel or []
    scale = Scale.over(phase.reached for phase in phases)
    return [(phase, track(scale, 0, phase.reached, "series-2")) for phase in phases]


def _matrices(result: Report) -> list[tuple[str, int, Markup]]:
    """(what changes, number of changes, matrix)."""
    found = (("rating", result.ratings), ("status", result.statuses), ("stage", result.stages))
    return [
        (
            what,
            changes.total,
            heat_table(
                changes.names,
                changes.names,
                [[changes.counts[before][after] for after in changes.names] for before in changes.names],
                row_title="from",
                column_title="to",
                by_row=True,
            ),
        )
        for what, changes in found
        if changes is not None and changes.total
    ]


def _base(result: Report) -> list[tuple[str, Sequence[str], list[tuple[str, Sequence[int]]], Markup | None]]:
    """(what divides the base, periods, (name, leads at the end of each), chart of ratings)."""
    base, shown = result.base, result.base.periods[-_COLUMNS:]
    found = (("category", base.by_category), ("status", base.by_status), ("rating", base.by_rating))
    tables = []
    for what, counts in found:
        if not counts:
            continue
        rows = [(name, leads[-_COLUMNS:]) for name, leads in counts.items()]
        chart = None
        if what == "rating" and len(base.periods) > 2:
            curves = [
                Series(name, _TONES[name], points=[(index, count) for index, count in enumerate(leads)])
                for name, leads in reversed(list(counts.items()))
            ]
            labels = [base.periods[0], base.periods[-1]]
            chart = lines(curves, x_labels=labels, describe="Leads by rating at the end of each period.")
        tables.append((what, shown, rows, chart))
    return tables


def _actions(result: Report) -> list[tuple[str, int, Markup | None]]:
    """(action, number, chart by day)."""
    known = sorted({day.day for action in result.actions for day in action.days})
    days = _between(known)
    found = []
    for action in result.actions:
        chart = None
        if action.days:
            by_day = {day.day: day.times for day in action.days}
            series = Series(action.action, "series-2", values=[by_day.get(day, 0) for day in days])
            labels = [days[0], days[-1]] if len(days) > 1 else days
            chart = histogram([series], x_labels=labels, describe=f"{action.action} by day: {number(action.total)}.")
        found.append((action.action, action.total, chart))
    return found


def _between(days: Sequence[str]) -> Sequence[str]:
    """All dates from the first to the last one."""
    if not days:
        return []
    first, last = (date.fromisoformat(day) for day in (days[0], days[-1]))
    return [(first + timedelta(days=passed)).isoformat() for passed in range((last - first).days + 1)]


def _answers(queue: Responses) -> Markup:
    """Kept promises beside broken ones."""
    total = queue.kept + queue.late + queue.missed
    scale = Scale(0, total or 1)
    return track(scale, 0, queue.kept, "plus") + track(scale, 0, queue.late + queue.missed, "minus")


def _interval(rule: RuleLift, rules: Sequence[RuleLift]) -> Markup:
    """The confidence interval of a lift on a scale that all rules share, with a mark at 1."""
    highest = max((other.high for other in rules if other.high is not None and not other.few), default=2.0)
    scale = Scale(0, min(max(2.0, highest), 5.0))
    tone: Tone = "cap"
    if rule.low is not None and rule.low > 1:
        tone = "plus"
    elif rule.high is not None and rule.high < 1:
        tone = "minus"
    return track(scale, rule.low or 0.0, rule.high or 0.0, tone, [1.0])


def _rankings(result: Report) -> list[tuple[str, Ranking, Markup]]:
    """(title, names, chart)."""
    found = (
        ("Reasons of loss", result.reasons_lost),
        ("Competitors who won", result.competitors),
        ("Reasons of return", result.reasons_returned),
    )
    rankings = []
    for title, names in found:
        if not names.total:
            continue
        rows = [Bar(named.name, named.times, None, "series-2") for named in names.named]
        if names.other:
            rows.append(Bar("other", names.other, None, "series-1"))
        if names.unstated:
            rows.append(Bar("not stated", names.unstated, None, "series-1"))
        rankings.append((title, names, bars(rows)))
    return rankings
