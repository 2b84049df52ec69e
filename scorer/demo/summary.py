"""The demo in plain text: progress lines and the final summary."""

from collections.abc import Iterator

from scorer.demo.state import DemoState
from scorer.domain.score import Route

_TOP = 10


def progress_line(state: DemoState) -> str:
    """The progress on one line."""
    ratings = ", ".join(f"{count:,} {rating}" for rating, count in state.by_rating().items())
    return (
        f"{state.phase}: {state.sent:,} sent, {state.processed:,} processed ({state.rate:,.0f}/s), "
        f"{len(state.leads):,} leads: {ratings}; {state.dead_letters.total():,} dead letters"
    )


def summary(state: DemoState) -> str:
    """The final summary, on several lines."""
    return "\n".join([*_lines(state), *_left_out(state)])


def _left_out(state: DemoState) -> Iterator[str]:
    count = len(state.left_out)
    if count:
        yield ""
        yield f"{count:,} line{'' if count == 1 else 's'} too large, not played"


def _lines(state: DemoState) -> Iterator[str]:
    rate = state.processed / state.seconds if state.seconds > 0 else 0.0
    yield f"{state.processed:,} of {state.sent:,} activities processed in {state.seconds:,.1f} s ({rate:,.0f}/s)"
    yield str(state.service)
    dead = ", ".join(f"{reason} {count:,}" for reason, count in state.dead_letters.most_common())
    yield f"{state.decisions:,} decisions, {state.dead_letters.total():,} dead letters{': ' if dead else ''}{dead}"
    yield ""
    yield f"{'leads':<8}" + "".join(f"{route:>10}" for route in reversed(Route)) + f"{'all':>10}"
    total = max(1, len(state.leads))
    for rating, count in state.by_rating().items():
        cells = "".join(f"{state.counts[rating, route]:>10,}" for route in reversed(Route))
        yield f"{rating:<8}{cells}{count:>10,}{count / total:>6.0%}"
    cells = "".join(f"{count:>10,}" for count in state.by_route().values())
    yield f"{'all':<8}{cells}{len(state.leads):>10,}"
    if not state.hot:
        return
    yield ""
    yield "hottest leads"
    hottest = sorted(state.hot.values(), key=lambda lead: (-lead.score, lead.lead_id))
    for lead in hottest[:_TOP]:
        yield f"  {lead.grade} {lead.score:>4}  {state.name(lead.lead_id)}, {lead.destination}"
        yield f"            {' · '.join(f'+{points} {reason}' for points, reason in lead.reasons)}"
