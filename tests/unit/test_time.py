"""Whose time counts: arrivals, skewed clocks, reviews before activities, changes of rules, one answer everywhere."""

import json
import random
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord
from typer.testing import CliRunner

from scorer.backtest.replay import FIND_OUTCOMES, REPLAY, ReplayShard
from scorer.cli import app
from scorer.domain.decision import RoutingDecision, read_decision
from scorer.domain.instant import DAY, HOUR, MINUTE, to_text
from scorer.domain.lead import NEVER, Lead
from scorer.domain.score import Rating, Route
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.rule_change import RuleChange
from scorer.offline.decisions import DecisionShard
from scorer.offline.place import activity_at
from scorer.ruletests.run import run_tests
from scorer.runtime.metrics import Metrics
from scorer.runtime.settings import Settings
from scorer.sources.arrival import arrival_of, log_time_after
from scorer.sources.rejected import Rejected
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from tests.factory import MONDAY, SMALL_RULES, activity, evaluator, ruleset_folder

COOLING = """
ruleset: cooling
ratings: {warm: 10, hot: 20}
publish: {score_step: 5}
signals: {trial: {activity: trial_started, points: 24, half_life: 30d}}
scoring: {company: {rules: [{id: large, when: {profile.employees: {gte: 250}}, points: 3}]}}
routing:
  - {id: gone, when: {days_since.last_activity: {gte: 365}}, route: discard, reason: Silent for a year}
  - {id: hot, when: {rating: hot}, route: sales, queue: inside-sales, respond_within: 4h}
  - {id: rest, route: nurture}
"""
PROMISED = (
    COOLING.replace(
        "respond_within: 4h}",
        "respond_within: 4h, escalate: [{after: 4h, queue: team-lead}, {after: 3d, queue: head}]}",
    )
    + """calendar: {zone: Europe/Berlin, days: [mon-fri], hours: 09:00-18:00, holidays: DE-BY}
lifecycle:
  categories: [{id: with-sales, when: {lifecycle.status: handed_over}}, {id: base}]
"""
)
"""The same, but somebody must answer in business time."""
RULES = evaluator(COOLING)
SMALL = evaluator()


def line(kind: str, data: Mapping[str, object], time: int, number: int, lead: str = "lead-1", **more: object) -> bytes:
    """An activity as a line of a file."""
    event = {"specversion": "1.0", "id": f"e{number}", "source": "/test", "type": f"lead.{kind}", "subject": lead}
    return json.dumps({**event, "time": to_text(time), "data": data, **more}).encode()


def assess(judge: Evaluator, *events: tuple[str, Mapping[str, object], int, int]) -> tuple[Lead, list[RoutingDecision]]:
    """The lead after activities, each with its own time and its arrival after MONDAY, and all decisions."""
    lead, said = Lead("lead-1"), list[RoutingDecision]()
    for kind, data, time, arrival in events:
        event = activity(kind, data, day=time / DAY)
        assessment = judge.assess(lead, event, MONDAY + arrival)
        lead = assessment.lead
        said += assessment.decisions
    return lead, said


@pytest.mark.parametrize("ahead", [0, MINUTE, 2 * HOUR, 23 * HOUR])
def test_a_clock_that_is_ahead_cannot_overrule_a_later_withdrawal(ahead: int) -> None:
    grant = ("consent_changed", {"status": "granted"}, ahead, 0)
    lead, _ = assess(SMALL, grant, ("unsubscribed", {}, 10 * MINUTE, 10 * MINUTE))
    assert lead.value("consent.email") == "withdrawn"
    assert lead.value("consent.phone") == "granted"


@pytest.mark.parametrize("ahead", [2 * HOUR, 20 * HOUR])
def test_a_clock_that_is_ahead_moves_facts_and_respond_by_by_the_tolerance_at_most(ahead: int) -> None:
    first = ("profile_updated", {"employees": 300}, ahead, 0)
    lead, _ = assess(RULES, first, ("profile_updated", {"employees": 3}, 6 * MINUTE, 6 * MINUTE))
    assert lead.value("profile.employees") == 3
    _, (decision,) = assess(RULES, ("trial_started", {}, ahead, 0))
    assert decision.decided_at == to_text(MONDAY + 5 * MINUTE)
    assert decision.respond_by == to_text(MONDAY + 5 * MINUTE + 4 * HOUR)


