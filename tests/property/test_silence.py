"""What time alone changes: the due instant against a plain search, and reviews that do not depend on when they run."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity
from scorer.domain.decision import read_decision
from scorer.domain.effects import HandedOver
from scorer.domain.instant import DAY, HOUR, MINUTE, from_datetime
from scorer.domain.lead import NEVER, Lead
from scorer.domain.lifecycle import FOLLOWING, facts_of
from scorer.domain.score import Route
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment, Evaluation
from scorer.rules.condition import tests as comparisons
from scorer.state.codec import decode_lead, due_of, encode_lead
from tests.factory import MONDAY, activity, evaluator
from tests.plain_promises import Plan, Told, escalated, escalations
from tests.plain_time import OfficeHours, plainly_after
from tests.unit.test_lifecycle import earlier

RULES = """
ruleset: timed
ratings: {warm: 15, hot: 35, hysteresis: HYSTERESIS}
grades: {fit: {A: 30, B: 20, C: 10}, engagement: {1: 30, 2: 20, 3: 10}}
publish: {on: PUBLISH, score_step: STEP}
signals:
  pricing: {activity: page_viewed, where: {path: /pricing}, points: 7, daily_cap: 3, half_life: HALF, max_points: 40}
  careers: {activity: page_viewed, where: {path: /careers}, points: -9, half_life: 20d, window: 90d}
  trial: {activity: trial_started, points: 15, window: 60d}
  click: {activity: email_clicked, points: 3, half_life: 3650d, window: 730d}
  brief: {activity: email_opened, points: 40, half_life: 1h}
  odd: {activity: content_downloaded, points: 11, half_life: 7h}
scoring:
  company:
    hit_policy: sum
    rules:
      - {id: large, when: {profile.employees: {gte: 250}}, points: 10}
      - {id: fresh-demo, when: {days_since.demo_requested: {lt: 2.5}}, points: 12}
      - {id: old-demo, when: {days_since.demo_requested: {between: [30, 60]}}, points: -5}
      - {id: silent, when: {days_since.last_activity: {gt: 14}}, points: -6}
      - {id: untouched, when: {lifecycle.status: handed_over, days_in.status: {gte: 0.75}}, points: -4}
      - {id: twice-returned, when: {lifecycle.times_returned: {gte: 2}}, points: -8}
lifecycle:
  phases: {contact: [Working], close: [Signed]}
  categories:
    - {id: customer, when: {lifecycle.status: won}}
    - {id: hot, when: {rating: hot, lifecycle.times_returned: {exists: false}}}
    - {id: working, when: {lifecycle.stage: Working}}
    - {id: base}
  actions: {call: {activity: call_logged}}
routing:
  - {id: competitor, when: {profile.is_competitor: true}, route: discard}
  - {id: returned, when: {lifecycle.status: returned, score.since_return: {lt: 15}}, route: nurture, queue: back}
  - {id: stuck, when: {lifecycle.stage: Working, days_in.stage: {gte: 3}}, route: nurture, queue: stuck}
  - {id: sold, when: {lifecycle.status: won, days_in.status: {lt: 30}}, route: nurture, queue: care}
  - {id: lost, when: {days_since.opportunity_lost: {lt: 90}}, route: nurture, queue: win-back}
  - {id: bounced, when: {signals.careers: {lt: -4}}, route: nurture, queue: jobs}
  - {id: cooling, when: {lifecycle.status: handed_over, days_since.handed_over: {lt: 14}, rating: warm}, route: sales,
     queue: again}
  - {id: hot, when: {rating: hot}, route: sales, queue: sales, respond_within: 1h,
     escalate: [{after: 30m, queue: lead}, {after: 2d, queue: head}]}
  - {id: dead, when: {days_since.last_activity: {gte: 365}}, route: discard}
  - {id: other, route: nurture}
