"""When a lead that is handed over must have heard from us."""

from scorer.rules.calendar import BusinessCalendar, after
from scorer.rules.ruleset import RoutingRule


def respond_by(rule: RoutingRule, calendar: BusinessCalendar | None, now: int) -> int | None:
    """The instant that the rule promises for a hand-over at `now`; None if it promises none."""
    return None if rule.respond_within is None else after(calendar, now, rule.respond_within)
