"""The demo in plain text: progress lines and the final summary."""

from collections.abc import Iterator
from itertools import chain

from rich.cells import cell_len

from scorer.demo.flow import flow
from scorer.demo.state import DemoState
from scorer.domain.printable import counted, printable
from scorer.domain.score import Route

_TOP = 10
_TABLE_WIDTH = 54


def progress_line(state: DemoState) -> str:
    """The progress on one line."""
    ratings = ", ".join(f"{count:,} {rating}" for rating, count in state.by_rating().items())
    return printable(
        f"{state.phase}: {state.sent:,} sent, {state.processed:,} processed ({state.rate:,.0f}/s), "
        f"{counted(len(state.leads), 'lead')}: {ratings}; {counted(state.dead_letters.total(), 'dead letter')}"
    )


def service_lines(state: DemoState) -> Iterator[str]:
    """Where the service answers, its rules, and why the last reload was refused; a line each."""
    if state.service.places:
        yield printable("  ".join(state.service.places))
    yield printable(str(state.service))
    if state.service.refused:
        yield printable(f"reload refused: {state.service.refused}")


def summary(state: DemoState, width: int | None = None) -> str:
    """The final summary, on several lines. They are broken between words if they are wider than `width`; None
    breaks no line."""
    lines = chain(_figures(state), _table(state, width), _hottest(state), _left_out(state))
    return "\n".join(part for line in lines for part in _broken(printable(line), width))


def _broken(line: str, width: int | None) -> Iterator[str]:
    words = line.split()
    if not words or width is None or cell_len(line) <= width:
        yield line
        return
    begin = line[: len(line) - len(line.lstrip())]
    yield from flow([begin + words[0], *words[1:]], width, indent=begin + "  ")


def _left_out(state: DemoState) -> Iterator[str]:
    count = len(state.left_out)
    if count:
        yield ""
        yield f"{counted(count, 'line')} too large, not played"


def _figures(state: DemoState) -> Iterator[str]:
    rate = state.processed / state.seconds if state.seconds > 0 else 0.0
    sent = counted(state.sent, "activity")
    yield f"{state.processed:,} of {sent} processed in {state.seconds:,.1f} s ({rate:,.0f}/s)"
    yield str(state.service)
    dead = ", ".join(f"{reason} {count:,}" for reason, count in state.dead_letters.most_common())
    letters = counted(state.dead_letters.total(), "dead letter")
    yield f"{counted(state.decisions, 'decision')}, {letters}{': ' if dead else ''}{dead}"


def _table(state: DemoState, width: int | None) -> Iterator[str]:
    """A row for each rating. A narrow table has no shares."""
    wide = width is None or width >= _TABLE_WIDTH
    cell = 10 if wide else 8
    yield ""
    yield f"{'leads':<8}" + "".join(f"{name:>{cell}}" for name in (*reversed(Route), "all"))
    total = max(1, len(state.leads))
    for rating, count in state.by_rating().items():
        figures = (*(state.counts[rating, route] for route in reversed(Route)), count)
        share = f"{count / total:>6.0%}" if wide else ""
        yield f"{rating:<8}" + "".join(f"{figure:>{cell},}" for figure in figures) + share
    figures = (*state.by_route().values(), len(state.leads))
    yield f"{'all':<8}" + "".join(f"{figure:>{cell},}" for figure in figures)


def _hottest(state: DemoState) -> Iterator[str]:
    if not state.hot:
        return
    yield ""
    yield "hottest leads"
    hottest = sorted(state.hot.values(), key=lambda lead: (-lead.score, lead.lead_id))
    for lead in hottest[:_TOP]:
        yield f"  {lead.grade} {lead.score:>4}  {state.name(lead.lead_id)}, {lead.destination}"
        yield f"            because: {lead.because}"
        yield f"            {' · '.join(f'+{points} {reason}' for points, reason in lead.reasons)}"