"""


LEVELS = "{after: 30m, queue: lead}, {after: 2d, queue: head}"
CALENDAR = """calendar: {zone: Europe/Berlin, days: [mon-fri], hours: ["09:00-12:00", "13:00-18:00"], holidays: DE-BY}
"""
OFFICE = OfficeHours(((9, 12), (13, 18)))
OFFICE_DAY = 8 * HOUR


def rules(
    half: str = "10d",
    step: int = 10,
    hysteresis: int = 5,
    publish: str = "change",
    levels: str = LEVELS,
    calendar: str = "",
) -> Evaluator:
    """The rules with these values."""
    text = RULES.replace("HALF", half).replace("STEP", str(step)).replace("HYSTERESIS", str(hysteresis))
    return evaluator(text.replace("PUBLISH", publish).replace(LEVELS, levels) + calendar)


EVALUATORS = [
    rules(),
    rules("1h", 1, 0),
    rules("3650d", 3, 0),
    rules("36h", 5, 10, "activity"),
    rules("365d", 10_000, 3),
]
ALL = [*EVALUATORS, rules(calendar=CALENDAR), rules("365d", 10_000, 3, "activity", "", CALENDAR)]
"""With promises in business time, too: those depend on the date."""

_KINDS: list[tuple[str, Mapping[str, object]]] = [
    ("page_viewed", {"url": "/pricing"}),
    ("page_viewed", {"url": "/careers"}),
    ("trial_started", {}),
    ("email_clicked", {}),
    ("email_opened", {}),
    ("email_opened", {}),
    ("email_opened", {}),
    ("content_downloaded", {"content": "x"}),
    ("demo_requested", {}),
    ("profile_updated", {"employees": 300}),
    ("profile_updated", {"employees": 3, "is_competitor": False}),
    ("opportunity_lost", {}),
    ("sales_returned", {}),
    ("sales_accepted", {}),
    ("opportunity_won", {"value": 5000}),
    ("call_logged", {"outcome": "reached"}),
    ("meeting_held", {}),
    ("stage_changed", {"stage": "Working"}),
    ("stage_changed", {"stage": "Signed", "previous": "Working"}),
    ("booth_visited", {}),
    ("merged", {"into": "other"}),
    ("erased", {}),
]
_kinds = st.sampled_from(_KINDS)


@st.composite
def stories(draw: st.DrawFn, most: int = 12) -> list[tuple[LeadActivity, int]]:
    """Activities with their arrivals, which ascend."""
    arrival = MONDAY + draw(st.integers(0, 3 * DAY))
    story = []
    for number in range(draw(st.integers(1, most))):
        arrival += draw(st.sampled_from([0, 1, MINUTE, HOUR, DAY // 3, DAY, 3 * DAY, 20 * DAY, 100 * DAY]))
        skew = draw(st.sampled_from([0, 0, 0, -MINUTE, -DAY, -40 * DAY, MINUTE, 7 * HOUR]))
        kind, data = draw(_kinds)
        event = activity(kind, data, id=f"e{number}")
        story.append((replace_time(event, arrival + skew), arrival))
    return story


def replace_time(event: LeadActivity, time: int) -> LeadActivity:
    return LeadActivity(event.id, event.source, event.type, time, event.lead_id, event.data)


def play(story: Sequence[tuple[LeadActivity, int]], judge: Evaluator) -> Lead:
    lead = Lead("lead-1")
    for event, arrival in story:
        lead = judge.assess(lead, event, arrival).lead
    return lead


def outcome(evaluation: Evaluation) -> tuple[object, ...]:
    routing = evaluation.routing
    return evaluation.score, evaluation.rating, evaluation.grade, routing.route, routing.queue


def differs(lead: Lead, evaluation: Evaluation, step: int) -> bool:
    """Whether the evaluation differs from the published decision."""
    said, routing = lead.published, evaluation.routing
    assert said is not None
    return (said.rating, said.grade, said.route, said.queue) != (
        evaluation.rating,
        evaluation.grade,
        routing.route,
        routing.queue,
    ) or abs(said.score.total - evaluation.score.total) >= step


def candidates(lead: Lead, judge: Evaluator, days: int) -> list[int]:
    """Every instant at which anything can change: each midnight, and the microseconds around each bound."""
    first = lead.judged_at // DAY + 1
    found = {day * DAY for day in range(first, first + days)}
    times = {name.removeprefix("at."): fact.stamp.time for name, fact in lead.facts.items() if name.startswith("at.")}
    times["last_activity"] = lead.clock
    times |= {
        f"in {name}": fact.stamp.time
        for name in ("status", "stage")
        if (fact := lead.facts.get(f"lifecycle.{name}")) is not None
    }
    ruleset = judge.ruleset
    conditions = [rule.condition for criterion in ruleset.criteria for rule in criterion.rules]
    for condition in (*conditions, *(rule.condition for rule in ruleset.routing)):
        for test in () if condition is None else comparisons(condition):
            section, _, name = test.field.partition(".")
            name = f"in {name}" if section == "days_in" else name
            if section in ("days_since", "days_in") and name in times:
                for bound in test.operand if isinstance(test.operand, tuple) else (test.operand,):
                    assert isinstance(bound, (int, float))
                    found |= {times[name] + round(bound * DAY) + near for near in range(-2, 4)}
    # A level that is due when the lead was judged is not reached yet: a sender that is ahead made that later.
    levels = {instant for instant in levels_of(lead, judge) if instant >= lead.judged_at}
    return sorted({instant for instant in found if instant > lead.judged_at} | levels)


def levels_of(lead: Lead, judge: Evaluator) -> list[int]:
    """When the open promise of the lead is escalated, a level each, from when it was made alone."""
    promise = None if lead.lifecycle is None else lead.lifecycle.promise
    rule = next(rule for rule in judge.ruleset.routing if rule.id == "hot")
    if promise is None:
        return []
    office, day = (None, DAY) if judge.ruleset.calendar is None else (OFFICE, OFFICE_DAY)
    broken = plainly_after(promise.made_at, HOUR, office)
    return [broken, *(plainly_after(broken, span, office) for span in (HOUR // 2, 2 * day) if rule.escalate)]


def plain_due(lead: Lead, judge: Evaluator, days: int = 760) -> int:
    """The due instant by judging at every candidate, without anything remembered."""
    if lead.is_erased or lead.value("lifecycle.merged_into") is not None:
        return NEVER
    step = judge.ruleset.publishing.score_step
    before = outcome(judge.evaluate(lead.with_notes(None), lead.judged_at))
    levels = levels_of(lead, judge)
    reached = 0 if lead.lifecycle is None or lead.lifecycle.promise is None else lead.lifecycle.promise.level
    for instant in candidates(lead, judge, days):
        evaluation = judge.evaluate(lead.with_notes(None), instant)
        is_broken = reached < len(levels) and instant >= levels[reached] and evaluation.routing.route is Route.SALES
        if is_broken or (outcome(evaluation) != before and differs(lead, evaluation, step)):
            return instant
        before = outcome(evaluation)
    return NEVER


@settings(max_examples=250, deadline=None)
@given(stories(), st.sampled_from(ALL), st.booleans(), st.integers(1, 9))
def test_the_due_instant_is_that_of_judging_at_every_instant(
    story: list[tuple[LeadActivity, int]], judge: Evaluator, packed: bool, steps: int
) -> None:
    lead = play(story, judge)
    if packed:
        lead = decode_lead(lead.id, encode_lead(lead))
    expected = plain_due(lead, judge)
    due = judge.refine(lead)
    assert due == (expected, True)
    assert judge.due(lead) <= expected
    stored, mark = due_of(encode_lead(lead))
    assert stored <= expected
    assert mark == judge.mark
    # In small pieces, as the job does it: a bound that is not certain is never too late, and each piece gets further.
    instant = lead.judged_at
    for _ in range(2000):
        found = judge.refine(lead, NEVER, steps=steps)
        assert found.instant <= expected
        if found.certain:
            break
        steps += 1
        assert found.instant >= instant
        instant = found.instant
    assert found == due
    assert judge.refine(lead, expected - 1).instant <= expected
    if expected < NEVER:
        assert not judge.refine(lead, expected - 1).certain
        assert judge.refine(lead, expected) == due


@settings(max_examples=150, deadline=None)
@given(stories(), st.sampled_from(ALL))
def test_a_review_as_of_the_due_instant_decides_and_no_other_does(
    story: list[tuple[LeadActivity, int]], judge: Evaluator
) -> None:
    lead = play(story, judge)
    last = lead.judged_at + 500 * DAY
    seen = []
    caught_up = judge.catch_up(lead, last)
    while (due := judge.refine(lead, last)).certain and due.instant <= last:
        before, reviewed = lead, judge.review(lead, due.instant)
        (decision,) = reviewed.decisions
        assert decision.cause == "time"
        assert decision.reference is None
        lead = reviewed.lead
        assert lead.judged_at == due.instant > before.judged_at
        assert lead.published is not None
        assert lead.published.decided_at == due.instant
        assert lead.clock == before.clock
        seen.append(decision)
    assert caught_up.lead == lead
    assert caught_up.decisions == seen
    assert len({decision.decision_id for decision in seen}) == len(seen)
    instants = [from_datetime(datetime.fromisoformat(decision.decided_at)) for decision in seen]
    assert instants == sorted(set(instants))
    again = judge.catch_up(lead, last)
    assert again.lead is lead
    assert again.effects == ()


def in_one_go(story: Sequence[tuple[LeadActivity, int]], judge: Evaluator, end: int) -> tuple[list[bytes], bytes]:
    """What is published, and the state at last: records as they come, and the time after the last."""
    lead, said = Lead("lead-1"), []
    for event, arrival in story:
        assessment = judge.assess(lead, event, arrival)
        lead = assessment.lead
        said += [decision.to_json() for decision in assessment.decisions]
    assessment = judge.catch_up(lead, end)
    said += [decision.to_json() for decision in assessment.decisions]
    return said, encode_lead(assessment.lead)


@settings(max_examples=250, deadline=None)
@given(stories(), st.sampled_from(ALL), st.randoms(use_true_random=False))
def test_what_is_published_does_not_depend_on_when_reviews_run(
    story: list[tuple[LeadActivity, int]], judge: Evaluator, chance: random.Random
) -> None:
    end = story[-1][1] + chance.choice([0, DAY, 200 * DAY])
    lead, said = Lead("lead-1"), list[bytes]()

    def note(assessment: Assessment) -> Lead:
        said.extend(decision.to_json() for decision in assessment.decisions)
        return assessment.lead

    arrivals = [arrival for _, arrival in story]
    for (event, arrival), (_, following) in pairwise([*story, (story[-1][0], end)]):
        lead = note(judge.assess(lead, event, arrival))
        if chance.random() < 0.3:
            note(judge.assess(lead, event, arrival))  # a repetition
        if chance.random() < 0.5:
            lead = decode_lead(lead.id, encode_lead(lead))  # a restart
        for moment in sorted(chance.randint(arrival, max(arrival, following)) for _ in range(chance.randint(0, 3))):
            # A job that gets so far, whatever the reason.
            if judge.due(lead) <= moment:
                lead = note(judge.catch_up(lead, moment))
    lead = note(judge.catch_up(lead, end))
    assert arrivals == sorted(arrivals)
    assert (said, encode_lead(lead)) == in_one_go(story, judge, end)


@settings(max_examples=250, deadline=None)
@given(stories(), st.sampled_from(ALL), st.sampled_from([0, HOUR, 20 * DAY]))
def test_a_broken_promise_is_escalated_once_a_level_at_its_exact_instant(
    story: list[tuple[LeadActivity, int]], judge: Evaluator, rest: int
) -> None:
    end = story[-1][1] + rest
    said = [read_decision(text) for text in in_one_go(story, judge, end)[0]]
    office, day = (None, DAY) if judge.ruleset.calendar is None else (OFFICE, OFFICE_DAY)
    rule = next(rule for rule in judge.ruleset.routing if rule.id == "hot")
    later = [(HOUR // 2, "lead"), (2 * day, "head")] if rule.escalate else []
    told = [
        Told(arrival, min(event.time, arrival + judge.ruleset.tolerance), event.type, (event.source, event.id))
        for event, arrival in story
    ]
    assert escalated(said) == escalations(told, said, {"hot": Plan(HOUR, later, "sales", office)}, end)


@settings(max_examples=150, deadline=None)
@given(stories(), st.sampled_from(ALL), st.randoms(use_true_random=False))
def test_a_release_before_in_the_group_loses_promises_and_nothing_else_fails(
    story: list[tuple[LeadActivity, int]], judge: Evaluator, chance: random.Random
) -> None:
    lead, level, is_promised = Lead("lead-1"), 0, False
    for event, arrival in story:
        assessment = judge.assess(lead, event, arrival)
        lead = decode_lead(lead.id, encode_lead(assessment.lead))
        for effect in assessment.effects:
            is_promised = is_promised or isinstance(effect, HandedOver)
        for decision in assessment.decisions:
            assert decision.escalated <= level or is_promised
            level = decision.escalated
        before = {name: lead.value(name) for name in ("lifecycle.status", "lifecycle.stage", "at.handed_over")}
        if chance.random() < 0.3:
            lead, level, is_promised = earlier(lead), 0, False
            assert {name: lead.value(name) for name in before} == before
            judged = judge.catch_up(lead, arrival).lead
            assert judged.facts == lead.facts


@settings(max_examples=100, deadline=None)
@given(stories(), st.sampled_from(ALL))
def test_decided_at_never_goes_back_and_history_is_judged_as_of_its_arrival(
    story: list[tuple[LeadActivity, int]], judge: Evaluator
) -> None:
    lead, last = Lead("lead-1"), 0
    for event, arrival in story:
        assessment = judge.assess(lead, event, arrival)
        lead = assessment.lead
        assert lead.judged_at >= lead.clock
        if assessment.evaluation is not None:
            assert assessment.evaluation.now == max(arrival, last, lead.clock) == lead.judged_at
            assert lead.clock <= arrival + judge.ruleset.tolerance or lead.clock == last
        last = max(last, lead.judged_at)
        assert lead.published is None or lead.published.decided_at <= lead.judged_at


def days() -> Iterator[int]:
    """00:00 UTC of days at which calendars are special."""
    for year, month, day in (
        (2024, 2, 28),
        (2024, 2, 29),
        (2023, 2, 28),
        (2026, 3, 28),
        (2026, 3, 8),
        (2026, 10, 25),
        (2026, 11, 1),
        (2026, 1, 31),
        (2026, 12, 31),
        (2099, 12, 31),
        (1999, 12, 31),
    ):
        yield from_datetime(datetime(year, month, day, tzinfo=UTC))


@pytest.mark.parametrize("start", list(days()))
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_the_calendar_and_the_zone_of_the_machine_change_nothing(
    start: int, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        story = [
            (activity(kind, data, id=str(number)), moment)
            for number, (kind, data, moment) in enumerate(
                [
                    ("demo_requested", {}, start + 22 * HOUR),
                    ("page_viewed", {"url": "/pricing"}, start + 23 * HOUR),
                    ("trial_started", {}, start + 24 * HOUR - 1),
                    ("trial_started", {}, start + 24 * HOUR),
                ]
            )
        ]
        placed = [(replace_time(event, moment), moment) for event, moment in story]
        judge = EVALUATORS[0]
        lead = play(placed, judge)
        shifted = [(replace_time(event, moment - start + MONDAY), moment - start + MONDAY) for event, moment in story]
        other = play(shifted, judge)
        for _ in range(12):
            due, same = judge.refine(lead), judge.refine(other)
            assert due.certain
            if due.instant == NEVER:
                assert same.instant == NEVER
                break
            assert due.instant - start == same.instant - MONDAY
            assert due.instant == plain_due(lead, judge)
            lead, other = judge.review(lead, due.instant).lead, judge.review(other, same.instant).lead
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("half_life", ["1h", "90m", "7h", "25h", "3d", "30d", "365d", "3650d"])
def test_points_are_those_of_the_formula_for_every_half_life(half_life: str) -> None:
    judge = rules(half_life, 1, 0)
    signal = judge.ruleset.signals["pricing"]
    hours = {"m": 1 / 60, "h": 1.0, "d": 24.0}[half_life[-1]] * float(half_life[:-1])
    for age, weight in enumerate(signal.weights):
        expected = 0.5 ** (24 * age / hours)
        assert weight == pytest.approx(expected, rel=1e-9, abs=0)
    visits = [activity("page_viewed", {"url": "/pricing"}, day=day, id=str(day)) for day in range(5)]
    lead = play([(visit, visit.time) for visit in visits], judge)
    for day in range(4, 400):
        exact = sum(7 * 0.5 ** (24 * (day - of) / hours) for of in range(5) if day - of < 365)
        points = judge.evaluate(lead, MONDAY + day * DAY).signal_points.get("pricing", 0)
        assert points in (int(exact + 0.5 - 1e-9), int(exact + 0.5 + 1e-9))


@settings(max_examples=250, deadline=None)
@given(stories(20), st.sampled_from(ALL))
def test_the_facts_of_a_lead_are_those_that_follow_from_its_lifecycle(
    story: list[tuple[LeadActivity, int]], judge: Evaluator
) -> None:
    """A decision usually takes a short way to the status."""
    lead = Lead("lead-1")
    for event, arrival in story:
        lead = judge.assess(lead, event, arrival).lead
        if lead.lifecycle is not None:
            known = {name: fact for name in FOLLOWING if (fact := lead.facts.get(name)) is not None}
            assert known == facts_of(lead.lifecycle)
