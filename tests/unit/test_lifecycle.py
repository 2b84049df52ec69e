"""The life of a lead: its status, and the promise of a hand-over, which is kept, ended, or broken and escalated."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import pytest

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import RoutingDecision
from scorer.domain.effects import Answered, Deleted, Effect, Escalated, HandedOver, StageChanged, StatusChanged
from scorer.domain.instant import DAY, HOUR, MINUTE, to_text
from scorer.domain.lead import NEVER, Lead
from scorer.domain.score import Route
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.evaluation.rule_change import RuleChange
from scorer.state.codec import decode_lead, encode_lead
from tests.factory import MONDAY, activity, evaluator
from tests.unit.test_codec import EarlierState

PROMISES = """
ruleset: promises
ratings: {warm: 10, hot: 20}
publish: {score_step: 5}
signals:
  trial: {activity: trial_started, points: 24, window: 730d}
  download: {activity: content_downloaded, points: 12, window: 730d}
scoring: {company: {rules: [{id: large, when: {profile.employees: {gte: 250}}, points: 3}]}}
lifecycle:
  phases: {contact: [Working], close: [Signed]}
  categories:
    - {id: customer, when: {lifecycle.status: won}}
    - {id: with-sales, when: {lifecycle.status: {in: [handed_over, accepted]}}}
    - {id: large, when: {profile.employees: {gte: 250}}}
    - {id: hot, when: {rating: hot}}
    - {id: base}
  actions: {sent: {activity: meeting_held, where: {minutes_sent: true}}}
routing:
  - {id: competitor, when: {profile.is_competitor: true}, route: discard}
  - {id: done, when: {lifecycle.status: {in: [won, lost]}}, route: nurture, queue: care}
  - {id: returned, when: {lifecycle.status: returned, score.since_return: {lt: 15}}, route: nurture, queue: back}
  - {id: hot, when: {rating: hot}, route: sales, queue: inside-sales, respond_within: 4h, ESCALATE}
  - {id: rest, route: nurture}