def test_the_tolerance_is_that_of_the_rules() -> None:
    wide = evaluator(COOLING + "tolerance: 3h\n")
    _, (decision,) = assess(wide, ("trial_started", {}, 2 * HOUR, 0))
    assert decision.decided_at == to_text(MONDAY + 2 * HOUR)


def test_a_return_by_a_clock_that_is_ahead_is_recognised() -> None:
    lead, _ = assess(
        SMALL,
        ("trial_started", {}, 0, 0),
        ("qualification_updated", {"bant": {"authority": "influencer"}}, 0, 1),
        ("sales_returned", {}, 9 * HOUR, HOUR),
    )
    assert lead.rules_at_return == ("influencer",)


def test_history_that_is_loaded_today_is_judged_as_of_today_and_gives_no_stale_hand_over() -> None:
    chance = random.Random(1)
    today = 730 * DAY
    for _ in range(50):
        times = sorted(chance.randrange(400 * DAY) for _ in range(40))
        kinds = [chance.choice(["trial_started", "page_viewed", "demo_requested"]) for _ in times]
        events = [
            (kind, {"url": "/"} if kind == "page_viewed" else {}, time, today + number * MINUTE)
            for number, (kind, time) in enumerate(zip(kinds, times, strict=True))
        ]
        lead, said = assess(RULES, *events)
        assert all(decision.route is not Route.SALES for decision in said)
        assert sum(decision.cause == "time" for decision in said) <= 1
        assert {decision.decided_at for decision in said} <= {to_text(MONDAY + arrival) for *_, arrival in events}
        # The same events as they came would have gone to sales.
        _, then = assess(RULES, *[(kind, data, time, time) for kind, data, time, _ in events])
        assert "trial_started" not in kinds or any(decision.route is Route.SALES for decision in then)
        assert lead.clock == MONDAY + times[-1]


def test_what_sales_did_with_a_lead_counts_although_it_is_loaded_after_our_hand_over() -> None:
    today = 300 * DAY
    lead, said = assess(
        evaluator(COOLING.replace("half_life: 30d", "window: 730d")),
        ("trial_started", {}, 0, today),
        ("sales_accepted", {}, DAY, today + 1),
    )
    assert said[0].route is Route.SALES
    assert lead.value("lifecycle.status") == "accepted"
    assert lead.facts["at.handed_over"].stamp.time == MONDAY + today


def test_a_lead_that_falls_silent_cools_down_and_its_next_activity_finds_it_cold() -> None:
    _, said = assess(RULES, ("trial_started", {}, 0, 0), ("page_viewed", {"url": "/"}, 400 * DAY, 400 * DAY))
    assert [(decision.cause, decision.rating, decision.route) for decision in said][:2] == [
        ("activity", Rating.HOT, Route.SALES),
        ("time", Rating.WARM, Route.NURTURE),
    ]
    gone = [decision for decision in said if decision.routing.rule == "gone"]
    assert [decision.decided_at for decision in gone] == [to_text(MONDAY + 365 * DAY)]
    assert said[-1].cause == "activity"
    assert said[-1].route is Route.NURTURE
    for before, after in pairwise(said):
        assert after.previous is not None
        assert (after.previous.rating, after.previous.score) == (before.rating, before.score.total)


def decisions_of(lines: Sequence[bytes], until: int, rules: str = COOLING) -> list[dict[str, object]]:
    """What `scorer score --until` decides."""
    shard = DecisionShard(evaluator(rules), MONDAY + 9_999 * DAY)
    found = shard.handle("score", [number << 24 for number in range(1, len(lines) + 1)], lines)
    assert not found.rejected
    return [json.loads(text) for text in (*found.decisions, *(late.decision for late in shard.finish(until)))]


