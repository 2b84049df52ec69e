"""The promise of a hand-over: the rule makes it, activities keep it, and time escalates it. Pure.

Instants and spans are in microseconds.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from scorer.domain.activity import LeadActivity
from scorer.domain.effects import Answered, Effect, StageChanged, StatusChanged
from scorer.domain.lead import Lead
from scorer.domain.lifecycle import ANSWERS, STAGE_NAME, Promise, is_usual
from scorer.domain.score import Route
from scorer.rules.calendar import BusinessCalendar, after
from scorer.rules.promise import respond_by
from scorer.rules.ruleset import RoutingRule


def promise_of(rule: RoutingRule, calendar: BusinessCalendar | None, since: int, now: int) -> Promise | None:
    """The promise of a hand-over by the rule; None if the rule sets no time. `since`: its place among the activities;
    `now`: when it is decided."""
    broken = respond_by(rule, calendar, now)
    if broken is None:
        return None
    levels: tuple[tuple[int, str | None], ...] = ()
    if rule.escalate is not None:
        later = ((after(calendar, broken, span), rule.queue if to is None else to) for span, to in rule.escalate)
        levels = ((broken, rule.queue), *later)
    return Promise(since, now, broken, rule.queue, levels)


def place(lead: Lead, latest: int) -> int:
    """The place of a hand-over among the activities: at `latest`, but after all of sales that the decision knew. An
    activity from then on is an answer to it."""
    steps = () if lead.lifecycle is None else lead.lifecycle.steps[-1:]
    calls = [fact.stamp.time for name in _CALLS if (fact := lead.facts.get(name)) is not None]
    return max([latest, *(time + 1 for time in calls), *(step.time + 1 for step in steps)])


_CALLS: Final = ("at.call_logged", "at.meeting_held")


def answer_until(rule: RoutingRule, calendar: BusinessCalendar | None, promise: Promise | None, now: int) -> int | None:
    """`respond_by` of a decision at `now`: a promise that can be escalated does not move while it is open."""
    if promise is not None and promise.levels:
        return promise.respond_by
    return respond_by(rule, calendar, now)


def promised(rule: RoutingRule, promise: Promise) -> RoutingRule:
    """The rule with the queue to which the promise was escalated."""
    level = promise.level
    if not level or rule.route is not Route.SALES or (queue := promise.queue_at(level)) == rule.queue:
        return rule
    return replace(rule, queue=queue)


def passed(lead: Lead, changed: Lead, activity: LeadActivity) -> tuple[Effect, ...]:
    """What an activity changed in the lifecycle of a lead. An erasure takes the lead no step further."""
    if activity.type == "lead.erased":
        return ()
    effects: list[Effect] = []
    promise = lead.promise
    if promise is not None and changed.promise is None and activity.type in ANSWERS:
        waited = activity.time - promise.made_at
        effects.append(Answered(promise.queue, waited if waited >= 0 else None))
    effects += status_changes(lead, changed)
    old, new = lead.value(STAGE_NAME), changed.value(STAGE_NAME)
    if new is not None and old != new:
        known = activity.data.get("previous") if old is None else old
        effects.append(StageChanged(str(known or ""), str(new)))
    return tuple(effects)


def status_changes(lead: Lead, changed: Lead) -> Iterator[StatusChanged]:
    """The change of the status, if it changed."""
    old, new = lead.status, changed.status
    if new != old:
        yield StatusChanged(old, new, is_usual(old, new))
