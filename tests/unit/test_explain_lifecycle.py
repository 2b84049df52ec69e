"""The story of a lead says where it is between marketing and sales, what is promised, and what only we decide."""

import json
from collections.abc import Sequence

import pytest

from scorer.cli.explain_text import story_text
from scorer.domain.activity import LeadActivity
from scorer.domain.effects import Decided
from scorer.domain.instant import DAY, HOUR
from scorer.domain.lead import Lead
from scorer.explain.story import explain_lead
from scorer.explain.story_model import Escalation, Event, LifecycleStep, Story
from scorer.explain.timeline import history
from scorer.report.explain_page import explain_page
from tests.contract.test_schemas import validator
from tests.factory import SMALL_RULES, activity, evaluator

RULES = (
    SMALL_RULES.replace("respond_within: 1h}", "respond_within: 1h, escalate: [{after: 1h, queue: team-lead}]}")
    + """
lifecycle:
  categories:
    - {id: active, when: {lifecycle.status: {in: [handed_over, accepted]}}}
    - {id: base}
  actions: {meeting: {activity: meeting_held, where: {minutes_sent: true}}}
"""
)
QUALIFIED = activity("qualification_updated", {"bant": {"budget_status": "approved", "authority": "decision_maker"}})
VISIT = activity("page_viewed", {"url": "/pricing"}, id="visit")
TRIAL = activity("trial_started", id="trial")
HOT = (VISIT, QUALIFIED, TRIAL)
START = QUALIFIED.time
CALENDAR = "calendar: {zone: America/New_York, days: [mon-sun], hours: 00:00-24:00}\n"


def told(activities: Sequence[LeadActivity], later: int | None = None, text: str = RULES) -> Story:
    rules = evaluator(text)
    known = history("lead-1", activities, rules)
    story = explain_lead(known.lead, rules, None if later is None else START + later, known)
    validator("story.json").validate(json.loads(story.model_dump_json()))
    return story


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_a_new_lead_has_a_status_and_nobody_waits_for_an_answer() -> None:
    life = told([VISIT]).lifecycle
    assert (life.status, life.category, life.promise) == ("nurturing", "base", None)
    unpublished = explain_lead(Lead("lead-1").apply(VISIT), evaluator(RULES)).lifecycle
    assert (unpublished.status, unpublished.since, unpublished.steps) == ("new", None, [])


def test_the_open_promise_says_when_and_to_whom_it_is_escalated() -> None:
    promise = told(HOT).lifecycle.promise
    assert promise is not None
    assert (promise.made_at, promise.respond_by) == ("2026-01-05T00:00:00Z", "2026-01-05T01:00:00Z")
    assert (promise.queue, promise.escalated, promise.next_level_at) == ("key-accounts", 0, "2026-01-05T01:00:00Z")
    assert not promise.in_business_time

    broken = told(HOT, later=HOUR)
    assert broken.lifecycle.promise is not None
    assert (broken.lifecycle.promise.escalated, broken.lifecycle.promise.next_queue) == (1, "team-lead")
    assert broken.routing.queue == "key-accounts"

    last = told(HOT, later=DAY)
    assert last.lifecycle.promise is not None
    assert (last.lifecycle.promise.escalated, last.lifecycle.promise.next_level_at) == (2, None)
    assert last.routing.queue == "team-lead"


@pytest.mark.parametrize(
    ("later", "text", "says"),
    [
        (0, RULES, "respond by 2026-01-05 01:00 UTC; nobody has answered yet; after that it is escalated"),
        (HOUR, RULES, "nobody has answered yet; escalated once, next at 2026-01-05 02:00 to team-lead"),
        (DAY, RULES, "nobody has answered yet; escalated twice"),
        (
            0,
            CALENDAR + RULES,
            "respond by 2026-01-05 01:00 UTC (Sun 2026-01-04 20:00 America/New_York, in business time); "
            "nobody has answered yet",
        ),
        (0, SMALL_RULES, "respond by 2026-01-05 01:00 UTC; nobody has answered yet"),
    ],
)
def test_text_and_page_say_what_is_promised(later: int, text: str, says: str) -> None:
    story = told(HOT, later=later, text=text)
    assert says in one_line(story_text(story))
    page = explain_page(story).replace('<span class="date">', "").replace("</span>", "")
    assert says in page