@pytest.mark.parametrize(("text", "levels"), [(COOLING, []), (PROMISED, [1, 2, 3])])
def test_every_command_tells_the_same_of_a_year_of_silence(text: str, levels: list[int], tmp_path: Path) -> None:
    start = 20_454 * DAY + 9 * HOUR  # when rule tests begin
    lines = [line("profile_updated", {"employees": 300}, start, 1), line("trial_started", {}, start, 2)]
    days = [1, 5, 9, 29, 40, 100, 364, 365, 366, 400]
    expected: dict[int, tuple[object, ...]] = {}
    for day in days:
        last = decisions_of(lines, start + day * DAY, text)[-1]
        score = last["score"]
        assert isinstance(score, dict)
        expected[day] = last["rating"], last["route"], last["routing"], score["total"]
    # The service: a batch with the arrivals of the broker, and a record of the lead after the year.
    store = LeadStore()
    processor = BatchProcessor(Settings(_env_file=None, group="g"), evaluator(text).assess, lambda: 0)
    visit = line("page_viewed", {"url": "/"}, start + 400 * DAY, 3)
    arrivals = [start, start, start + 400 * DAY]
    records = [
        ConsumerRecord("in", 0, number, at // 1000, 1, b"lead-1", value, None, 6, len(value), ())
        for number, (at, value) in enumerate(zip(arrivals, [*lines, visit], strict=True))
    ]
    outbox, _ = processor.process(records, store)
    published = [json.loads(m.value or b"") for m in outbox.messages if m.topic == "lead.routing"]
    scored = decisions_of([*lines, visit], start + 400 * DAY, text)
    assert published == scored
    escalated = [decision["escalated"] for decision in scored if "escalated" in decision]
    assert list(dict.fromkeys(escalated)) == levels
    assert [decision for decision in scored if decision["cause"] == "time"] == decisions_of(
        lines, start + 400 * DAY, text
    )[2:]
    # Explain and rule tests: the same rating and route as of each day. The score is that of the day itself.
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"\n".join(lines))
    rules = ruleset_folder(tmp_path / "rules", text)
    tests = []
    for day in days:
        rating, route, routing, _ = expected[day]
        assert isinstance(routing, dict)
        command = ["explain", "lead-1", "--input", str(file), "--rules", str(rules), "--format", "json"]
        ran = CliRunner().invoke(app, [*command, "--at", to_text(start + day * DAY)])
        assert ran.exit_code == 0, ran.output
        story = json.loads(ran.stdout)
        assert (story["rating"]["rating"], story["routing"]["rule"]) == (rating, routing["rule"])
        tests.append(f"{{after: {day}d, rating: {rating}, route: {route}, routing: {routing['rule']}}}")
    given = "[{type: profile_updated, data: {employees: 300}}, {type: trial_started}]"
    of_rules = f"tests:\n  - {{name: silence, activities: {given}, expect: [{', '.join(tests)}]}}\n"
    report = run_tests({"a_test.yaml": of_rules.encode()}, evaluator(text))
    assert report.passed, [result.details for result in report.results]
    for day in days:
        shard = ReplayShard([evaluator(text)], start + 9_999 * DAY)
        places = [1 << 24, 2 << 24]
        shard.handle(FIND_OUTCOMES, places, lines)
        shard.handle(REPLAY, places, lines)
        tally = shard.finish(start + day * DAY)
        assert tally.sides[0].decisions == len(decisions_of(lines, start + day * DAY, text))
        assert list(tally.sides[0].ratings) == [Rating(str(expected[day][0]))]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_score_until_writes_late_decisions_in_order_of_time_and_lead(tmp_path: Path, workers: str) -> None:
    rules = ruleset_folder(tmp_path / "rules", COOLING)
    file = tmp_path / "a.jsonl"
    leads = [f"lead-{number}" for number in range(6)]
    lines = [line("trial_started", {}, MONDAY + n % 3 * DAY, n, lead) for n, lead in enumerate(leads)]
    file.write_bytes(b"\n".join(lines))
    command = ["score", "--rules", str(rules), "--input", str(file), "--workers", workers]
    plain = CliRunner().invoke(app, command)
    until = CliRunner().invoke(app, [*command, "--until", to_text(MONDAY + 500 * DAY)])
    assert plain.exit_code == until.exit_code == 0, until.output
    assert until.stdout.startswith(plain.stdout)
    late = [read_decision(text.encode()) for text in until.stdout.splitlines()[len(leads) :]]
    assert {decision.lead_id for decision in late} == {*leads}
    assert {decision.cause for decision in late} == {"time"}
    order = [(decision.decided_at, decision.lead_id) for decision in late]
    assert order == sorted(order)
    wrong = CliRunner().invoke(app, [*command, "--until", "tomorrow"])
    assert wrong.exit_code == 2
    assert "--until: 'tomorrow' is not a time" in wrong.output


