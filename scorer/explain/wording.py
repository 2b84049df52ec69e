"""Words for conditions, values, times and points."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from scorer.domain.decision import EvidenceValue
from scorer.domain.enrichment import ENRICHING
from scorer.domain.score import Route
from scorer.explain.story_model import (
    ConditionPart,
    Escalation,
    Event,
    LifecyclePart,
    LifecycleStep,
    Moment,
    Outlook,
    PromisePart,
    RoutingPart,
    SignalPart,
    Story,
    TimelineEntry,
)
from scorer.rules.condition import All, AnyOf, Condition, FieldValues, Not, Op, Test, predicate
from scorer.rules.zones import zone

_WORDS: Mapping[Op, str] = {
    Op.EQ: "is",
    Op.NE: "is not",
    Op.GT: "is above",
    Op.GTE: "is at least",
    Op.LT: "is below",
    Op.LTE: "is at most",
    Op.IN: "is one of",
    Op.NOT_IN: "is none of",
    Op.STARTS_WITH: "starts with",
    Op.ENDS_WITH: "ends with",
    Op.CONTAINS: "contains",
    Op.MATCHES: "matches",
}
_ALWAYS = "always"
DOES_NOT_HOLD = "it does not hold: "
"""How `because` begins for a condition that does not hold."""


def value_text(value: object) -> str:
    """A value for people: `50,000`, `approved`, `"with blanks"`, and `unknown` for None."""
    match value:
        case None:
            return "unknown"
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
        case list() | tuple():
            return ", ".join(map(value_text, value)) or "nothing"
        case _:
            text = str(value)
            return text if text and not set(text) & set(' ,;"()') else f'"{text}"'


def condition_text(condition: Condition | None) -> str:
    """The condition in words; `always` for None."""
    if condition is None:
        return _ALWAYS
    match condition:
        case Test():
            return test_text(condition)
        case All(parts):
            return " and ".join(_inner(part) for part in parts) or _ALWAYS
        case AnyOf(parts):
            return " or ".join(_inner(part) for part in parts) or "never"
        case Not(part):
            return f"not ({condition_text(part)})"


def test_text(test: Test) -> str:
    """One comparison in words."""
    operand: Any = test.operand
    if test.op is Op.EXISTS:
        return f"{test.field} is {'known' if operand else 'unknown'}"
    if test.op is Op.BETWEEN:
        return f"{test.field} is from {value_text(operand[0])} to {value_text(operand[1])}"
    return f"{test.field} {_WORDS[test.op]} {value_text(operand)}"


def condition_part(condition: Condition, facts: FieldValues) -> ConditionPart:
    """The condition with the result of each of its comparisons."""
    text, holds = condition_text(condition), predicate(condition)(facts)
    match condition:
        case Test(field):
            return ConditionPart(kind="test", holds=holds, text=text, field=field, value=evidence(facts.get(field)))
        case All(parts) | AnyOf(parts):
            kind = "all" if isinstance(condition, All) else "any"
            inner = [condition_part(part, facts) for part in parts]
            return ConditionPart(kind=kind, holds=holds, text=text, parts=inner)
        case Not(part):
            return ConditionPart(kind="not", holds=holds, text=text, parts=[condition_part(part, facts)])


def because(part: ConditionPart | None) -> str:
    """Why the condition holds or not: the comparisons that decide, each with the value of its field."""
    if part is None:
        return "it always holds"
    reasons = _reasons(part, wanted=part.holds)
    return ("" if part.holds else DOES_NOT_HOLD) + "; ".join(dict.fromkeys(reasons))


def evidence(value: object) -> EvidenceValue | None:
    """A fact as evidence in JSON; None if it is unknown."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    return None


def _inner(condition: Condition) -> str:
    text = condition_text(condition)
    return f"({text})" if isinstance(condition, (All, AnyOf)) and len(condition.parts) > 1 else text


