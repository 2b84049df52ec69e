"""The live terminal view of a `DemoState`, for 40 columns or more."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from scorer.demo.flow import flow, flow_at_most
from scorer.demo.state import DemoState, HotLead
from scorer.domain.printable import printable, shortened
from scorer.domain.score import Rating, Route

WIDE = 120
"""From this width on, every panel has its own column."""

_NARROW = 58
"""Below this width, panels do not fit beside each other."""

_STYLES: Mapping[str, str] = {
    Rating.HOT: "bold red",
    Rating.WARM: "yellow",
    Rating.COLD: "blue",
    Route.SALES: "green",
    Route.NURTURE: "cyan",
    Route.DISCARD: "bright_black",
}
_LEVELS = "▁▂▃▄▅▆▇█"
_PANEL_ROWS = 9
_MOST_HOT_LEADS = 40
_REFUSAL_ROWS = 3


def render(state: DemoState, width: int) -> Layout:
    """The whole screen at that width. It fills the height it is given; the hot leads take the remaining rows."""
    wide, narrow = width >= WIDE, width < _NARROW
    layout = Layout()
    title, dead_letters, footer = _title(state, width), _dead_letter_lines(state, width), _footer(state, width)
    rows = [_lines(title)]
    if narrow:
        rows += [_lines(_activity_lines(state, width)), Layout(_leads(state, width - 4), size=_PANEL_ROWS)]
    else:
        rows.append(Layout(name="figures", size=_PANEL_ROWS))
    if not wide:
        rows.append(_lines(dead_letters))
    rows += [Layout(_hot_leads(state, width), name="hot"), _lines(footer)]
    layout.split_column(*rows)
    if not narrow:
        half = (width if not wide else width * 2 // 3) // 2
        columns = [Layout(_activities(state, half - 4)), Layout(_leads(state, half - 4))]
        if wide:
            columns.append(Layout(_dead_letters(state)))
        layout["figures"].split_row(*columns)
    return layout


def _lines(lines: Sequence[Text]) -> Layout:
    return Layout(Group(*lines), size=len(lines))


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` values as a row of bars, scaled to the highest of them."""
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return _LEVELS[0] * len(shown)
    return "".join(_LEVELS[min(len(_LEVELS) - 1, int(value / top * len(_LEVELS)))] for value in shown)


def _title(state: DemoState, width: int) -> Sequence[Text]:
    service = state.service
    pieces = [
        printable(f"{shortened(service.ruleset)} {service.revision[:12]}"),
        printable(f"engine {service.engine}"),
        printable(state.phase),
    ]
    if state.as_of and width >= WIDE:
        pieces.append(f"the market's date is {printable(state.as_of[:10])}")
    name = " lead scorer "
    first, *others = flow([f"{name} {pieces[0]}", *pieces[1:]], width, " · ")
    title = Text.assemble((name, "bold reverse"), (first.removeprefix(name), "bold"))
    lines = [title, *(Text(line, "bold") for line in others)]
    if service.refused:
        words = printable(f"reload refused: {service.refused}").split()
        margin = _margin(width)
        told = flow_at_most(words, _REFUSAL_ROWS, lambda _: "…", width - len(margin))
        lines += [Text(margin + line, "bold red") for line in told]
    return lines


def _activities(state: DemoState, width: int) -> Panel:
    lines = [
        Text.assemble((f"{state.rate:,.0f}", "bold"), " a second"),
        Text(sparkline(state.rates, max(1, width)), style="green"),
        _figure("sent", state.sent),
        _figure("processed", state.processed),
        _figure("decisions", state.decisions),
        _figure("leads", len(state.leads)),
    ]
    return Panel(Group(*lines), title="activities", title_align="left", box=box.ROUNDED)


def _activity_lines(state: DemoState, width: int) -> Sequence[Text]:
    """The same without a panel, for a narrow screen."""
    figures = [
        f"{state.rate:,.0f} a second",
        *(f"{name} {count:,}" for name, count in (("sent", state.sent), ("processed", state.processed))),
        *(f"{name} {count:,}" for name, count in (("decisions", state.decisions), ("leads", len(state.leads)))),
    ]
    return [Text(line) for line in flow(figures, width, " · ")]


def _figure(label: str, number: int) -> Text:
    return Text(f"{label:<10}{number:>12,}")


def _leads(state: DemoState, width: int) -> Panel:
    total = max(1, len(state.leads))
    lines = [_bar(name, count, total, width) for name, count in state.by_rating().items()]
    lines.append(Text())
    lines += [_bar(name, count, total, width) for name, count in state.by_route().items()]
    return Panel(Group(*lines), title="leads by rating and route", title_align="left", box=box.ROUNDED)