def test_a_file_says_when_an_activity_arrived() -> None:
    now = MONDAY
    own, arrived = MONDAY - 700 * DAY, MONDAY + 3 * DAY
    event, arrival = activity_at(1 << 24, line("trial_started", {}, own, 1, arrivedat=to_text(arrived)), now)
    assert (event.time, arrival) == (own, arrived)
    assert activity_at(1 << 24, line("trial_started", {}, own, 1), now)[1] == own
    assert activity_at(1 << 24 | 1, line("trial_started", {}, own, 1, arrivedat=to_text(arrived)), now)[1] == arrived
    ahead = line("trial_started", {}, arrived + DAY + 1, 1, arrivedat=to_text(arrived))
    with pytest.raises(Rejected, match="is in the future; expected at most 24 hours after its arrival"):
        activity_at(1 << 24, ahead, now + 999 * DAY)
    with pytest.raises(Rejected, match="arrivedat is not RFC 3339 with a time zone"):
        activity_at(1 << 24, line("trial_started", {}, own, 1, arrivedat="yesterday"), now)
    with pytest.raises(Rejected, match="arrivedat is not RFC 3339 with a time zone"):
        activity_at(1 << 24, line("trial_started", {}, own, 1, arrivedat=5), now)


@pytest.mark.parametrize(
    "arrived",
    ["0001-01-01T00:00:00+10:00", "9001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-10:00"],
)
def test_an_arrival_too_far_away_is_refused_because_no_time_near_it_can_be_written(arrived: str) -> None:
    with pytest.raises(Rejected, match="arrivedat is too far away; expected a time in the years 1 to 9000, in UTC"):
        activity_at(1 << 24, line("trial_started", {}, MONDAY, 1, arrivedat=arrived), MONDAY)
    last = line("trial_started", {}, MONDAY, 1, arrivedat="9000-12-31T23:59:59Z")
    assert to_text(activity_at(1 << 24, last, MONDAY)[1]) == "9000-12-31T23:59:59Z"


@pytest.mark.parametrize(("kind", "arrival"), [(0, None), (1, 1_000_000)])
def test_only_the_time_of_the_broker_is_an_arrival(kind: int, arrival: int | None) -> None:
    record = ConsumerRecord("in", 0, 0, 1000, kind, b"a", b"", None, 1, 0, ())
    assert arrival_of(record, log_time_after(None, record), 5) == arrival


