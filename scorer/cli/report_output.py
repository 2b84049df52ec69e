"""The key figures on a terminal of 80 columns or more."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scorer.cli.replaying import show_answer
from scorer.domain.printable import shortened
from scorer.domain.rounding import percent
from scorer.figures.report_model import OutcomeFigures, PhaseReached, Ranking, Report, RuleLift, Transitions
from scorer.keyfigures.headline import amount, basis, duration

_PERIODS = 6
"""Columns of a table by period."""
_ROWS = 12
_DAYS = 7


def show(result: Report, console: Console) -> None:
    """Print the answer first, then the tables behind it."""
    show_answer(result.headline, result.input, console, as_of=result.input.as_of)
    if result.input.leads:
        _tables(result, console)
    for missing in result.missing:
        console.print(Text(f"Left out: {missing.part}. To get it, {missing.how}.", "dim"))


def _tables(result: Report, console: Console) -> None:
    _print(_periods(result), console)
    if result.funnel is not None:
        _print(_funnel(result.funnel), console)
    if result.responses:
        _print(_responses(result), console)
        _print(_fates(result), console)
    if result.hot_leads:
        _print(_hot_leads(result), console)
    if result.outcomes is not None:
        _show_outcomes(result.outcomes, console)
    for title, names in (
        ("Reasons of loss", result.reasons_lost),
        ("Competitors who won", result.competitors),
        ("Reasons of return", result.reasons_returned),
    ):
        if names.total:
            _print(_ranking(title, names), console)
    if result.closing_rate:
        _print(_closing_rate(result), console)
    base = result.base
    for title, counts in (("category", base.by_category), ("status", base.by_status), ("rating", base.by_rating)):
        if counts:
            _print(_base(f"Base by {title} at the end of each period", base.periods, counts), console)
    for title, transitions in (("Rating", result.ratings), ("Status", result.statuses), ("Stage", result.stages)):
        if transitions is not None and transitions.total:
            _print(_transitions(title, transitions), console)
    if result.unknown_stages:
        table = _table("stage", "times", "did you mean", title="Stages that are in no phase of the rules")
        for unknown in result.unknown_stages:
            meant = Text(shortened(unknown.meant or "–", 24))
            table.add_row(Text(shortened(unknown.stage)), f"{unknown.times:,}", meant)
        _print(table, console)
    if result.unusual:
        table = _table("from", "to", "times", title="Unusual sequences", left=2)
        for unusual in result.unusual[:_ROWS]:
            table.add_row(unusual.before, unusual.after, f"{unusual.times:,}")
        _print(table, console)
    if result.actions:
        _print(_actions(result), console)


def _periods(result: Report) -> Table:
    shown = result.periods[-_PERIODS:]
    table = _table("period", "needed", "handed over", "accepted", "returned", "won", "value won", title="Opportunities")
    hidden = len(result.periods) - len(shown)
    note = "accepted, returned and won: of the hand-overs of the period, until now; they can overlap"
    table.caption = f"{note}; the last {len(shown)} of {len(result.periods)} periods" if hidden else note
    needed = "–" if result.production is None else amount(result.production.needed)
    for period in shown:
        made = period.hand_overs
        rates = (percent(rate) for rate in (made.acceptance_rate, made.return_rate, made.win_rate))
        table.add_row(period.label, needed, f"{made.handed_over:,}", *rates, amount(period.value_won))
    production = result.production
    if production is not None and production.elapsed < 1:
        table.add_section()
        if production.forecast is not None:
            table.add_row(f"{production.period} forecast", needed, amount(production.forecast), "", "", "", "")
        table.add_row(f"{production.period} target", needed, "", "", "", "", amount(production.revenue))
    return table


def _funnel(phases: Sequence[PhaseReached]) -> Table:
    table = _table("phase", "leads", "went on", "ratio", title="Funnel")
    for phase in phases[:-1]:
        table.add_row(phase.phase, f"{phase.reached:,}", f"{phase.went_on:,}", percent(phase.ratio))
    table.add_row(phases[-1].phase, f"{phases[-1].reached:,}", "", "")
    return table


def _responses(result: Report) -> Table:
    title = f"Time to the answer{', in business time' if result.in_business_time else ''}"
    table = _table("queue", "share kept", "median", "90%", "escalations", title=title)
    table.caption = "share kept: of those kept, late or never answered; escalations: one for each level reached"
    for queue in result.responses:
        table.add_row(
            Text(shortened(queue.queue or "none", 24)),
            percent(queue.kept_share),
            duration(queue.median_seconds, is_business=result.in_business_time),
            duration(queue.p90_seconds, is_business=result.in_business_time),
            f"{queue.escalations:,}",
        )
    return table


def _hot_leads(result: Report) -> Table:
    table = _table("lead", "queue", "since", "due", title="Hot leads that wait longest for a first response", left=2)
    table.caption = f"{len(result.hot_leads)} of {result.waiting.hot_untouched:,}; times in UTC"
    for lead in result.hot_leads:
        names = (Text(shortened(name, 24)) for name in (lead.lead_id, lead.queue or "none"))
        table.add_row(*names, *(time[:16].replace("T", " ") for time in (lead.since, lead.due)))
    return table


def _fates(result: Report) -> Table:
    names = ["kept", "late", "never", "open", "withdrawn"]
    unmeasured = any(queue.unmeasured for queue in result.responses)
    if unmeasured:
        names.append("unmeasured")
    table = _table("queue", "promises", *names, title="What became of the promises of an answer")
    for queue in result.responses:
        fates = [queue.promises, queue.kept, queue.late, queue.missed, queue.open, queue.withdrawn]
        if unmeasured:
            fates.append(queue.unmeasured)
        table.add_row(Text(shortened(queue.queue or "none", 24)), *(f"{count:,}" for count in fates))
    return table


def _show_outcomes(outcomes: OutcomeFigures, console: Console) -> None:
    table = _table("rule", "won", "lost", "lift", "95% interval", title="What won leads had and lost leads lacked")
    left_out = f"; {outcomes.unjudged:,} ended before anything was known" if outcomes.unjudged else ""
    table.caption = f"{outcomes.won:,} won, {outcomes.lost:,} lost{left_out}; * few leads: only a hint"
    for rule in outcomes.rules[:_ROWS]:
        table.add_row(*_rule(rule))
    _print(table, console)
    _more(len(outcomes.rules) - _ROWS, console)


def _rule(rule: RuleLift) -> Sequence[str | Text]:
    lift = "–" if rule.lift is None else f"{rule.lift:.2f}"
    interval = "–" if rule.low is None or rule.high is None else f"{rule.low:.2f}–{rule.high:.2f}"
    mark = "*" if rule.few else " "
    return Text(shortened(rule.rule)), percent(rule.won_share), percent(rule.lost_share), lift, f"{interval}{mark}"


def _ranking(title: str, names: Ranking) -> Table:
    table = _table("", "times", title=title)
    for named in names.named:
        table.add_row(Text(shortened(named.name)), f"{named.times:,}")
    if names.other:
        table.add_row(Text("other", "dim"), f"{names.other:,}")
    if names.unstated:
        table.add_row(Text("not stated", "dim"), f"{names.unstated:,}")
    return table


def _closing_rate(result: Report) -> Table:
    table = _table("basis", "opportunities", "rate", "deals", "revenue", title="What a better closing rate is worth")
    for worth in result.closing_rate:
        made = amount(worth.opportunities)
        table.add_row(basis(worth), made, percent(worth.rate), amount(worth.deals), amount(worth.revenue))
        better = (percent(worth.better_rate), amount(worth.better_deals), amount(worth.better_revenue))
        table.add_row("", made, *better)
        table.add_row(Text("plus", "dim"), "", "", "", f"+{amount(worth.plus)}")
    return table


def _base(title: str, periods: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Table:
    table = _table("", *periods[-_PERIODS:], title=title)
    for name, leads in counts.items():
        table.add_row(Text(shortened(name)), *(f"{count:,}" for count in leads[-_PERIODS:]))
    return table


def _transitions(title: str, transitions: Transitions) -> Table:
    """Only pairs that happened: a matrix of stages is too wide for a terminal."""
    table = _table("from", "to", "times", title=f"{title}: changes in both directions", left=2)
    pairs = [
        (times, before, after) for before, row in transitions.counts.items() for after, times in row.items() if times
    ]
    pairs.sort(key=lambda pair: (-pair[0], transitions.names.index(pair[1]), transitions.names.index(pair[2])))
    for times, before, after in pairs[:_ROWS]:
        table.add_row(Text(shortened(before)), Text(shortened(after)), f"{times:,}")
    if len(pairs) > _ROWS:
        table.caption = f"and {len(pairs) - _ROWS} more kinds (--format json shows all)"
    return table


def _actions(result: Report) -> Table:
    days = sorted({day.day for action in result.actions for day in action.days})[-_DAYS:]
    table = _table("action", *(day[5:] for day in days), "total", title="Sales actions by day")
    for action in result.actions:
        by_day = {day.day: day.times for day in action.days}
        figures = (f"{by_day.get(day, 0):,}" for day in days)
        table.add_row(Text(shortened(action.action, 24)), *figures, f"{action.total:,}")
    return table


def _print(table: Table, console: Console) -> None:
    """The table with its title and caption, which may be wider than the table."""
    title, caption = str(table.title), table.caption
    table.title = table.caption = None
    console.print(Text(title, "bold"))
    console.print(table)
    if caption is not None:
        console.print(Text(str(caption), "dim italic"))


def _table(*columns: str, title: str, left: int = 1) -> Table:
    """A table with words in the first `left` columns and figures in the others."""
    table = Table(title=title, show_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right", overflow="fold")
    return table


def _more(count: int, console: Console) -> None:
    if count > 0:
        console.print(f"and {count} more (--format json shows all)", style="dim", highlight=False)
