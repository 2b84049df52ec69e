"""The waterfall: every rule and signal that gives points, the effect of limits and decay, and the event behind each
value.

Points are those of the evaluation and are never recalculated. The details behind them, such as days and limits, are
calculated here.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import fsum, log2

from scorer.domain.counts import Days, counts_of
from scorer.domain.facts import Fact
from scorer.domain.instant import day_of, day_to_text, to_text
from scorer.domain.lead import Lead
from scorer.domain.lifecycle import STAGE_NAME, STAGED, STATES, STATUS, STATUSES, TIMES_RETURNED
from scorer.domain.lifecycle import Step as Stated
from scorer.evaluation.criteria import limit_text
from scorer.evaluation.results import CriterionResult, Evaluation
from scorer.evaluation.signal_points import signal_points
from scorer.explain.story_model import CriterionPart, DayPart, Event, KnownValue, RulePart, SignalPart, Step
from scorer.explain.wording import condition_text, evidence
from scorer.rules.catalogue import LAST_ACTIVITY, is_timed, milestone_of
from scorer.rules.ruleset import BEHAVIOUR, HitPolicy, Ruleset, Signal

Events = Mapping[int, Event]
"""The known activities, by `event_hash`."""
StepEvents = Mapping[Stated, Event]
"""The known events of the steps of sales."""


def event_of(field: str, fact: Fact, steps: StepEvents) -> Event:
    """The event that stated a fact. A fact that follows from the lifecycle has the event of its step, if it is among
    `steps`; else it is said who stated it."""
    stamp = fact.stamp
    if stamp.id:
        return Event(time=to_text(stamp.time), id=stamp.id, source=stamp.source or None)
    step = _step_of(field, fact)
    if step is None:
        return Event(time=to_text(stamp.time), by="service")
    return steps.get(step) or Event(time=to_text(stamp.time), by="sales")


def _step_of(field: str, fact: Fact) -> Stated | None:
    """The step of sales from which the fact follows; None if it follows from a decision of ours."""
    time = fact.stamp.time
    if field == STAGE_NAME:
        return Stated(time, STAGED, str(fact.value))
    status = "returned" if field == TIMES_RETURNED else fact.value
    if field in (STATUS, TIMES_RETURNED) and status in STATES.values():
        return Stated(time, STATUSES.index(status))
    return None


def known_value(lead: Lead, field: str, facts: Mapping[str, object], steps: StepEvents) -> KnownValue:
    """The value of a field, and the event that stated it."""
    if field == LAST_ACTIVITY:
        return KnownValue(field=field, value=evidence(facts.get(field)), event=Event(time=to_text(lead.clock)))
    stated = (milestone_of(field) if is_timed(field) else field) or ""
    fact = lead.facts.get(stated)
    event = None if fact is None else event_of(stated, fact, steps)
    return KnownValue(field=field, value=evidence(facts.get(field)), event=event)


def criterion_part(rated: CriterionResult, lead: Lead, facts: Mapping[str, object], steps: StepEvents) -> CriterionPart:
    """A criterion with the rules that hold."""
    criterion = rated.criterion
    rules = [
        RulePart(
            rule=rule.id,
            points=rule.points,
            reason=rule.reason,
            condition=condition_text(rule.condition),
            evidence=[known_value(lead, field, facts, steps) for field in rule.fields],
        )
        for rule in rated.rules
    ]
    total = sum(rule.points for rule in rated.rules)
    return CriterionPart(
        criterion=criterion.name,
        group=criterion.group,
        met=None if criterion.group is None else rated.points >= criterion.met_at,
        met_at=criterion.met_at,
        hit_policy="first" if criterion.hit_policy is HitPolicy.FIRST else "sum",
        rules=rules,
        before_limit=total,
        min=criterion.min,
        max=criterion.max,
        cut=rated.points - total,
        points=rated.points,
    )


def signal_part(signal: Signal, days: Days, today: int, events: Events) -> SignalPart:
    """A signal day by day."""
    weights = signal.weights
    shown, outside = [], 0
    for day in sorted(days):
        age, hashes = today - day, days[day]
        counted = min(len(hashes), signal.daily_cap)
        if not 0 <= age < len(weights):
            outside += counted
            continue
        shown.append(
            DayPart(
                day=day_to_text(day),
                counted=counted,
                full=len(hashes) >= signal.daily_cap,
                age_days=age,
                share=round(weights[age], 4),
                points=counted * signal.points * weights[age],
                events=sorted(
                    (events[number] for number in hashes[:counted] if number in events),
                    key=lambda event: (event.time, event.id or ""),
                ),
            )
        )
    total = fsum(day.points for day in shown)
    limit = signal.max_points
    kept = total if limit is None else max(-limit, min(limit, total))
    return SignalPart(
        signal=signal.id,
        activity=signal.activity,
        reason=signal.reason,
        points_each=signal.points,
        daily_cap=signal.daily_cap,
        max_points=limit,
        half_life_days=_half_life(signal),
        window_days=len(weights),
        days=[day.model_copy(update={"points": round(day.points, 2)}) for day in shown],
        outside_window=outside,
        undiminished=sum(day.counted for day in shown) * signal.points,
        before_limit=round(total, 2),
        cut=round(kept - total, 2),
        points=signal_points(signal, counts_of(days), today),
        gone_on=_gone_on(signal, days, today),
    )


def steps(criteria: Sequence[CriterionPart], signals: Sequence[SignalPart]) -> list[Step]:
    """The steps from 0 to the total score: criteria first, then signals, each sorted by points, the highest first."""
    rows: list[tuple[str, str, str, str, int]] = []
    for criterion in sorted(criteria, key=lambda part: (-part.points, part.criterion)):
        name = criterion.criterion
        ranked = sorted(criterion.rules, key=lambda rule: (-rule.points, rule.rule))
        rows += [("rule", name, rule.rule, rule.reason, rule.points) for rule in ranked if rule.points]
        if criterion.cut:
            reason = limit_text(name, criterion.points, is_maximum=criterion.cut < 0)
            rows.append(("limit", name, "cap", reason, criterion.cut))
    for signal in sorted(signals, key=lambda part: (-part.points, part.signal)):
        if signal.points:
            rows.append(("signal", BEHAVIOUR, signal.signal, signal.reason, signal.points))
    sums = accumulate((points for *_, points in rows), initial=0)
    return [
        Step.model_validate(
            {
                "kind": kind,
                "criterion": criterion,
                "rule": rule,
                "reason": reason,
                "points": points,
                "start": start,
                "end": start + points,
            }
        )
        for (kind, criterion, rule, reason, points), start in zip(rows, sums, strict=False)
    ]


def signal_parts(lead: Lead, ruleset: Ruleset, evaluation: Evaluation, events: Events) -> list[SignalPart]:
    """Every signal of the ruleset that was ever counted, including signals whose points have decayed to nothing."""
    today = day_of(evaluation.now)
    return [
        signal_part(ruleset.signals[name], days, today, events)
        for name, days in sorted(lead.signals.items())
        if name in ruleset.signals and days
    ]


def _half_life(signal: Signal) -> float | None:
    # A compiled signal keeps only its weights. With the weight of a single day there is no decay.
    if len(signal.weights) < 2 or signal.weights[1] == 1.0:
        return None
    return round(-1 / log2(signal.weights[1]), 6)


def _gone_on(signal: Signal, days: Days, today: int) -> str | None:
    """The first day on which the signal gives no points and never will again. The days are tried from the last one
    backwards, because points can grow with time if activities dated in the future are already counted."""
    counts = counts_of(days)
    if not signal_points(signal, counts, today):
        return None
    last = max(days) + len(signal.weights)
    for day in range(last, today, -1):
        if signal_points(signal, counts, day):
            return day_to_text(day + 1)
    return day_to_text(today + 1)
