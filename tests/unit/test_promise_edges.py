"""What a breaker found about promises: clocks that are ahead, closing times, and numbers without bounds."""

import pytest

from scorer.domain.instant import DAY, HOUR, MINUTE
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.rules.finding import RulesetError
from tests.factory import MONDAY, activity, evaluator

RULES = """
ruleset: promising
ratings: {warm: 10, hot: 20}
tolerance: 1d
CALENDAR
signals: {trial: {activity: trial_started, points: 24}}
routing:
  - {id: hot, when: {rating: hot}, route: sales, queue: sales, respond_within: WITHIN,
     escalate: [{after: 1h}, {after: 4h, queue: boss}]}
  - {id: rest, route: nurture}
"""
LUNCH = 'calendar: {zone: UTC, days: [mon-fri], hours: ["09:00-12:00", "13:00-18:00"]}'


def rules(within: str, calendar: str = "") -> Evaluator:
    """The rules with these times."""
    return evaluator(RULES.replace("WITHIN", within).replace("CALENDAR", calendar))


def test_a_sender_that_is_ahead_escalates_nothing_and_its_levels_come_one_after_the_other() -> None:
    judge = rules("30m")
    lead = judge.assess(Lead("a"), activity("trial_started", id="1"), MONDAY).lead
    ahead = judge.assess(lead, activity("page_viewed", {"url": "/"}, id="2", day=1), MONDAY + 2 * MINUTE)
    assert not any(decision.escalated for decision in ahead.decisions)
    call = activity("call_logged", {"outcome": "reached"}, id="3", day=5 / (24 * 60))
    answered = judge.assess(ahead.lead, call, MONDAY + 5 * MINUTE)
    assert not any(decision.escalated for decision in judge.catch_up(answered.lead, MONDAY + 9 * DAY).decisions)
    said = judge.catch_up(ahead.lead, MONDAY + 9 * DAY).decisions
    assert [(decision.cause, decision.escalated, decision.queue) for decision in said] == [
        ("time", 1, "sales"),
        ("time", 2, "sales"),
        ("time", 3, "boss"),
    ]
    assert len({decision.decision_id for decision in said}) == 3


def test_a_promise_until_closing_time_breaks_then() -> None:
    judge = rules("3h", LUNCH)
    lead = judge.assess(Lead("a"), activity("trial_started", id="1", day=15 / 24), MONDAY + 15 * HOUR).lead
    said = judge.catch_up(lead, MONDAY + 9 * DAY).decisions
    assert [decision.decided_at for decision in said] == [
        "2026-01-05T18:00:00Z",
        "2026-01-06T10:00:00Z",
        "2026-01-06T14:00:00Z",
    ]
    assert {decision.respond_by for decision in said} == {"2026-01-05T18:00:00Z"}


@pytest.mark.parametrize("within", ["9" * 400 + "h", "9" * 400 + "d"])
@pytest.mark.parametrize("calendar", ["", LUNCH])
def test_a_duration_with_hundreds_of_digits_is_out_of_range(within: str, calendar: str) -> None:
    with pytest.raises(RulesetError, match="out of range"):
        rules(within, calendar)


@pytest.mark.parametrize(
    "targets",
    [
        "{revenue: 1e15, average_deal: 1e-320, closing_rate: 1/3}",
        "{revenue: 100, average_deal: 10, closing_rate: 1e-300}",
        "{revenue: 100, average_deal: 10, closing_rate: ١/٣}",
    ],
)
def test_targets_have_bounds(targets: str) -> None:
    with pytest.raises(RulesetError):
        evaluator(RULES.replace("WITHIN", "1h").replace("CALENDAR", f"targets: {targets}"))