def _reasons(part: ConditionPart, *, wanted: bool) -> list[str]:
    """The reasons why the part is `wanted` (true or false). The caller knows that it is."""
    match part.kind:
        case "test":
            return [_compared(part)]
        case "not":
            inner = _reasons(part.parts[0], wanted=not wanted)
            return [f"{'it is not true' if wanted else 'it must not be true'} that {reason}" for reason in inner]
        case "all" if wanted:
            return [reason for inner_part in part.parts for reason in _reasons(inner_part, wanted=True)]
        case "any" if not wanted:
            return [reason for inner_part in part.parts for reason in _reasons(inner_part, wanted=False)]
        case _:
            return _first(part.parts, wanted)


def _first(parts: Sequence[ConditionPart], wanted: bool) -> list[str]:
    return next((_reasons(part, wanted=wanted) for part in parts if part.holds is wanted), [])


def _compared(part: ConditionPart) -> str:
    if part.holds:
        shown = value_text(part.value)
        return part.text if part.value is None or part.text.endswith(f" {shown}") else f"{part.text} ({shown})"
    return f"{part.text} (it is {value_text(part.value)})"


def moment_text(time: str) -> str:
    """An RFC 3339 time for people: `2026-03-02 09:00`, with seconds only if they are not 0. Always UTC."""
    text = time.removesuffix("Z").replace("T", " ")
    return text[:16] if text[16:] == ":00" else text[:19]


def by_text(event: Event) -> str:
    """Who stated what no event is known for: `stated by sales`, `decided by this service`, or empty."""
    return {"sales": "stated by sales", "service": "decided by this service", None: ""}[event.by]


def source_text(event: Event) -> str:
    """The source of an event; in words if it is this service."""
    return "the profile of the company" if event.source == ENRICHING else event.source or ""


def activity_text(activity: str) -> str:
    """`lead.page_viewed` as `page viewed`."""
    return activity.removeprefix("lead.").replace("_", " ").replace(".", " ")


