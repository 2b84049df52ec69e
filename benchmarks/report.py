"""The results of the benchmarks, from `.cache/bench/*.json`: a picture, and the tables of README.md.

.venv/bin/python -m benchmarks.report               # .cache/bench/report.svg and .png, and the tables
.venv/bin/python -m benchmarks.report --markdown    # the tables as Markdown
.venv/bin/python -m benchmarks.report --write       # puts them into benchmarks/README.md and docs/capacity.md
.venv/bin/python -m benchmarks.report --write --part ready --part rebalance    # only these tables of README.md
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import capacity
from benchmarks.results import FOLDER, Figure, Result, number, options_text

ROOT = Path(__file__).parents[1]
README = ROOT / "benchmarks" / "README.md"
CAPACITY = ROOT / "docs" / "capacity.md"
BEGIN, END = "<!-- results: python -m benchmarks.report --write -->", "<!-- end of results -->"
ORDER = (
    "rule_core",
    "hand_made",
    "service",
    "service_large",
    "latency",
    "scale",
    "restore",
    "lead_reads",
    "offline",
    "usual_load",
    "service_kafka",
    "ready",
    "rebalance",
    "latency_kafka",
    "restore_kafka",
    "reviews",
    "reviews_kafka",
    "senders",
)
COMMANDS = {
    "service_large": "service --large",
    **{f"{part}_kafka": f"{part} --broker kafka" for part in ("service", "latency", "restore", "reviews")},
}
"""The commands of results with another name than their module."""


def results() -> list[Result]:
    """The available results, in order."""
    return [Result.load(path) for name in ORDER if (path := FOLDER / f"{name}.json").exists()]


def markdown(result: Result) -> str:
    """A result as Markdown."""
    command = COMMANDS.get(result.part, result.part)
    lines = [f"### {result.title}", "", f"`python -m benchmarks.{command}`, {options_text(result.options)}; "]
    lines[-1] += f"Python {result.python}, {result.measured_at} UTC."
    lines += ["", f"| | {result.heading} | quartiles | absolute |", "|---|---:|---:|---:|"]
    for name, *values in result.rows():
        cells = [f"**{name}**", *values] if name.endswith(":") and not any(values) else [name, *values]
        lines.append(f"| {' | '.join(cells)} |")
    if result.targets:
        lines += ["", *(f"- {target}" for target in result.targets)]
    if result.notes:
        lines += ["", *result.notes]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Write the text between the markers of a document."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path}: has no lines {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def merged(path: Path, chosen: Sequence[Result]) -> str:
    """The tables of a document, those of the chosen results replaced, and new ones at the end."""
    old = path.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    parts = {part.partition("\n")[0]: part.strip() + "\n" for part in f"\n{old}".split("\n### ")[1:]}
    parts |= {result.title: markdown(result).removeprefix("### ") for result in chosen}
    return "\n".join(f"### {part}" for part in parts.values())


def picture(results: list[Result]) -> list[Path]:
    """A bar for each ratio, one panel for each benchmark."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    bars = {result.part: [f for f in result.figures if f.ratio is not None] for result in results}
    shown = [result for result in results if bars[result.part]]
    heights = [0.8 + 0.28 * len(bars[result.part]) for result in shown]
    figure, panels = plt.subplots(
        len(shown), 1, figsize=(9, sum(heights) + 0.6 * len(shown)), squeeze=False, height_ratios=heights
    )
    for result, panel in zip(shown, panels[:, 0], strict=True):
        rows = bars[result.part]
        names = [f"{bar.name}  ({bar.group})" if _ambiguous(bar.name, rows) else bar.name for bar in rows]
        ratios = [float(bar.ratio or 0) for bar in rows]
        low = [max(0.0, r - float(bar.low if bar.low is not None else r)) for r, bar in zip(ratios, rows, strict=True)]
        high = [
            max(0.0, float(bar.high if bar.high is not None else r) - r) for r, bar in zip(ratios, rows, strict=True)
        ]
        places = range(len(rows))
        colours = ["#1b7f5c" if bar.name.startswith("ours") else "#8a94a6" for bar in rows]
        panel.barh(places, ratios, color=colours, xerr=[low, high], error_kw={"lw": 0.8, "capsize": 2})
        panel.set_yticks(places, names, fontsize=7)
        panel.invert_yaxis()
        panel.axvline(1.0, color="black", lw=0.8)
        if min(ratios) > 0 and max(ratios) / min(ratios) > 20:
            panel.set_xscale("log")
        for place, value, above in zip(places, ratios, high, strict=True):
            panel.annotate(f"  {number(value)}", (value + above, place), va="center", fontsize=7)
        panel.margins(x=0.1)
        panel.set_title(f"{result.title}: {result.heading}", fontsize=8, loc="left")
        panel.tick_params(axis="x", labelsize=7)
    figure.tight_layout()
    paths = [FOLDER / "report.svg", FOLDER / "report.png"]
    for path in paths:
        figure.savefig(path, dpi=130)
    plt.close(figure)
    return paths


def _ambiguous(name: str, rows: Sequence[Figure]) -> bool:
    return [row.name for row in rows].count(name) > 1


def main() -> None:
    """Draw, print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", action="store_true", help="only print the tables as Markdown")
    parser.add_argument("--picture", action="store_true", help="only draw the picture")
    parser.add_argument("--write", action="store_true", help="write the tables into the documents")
    parser.add_argument("--part", action="append", choices=ORDER, help="only this one, repeatable")
    options = parser.parse_args()
    available = [result for result in results() if not options.part or result.part in options.part]
    if not available:
        raise SystemExit(f"nothing in {FOLDER}; run `make bench` first")
    if options.write and options.part:
        write(README, merged(README, available))
        return
    text = "\n".join(map(markdown, available))
    if options.write:
        write(README, text)
        if CAPACITY.exists():
            write(CAPACITY, capacity.markdown(available))
    if options.markdown or options.write:
        sys.stdout.write(text)
        return
    for result in available if not options.picture else ():
        result.show()
    for path in picture(available):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
