"""Charts as inline SVG without scripts. Only shapes are SVG: the text around them is HTML, which keeps its size on a
narrow screen. Colours are classes of `base.html.j2`, so charts follow the light and dark schemes.

All functions return markup that is safe in a page: numbers are formatted and texts are escaped here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10
from typing import Literal, NamedTuple

from markupsafe import Markup

from scorer.report.page import number, percent

Tone = Literal[
    "plus", "minus", "cap", "total", "series-1", "series-2", "hot", "warm", "cold", "sales", "nurture", "discard"
]
"""A colour, named after its meaning."""

_BOX = 1000
"""Width and height of a plot in its own units. The page stretches it."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high`, drawn from 0 to 100 %."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float], *, room: float = 0.0) -> "Scale":
        """A scale that covers the values and zero, plus `room` (a share of its length) on each side that has values."""
        held = [0.0, *values]
        low, high = min(held), max(held)
        margin = room * (high - low)
        return cls(low - margin if low < 0 else low, high + margin if high > 0 else high)

    def share(self, value: float) -> float:
        """The position of a value from 0 to 1. A value beyond an end is drawn at that end."""
        length = self.high - self.low
        return 0.0 if length <= 0 else min(1.0, max(0.0, (value - self.low) / length))

    def ticks(self, about: int = 5) -> list[float]:
        """About `about` round values within the scale."""
        length = self.high - self.low
        if length <= 0:
            return [self.low]
        rough = length / about
        power = 10 ** floor(log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        return [index * step for index in range(ceil(self.low / step), floor(self.high / step) + 1)]


class Mark(NamedTuple):
    """A named line at a value, such as the bound of a rating."""

    value: float
    label: str
    tone: Tone = "cold"


class Bar(NamedTuple):
    """A row of a bar chart. `text` is shown beside the bar; default: the value."""

    label: str
    value: float
    text: str | None = None
    tone: Tone = "series-2"


class Series(NamedTuple):
    """Named values: heights of a histogram (`values`) or points of a line (`points`: (x, y), ascending x)."""

    name: str
    tone: Tone
    values: Sequence[float] = ()
    points: Sequence[tuple[float, float]] = ()


def track(scale: Scale, start: float, end: float, tone: Tone, marks: Sequence[float] = ()) -> Markup:
    """One horizontal bar from `start` to `end`, with thin lines at zero and at the marks: a row of a waterfall."""
    left, right = sorted((scale.share(start), scale.share(end)))
    lines = Markup("").join(
        Markup('<line class="{}" x1="{}" x2="{}" y1="-10%" y2="110%"/>').format(kind, _at(place), _at(place))
        for kind, place in [("grid", scale.share(0)), *(("mark", scale.share(value)) for value in marks)]
    )
    # A bar that would be too thin to see is 2 pixels wide.
    width = Markup('width="{}"').format(_at(right - left)) if right - left > 0.004 else Markup('width="2"')
    rect = Markup('<rect class="fill-{}" x="{}" y="15%" {} height="70%" rx="1.5"/>').format(tone, _at(left), width)
    return Markup('<svg class="track" aria-hidden="true">{}{}</svg>').format(lines, rect)


def bars(rows: Sequence[Bar], *, scale: Scale | None = None, caption: str = "") -> Markup:
    """Horizontal bars with their labels and values, as a table."""
    common = scale or Scale.over(row.value for row in rows)
    body = Markup("").join(
        Markup(
            '<tr><th scope="row"><bdi>{}</bdi></th><td class="bar">{}</td><td class="num"><bdi>{}</bdi></td></tr>'
        ).format(row.label, track(common, 0, row.value, row.tone), number(row.value) if row.text is None else row.text)
        for row in rows
    )
    head = Markup("<caption>{}</caption>").format(caption) if caption else Markup("")
    return Markup('<table class="bars">{}<tbody>{}</tbody></table>').format(head, body)


def lines(
    series: Sequence[Series], *, x_labels: Sequence[str], describe: str, marks: Sequence[Mark] = (), steps: bool = False
) -> Markup:
    """Curves with a common x axis. `x_labels` are spaced evenly below, the first and last at the ends. `describe` is a
    text for people who cannot see the chart. `steps`: a value stays until the next one."""
    places = [x for curve in series for x, _ in curve.points]
    low, high = (min(places), max(places)) if places else (0.0, 1.0)
    heights = [y for curve in series for _, y in curve.points] + [mark.value for mark in marks]
    scale = Scale.over(heights, room=0.06)

    def place(x: float, y: float) -> tuple[float, float]:
        across = 0.5 if high == low else (x - low) / (high - low)
        return across * _BOX, (1 - scale.share(y)) * _BOX

    curves = Markup("").join(
        Markup('<polyline class="curve stroke-{}" points="{}"/>').format(
            curve.tone, _points([place(x, y) for x, y in (_stepped(curve.points) if steps else curve.points)])
        )
        for curve in series
    )
    return _frame(scale, curves, x_labels, describe, marks) + _legend(series)


def histogram(
    series: Sequence[Series], *, x_labels: Sequence[str], describe: str, marks: Sequence[Mark] = ()
) -> Markup:
    """Counts in equal classes: one group of bars per class, one bar per series. All series have the same length."""
    heights = [value for counts in series for value in counts.values] + [mark.value for mark in marks]
    scale = Scale.over(heights, room=0.04)
    classes = max((len(counts.values) for counts in series), default=0)
    slot = _BOX / max(1, classes)
    width = slot * 0.84 / max(1, len(series))
    rects = Markup("").join(
        Markup('<rect class="fill-{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
            counts.tone,
            index * slot + slot * 0.08 + order * width,
            (1 - scale.share(value)) * _BOX,
            width,
            (scale.share(value) - scale.share(0)) * _BOX,
        )
        for order, counts in enumerate(series)
        for index, value in enumerate(counts.values)
        if value > 0
    )
    return _frame(scale, rects, x_labels, describe, marks) + _legend(series)


def heat_table(
    rows: Sequence[str],
    columns: Sequence[str],
    counts: Sequence[Sequence[int]],
    *,
    row_title: str,
    column_title: str,
    caption: str = "",
    by_row: bool = False,
) -> Markup:
    """A matrix of counts and their shares of the total, or of their row; higher counts are darker. Cells whose row and
    column have the same name are highlighted, because nothing changed there. With `by_row`, cells without counts are
    empty."""
    total = sum(map(sum, counts))
    most = max((count for row in counts for count in row), default=0)
    head = Markup("").join(Markup('<th scope="col"><bdi>{}</bdi></th>').format(name) for name in columns)
    body = []
    for name, row in zip(rows, counts, strict=True):
        whole = sum(row) if by_row else total
        cells = Markup("").join(
            Markup('<td{} style="background: rgba(var(--heat), {:.2f})">{}<small>{}</small></td>').format(
                Markup(' class="same"') if name == column else "",
                0.0 if count == 0 else 0.06 + 0.3 * (count / most),
                "" if by_row and not count else number(count),
                percent(count / whole, 1) if whole and (count or not by_row) else "",
            )
            for column, count in zip(columns, row, strict=True)
        )
        body.append(Markup('<tr><th scope="row"><bdi>{}</bdi></th>{}</tr>').format(name, cells))
    return Markup(
        '<div class="scroll"><table class="heat">{}<thead><tr><th>{}</th>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(
        Markup("<caption>{}</caption>").format(caption) if caption else "",
        f"{row_title} ↓  {column_title} →",
        head,
        Markup("").join(body),
    )


def _frame(scale: Scale, shapes: Markup, x_labels: Sequence[str], describe: str, marks: Sequence[Mark]) -> Markup:
    ticks = scale.ticks()
    grid = Markup("").join(_level(scale, tick, "grid") for tick in ticks)
    bounds = Markup("").join(_level(scale, mark.value, f"mark stroke-{mark.tone}") for mark in marks)
    digits = 0 if all(tick == round(tick) for tick in ticks) else 1
    axis = Markup("").join(
        Markup('<span style="bottom: {}">{}</span>').format(_at(scale.share(tick)), number(tick, digits))
        for tick in ticks
    )
    tags = Markup("").join(
        Markup('<span class="tag {}" style="bottom: {}">{}</span>').format(
            mark.tone, _at(scale.share(mark.value)), mark.label
        )
        for mark in marks
    )
    below = Markup("").join(Markup("<span>{}</span>").format(label) for label in x_labels)
    return Markup(
        '<div class="chart" role="img" aria-label="{}"><div class="y">{}</div><div class="plot">'
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}{}{}</svg>{}</div>'
        '<div class="x">{}</div></div>'
    ).format(describe, axis, _BOX, _BOX, grid, shapes, bounds, tags, below)


def _legend(series: Sequence[Series]) -> Markup:
    if len(series) < 2:
        return Markup("")
    items = Markup("").join(
        Markup(
            '<li><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="fill-{}" width="10" height="10" rx="2"/>'
            "</svg><bdi>{}</bdi></li>"
        ).format(member.tone, member.name)
        for member in series
    )
    return Markup('<ul class="legend">{}</ul>').format(items)


def _level(scale: Scale, value: float, kind: str) -> Markup:
    y = f"{(1 - scale.share(value)) * _BOX:.2f}"
    return Markup('<line class="{}" x1="0" x2="{}" y1="{}" y2="{}"/>').format(kind, _BOX, y, y)


def _stepped(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    stepped = list(points[:1])
    for (_, before), (x, y) in pairwise(points):
        stepped += [(x, before), (x, y)]
    return stepped


def _points(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in places)


def _at(share: float) -> str:
    return f"{100 * share:.2f}%"