def _span_text(seconds: float) -> str:
    """A time span in the largest unit that gives a whole number: `2 hours`, `90 minutes`."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            count = int(seconds // length)
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return f"{seconds:,.6g} seconds"


def waiting_text(story: Story) -> str:
    """Until when somebody must answer: `respond within 2 hours of the decision`, and for a lead that waits since its
    hand-over `respond by 2026-03-04 16:00 UTC; nobody has answered yet`. Empty if nobody waits for an answer."""
    routing, published, promise = story.routing, story.published, story.lifecycle.promise
    if promise is not None:
        return _open_promise_text(promise)
    is_with_sales = published is not None and published.route is Route.SALES and routing.route is Route.SALES
    if routing.respond_within_seconds is None or is_with_sales:
        return ""
    return f"respond within {promise_text(routing)} of the decision"


def promise_text(routing: RoutingPart) -> str:
    """`2 hours`, `27 hours of business time`; empty without a promise."""
    seconds = routing.respond_within_seconds
    if seconds is None:
        return ""
    if not routing.in_business_time:
        return _span_text(seconds)
    # A day of business time is not 24 hours, so the largest unit is the hour.
    hours = seconds / 3600
    text = count_text(int(hours), "hour") if hours.is_integer() else _span_text(seconds)
    return f"{text} of business time"


def status_text(status: str) -> str:
    """`handed_over` as `handed over`."""
    return status.replace("_", " ")


def times_text(count: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(count) or f"{count:,} times"


def life_text(part: LifecyclePart) -> str:
    """Where the lead is: `handed over since 2026-03-04 14:00; stage offer since …; category active-c`."""
    parts = since_texts(part)
    status = status_text(part.status)
    return f"{status} {'; '.join(parts)}" if part.since is not None else "; ".join([status, *parts])


def since_texts(part: LifecyclePart) -> list[str]:
    """What is to be said of the status: since when, the stage, and the category."""
    texts = [] if part.since is None else [f"since {moment_text(part.since)}"]
    if part.stage is not None and part.stage_since is not None:
        texts.append(f"stage {value_text(part.stage)} since {moment_text(part.stage_since)}")
    if part.category is not None:
        texts.append(f"category {part.category}")
    return texts


def _open_promise_text(promise: PromisePart) -> str:
    """What is promised, and what follows: `respond by 2026-03-02 09:00 UTC (Mon 2026-03-02 10:00 Europe/Berlin, in
    business time); nobody has answered yet; …`."""
    text = f"respond by {moment_text(promise.respond_by)} UTC"
    if promise.zone is not None:
        text += f" ({local_text(promise.respond_by, promise.zone)}, in business time)"
    text += "; nobody has answered yet"
    to = "" if promise.next_queue in (None, promise.queue) else f" to {promise.next_queue}"
    if promise.escalated:
        text += f"; escalated {times_text(promise.escalated)}"
        if promise.next_level_at is not None:
            text += f", next at {moment_text(promise.next_level_at)}{to}"
    elif promise.next_level_at is not None:
        text += f"; after that it is escalated{to}"
    return text


def local_text(moment: str, zone_name: str) -> str:
    """An instant (RFC 3339) on the clocks of a time zone: `Mon 2026-03-02 10:00 Europe/Berlin`."""
    local = datetime.fromisoformat(moment).astimezone(zone(zone_name))
    return f"{_WEEKDAYS[local.weekday()]} {local:%Y-%m-%d %H:%M} {zone_name}"


_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def coming(outlook: Outlook) -> list[Moment | Escalation]:
    """What time alone will do to rating and queue, in order of time."""
    return sorted([*outlook.ratings, *outlook.escalations], key=lambda change: change.at)


def escalation_text(escalation: Escalation) -> str:
    """`escalated (level 2) to team-lead`."""
    to = "" if escalation.queue is None else f" to {escalation.queue}"
    return f"escalated (level {escalation.level}){to}"


def life_lines(part: LifecyclePart) -> list[tuple[str, str]]:
    """The steps and escalations of a lead in order of time: when (RFC 3339), and what in words."""
    lines = [(step.time, step_text(step)) for step in part.steps]
    lines += [(escalation.at, escalation_text(escalation)) for escalation in part.escalations]
    return sorted(lines, key=lambda line: line[0])


def step_text(step: LifecycleStep) -> str:
    """`new → nurturing`, `stage offer → negotiation`."""
    if step.kind == "status":
        return f"{status_text(step.before or 'new')} → {status_text(step.after)}"
    before = "" if step.before is None else f"{value_text(step.before)} → "
    return f"stage {before}{value_text(step.after)}"


def entry_steps(entry: TimelineEntry) -> list[str]:
    """What an activity changed in the life of the lead, in words."""
    steps = []
    if entry.escalated:
        steps.append(f"escalated {times_text(entry.escalated)} before")
    if entry.answered:
        steps.append("an answer to the lead")
    if entry.status_before not in (None, entry.status):
        steps.append(f"{status_text(entry.status_before or 'new')} → {status_text(entry.status)}")
    if entry.stage is not None and entry.stage != entry.stage_before:
        before = "" if entry.stage_before is None else f"{value_text(entry.stage_before)} → "
        steps.append(f"stage {before}{value_text(entry.stage)}")
    return steps


def points_text(points: float) -> str:
    """`+5`, `-3`, `0`, `+4.15`."""
    return f"{points:+,.6g}" if points else "0"


def count_text(count: int, one: str) -> str:
    """`1 day`, `2 days`."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def signal_text(signal: SignalPart) -> str:
    """How the points of a signal add up, in one sentence."""
    counted = sum(day.counted for day in signal.days)
    days = count_text(len(signal.days), "day")
    text = f"{counted:,} counted on {days}, {points_text(signal.points_each)} each: {points_text(signal.undiminished)}"
    if signal.half_life_days is not None and abs(signal.before_limit - signal.undiminished) >= 0.005:
        half = signal.half_life_days
        days = f"{half:.6g} day{'' if half == 1 else 's'}"
        text += f"; decayed to {points_text(signal.before_limit)} (half-life {days})"
    if signal.cut:
        text += f"; limited to {points_text(signal.before_limit + signal.cut)}"
    if signal.before_limit + signal.cut != signal.points:
        text += f"; rounded to {points_text(signal.points)}"
    if signal.outside_window:
        text += f". {signal.outside_window:,} older than {count_text(signal.window_days, 'day')}: no points"
    if signal.gone_on is not None:
        text += f". Without new events, no points from {signal.gone_on}"
    return f"{text}."
