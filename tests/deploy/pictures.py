"""Pictures of the dashboards for the documentation, from the queries of their panels.

`python -m tests.deploy.pictures DATA END SECONDS INTERVAL` reads the samples of a Prometheus in the folder DATA, from
SECONDS before END (seconds since the epoch) to END, and writes docs/images/*.svg. INTERVAL replaces
`$__rate_interval`. The pictures are not what Grafana draws; they show that the queries say something.
"""

import sys
import tempfile
from collections.abc import Sequence
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any, Final

from scorer.report.charts import Scale
from tests.deploy.mixin import dashboards, substituted
from tests.deploy.monitoring import ROOT, Prometheus

COLUMN: Final = 50
"""Width of a column of the grid of Grafana, which has 24, in pixels."""
LINE: Final = 32
"""Height of a line of that grid."""
COLOURS: Final = ("#3b6fb6", "#d97b29", "#4a9a5b", "#b8485a", "#7d62a8", "#8a6d4b", "#c76fa5", "#6b6b6b", "#a3a032")
NAMED: Final = {"blue": COLOURS[0], "orange": COLOURS[1], "red": COLOURS[3]}
"""The colours that dashboards fix by name."""
_MOST: Final = 9
"""Series in a legend; more of them are drawn without a name."""

Points = list[tuple[float, float]]


def shown(value: float, unit: str) -> str:
    """A number with its unit, as short as Grafana shows it."""
    match unit:
        case "percentunit":
            return f"{100 * value:.3g} %"
        case "s":
            return f"{value:.3g} s" if abs(value) >= 1 or value == 0 else f"{1000 * value:.3g} ms"
        case "bytes":
            return f"{value / (1 << 20):.3g} MiB"
        case "ops" | "cpm":
            return f"{plain(value)}/{'s' if unit == 'ops' else 'min'}"
        case _:
            return plain(value)


