"""The result of a backtest on a terminal of 80 columns or more."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scorer.backtest.impact import Changes, Matrix, Moved, Moves, Side, without_rules
from scorer.backtest.outcomes import RuleOutcomes, SideOutcomes
from scorer.backtest.run import CAUTION, Backtest, Outcomes, a_week, percent, plural
from scorer.cli.replaying import show_answer
from scorer.domain.printable import printable, shortened
from scorer.domain.score import Rating, Route

_MOVERS = 10
_RULES = 12
_WEEKS = 12
_MOVES = 8
_UNFITTING = 8


def show(result: Backtest, console: Console) -> None:
    """Print the answer first, then the tables behind it."""
    show_answer(result.headline, result.input, console)
    unfitting = result.input.unfitting_sentences
    for sentence in unfitting[:_UNFITTING]:
        console.print(Text(sentence, "dim"))
    _more(len(unfitting) - _UNFITTING, console)
    if result.changes is not None and result.input.leads:
        console.print(CAUTION, style="dim", highlight=False)
    if not result.input.leads:
        return
    console.print(_sides(result.new, result.old))
    if result.changes is not None:
        _show_changes(result.changes, console)
    if len(result.new.handovers.weeks) > 1:
        console.print(_weeks(result.new, result.old))
    if result.outcomes is not None:
        _show_outcomes(result.outcomes, console)


def _sides(new: Side, old: Side | None) -> Table:
    table = _table("", *(["old"] if old else []), "new", title="Leads")
    both = [side for side in (old, new) if side is not None]
    table.add_row("ruleset", *(_name(side.name).append(f" {side.revision[:12]}") for side in both))
    for rating in reversed(Rating):
        table.add_row(str(rating), *(_share(side.ratings[rating], sum(side.ratings.values())) for side in both))
    table.add_section()
    for route in reversed(Route):
        table.add_row(str(route), *(_share(side.routes[route], sum(side.routes.values())) for side in both))
    table.add_section()
    table.add_row("handed over to sales", *(f"{side.handovers.total:,}" for side in both))
    table.add_row("  a week", *(_a_week(side.handovers.per_week) for side in both))
    table.add_row("median score", *(_figure(side.scores.median) for side in both))
    table.add_row("decisions", *(f"{side.decisions:,}" for side in both))
    return table


def _show_changes(changes: Changes, console: Console) -> None:
    console.print(_matrix(changes.ratings, "Rating: old down, new across"))
    console.print(_matrix(changes.routes, "Route: old down, new across"))
    for title, moves in (("Queue", changes.queues), ("Grade", changes.grades)):
        if moves.changed:
            console.print(_moves(moves, title))
            _more(len(moves.moves) - _MOVES, console)
    if changes.rules:
        table = _table("rule", "leads", "points", "typical", title="Rules behind the difference")
        for rule in changes.rules[:_RULES]:
            table.add_row(_name(rule.rule), f"{rule.leads:,}", f"{rule.points:+,}", f"{rule.usual:+}")
        console.print(table)
        _more(len(changes.rules) - _RULES, console)
    if changes.movers:
        table = _table("lead", "score", "rating", "route", "because", title="Leads that move most", left=2)
        for mover in changes.movers[:_MOVERS]:
            table.add_row(*_mover(mover))
        console.print(table)


def _mover(mover: Moved) -> Sequence[str | Text]:
    because = ", ".join(f"{shortened(rule.rule)} {(rule.new or 0) - (rule.old or 0):+}" for rule in mover.rules[:4])
    more = len(mover.rules) - 4
    if not mover.rules:
        because = without_rules(mover)
    return (
        _name(mover.lead_id),
        f"{mover.old.score} › {mover.new.score}",
        _step(mover.old.rating, mover.new.rating),
        _step(mover.old.route, mover.new.route),
        Text(printable(because + (f" and {more} more" if more > 0 else ""))),
    )


def _weeks(new: Side, old: Side | None) -> Table:
    table = _table("week", *(["old"] if old else []), "new", title="Handed over to sales")
    weeks = new.handovers.weeks
    hidden = max(0, len(weeks) - _WEEKS)
    if hidden:
        table.caption = f"the last {_WEEKS} of {len(weeks)} weeks"
    for index, week in enumerate(weeks[hidden:], start=hidden):
        before = [f"{old.handovers.weeks[index].leads:,}"] if old else []
        table.add_row(f"{week.week} ({week.starts})", *before, f"{week.leads:,}")
    return table


def _show_outcomes(outcomes: Outcomes, console: Console) -> None:
    both = [side for side in (outcomes.old, outcomes.new) if side is not None]
    table = _table("", *(["old"] if outcomes.old else []), "new", title="Against the outcomes")
    ends = f"{outcomes.won:,} won, {outcomes.lost:,} lost"
    ends += f"; {percent(outcomes.base_rate)} of all are won" if outcomes.won else ""
    table.caption = ends + (f"; {outcomes.unjudged:,} ended before anything was known" if outcomes.unjudged else "")
    table.add_row("AUC (95% interval)", *map(_auc, both))
    table.add_row("precision of sales", *(percent(side.sales.precision) for side in both))
    table.add_row("recall of sales", *(percent(side.sales.recall) for side in both))
    if outcomes.won_deals is not None and outcomes.lost_deals is not None:
        only = outcomes.won_deals, outcomes.lost_deals
        table.add_row("won, handed over only here", f"{only[0].only_old:,}", f"{only[0].only_new:,}")
        table.add_row("lost, handed over only here", f"{only[1].only_old:,}", f"{only[1].only_new:,}")
    for index, conversion in enumerate(outcomes.new.conversion):
        table.add_row(f"won of {conversion.rating}", *(_conversion(side, index) for side in both))
    console.print(table)
    fired = [rule for rule in outcomes.new.rules if rule.won or rule.lost]
    if fired:
        fired.sort(key=lambda rule: (-abs((rule.won_share or 0) - (rule.lost_share or 0)), rule.rule))
        table = _table("rule", "points", "of won", "of lost", "lift", title="Rules that separate won from lost")
        for rule in fired[:_RULES]:
            table.add_row(*_rule(rule))
        console.print(table)
        _more(len(fired) - _RULES, console)


def _rule(rule: RuleOutcomes) -> Sequence[str | Text]:
    shares = (percent(rule.won_share), percent(rule.lost_share))
    return _name(rule.rule), f"{rule.points:+}", *shares, "–" if rule.lift is None else f"{rule.lift:.2f}"


def _conversion(side: SideOutcomes, index: int) -> str:
    conversion = side.conversion[index]
    if conversion.rate is None:
        return "–"
    lift = "" if conversion.lift is None else f", lift {conversion.lift:.2f}"
    return f"{percent(conversion.rate)} of {conversion.leads:,}{lift}"


def _auc(side: SideOutcomes) -> str:
    auc = side.auc
    return "–" if auc is None else f"{auc.value:.3f} ({auc.low:.3f}–{auc.high:.3f})"


def _matrix(matrix: Matrix, title: str) -> Table:
    names = list(matrix.counts)
    total = sum(sum(row.values()) for row in matrix.counts.values())
    table = _table("", *names, title=title)
    table.caption = f"{matrix.changed:,} of {total:,} change ({percent(matrix.share)})"
    for old, row in matrix.counts.items():
        cells = (_share(count, total) for count in row.values())
        styled = (f"[dim]{cell}[/]" if old == new else cell for new, cell in zip(row, cells, strict=True))
        table.add_row(old, *styled)
    return table


def _moves(moves: Moves, title: str) -> Table:
    table = _table("old", "new", "leads", title=f"{title}: old › new")
    table.caption = f"{plural(moves.changed, 'lead')} ({percent(moves.share)}) with another {title.lower()}"
    for move in moves.moves[:_MOVES]:
        table.add_row(_name(move.old or "none"), _name(move.new or "none"), f"{move.leads:,}")
    return table


def _table(*columns: str, title: str, left: int = 1) -> Table:
    """A table with words in the first column and figures in the others; with `left` 2 the last column has words too."""
    table = Table(title=title, title_justify="left", caption_justify="left", title_style="bold", show_edge=False)
    for index, column in enumerate(columns):
        words = index == 0 or (left == 2 and index == len(columns) - 1)
        table.add_column(column, justify="left" if words else "right", overflow="fold")
    return table


def _more(count: int, console: Console) -> None:
    if count > 0:
        console.print(f"and {count} more (--format json shows all)", style="dim", highlight=False)


def _name(name: str) -> Text:
    # As text: a name may contain what rich would read as markup.
    return Text(shortened(name))


def _step(old: str, new: str) -> str:
    return old if old == new else f"{old} › {new}"


def _share(count: int, total: int) -> str:
    return f"{count:,} {percent(count / total if total else None):>4}"


def _a_week(mean: float | None) -> str:
    return "–" if mean is None else a_week(mean)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}".removesuffix(".0")