def test_an_answer_ends_what_is_promised_and_is_in_the_timeline() -> None:
    call = activity("call_logged", {"outcome": "no_answer"}, id="call", day=1.5 / 24)
    story = told([*HOT, call])
    assert story.lifecycle.promise is None
    assert story.timeline is not None
    (*_, last) = story.timeline
    assert (last.activity, last.answered, last.escalated) == ("lead.call_logged", True, 1)
    for shown in (one_line(story_text(story)), explain_page(story)):
        assert "escalated once before" in shown
        assert "an answer to the lead" in shown
        assert "respond" not in shown.split("Where the points come from")[0]


def test_the_steps_of_sales_are_told_by_the_state_and_in_the_timeline() -> None:
    steps = [
        activity("sales_accepted", id="accepted", day=1),
        activity("meeting_held", {"minutes_sent": True}, id="meeting", day=2),
        activity("stage_changed", {"stage": "offer"}, id="offer", day=3),
        activity("stage_changed", {"stage": "signed", "previous": "offer"}, id="signed", day=9),
        activity("opportunity_won", {"value": 4000}, id="won", day=10),
    ]
    story = told([*HOT, *steps])
    life = story.lifecycle
    assert (life.status, life.since, life.stage, life.category) == ("won", "2026-01-15T00:00:00Z", "signed", "base")
    assert life.actions == {"meeting": 1}
    assert "action:meeting" not in story.uncounted_signals
    assert [step.after for step in life.steps] == [
        "nurturing",
        "handed_over",
        "accepted",
        "offer",
        "signed",
        "won",
    ]
    assert life.steps[3] == LifecycleStep(time="2026-01-08T00:00:00Z", kind="stage", before=None, after="offer")
    assert story.timeline is not None
    changes = [(entry.status, entry.stage) for entry in story.timeline]
    assert changes[-4:] == [("accepted", None), ("accepted", "offer"), ("accepted", "signed"), ("won", "signed")]
    for shown in (one_line(story_text(story)), explain_page(story)):
        assert "stage offer → signed" in shown
        assert "accepted → won" in shown
        assert "meeting once" in shown


def test_without_a_history_the_state_tells_the_same_life() -> None:
    rules = evaluator(RULES)
    known = history("lead-1", [*HOT, activity("sales_accepted", id="accepted", day=1 / 48)], rules)
    with_history = explain_lead(known.lead, rules, None, known)
    from_state = explain_lead(known.lead, rules)
    assert from_state.timeline is None
    assert from_state.lifecycle == with_history.lifecycle


def test_a_stage_does_not_become_markup_of_the_page() -> None:
    stage = activity("stage_changed", {"stage": "<script>\u202e\x1b[31m"}, id="stage", day=1)
    story = told([*HOT, stage])
    page = explain_page(story)
    assert "<script>" not in page
    assert "\x1b" not in story_text(story)


OURS = """
scoring:
  status:
    hit_policy: sum
    rules:
      - {id: in-hand, when: {lifecycle.status: handed_over}, points: 30}
      - {id: new-lead, when: {lifecycle.status: new}, points: 30}
      - {id: kept-warm, when: {lifecycle.status: nurturing}, points: 30}
      - {id: waited, when: {days_in.status: {gte: 5}}, points: 30}
      - {id: came-back, when: {lifecycle.times_returned: {gte: 2}}, points: 30}
      - {id: first-touch, when: {profile.first_lead_source: fair}, points: 30}
      - {id: in-sales, when: {lifecycle.status: accepted}, points: 30}
      - {id: offered, when: {lifecycle.stage: offer}, points: 30}
"""