def _bar(name: str, count: int, total: int, width: int) -> Text:
    room = max(4, width - 8 - 8 - 5)
    length = max(1 if count else 0, round(room * count / total))
    return Text.assemble(
        f"{name:<8}",
        ("█" * length + " " * (room - length), _STYLES[name]),
        f"{count:>8,}",
        (f"{count / total:>5.0%}", "dim"),
        no_wrap=True,
    )


def _dead_letters(state: DemoState) -> Panel:
    rows = state.dead_letters.most_common()
    most = _PANEL_ROWS - 2 - 1
    lines = [Text.assemble((f"{state.dead_letters.total():,}", "bold"), " in all")]
    for reason, count in rows[: most if len(rows) <= most else most - 1]:
        lines.append(Text(f"{count:>6,}  {printable(reason)}", no_wrap=True, overflow="ellipsis"))
    if len(rows) > most:
        lines.append(Text(f"{sum(count for _, count in rows[most - 1 :]):>6,}  other reasons", style="dim"))
    return Panel(Group(*lines), title="dead letters", title_align="left", box=box.ROUNDED)


def _dead_letter_lines(state: DemoState, width: int) -> Sequence[Text]:
    counts = state.dead_letters.most_common()
    margin = _margin(width)
    total = f"dead letters {state.dead_letters.total():,}"
    pieces = [f"{shortened(reason)} {count:,}" for reason, count in counts]
    if not pieces:
        return [Text(margin + total, "bold")]

    def rest(fitting: int) -> str:
        return f"other reasons {sum(count for _, count in counts[fitting:]):,}"

    limit = 3 if width < _NARROW else 2
    pieces[0] = f"{total}  {pieces[0]}"
    first, *others = flow_at_most(pieces, limit, rest, width - len(margin), " · ")
    begin = Text.assemble((margin + total, "bold"), first.removeprefix(total))
    return [begin, *(Text(margin + line) for line in others)]


def _hot_leads(state: DemoState, width: int) -> RenderableType:
    latest = list(reversed(state.hot.values()))[:_MOST_HOT_LEADS]
    title = f"hot now: {len(state.hot):,}, the latest first"
    if not latest:
        body: RenderableType = Text("none yet; leads become hot once they have budget, need and interest", style="dim")
    elif width >= WIDE:
        body = _hot_table(state, latest)
    else:
        body = Group(*(line for lead in latest for line in _hot_lines(state, lead)))
    return Panel(body, title=title, title_align="left", box=box.ROUNDED, border_style="red" if latest else "none")


def _hot_table(state: DemoState, leads: Sequence[HotLead]) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("lead", max_width=16, no_wrap=True, overflow="ellipsis")
    table.add_column("company", ratio=2, no_wrap=True, overflow="ellipsis")
    table.add_column("grade", width=5)
    table.add_column("score", width=5, justify="right")
    table.add_column("goes to, because", ratio=3)
    table.add_column("strongest reasons", ratio=4)
    for lead in leads:
        table.add_row(
            Text(shortened(lead.lead_id)),
            Text(shortened(state.companies.get(lead.lead_id, ""))),
            Text(printable(lead.grade), style="bold red"),
            f"{lead.score}",
            _destination(lead),
            _reasons(lead),
        )
    return table


def _hot_lines(state: DemoState, lead: HotLead) -> Sequence[Text]:
    grade = printable(lead.grade)
    first = Text.assemble((grade, "bold red"), f"{lead.score:>5}  {state.name(lead.lead_id)}")
    first.no_wrap, first.overflow = True, "ellipsis"
    return (first, _destination(lead), _reasons(lead))


def _destination(lead: HotLead) -> Text:
    return Text.assemble((printable(lead.destination), _STYLES[lead.route]), printable(f": {lead.because}"))


def _reasons(lead: HotLead) -> Text:
    text = Text()
    for number, (points, reason) in enumerate(lead.reasons):
        text.append(" · " if number else "", style="dim")
        text.append(f"+{points} ", style="green")
        text.append(printable(reason))
    return text


def _footer(state: DemoState, width: int) -> Sequence[Text]:
    margin = _margin(width)
    end = "Ctrl-C ends everything"
    lines = flow([*map(printable, state.service.places), end], width - len(margin), "  ")
    return [Text(margin + line, style="dim") for line in lines]


def _margin(width: int) -> str:
    # The longest piece of the footer needs 40 columns.
    return " " if width >= _NARROW else ""