def test_an_event_too_far_ahead_of_its_arrival_is_a_dead_letter_whatever_the_clock_says() -> None:
    value = line("trial_started", {}, MONDAY + DAY + 1, 1)
    for clock in (0, MONDAY + 99 * DAY):
        processor = BatchProcessor(Settings(_env_file=None, group="g"), SMALL.assess, partial(int, clock))
        record = ConsumerRecord("in", 0, 0, MONDAY // 1000, 1, b"lead-1", value, None, 6, len(value), ())
        _, figures = processor.process([record], LeadStore())
        assert figures.dead_letters == {"time_in_future": 1}


def test_sources_whose_clock_is_ahead_are_counted() -> None:
    processor = BatchProcessor(Settings(_env_file=None, group="g"), SMALL.assess, lambda: MONDAY)
    values = [line("trial_started", {}, MONDAY + ahead, 1) for ahead in (0, MINUTE, MINUTE + 1, HOUR, -HOUR)]
    records = [
        ConsumerRecord("in", 0, number, MONDAY // 1000, kind, b"lead-1", value, None, 6, len(value), ())
        for number, value in enumerate(values)
        for kind in (0, 1)
    ]
    _, figures = processor.process(records, LeadStore())
    assert figures.ahead == {"/test": 2}
    metrics = Metrics()
    metrics.committed(figures, 0.0)
    assert b'scorer_activities_ahead_total{source="/test"} 2.0' in metrics.render()


COLDER = evaluator(COOLING.replace("warm: 10, hot: 20", "warm: 20, hot: 25"))


def test_a_change_of_rules_comes_before_the_reviews_and_none_is_before_it() -> None:
    lead = RULES.assess(Lead("lead-1"), activity("trial_started")).lead
    change = RuleChange(7, MONDAY + 20 * DAY)
    assert COLDER.due(lead, change) == change.since
    for until in (change.since, MONDAY + 25 * DAY, MONDAY + 400 * DAY):
        caught_up = COLDER.catch_up(lead, until, change)
        first, *others = caught_up.decisions
        assert (first.cause, first.decided_at) == ("rules_changed", to_text(change.since))
        assert all(decision.cause == "time" and decision.decided_at > first.decided_at for decision in others)
        assert first.to_json() == COLDER.rescore(lead, change).decisions[0].to_json()
        assert COLDER.catch_up(caught_up.lead, until, change).lead is caught_up.lead
    late = activity("page_viewed", {"url": "/"}, day=25)
    assessed = COLDER.assess(lead, late, late.time, change)
    assert assessed.decisions[0].cause == "rules_changed"
    assert COLDER.due(assessed.lead, change) == assessed.lead.due


def test_a_re_scoring_that_changes_nothing_leaves_no_trace_and_may_happen_again() -> None:
    same = evaluator(COOLING.replace("Silent for a year", "Silent for twelve months"))
    lead = RULES.assess(Lead("lead-1"), activity("trial_started")).lead
    change = RuleChange(1, MONDAY + HOUR)
    assert same.rescore(lead, change).lead is lead
    assert same.catch_up(lead, MONDAY + 2 * HOUR, change).lead is lead
    due = same.refine(lead, NEVER, change)
    assert due.certain
    assert due == RULES.refine(lead)
    assert same.catch_up(lead, due.instant, change).decisions[0].cause == "time"
    # Without the change nobody knows since when these rules hold.
    assert same.due(lead) == NEVER
    assert same.catch_up(lead, NEVER - 1).lead is lead


def test_with_re_scoring_off_a_lead_keeps_its_decision_until_its_next_activity() -> None:
    off = evaluator(COOLING.replace("hot: 20", "hot: 25") + "rescore: {mode: 'off'}\n")
    lead = RULES.assess(Lead("lead-1"), activity("trial_started")).lead
    change = RuleChange(1, MONDAY + HOUR)
    assert off.due(lead, change) == NEVER
    assert off.catch_up(lead, MONDAY + 900 * DAY, change).lead is lead
    late = activity("page_viewed", {"url": "/"}, day=1)
    after = off.assess(lead, late, late.time, change)
    assert [decision.cause for decision in after.decisions] == ["activity"]
    assert off.due(after.lead, change) < NEVER


@pytest.mark.parametrize("end", ["erased", "merged"])
def test_a_lead_that_was_erased_or_merged_is_not_reviewed(end: str) -> None:
    lead = SMALL.assess(Lead("lead-1"), activity("trial_started")).lead
    lead = SMALL.assess(lead, activity(end, {"into": "other"} if end == "merged" else {}, day=0.1)).lead
    assert SMALL.due(lead) == NEVER
    assert SMALL.catch_up(lead, MONDAY + 999 * DAY).lead is lead


def test_nothing_is_due_where_time_changes_nothing() -> None:
    steady = evaluator(SMALL_RULES.split("signals:", maxsplit=1)[0] + "scoring:" + SMALL_RULES.split("scoring:")[1])
    lead = steady.assess(Lead("lead-1"), activity("profile_updated", {"employees": 300})).lead
    assert steady.due(lead) == NEVER
    assert steady.refine(lead) == (NEVER, True)


def test_the_delivered_rules_give_up_a_lead_that_is_silent_for_a_year(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(line("page_viewed", {"url": "/pricing"}, MONDAY + 9 * HOUR, 1))
    command = ["score", "--rules", "rules/b2b", "--engine", "compiled", "--input", str(file), "--until"]
    year = MONDAY + 365 * DAY + 9 * HOUR
    before = CliRunner().invoke(app, [*command, to_text(year - 1)]).stdout.splitlines()
    after = CliRunner().invoke(app, [*command, to_text(year)]).stdout.splitlines()
    assert after[:-1] == before
    decision = read_decision(after[-1].encode())
    assert (decision.cause, decision.decided_at) == ("time", to_text(year))
    assert (decision.routing.rule, decision.route) == ("hopeless", Route.DISCARD)
    assert not any('"hopeless"' in text for text in before)