def test_what_would_make_it_hot_names_only_what_others_can_do() -> None:
    text = f"ruleset: x\nratings: {{warm: 55, hot: 60}}\n{OURS}routing:\n  - {{id: rest, route: discard}}\n"
    story = told([activity("page_viewed", {"url": "/"})], text=text)
    (_, hot) = story.targets
    named = {wanted.rule for way in hot.suggestions for wanted in way.wanted if not wanted.ceases}
    assert named == {"in-sales", "offered"}


STATUS_RULES = RULES.replace(
    "scoring:", "scoring:\n  life: {rules: [{id: closed, when: {lifecycle.status: lost}, points: 1}]}", 1
)
LOST = (
    activity("sales_accepted", id="accepted", source="//crm", day=1),
    activity("stage_changed", {"stage": "Talk"}, id="talk", source="//crm", day=2),
    activity("opportunity_lost", {"reason": "price"}, id="lost", source="//crm", day=3),
)


def known_events(story: Story) -> dict[str, Event | None]:
    return {known.field: known.event for known in story.known if known.field.startswith(("lifecycle.", "at.handed"))}


def test_what_sales_stated_has_its_event_and_only_our_decisions_are_ours() -> None:
    story = told([*HOT, *LOST], text=STATUS_RULES)
    assert known_events(story) == {
        "at.handed_over": Event(time="2026-01-05T00:00:00Z", by="service"),
        "lifecycle.stage": Event(time="2026-01-07T00:00:00Z", id="talk", source="//crm"),
        "lifecycle.status": Event(time="2026-01-08T00:00:00Z", id="lost", source="//crm"),
    }
    (closed,) = [rule for part in story.criteria for rule in part.rules if rule.rule == "closed"]
    assert closed.evidence[0].event == Event(time="2026-01-08T00:00:00Z", id="lost", source="//crm")
    for shown in (one_line(story_text(story)), one_line(explain_page(story))):
        assert shown.count("decided by this service") == 1


def test_without_a_history_it_is_known_who_stated_it_and_when() -> None:
    rules = evaluator(STATUS_RULES)
    story = explain_lead(history("lead-1", [*HOT, *LOST], rules).lead, rules)
    validator("story.json").validate(json.loads(story.model_dump_json()))
    assert known_events(story) == {
        "at.handed_over": Event(time="2026-01-05T00:00:00Z", by="service"),
        "lifecycle.stage": Event(time="2026-01-07T00:00:00Z", by="sales"),
        "lifecycle.status": Event(time="2026-01-08T00:00:00Z", by="sales"),
    }
    text, page = one_line(story_text(story)), explain_page(story)
    assert "2026-01-08 00:00, stated by sales" in text
    assert "stated by sales" in page
    assert page.count("decided by this service") == text.count("decided by this service") == 1


def test_how_often_sales_returned_a_lead_is_not_our_decision() -> None:
    returned = Event(time="2026-01-07T00:00:00Z", id="back", source="//crm")
    story = told([*HOT, LOST[0], activity("sales_returned", id="back", source="//crm", day=2)])
    assert known_events(story)["lifecycle.status"] == returned
    assert known_events(story)["lifecycle.times_returned"] == returned


@pytest.mark.parametrize(("given", "status"), [([VISIT], "nurturing"), (HOT, "handed_over")])
def test_a_status_that_follows_from_our_decision_is_ours(given: Sequence[LeadActivity], status: str) -> None:
    story = told(given)
    assert story.lifecycle.status == status
    assert known_events(story)["lifecycle.status"] == Event(time="2026-01-05T00:00:00Z", by="service")


def test_the_latest_activity_is_nobodys_decision() -> None:
    text = SMALL_RULES.replace(
        "scoring:", "scoring:\n  rest: {rules: [{id: quiet, when: {days_since.last_activity: {gte: 0}}, points: 1}]}", 1
    )
    story = told([VISIT], text=text)
    (quiet,) = [rule for part in story.criteria for rule in part.rules if rule.rule == "quiet"]
    assert quiet.evidence[0].event == Event(time="2026-01-05T00:00:00Z")
    assert explain_page(story).count("decided by this service") == 1