"""
LEVELS = "escalate: [{after: 4h, queue: team-lead}, {after: 1d, queue: head-of-sales}]"
RULES = evaluator(PROMISES.replace("ESCALATE", LEVELS))
BROKEN = [(4 * HOUR, 1, "inside-sales"), (8 * HOUR, 2, "team-lead"), (28 * HOUR, 3, "head-of-sales")]
"""The escalations of a promise of `RULES` that nobody keeps: how long after the hand-over, the level and the queue."""


class Play:
    """A lead and what follows. Times are microseconds after MONDAY."""

    def __init__(self, rules: Evaluator = RULES, change: RuleChange | None = None) -> None:
        self.rules = rules
        self.change = change
        self.lead = Lead("lead-1")
        self.said: list[RoutingDecision] = []
        self.effects: list[Effect] = []

    def tell(
        self, kind: str, time: int, data: Mapping[str, object] | None = None, arrival: int | None = None
    ) -> "Play":
        event = activity(kind, {**NEEDED.get(kind, {}), **(data or {})}, day=time / DAY)
        return self._keep(
            self.rules.assess(self.lead, event, MONDAY + (time if arrival is None else arrival), self.change)
        )

    def wait(self, until: int) -> "Play":
        return self._keep(self.rules.catch_up(self.lead, MONDAY + until, self.change))

    def of(self, kind: type[Effect]) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def escalated(self) -> list[tuple[str, int, str | None]]:
        """The decisions with a new level: when, the level and the queue."""
        found, level = [], 0
        for decision in self.said:
            if decision.escalated > level:
                found.append((decision.decided_at, decision.escalated, decision.queue))
            level = decision.escalated
        assert len(self.of(Escalated)) == len(found)
        return found

    def _keep(self, assessment: Assessment) -> "Play":
        # Whatever happens, a state that is written and read is the state.
        lead = assessment.lead
        self.lead = decode_lead(lead.id, encode_lead(lead))
        assert self.lead == lead
        assert self.rules.due(self.lead, self.change) <= self.rules.due(lead, self.change)
        self.said += assessment.decisions
        self.effects += assessment.effects
        return self


NEEDED: Mapping[str, Mapping[str, object]] = {
    "call_logged": {"outcome": "reached"},
    "stage_changed": {"stage": "Working"},
    "content_downloaded": {"content": "x"},
    "merged": {"into": "lead-2"},
}


def handed_over(rules: Evaluator = RULES, change: RuleChange | None = None) -> Play:
    """A lead that is handed over at MONDAY."""
    play = Play(rules, change).tell("trial_started", 0)
    assert play.of(HandedOver) == [HandedOver("inside-sales", MONDAY + 4 * HOUR)]
    return play


def at(*escalations: tuple[int, int, str]) -> list[tuple[str, int, str | None]]:
    return [(to_text(MONDAY + time), level, queue) for time, level, queue in escalations]


def test_a_promise_that_nobody_keeps_is_escalated_once_a_level() -> None:
    play = handed_over().wait(99 * DAY)
    assert play.escalated == at(*BROKEN)
    assert {decision.respond_by for decision in play.said} == {to_text(MONDAY + 4 * HOUR)}
    assert {decision.status for decision in play.said} == {"handed_over"}
    assert [decision.cause for decision in play.said] == ["activity", "time", "time", "time"]
    assert play.lead.published is not None
    assert play.lead.published.queue == "head-of-sales"


def test_what_happens_meanwhile_does_not_move_a_promise_and_decisions_tell_its_level() -> None:
    play = handed_over().tell("content_downloaded", HOUR).tell("content_downloaded", 5 * HOUR).wait(6 * HOUR)
    assert [(decision.escalated, decision.queue) for decision in play.said] == [
        (0, "inside-sales"),
        (0, "inside-sales"),
        (1, "inside-sales"),
        (1, "inside-sales"),
    ]
    play.tell("content_downloaded", 9 * HOUR).wait(99 * DAY)
    assert play.escalated == at(*BROKEN)
    assert {decision.respond_by for decision in play.said} == {to_text(MONDAY + 4 * HOUR)}


@pytest.mark.parametrize("kind", ["sales_accepted", "call_logged", "meeting_held", "stage_changed"])
@pytest.mark.parametrize("after", [0, 1, HOUR, 5 * HOUR, 30 * HOUR])
def test_an_answer_keeps_the_promise(kind: str, after: int) -> None:
    play = handed_over().tell(kind, after).wait(99 * DAY)
    assert play.of(Answered) == [Answered("inside-sales", after)]
    assert play.escalated == at(*(level for level in BROKEN if level[0] <= after))
    assert play.rules.due(play.lead) > MONDAY + 99 * DAY


@pytest.mark.parametrize("after", [0, 1, HOUR, 5 * HOUR])
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("sales_returned", {}),
        ("opportunity_won", {"value": 5}),
        ("opportunity_lost", {}),
        ("profile_updated", {"is_competitor": True}),
        ("merged", {}),
        ("erased", {}),
    ],
)
def test_what_ends_a_promise_without_an_answer_leaves_no_schedule(
    kind: str, data: Mapping[str, object], after: int
) -> None:
    play = handed_over().tell(kind, after, data).wait(99 * DAY)
    assert play.of(Answered) == []
    assert play.escalated == at(*(level for level in BROKEN if level[0] <= after))
    assert play.lead.lifecycle is None or play.lead.lifecycle.promise is None
    assert play.said[-1].escalated == 0
    assert play.rules.refine(play.lead, MONDAY + 99 * DAY).instant > MONDAY + 99 * DAY


def test_a_lead_whose_retention_ends_is_not_escalated_any_more() -> None:
    rules = evaluator(
        PROMISES.replace("ESCALATE", "escalate: [{after: 30d, queue: head}]") + "retention: {inactive: 7d}\n"
    )
    play = handed_over(rules).wait(99 * DAY)
    assert play.escalated == at((4 * HOUR, 1, "inside-sales"))
    assert play.of(Deleted) == [Deleted("inactive", MONDAY + 7 * DAY)]
    assert play.rules.due(play.lead) == NEVER


def test_an_answer_from_before_the_hand_over_does_not_keep_the_promise() -> None:
    for kind in ("sales_accepted", "call_logged", "meeting_held", "stage_changed"):
        play = Play().tell("trial_started", HOUR).tell(kind, HOUR - 1, arrival=2 * HOUR).wait(99 * DAY)
        assert play.of(Answered) == []
        assert play.escalated == at(*((time + HOUR, level, queue) for time, level, queue in BROKEN))
        assert play.lead.value("lifecycle.status") == "handed_over"


def test_the_clock_of_a_sender_that_is_ahead_does_not_make_an_answer_older_than_the_hand_over() -> None:
    play = Play().tell("trial_started", 4 * MINUTE, arrival=0).tell("sales_accepted", MINUTE).wait(99 * DAY)
    assert play.lead.value("lifecycle.status") == "accepted"
    assert len(play.of(Answered)) == 1
    assert play.escalated == []


@pytest.mark.parametrize("kind", ["opportunity_won", "opportunity_lost", "sales_returned"])
def test_a_hand_over_at_the_instant_of_what_sales_said_before_comes_after_it(kind: str) -> None:
    """What makes the lead hot again is older, so the latest activity is that of sales."""
    rules = evaluator(
        PROMISES.replace("ESCALATE", LEVELS).replace("[won, lost]", "[new]").replace("status: returned", "status: new")
    )
    play = Play(rules).tell(kind, HOUR).tell("trial_started", 0, arrival=2 * HOUR)
    assert play.said[-1].route is Route.SALES
    assert play.said[-1].status == play.lead.value("lifecycle.status") == "handed_over"
    assert play.tell("sales_accepted", HOUR + 1).lead.value("lifecycle.status") == "accepted"


def test_a_call_that_makes_the_lead_hot_is_no_answer_to_its_hand_over() -> None:
    rules = evaluator(PROMISES.replace("ESCALATE", LEVELS).replace("activity: trial_started", "activity: call_logged"))
    play = Play(rules).tell("call_logged", 0)
    assert play.of(HandedOver)
    # Nobody can say whether an old event of that very instant is repeated.
    assert play.tell("page_viewed", 0, {"url": "/"}).wait(99 * DAY).of(Answered) == []
    assert play.escalated == at(*BROKEN)


@pytest.mark.parametrize("first", ["sales_accepted", "sales_returned", "opportunity_won", "opportunity_lost"])
def test_an_illegal_sequence_is_accepted_and_reported(first: str) -> None:
    play = Play().tell(first, 0)
    (changed,) = play.of(StatusChanged)
    assert isinstance(changed, StatusChanged)
    assert (changed.before, changed.usual) == ("new", False)
    assert play.lead.value("lifecycle.status") == changed.after == play.said[-1].status


def test_the_usual_life_of_a_lead_is_reported_step_by_step() -> None:
    play = handed_over()
    for hours, kind in ((1, "sales_accepted"), (20, "sales_returned"), (50, "trial_started"), (51, "sales_accepted")):
        play.tell(kind, hours * HOUR)
    play.tell("opportunity_won", 60 * HOUR)
    changes = [change for change in play.of(StatusChanged) if isinstance(change, StatusChanged)]
    assert all(change.usual for change in changes)
    assert [change.after for change in changes] == [
        "handed_over",
        "accepted",
        "returned",
        "handed_over",
        "accepted",
        "won",
    ]
    assert play.lead.value("lifecycle.times_returned") == 1
    assert len(play.of(Answered)) == 2
    assert play.wait(99 * DAY).escalated == []


def test_an_erasure_is_no_illegal_step() -> None:
    play = handed_over().tell("sales_accepted", HOUR)
    known = len(play.effects)
    play.tell("erased", 2 * HOUR)
    changes = [change for change in play.effects[known:] if isinstance(change, StatusChanged)]
    assert all(change.usual for change in changes), changes


@pytest.mark.parametrize("is_competitor", [True, False])
def test_a_decision_about_an_erased_lead_says_its_status_also_if_the_route_stays(is_competitor: bool) -> None:
    rules = evaluator(PROMISES.replace("ESCALATE", LEVELS).replace("{score_step: 5}", "{on: activity}"))
    play = Play(rules).tell("profile_updated", 0, {"is_competitor": is_competitor}).tell("erased", HOUR)
    assert [said.status for said in play.said] == ["discarded" if is_competitor else "nurturing", "discarded"]
    assert play.said[-1].status == play.lead.status
    play.tell("page_viewed", 2 * HOUR, {"url": "/"})
    assert (play.said[-1].status, play.lead.status) == ("nurturing", "nurturing")


def test_a_lead_of_which_an_erasure_leaves_no_step_is_new_until_the_next_decision() -> None:
    """The erasure arrives later than an activity that it does not forget, so the route stays."""
    play = handed_over().tell("trial_started", 2 * DAY).tell("sales_accepted", 2 * DAY + HOUR)
    play.tell("erased", DAY, arrival=3 * DAY)
    assert (play.lead.status, play.lead.promise) == ("accepted", None)
    play = handed_over().tell("trial_started", 2 * DAY).tell("erased", DAY, arrival=3 * DAY)
    assert (play.lead.status, play.lead.promise) == ("new", None)
    play.tell("sales_returned", 4 * DAY)
    assert (play.said[-1].status, play.lead.status) == ("returned", "returned")


def test_an_erasure_forgets_a_hand_over_that_was_decided_later_about_what_it_erases() -> None:
    """History of a year that is loaded today, and then its erasure."""
    today = 365 * DAY
    play = Play().tell("trial_started", 0, arrival=today).tell("erased", DAY, arrival=today + 1)
    assert "at.handed_over" not in play.lead.facts
    assert play.lead.lifecycle is not None
    assert not any(decided.is_hand_over for decided in play.lead.lifecycle.decisions)
    play.tell("page_viewed", today + DAY, {"url": "/"})
    assert play.lead.value("lifecycle.status") == "discarded" or play.said[-1].route is not Route.DISCARD


def test_stages_are_reported_with_the_one_before() -> None:
    play = Play().tell("stage_changed", 0, {"stage": "Working", "previous": "Open"})
    play.tell("stage_changed", HOUR, {"stage": "Working"}).tell("stage_changed", 2 * HOUR, {"stage": "Signed"})
    play.tell("stage_changed", MINUTE, {"stage": "Offer"}, arrival=3 * HOUR)
    assert play.of(StageChanged) == [StageChanged("Open", "Working"), StageChanged("Working", "Signed")]
    assert play.lead.value("lifecycle.stage") == "Signed"


def test_stages_never_make_a_lead_forget_that_sales_has_accepted_it() -> None:
    play = handed_over().tell("sales_accepted", HOUR)
    for number in range(60):
        play.tell("stage_changed", (2 + number) * HOUR, {"stage": f"stage {number}"})
    assert play.lead.value("lifecycle.status") == "accepted"
    for number in range(30):
        play.tell("sales_returned" if number % 2 else "sales_accepted", (80 + number) * HOUR)
    assert play.lead.value("lifecycle.stage") == "stage 59"


def test_a_rating_that_changes_often_never_makes_a_lead_forget_its_hand_over() -> None:
    rules = evaluator(
        PROMISES.replace("ESCALATE", LEVELS)
        .replace(
            "routing:",
            "routing:\n  - {id: open, when: {lifecycle.status: handed_over, rating: {in: [warm, cold]}}, route: sales}",
        )
        .replace("{profile.employees: {gte: 250}}, points: 3", "{profile.employees: {gte: 250}}, points: -10")
    )
    play = handed_over(rules)
    for number in range(50):
        play.tell("profile_updated", (1 + number) * MINUTE, {"employees": 300 if number % 2 == 0 else 3})
    assert len({decision.rating for decision in play.said}) == 2
    assert play.lead.value("lifecycle.status") == "handed_over"
    assert play.lead.facts["lifecycle.status"].stamp.time == MONDAY
    assert play.lead.lifecycle is not None
    assert any(decided.is_hand_over for decided in play.lead.lifecycle.decisions)


def test_a_hand_over_by_an_older_activity_after_a_review_is_the_status() -> None:
    rules = evaluator(PROMISES.replace("ESCALATE", LEVELS).replace("window: 730d", "window: 30d"))
    play = Play(rules).tell("trial_started", 0).wait(40 * DAY)
    assert (play.said[-1].cause, play.said[-1].route) == ("time", Route.NURTURE)
    play.tell("trial_started", 20 * DAY, arrival=41 * DAY)
    assert play.said[-1].route is Route.SALES
    assert play.said[-1].status == "handed_over"


def test_history_that_is_loaded_later_is_no_answer_and_gives_no_stale_escalation() -> None:
    today = 700 * DAY
    play = (
        Play()
        .tell("trial_started", 0, arrival=today)
        .tell("sales_accepted", DAY, arrival=today + 1)
        .wait(today + 99 * DAY)
    )
    assert play.of(Answered) == [Answered("inside-sales", None)]
    assert play.escalated == []
    assert play.lead.value("lifecycle.status") == "accepted"
    # Nobody has answered the one that is handed over today.
    play = (
        Play()
        .tell("trial_started", 0, arrival=today)
        .tell("page_viewed", DAY, {"url": "/"}, today + 1)
        .wait(today + 99 * DAY)
    )
    assert play.escalated == at(*((today + time, level, queue) for time, level, queue in BROKEN))


def earlier(lead: Lead) -> Lead:
    """The lead as a worker of the release before writes it."""
    state = msgspec.msgpack.decode(encode_lead(lead)[1:], type=EarlierState)
    return decode_lead(lead.id, b"\x02" + msgspec.msgpack.encode(state))


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (["trial_started"], "handed_over"),
        (["trial_started", "sales_accepted"], "accepted"),
        (["trial_started", "sales_accepted", "sales_returned"], "returned"),
        (["trial_started", "sales_accepted", "stage_changed", "opportunity_won"], "won"),
        (["sales_returned", "trial_started"], "handed_over"),
    ],
)
@pytest.mark.parametrize("loaded", [0, 300 * DAY])
def test_a_lead_of_the_release_before_has_its_status_and_no_promise(
    kinds: Sequence[str], status: str, loaded: int
) -> None:
    play = Play()
    for number, kind in enumerate(kinds):
        play.tell(kind, 2 * number * DAY, arrival=loaded + 2 * number * DAY)
    known = len(play.said)
    assert play.lead.value("lifecycle.status") == status
    play.lead = earlier(play.lead)
    assert play.lead.value("lifecycle.status") == status
    play.wait(loaded + 99 * DAY)
    # The first step after it starts from what the facts say.
    play.tell("profile_updated", loaded + 99 * DAY, {"employees": 300})
    assert play.lead.value("lifecycle.status") == status
    play.tell("stage_changed", loaded + 100 * DAY, {"stage": "Working"})
    assert play.lead.value("lifecycle.status") == status
    assert all(decision.escalated == 0 for decision in play.said[known:])


def test_a_release_before_in_the_group_loses_only_promises_and_steps() -> None:
    play = handed_over()
    play.lead = earlier(play.lead)
    play.wait(5 * HOUR)
    assert play.escalated == []
    play.tell("sales_accepted", 6 * HOUR)
    assert play.of(Answered) == []
    play.lead = earlier(play.lead)
    play.tell("sales_returned", 7 * HOUR)
    assert play.lead.value("lifecycle.status") == "returned"
    play.tell("trial_started", 30 * HOUR)
    assert [decision.route for decision in play.said][-2:] == [Route.NURTURE, Route.SALES]
    assert play.wait(99 * DAY).escalated == at(*((30 * HOUR + time, level, queue) for time, level, queue in BROKEN))


OTHERS = {
    "no escalation": PROMISES.replace(", ESCALATE", ""),
    "other times": PROMISES.replace("ESCALATE", "escalate: [{after: 1m, queue: other}]").replace("4h", "1m"),
    "a calendar": PROMISES.replace("ESCALATE", LEVELS)
    + "calendar: {zone: Asia/Tokyo, days: [sun], hours: 09:00-17:00}\n",
    "no promise": PROMISES.replace(", respond_within: 4h, ESCALATE", ""),
    "another queue": PROMISES.replace("ESCALATE", LEVELS).replace("queue: inside-sales", "queue: somewhere-else"),
}


@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize("changed", [1, HOUR, 6 * HOUR])
@pytest.mark.parametrize("mode", ["change", "off"])
def test_rules_that_change_do_not_move_a_promise(others: str, changed: int, mode: str) -> None:
    play = handed_over().wait(changed)
    if mode == "off":
        play.rules = evaluator(OTHERS[others] + "rescore: {mode: 'off'}\n")
    else:
        play.rules = evaluator(OTHERS[others])
    play.change = RuleChange(1, MONDAY + changed)
    play.tell("content_downloaded", changed + MINUTE).wait(99 * DAY)
    assert play.escalated == at(*BROKEN)
    play = handed_over()
    play.rules, play.change = evaluator(OTHERS[others]), RuleChange(1, MONDAY + changed)
    assert play.wait(changed).tell("sales_accepted", changed).of(Answered) == [Answered("inside-sales", changed)]


def test_a_promise_that_was_overdue_when_the_rules_changed_is_escalated_as_of_the_change() -> None:
    """Rules that are replaced decide nothing more. The new ones go on where the promise stands by then."""
    play = handed_over()
    play.rules, play.change = evaluator(OTHERS["no escalation"]), RuleChange(1, MONDAY + 9 * HOUR)
    play.wait(99 * DAY)
    assert [(decision.cause, decision.escalated) for decision in play.said] == [
        ("activity", 0),
        ("rules_changed", 1),
        ("time", 2),
        ("time", 3),
    ]
    assert play.escalated == at((9 * HOUR, 1, "inside-sales"), (9 * HOUR + 1, 2, "team-lead"), BROKEN[2])


def test_under_rescore_off_an_overdue_promise_waits_for_the_next_activity() -> None:
    play = handed_over()
    play.rules = evaluator(OTHERS["other times"] + "rescore: {mode: 'off'}\n")
    play.change = RuleChange(1, MONDAY + HOUR)
    assert play.wait(9 * HOUR).escalated == []
    play.tell("page_viewed", 9 * HOUR, {"url": "/"}).wait(99 * DAY)
    assert play.escalated == at((9 * HOUR, 1, "inside-sales"), (9 * HOUR + 1, 2, "team-lead"), BROKEN[2])


def test_categories_follow_decisions_and_facts() -> None:
    play, found = Play(), list[str | None]()
    told: list[tuple[str, Mapping[str, object]]] = [
        ("page_viewed", {"url": "/"}),
        ("profile_updated", {"employees": 300}),
        ("trial_started", {}),
        ("sales_accepted", {}),
        ("opportunity_won", {}),
        ("erased", {}),
    ]
    for hours, (kind, data) in enumerate(told):
        play.tell(kind, hours * HOUR, data)
        found.append(None if play.lead.lifecycle is None else play.lead.lifecycle.category)
    assert found == ["base", "large", "with-sales", "with-sales", "customer", "base"]
    changed = RULES.assess(play.lead, activity("page_viewed", {"url": "/"}, day=30)).lead
    assert changed.lifecycle is not None
    assert changed.lifecycle.category == "base"


def test_actions_are_counted_once_also_if_they_are_repeated_later() -> None:
    lead = Lead("lead-1")
    met = [activity("meeting_held", {"minutes_sent": number != 2}, id=f"m{number}", day=number) for number in range(3)]
    for event in [*met, *met, replace_time(met[0], MONDAY + 5 * DAY)]:
        lead = RULES.assess(lead, event, max(event.time, MONDAY + 3 * DAY)).lead
    counted = lead.signals["action:sent"]
    assert [len(hashes) for hashes in counted.values()] == [1, 1]
    again = RULES.assess(lead, replace_time(met[1], MONDAY + 99 * DAY), MONDAY + 99 * DAY).lead
    assert again.signals["action:sent"] == counted
    assert replace(again, notes=None).facts == replace(lead, notes=None).facts


def replace_time(event: LeadActivity, time: int) -> LeadActivity:
    return msgspec.structs.replace(event, time=time)