def plain(value: float) -> str:
    """A number with three digits, and all of a large one."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def name_of(legend: str, labels: dict[str, str]) -> str:
    """The legend with the labels filled in; without one, the values of the labels."""
    for label, value in labels.items():
        legend = legend.replace("{{" + label + "}}", value)
    return legend or " ".join(value[:12] for label, value in labels.items() if label not in ("__name__", "job"))


class Picture:
    """One dashboard."""

    def __init__(self, prometheus: Prometheus, end: float, seconds: float, interval: str) -> None:
        self._prometheus = prometheus
        self._end, self._start, self._interval = end, end - seconds, interval
        self._span = f"{round(seconds)}s"

    def draw(self, dashboard: dict[str, Any]) -> str:
        """The SVG."""
        boxes = [(panel["gridPos"], panel) for panel in dashboard["panels"]]
        height = max(place["y"] + place["h"] for place, _ in boxes) * LINE
        width = 24 * COLUMN
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#f4f5f7"/>'
        ]
        for place, panel in boxes:
            x, y = place["x"] * COLUMN + 4, place["y"] * LINE + 4
            w, h = place["w"] * COLUMN - 8, place["h"] * LINE - 8
            parts.append(f'<g transform="translate({x} {y})">{self._panel(panel, w, h)}</g>')
        return "".join([*parts, "</svg>\n"])

    def _panel(self, panel: dict[str, Any], width: int, height: int) -> str:
        if panel["type"] == "row":
            return text(2, 18, panel["title"], size=15, weight="bold")
        unit = panel["fieldConfig"]["defaults"]["unit"]
        body = f'<rect width="{width}" height="{height}" rx="3" fill="#fff" stroke="#d8dbe0"/>'
        body += text(8, 18, panel["title"], weight="bold")
        match panel["type"]:
            case "timeseries":
                return body + self._lines(panel, unit, width, height)
            case "stat":
                values = [value for _, value in self._now(panel)]
                return body + text(
                    width / 2,
                    height / 2 + 18,
                    shown(round(values[0]) if unit == "short" else values[0], unit) if values else "no data",
                    26,
                    "middle",
                )
            case _:
                return body + self._rows(panel, unit, width, height)

    def _now(self, panel: dict[str, Any]) -> list[tuple[str, float]]:
        return [
            (name_of(target["legendFormat"], entry["metric"]), float(entry["value"][1]))
            for target in panel["targets"]
            for entry in self._prometheus.query(
                substituted(target["expr"], self._interval, self._span), time=str(self._end)
            )
        ]

    def _rows(self, panel: dict[str, Any], unit: str, width: int, height: int) -> str:
        rows = sorted(self._now(panel), key=lambda row: -row[1])[: (height - 30) // 17]
        most = max((value for _, value in rows), default=1.0) or 1.0
        parts = []
        for number, (name, value) in enumerate(rows):
            y = 40 + 17 * number
            if panel["type"] == "bargauge":
                length = (width - 330) * value / most
                parts.append(f'<rect x="250" y="{y - 11}" width="{length:.1f}" height="13" fill="{COLOURS[0]}"/>')
            parts.append(text(8, y, name[:70]) + text(width - 8, y, shown(round(value), unit), anchor="end"))
        return "".join(parts) or text(8, 40, "no data")

    def _lines(self, panel: dict[str, Any], unit: str, width: int, height: int) -> str:
        step = (self._end - self._start) / 140
        lines: list[tuple[str, Points]] = []
        for target in panel["targets"]:
            expression = substituted(target["expr"], self._interval, self._span)
            for entry in self._prometheus.range(expression, self._start, self._end, step):
                points = [(float(at), float(value)) for at, value in entry["values"] if isfinite(float(value))]
                lines.append((name_of(target["legendFormat"], entry["metric"]), points))
        values = [value for _, points in lines for _, value in points]
        if not values:
            return text(8, 40, "no data")
        scale = Scale.over(values)
        left, top, right, bottom = 66, 30, width - 10, height - 44
        parts = []
        for tick in scale.ticks(4):
            y = bottom - (bottom - top) * scale.share(tick)
            parts.append(f'<path d="M{left} {y:.1f}H{right}" stroke="#e4e6ea"/>')
            parts.append(text(left - 6, y + 4, shown(tick, unit), 11, "end"))
        names = [name for name, _ in lines]
        colours = colours_of(panel, names)
        for colour, (_, points) in zip(colours, lines, strict=True):
            path = " ".join(
                f"{left + (right - left) * (at - self._start) / (self._end - self._start):.1f},"
                f"{bottom - (bottom - top) * scale.share(value):.1f}"
                for at, value in points
            )
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        return "".join([*parts, legend(names, colours, width, height)])


def colours_of(panel: dict[str, Any], names: Sequence[str]) -> list[str]:
    """The colour of each line: the one that the panel fixes for its name, or the next of the palette."""
    fixed = {
        override["matcher"]["options"]: NAMED[each["value"]["fixedColor"]]
        for override in panel["fieldConfig"]["overrides"]
        for each in override["properties"]
        if each["id"] == "color"
    }
    return [fixed.get(name, COLOURS[number % len(COLOURS)]) for number, name in enumerate(names)]


def legend(names: Sequence[str], colours: Sequence[str], width: int, height: int) -> str:
    """The names of the first lines, in two rows below the plot."""
    parts, x, y = [], 10.0, height - 24
    for name, colour in zip(names[:_MOST], colours, strict=False):
        needed = 18 + 6.3 * len(name)
        if x + needed > width - 60 and y > height - 12:
            break
        if x + needed > width - 8:
            x, y = 10.0, height - 8
        parts.append(f'<rect x="{x}" y="{y - 8}" width="9" height="9" fill="{colour}"/>')
        parts.append(text(x + 12, y, name, 11))
        x += needed
    left = len(names) - len(parts) // 2
    return "".join([*parts, text(width - 8, height - 8, f"and {left} more", 11, "end") if left else ""])


def text(x: float, y: float, content: str, size: int = 12, anchor: str = "start", weight: str = "normal") -> str:
    """A line of text."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="#24292f">{escape(content)}</text>'
    )


def write(data: Path, end: float, seconds: float, interval: str, folder: Path) -> list[Path]:
    """Draw all dashboards into a folder."""
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, Prometheus(Path(work), data=data) as prometheus:
        for name, dashboard in dashboards().items():
            path = folder / Path(name).with_suffix(".svg").name
            path.write_text(Picture(prometheus, end, seconds, interval).draw(dashboard))
            written.append(path)
    return written


if __name__ == "__main__":
    _, DATA, END, SECONDS, INTERVAL = sys.argv
    write(Path(DATA).resolve(), float(END), float(SECONDS), INTERVAL, ROOT / "docs" / "images")
