"""The results of a benchmark: printed as a table, stored as JSON in `.cache/bench`, read for plots and the README."""

import dataclasses
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import Spread

FOLDER = Path(__file__).parents[1] / ".cache" / "bench"


@dataclass(slots=True)
class Figure:
    """One line of the table. `ratio` is relative to what the heading names, with quartiles; `absolute` is extra."""

    name: str
    absolute: float
    unit: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    group: str = ""

    @classmethod
    def of(cls, name: str, absolute: float, unit: str, ratio: Spread | None = None, group: str = "") -> Self:
        """A figure from a measured spread."""
        if ratio is None:
            return cls(name, absolute, unit, group=group)
        return cls(name, absolute, unit, ratio.median, ratio.low, ratio.high, group)


@dataclass(slots=True)
class Target:
    """A target and its measurement. `measured` None: it could not be measured here."""

    what: str
    bound: float
    measured: float | None
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether the bound is met."""
        if self.measured is None:
            return False
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        shown = "n/a" if self.measured is None else f"{number(self.measured)} {'✓' if self.met else '✗'}"
        return f"{self.what} {sign} {self.bound:g}: {shown}"


@dataclass(slots=True)
class Result:
    """All results of one benchmark. `heading` says what the ratios are."""

    part: str
    title: str
    heading: str
    options: Mapping[str, Any]
    figures: list[Figure] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    measured_at: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d %H:%M"))
    python: str = field(default_factory=platform.python_version)

    def save(self) -> Path:
        """Write it where the report reads it."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{self.part}.json"
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n")
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        content = json.loads(path.read_text())
        content["figures"] = [Figure(**figure) for figure in content["figures"]]
        content["targets"] = [Target(**target) for target in content["targets"]]
        return cls(**content)

    def finish(self) -> None:
        """Print it and write it."""
        self.show()
        Console().print(f"written: {self.save()}", style="dim", highlight=False)

    def show(self) -> None:
        """Print it."""
        console = Console() if Console().is_terminal else Console(width=118)
        console.print(self._table())
        for line in (*map(str, self.targets), *self.notes):
            console.print(line, highlight=False)

    def _table(self) -> Table:
        table = Table(title=self.title, title_justify="left", caption=options_text(self.options))
        for name in ("", self.heading, "quartiles", "absolute"):
            table.add_column(name, justify="right" if name else "left", no_wrap=not name)
        for row in self.rows():
            table.add_row(*row)
        return table

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Name, ratio, quartiles, absolute; each new group starts with its own row."""
        group = ""
        for figure in self.figures:
            if figure.group != group:
                group = figure.group
                yield (f"{group}:", "", "", "")
            value = "" if figure.ratio is None else number(figure.ratio)
            between = (
                "" if figure.low is None or figure.high is None else f"{number(figure.low)} … {number(figure.high)}"
            )
            yield figure.name, value, between, f"{number(figure.absolute)} {figure.unit}"


def options_text(options: Mapping[str, Any]) -> str:
    """The options of a run on one line."""
    return ", ".join(
        f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in options.items()
    )


def number(value: float) -> str:
    """The number with three digits, because these machines are not more precise."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.01 else f"{value:.2g}"
