"""The live terminal view of a `DemoState`, for 80 columns or more."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from scorer.demo.state import DemoState, HotLead
from scorer.domain.score import Rating, Route

WIDE = 120
"""From this width on, every panel has its own column."""

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


def render(state: DemoState, width: int) -> Layout:
    """The whole screen at that width. It fills the height it is given; the hot leads take the remaining rows."""
    wide = width >= WIDE
    layout = Layout()
    rows = [Layout(_title(state, width), size=1), Layout(name="figures", size=_PANEL_ROWS)]
    if not wide:
        rows.append(Layout(_dead_letter_line(state), size=2))
    rows += [Layout(_hot_leads(state, wide), name="hot"), Layout(_footer(state, wide), size=1 if wide else 2)]
    layout.split_column(*rows)
    half = (width if not wide else width * 2 // 3) // 2
    columns = [Layout(_activities(state, half - 4)), Layout(_leads(state, half - 4))]
    if wide:
        columns.append(Layout(_dead_letters(state)))
    layout["figures"].split_row(*columns)
    return layout


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` values as a row of bars, scaled to the highest of them."""
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return _LEVELS[0] * len(shown)
    return "".join(_LEVELS[min(len(_LEVELS) - 1, int(value / top * len(_LEVELS)))] for value in shown)


def _title(state: DemoState, width: int) -> Text:
    title = Text(no_wrap=True, overflow="ellipsis")
    title.append(" lead scorer ", style="bold reverse")
    title.append(f" {state.service.ruleset} {state.service.revision[:12]}", style="bold")
    title.append(f" · engine {state.service.engine} · {state.phase}")
    if state.as_of and width >= WIDE:
        title.append(f" · the market's date is {state.as_of[:10]}", style="dim")
    return title


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
        lines.append(Text(f"{count:>6,}  {reason}", no_wrap=True, overflow="ellipsis"))
    if len(rows) > most:
        lines.append(Text(f"{sum(count for _, count in rows[most - 1 :]):>6,}  other reasons", style="dim"))
    return Panel(Group(*lines), title="dead letters", title_align="left", box=box.ROUNDED)


def _dead_letter_line(state: DemoState) -> Text:
    reasons = " · ".join(f"{reason} {count:,}" for reason, count in state.dead_letters.most_common())
    return Text.assemble((f" dead letters {state.dead_letters.total():,}", "bold"), f"  {reasons}")


def _hot_leads(state: DemoState, wide: bool) -> RenderableType:
    latest = list(reversed(state.hot.values()))[:_MOST_HOT_LEADS]
    title = f"hot now: {len(state.hot):,}, the latest first"
    if not latest:
        body: RenderableType = Text("none yet; leads become hot once they have budget, need and interest", style="dim")
    elif wide:
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
    table.add_column("goes to", max_width=28, no_wrap=True, overflow="ellipsis")
    table.add_column("strongest reasons", ratio=5)
    for lead in leads:
        destination = Text(lead.destination, style=_STYLES[lead.route])
        table.add_row(
            Text(lead.lead_id),
            Text(state.companies.get(lead.lead_id, "")),
            Text(lead.grade, style="bold red"),
            f"{lead.score}",
            destination,
            _reasons(lead),
        )
    return table


def _hot_lines(state: DemoState, lead: HotLead) -> Sequence[Text]:
    first = Text.assemble(
        (lead.grade, "bold red"),
        f"{lead.score:>5}  {state.name(lead.lead_id)}  ",
        (lead.destination, _STYLES[lead.route]),
    )
    first.no_wrap, first.overflow = True, "ellipsis"
    return (first, _reasons(lead))


def _reasons(lead: HotLead) -> Text:
    text = Text()
    for number, (points, reason) in enumerate(lead.reasons):
        text.append(" · " if number else "", style="dim")
        text.append(f"+{points} ", style="green")
        text.append(reason)
    return text


def _footer(state: DemoState, wide: bool) -> Text:
    url = state.service.url
    if not url:
        return Text(" Ctrl-C ends everything", style="dim")
    if wide:
        places = "  ".join(f"{url}{path}" for path in ("/metrics", "/health/live", "/health/ready"))
        return Text(f" {places}   Ctrl-C ends everything", style="dim", no_wrap=True)
    return Text(f" {url}/metrics\n {url}/health/live  /health/ready   Ctrl-C ends everything", style="dim")