COMING = [
    Escalation(at="2026-01-05T01:00:00Z", level=1, queue="key-accounts"),
    Escalation(at="2026-01-05T02:00:00Z", level=2, queue="team-lead"),
]


def test_the_escalations_to_come_are_those_that_time_decides() -> None:
    rules = evaluator(RULES)
    lead = history("lead-1", HOT, rules).lead
    story = told(HOT)
    assert story.outlook.escalations == COMING
    # What `scorer score --until` publishes.
    effects = rules.catch_up(lead, START + 30 * DAY).effects
    decisions = [effect.decision for effect in effects if isinstance(effect, Decided)]
    levels = [next(each for each in decisions if each.escalated == level) for level in (1, 2)]
    assert [(each.decided_at, each.queue) for each in levels] == [(each.at, each.queue) for each in COMING]
    text = one_line(story_text(story))
    first, second = "2026-01-05 01:00: escalated (level 1) to key-accounts", "02:00: escalated (level 2) to team-lead"
    assert text.index(first) < text.index(second) < text.index(story.outlook.ratings[0].at[:10] + ": ")
    page = explain_page(story)
    assert page.index("escalated (level 1) to key-accounts") < page.index("escalated (level 2) to team-lead")
    assert page.index("escalated (level 2) to team-lead") < page.index(f"<strong>{story.outlook.ratings[0].at[:10]}")


@pytest.mark.parametrize(("later", "expected"), [(HOUR, COMING[1:]), (2 * HOUR, []), (DAY, [])])
def test_an_escalation_that_happened_is_not_to_come(later: int, expected: list[Escalation]) -> None:
    assert told(HOT, later=later).outlook.escalations == expected


def test_no_escalation_is_to_come_after_an_answer_or_without_a_promise() -> None:
    call = activity("call_logged", {"outcome": "no_answer"}, id="call", day=1 / 48)
    assert told([*HOT, call]).outlook.escalations == []
    assert told([VISIT]).outlook.escalations == []


def test_an_escalation_on_the_last_day_of_a_lead_is_to_come() -> None:
    text = (
        RULES.replace("{after: 1h, queue: team-lead}", "{after: 166h, queue: team-lead}")
        + "retention: {inactive: 7d}\n"
    )
    story = told(HOT, text=text)
    assert story.deleted_at == "2026-01-12T00:00:00Z"
    assert [each.at for each in story.outlook.escalations] == ["2026-01-05T01:00:00Z", "2026-01-11T23:00:00Z"]


def test_each_escalation_of_the_open_promise_is_told() -> None:
    rules = evaluator(RULES)
    lead = history("lead-1", HOT, rules).lead
    for later, happened in ((0, []), (HOUR, COMING[:1]), (DAY, COMING)):
        assert told(HOT, later=later).lifecycle.escalations == happened
        assert explain_lead(lead, rules, START + later).lifecycle.escalations == happened
    for shown in (one_line(story_text(told(HOT, later=DAY))), explain_page(told(HOT, later=DAY))):
        life = shown.split("Its life between marketing and sales")[1]
        assert (
            life.index("handed over")
            < life.index("escalated (level 1) to key-accounts")
            < life.index("escalated (level 2) to team-lead")
        )


def test_with_a_history_the_escalations_of_earlier_promises_are_told() -> None:
    answered = activity("sales_accepted", id="accepted", day=1)
    story = told([*HOT, answered])
    assert story.lifecycle.promise is None
    assert story.lifecycle.escalations == COMING
    text = one_line(story_text(story))
    assert text.index("escalated (level 2) to team-lead") < text.index("handed over → accepted")
    rules = evaluator(RULES)
    assert explain_lead(history("lead-1", [*HOT, answered], rules).lead, rules).lifecycle.escalations == []


def test_no_escalation_is_told_after_an_erasure() -> None:
    erased = activity("erased", id="erased", day=2)
    assert told([*HOT, erased, activity("page_viewed", {"url": "/pricing"}, day=3)]).lifecycle.escalations == []
