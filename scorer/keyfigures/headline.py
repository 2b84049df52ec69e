"""The report in a few sentences. Pure."""

from collections.abc import Iterator
from typing import Final

from scorer.backtest.run import FEW, MANY_REJECTED, plural
from scorer.domain.rounding import percent, rounded
from scorer.figures.report_model import ClosingRate, HandOversOfPeriod, Report, Responses

YEAR: Final = 365
TOO_EARLY: Final = "it is too early for a forecast, because less than 10% of the period has passed"


def headline(result: Report) -> list[str]:
    """The answer first: produced against needed, then what became of it."""
    if not result.input.leads:
        return ["No lead was found in the input."]
    return list(_sentences(result))


def _sentences(result: Report) -> Iterator[str]:
    read, rejected = result.input, sum(result.input.rejected.values())
    if rejected and rejected >= MANY_REJECTED * read.lines:
        yield f"Caution: {rejected:,} of {plural(read.lines, 'activity')} could not be used."
    made = result.production
    if made is not None:
        handed_over = _count(made.handed_over, "opportunity")
        text = f"{handed_over} handed over in {made.period} so far, {amount(made.needed)} needed"
        if made.forecast is None:
            text += f"; {TOO_EARLY}"
        elif made.elapsed < 1:
            text += f"; if it goes on like this, {amount(made.forecast)} by its end"
        yield f"{text}."
        target = f"the target of {amount(made.revenue)}"
        if made.revenue_won:
            won, share = amount(made.revenue_won), percent(made.revenue_share)
            yield f"Deals worth {won} were won in {made.period} so far, {share} of {target}."
        else:
            yield f"No revenue was won in {made.period} so far, of {target}."
    total = result.total
    if made is None or total.handed_over != made.handed_over:
        yield f"{plural(total.handed_over, 'hand-over')} to sales in the whole input."
    if total.handed_over:
        accepted, returned, won = map(percent, (total.acceptance_rate, total.return_rate, total.win_rate))
        yield f"Of all hand-overs so far, sales accepted {accepted}, returned {returned} and won {won}."
        yield from _decided(total)
    yield from _answers(result)
    for worth in result.closing_rate[-1:]:
        yield (
            f"A closing rate of {percent(worth.better_rate)} instead of {percent(worth.rate)} would bring "
            f"{amount(worth.plus)} more {_in(worth)}, with the same opportunities."
        )
    outcomes = result.outcomes
    if outcomes is not None and min(outcomes.won, outcomes.lost) < FEW:
        ends = f"{plural(outcomes.won, 'won lead')} and {plural(outcomes.lost, 'lost lead')}"
        yield f"Only {ends} are known, so what tells them apart is only a hint."


def _decided(total: HandOversOfPeriod) -> Iterator[str]:
    undecided = total.handed_over - total.decided
    if not total.decided:
        yield "No hand-over is won or lost yet."
    elif undecided:
        rest = f"{plural(undecided, 'hand-over')} {'is' if undecided == 1 else 'are'} undecided"
        yield f"Of the {total.decided:,} that are won or lost, {percent(total.decided_win_rate)} were won; {rest}."


def _answers(result: Report) -> Iterator[str]:
    promises = sum(queue.promises for queue in result.responses)
    if not promises:
        return
    broken, due = broken_promises(result)
    rest = (
        "open, withdrawn or unmeasured" if any(queue.unmeasured for queue in result.responses) else "open or withdrawn"
    )
    text = f"Of {plural(promises, 'promise')} of an answer, {broken:,} {_were(broken)} broken"
    text += f"{',' if due < promises else ' and'} {due - broken:,} {_were(due - broken)} kept"
    if due < promises:
        text += f" and {promises - due:,} {'is' if promises - due == 1 else 'are'} {rest}"
    slowest = max(result.responses, key=_slowness)
    time = duration(slowest.median_seconds, is_business=result.in_business_time)
    time += " of business time" if result.in_business_time else ""
    if slowest.median_seconds is not None and len(result.responses) > 1:
        text += f"; the queue {slowest.queue} is slowest, with a median of {time}"
    elif slowest.median_seconds is not None:
        text += f"; half of the answers took at most {time}"
    yield f"{text}."
    overdue = result.waiting.overdue
    if overdue:
        verbs = ("has", "waits") if overdue == 1 else ("have", "wait")
        yield f"{plural(overdue, 'lead')} {verbs[0]} waited too long and still {verbs[1]}."


def broken_promises(result: Report) -> tuple[int, int]:
    """Broken promises, and those that were kept or broken: the whole of every share of promises."""
    broken = sum(queue.late + queue.missed for queue in result.responses)
    return broken, broken + sum(queue.kept for queue in result.responses)


def _slowness(queue: Responses) -> float:
    return -1.0 if queue.median_seconds is None else queue.median_seconds


def _in(worth: ClosingRate) -> str:
    return f"in the {worth.days} days of the input" if worth.days < YEAR else "in a year"


def basis(worth: ClosingRate) -> str:
    """What the worth of a closing rate was computed from."""
    if worth.basis == "targets":
        return "a year by the targets"
    return f"the {worth.days} days of the input" if worth.days < YEAR else f"the last {YEAR} days"


def _count(number: int, noun: str) -> str:
    return f"{plural(number, noun)} {_were(number)}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def amount(value: float) -> str:
    """A number for people: whole from 10, with one decimal below unless it is whole."""
    return f"{rounded(value, 0 if value >= 10 or value == round(value) else 1):,}".removesuffix(".0")


def duration(seconds: float | None, *, is_business: bool = False) -> str:
    """A time for people: `45 s`, `12 min`, `3.5 h`, `2.1 d`. Business time has no days, because a business day
    has other hours than a day."""
    if seconds is None:
        return "–"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"))[is_business:]:
        if seconds >= (2 * size if unit == "d" else size):
            figure = f"{seconds / size:.1f}" if seconds < 10 * size else f"{seconds / size:,.0f}"
            return f"{figure.removesuffix('.0')} {unit}"
    return f"{seconds:.0f} s"
