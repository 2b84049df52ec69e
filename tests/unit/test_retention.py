"""Leads are deleted when nothing has happened for so long: when exactly, and everywhere at once."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from scorer.backtest.replay import FIND_OUTCOMES, REPLAY, ReplayShard
from scorer.domain.activity import LeadActivity
from scorer.domain.effects import Decided, Deleted
from scorer.domain.instant import DAY, HOUR, MINUTE, SECOND, to_text
from scorer.domain.lead import NEVER, NO_CLOCK, Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.rule_change import RuleChange
from scorer.explain.story import NothingToExplain, explain_lead
from scorer.explain.timeline import history
from scorer.rules.finding import RulesetError
from scorer.ruletests.run import run_tests
from scorer.state.codec import decode_lead, encode_lead
from scorer.stream.shadow import Shadow
from tests.factory import MONDAY, activity, evaluator
from tests.unit.test_reviews import SETTINGS, TEXT, Log, Partition, append, causes


def keeping(retention: str, more: str = "") -> Evaluator:
    """The rules with this retention."""
    return evaluator(f"{TEXT}retention: {retention}\n{more}")


FOR_A_YEAR = keeping("{inactive: 1y, after_erasure: 90d}")
FOR_EVER = evaluator(TEXT)
SHORTER = keeping("{inactive: 30d}")


def played(judge: Evaluator, *events: tuple[str, float, Mapping[str, object]]) -> Lead:
    """A lead after these activities: what happened, on which day, and its data."""
    lead = Lead("lead-1")
    for kind, day, data in events:
        lead = judge.assess(lead, activity(kind, data, day=day)).lead
    return lead


TRIAL: tuple[str, float, Mapping[str, object]] = ("trial_started", 0.5, {})


@pytest.mark.parametrize(
    ("events", "day", "reason"),
    [
        ([TRIAL], 366, "inactive"),
        ([("trial_started", 0, {})], 365, "inactive"),
        ([TRIAL, ("page_viewed", 20.5, {"url": "/"})], 386, "inactive"),
        ([TRIAL, ("merged", 1.5, {"into": "lead-2"})], 367, "inactive"),
        ([TRIAL, ("erased", 1.5, {})], 92, "erased"),
        ([("erased", 1.5, {})], 92, "erased"),
        ([TRIAL, ("erased", 1.5, {}), ("trial_started", 3.5, {})], 369, "inactive"),
    ],
)
def test_a_lead_is_deleted_at_midnight_after_so_long_without_activity(
    events: list[tuple[str, float, Mapping[str, object]]], day: int, reason: str
) -> None:
    lead, end = played(FOR_A_YEAR, *events), MONDAY + day * DAY
    assert FOR_A_YEAR.deletion(lead) == (end, reason)
    before = FOR_A_YEAR.catch_up(lead, end - 1)
    assert before.lead.clock == lead.clock
    assert not any(isinstance(effect, Deleted) for effect in before.effects)
    after = FOR_A_YEAR.catch_up(lead, end)
    assert after.lead == Lead("lead-1")
    assert after.effects == (*before.effects, Deleted(reason, end))  # type: ignore[arg-type]
    assert FOR_A_YEAR.catch_up(before.lead, end).lead == Lead("lead-1")
    assert FOR_EVER.catch_up(played(FOR_EVER, *events), NEVER - 1).lead.clock == lead.clock


def test_the_bound_in_the_state_is_never_after_the_deletion() -> None:
    steady = keeping("{inactive: 40d}")
    lead = played(steady, ("profile_updated", 0.5, {"employees": 300}))
    assert steady.due(lead) <= MONDAY + 41 * DAY
    assert steady.refine(lead) == (MONDAY + 41 * DAY, True)
    assert steady.refine(lead, MONDAY + 3 * DAY).instant <= MONDAY + 41 * DAY


def test_an_activity_before_the_instant_meets_the_lead_and_one_at_the_instant_a_new_lead() -> None:
    lead, end = played(FOR_A_YEAR, ("profile_updated", 0.5, {"employees": 300})), MONDAY + 366 * DAY
    for arrival, known in ((end - 1, True), (end, False), (end + 900 * DAY, False)):
        event = LeadActivity("late", "/web", "lead.trial_started", arrival, "lead-1", {})
        assessment = FOR_A_YEAR.assess(lead, event, arrival)
        assert (assessment.lead.value("profile.employees") == 300) is known
        decision = assessment.decision
        assert decision is not None
        assert (decision.previous is not None) is known
        if not known:
            alone = FOR_A_YEAR.assess(Lead("lead-1"), event, arrival)
            assert assessment.lead == alone.lead
            assert assessment.decision == alone.decision


def test_the_arrival_counts_so_history_is_not_deleted_while_it_is_loaded() -> None:
    lead, loaded = Lead("lead-1"), MONDAY + 2_000 * DAY
    for number in range(5):
        event = activity("page_viewed", {"url": "/"}, day=number * 400)
        lead = FOR_A_YEAR.assess(lead, event, loaded + number).lead
    facts = FOR_A_YEAR.assess(lead, activity("profile_updated", {"employees": 300}, day=1), loaded + HOUR).lead
    assert facts.value("profile.employees") == 300
    assert FOR_A_YEAR.deletion(facts).instant == loaded + 366 * DAY


def test_only_what_changes_something_keeps_a_lead() -> None:
    event = activity("trial_started", {}, day=0.5)
    lead = FOR_A_YEAR.assess(Lead("lead-1"), event).lead
    repeated = FOR_A_YEAR.assess(lead, event, MONDAY + 200 * DAY).lead
    assert repeated.published != lead.published
    assert FOR_A_YEAR.deletion(repeated) == FOR_A_YEAR.deletion(lead)
    reviewed = FOR_A_YEAR.catch_up(lead, MONDAY + 200 * DAY)
    assert reviewed.effects
    assert FOR_A_YEAR.deletion(reviewed.lead) == FOR_A_YEAR.deletion(lead)
    change = RuleChange(2, MONDAY + 300 * DAY)
    assert FOR_A_YEAR.deletion(FOR_A_YEAR.rescore(lead, change).lead, change) == FOR_A_YEAR.deletion(lead)


def test_late_activities_of_an_erased_person_stay_forgotten_until_the_erasure_is_deleted() -> None:
    lead = played(FOR_A_YEAR, TRIAL, ("erased", 1.5, {}))
    late = activity("profile_updated", {"employees": 300}, day=1.25)
    assert FOR_A_YEAR.assess(lead, late, MONDAY + 91 * DAY).lead.value("profile.employees") is None
    assert FOR_A_YEAR.assess(lead, late, MONDAY + 92 * DAY).lead.value("profile.employees") == 300


def test_a_repeated_activity_counts_as_new_after_the_deletion() -> None:
    event = activity("trial_started", {}, day=0.5)
    lead = FOR_A_YEAR.assess(Lead("lead-1"), event).lead
    assert FOR_A_YEAR.assess(lead, event, MONDAY + 365 * DAY).decision is None
    assert FOR_A_YEAR.assess(lead, event, MONDAY + 366 * DAY).decision is not None


def test_a_state_of_an_earlier_release_is_kept_from_its_last_judgement_on() -> None:
    lead = played(FOR_A_YEAR, TRIAL)
    earlier = replace(lead, seen_at=lead.judged_at, judged_by=b"")
    change = RuleChange(1, MONDAY)
    assert FOR_A_YEAR.deletion(earlier, change) == FOR_A_YEAR.deletion(lead)
    assert FOR_A_YEAR.deletion(earlier).instant == NEVER
    assert decode_lead("lead-1", encode_lead(lead)).seen_at == lead.seen_at


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{inactive: 2}", "`inactive` must be a duration"),
        ("{inactive: 6d}", "write at least 7d"),
        ("{after_erasure: 1h}", "write at least 7d"),
        ("{inactiv: 2y}", "did you mean inactive?"),
        ("2y", "must be a mapping"),
    ],
)
def test_a_wrong_retention_is_refused(text: str, problem: str) -> None:
    with pytest.raises(RulesetError, match=re.escape(problem)):
        keeping(text)


# In the service.


def silent(days: int, *lead_ids: str) -> Log:
    """Leads that started a trial and fell silent; then a tick."""
    log: Log = []
    for lead_id in lead_ids or ("a",):
        append(log, MONDAY + HOUR, lead_id)
    append(log, MONDAY + days * DAY, None)
    return log


def test_a_deleted_lead_leaves_memory_schedule_cache_and_changelog() -> None:
    partition = Partition(silent(365), FOR_A_YEAR)
    append(partition.log, MONDAY + 366 * DAY - SECOND, None)
    shadow = partition.reviews._rescorer.shadow = Shadow(SETTINGS)
    shadow.use(FOR_A_YEAR)
    partition.finish()
    assert partition.lead("a").published is not None
    assert shadow._notes.all_keys() == {"a"}
    said = len(partition.decisions["a"])
    append(partition.log, MONDAY + 366 * DAY, None)
    partition.finish()
    assert partition.changelog[b"a"].value is None
    assert [name for name, _ in partition.changelog[b"a"].headers] == ["offset"]
    assert partition.store.committed("a") is None
    assert partition.store.get("a") == Lead("a")
    assert partition.store._cache is not None
    assert "a" not in partition.store._cache.all_keys()
    assert partition.reviews.schedule.due("a") is None
    assert len(partition.reviews.schedule) == 0
    assert not shadow._notes.all_keys()
    assert len(partition.decisions["a"]) == said
    assert partition.figures.reviews["deleted"] == 1
    partition.start()
    partition.finish()
    assert not list(partition.store.ids())
    append(partition.log, MONDAY + 367 * DAY, "a")
    partition.finish()
    assert causes(partition.decisions["a"])[said:][0][0] == "activity"
    assert partition.lead("a").seen_at == MONDAY + 367 * DAY


def test_a_deletion_that_is_not_committed_did_not_happen() -> None:
    partition = Partition(silent(366), FOR_A_YEAR)
    partition.transact(1)
    partition.transact(1, commit=False)
    assert partition.store.committed("a") is not None
    assert partition.changelog[b"a"].value is not None
    partition.finish()
    assert partition.changelog[b"a"].value is None


def test_a_lead_that_is_active_again_in_the_transaction_of_its_deletion_is_a_new_one() -> None:
    log = silent(365)
    partition = Partition(log, FOR_A_YEAR)
    partition.finish()
    append(log, MONDAY + 400 * DAY, "a")
    append(log, MONDAY + 400 * DAY, "b")
    partition.finish()
    assert partition.lead("a").seen_at == MONDAY + 400 * DAY
    assert [cause for cause, _, _ in causes(partition.decisions["a"])][-1] == "activity"
    assert partition.reviews.schedule.due("a") is not None


def test_a_lead_that_cannot_be_judged_is_deleted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    partition = Partition(silent(366), FOR_A_YEAR)
    partition.transact(1)

    def failing(self: Evaluator, lead: Lead, *more: object) -> object:
        raise ArithmeticError("secret")

    with monkeypatch.context() as patched, capture_logs():
        patched.setattr(Evaluator, "catch_up", failing)
        partition.finish()
    assert partition.figures.reviews["failed"] == 1
    assert partition.changelog[b"a"].value is None
    assert partition.store.committed("a") is None


def test_a_tick_brings_the_time_at_which_an_erased_lead_is_deleted() -> None:
    log: Log = []
    append(log, MONDAY, "a", kind="erased")
    partition = Partition(log, FOR_A_YEAR)
    partition.finish()
    partition.wall = MONDAY + 90 * DAY
    assert not partition.ticks.ready()
    partition.wall += 2 * SECOND
    partition.now += 60
    assert partition.ticks.ready()
    partition.transact(0)
    partition.finish()
    assert partition.changelog[b"a"].value is None
    assert not partition.ticks.ready()


@pytest.mark.parametrize("mode", ["changed_only", "off"])
def test_a_shorter_retention_takes_effect_with_the_change_and_not_before(mode: str) -> None:
    log = silent(200, "a", "b")
    partition = Partition(log, FOR_A_YEAR)
    partition.finish()
    partition.rules = keeping("{inactive: 30d}", f"rescore: {{mode: {mode}}}\n")
    said = {lead_id: len(decisions) for lead_id, decisions in partition.decisions.items()}
    partition.finish()
    change = partition.store.change
    assert change is not None
    assert change.since == MONDAY + 200 * DAY
    assert not list(partition.store.ids())
    assert {lead_id: len(decisions) for lead_id, decisions in partition.decisions.items()} == said
    partition.start()
    append(log, MONDAY + 201 * DAY, None)
    partition.finish()
    assert not list(partition.store.ids())


@pytest.mark.parametrize("mode", ["changed_only", "off"])
def test_a_retention_that_is_new_is_found_by_a_restart_too(mode: str) -> None:
    log = silent(10, "a")
    partition = Partition(log, FOR_EVER)
    partition.finish()
    partition.rules = keeping("{inactive: 30d}", f"rescore: {{mode: {mode}}}\n")
    partition.start()
    partition.finish()
    assert partition.reviews.schedule.due("a") is not None
    partition.start()
    append(log, MONDAY + 31 * DAY, None)
    partition.finish()
    assert not list(partition.store.ids())


def test_a_longer_retention_keeps_what_was_not_deleted_yet() -> None:
    log = silent(29)
    partition = Partition(log, SHORTER)
    partition.finish()
    partition.rules = FOR_A_YEAR
    append(log, MONDAY + 365 * DAY, None)
    partition.finish()
    assert partition.store.committed("a") is not None
    append(log, MONDAY + 366 * DAY, None)
    partition.finish()
    assert partition.store.committed("a") is None


def test_nobody_is_re_scored_of_whom_nothing_is_known_any_more() -> None:
    change = RuleChange(2, MONDAY + 400 * DAY)
    assert FOR_A_YEAR.rescore(Lead("lead-1"), change).effects == ()
    lead = played(FOR_A_YEAR, TRIAL)
    assert SHORTER.rescore(lead, change).lead is lead
    caught_up = SHORTER.catch_up(lead, change.since, change)
    assert caught_up.effects == (Deleted("inactive", change.since),)
    log = silent(31, *(f"lead-{number}" for number in range(300)))
    partition = Partition(log, SHORTER)
    partition.transact(300)
    partition.transact(1)
    partition.rules = keeping("{inactive: 30d}", "tolerance: 1m\n")
    partition.finish()
    assert not list(partition.store.ids())
    found = {cause for decisions in partition.decisions.values() for cause, _, _ in causes(decisions)}
    assert found == {"activity", "time"}


def test_deletions_keep_to_the_bounded_rate() -> None:
    log = silent(31, *(f"lead-{number}" for number in range(300)))
    partition = Partition(log, SHORTER)
    partition.transact(1000)
    partition.transact(0)
    assert 0 < partition.figures.reviews["deleted"] <= 100
    partition.finish()
    assert partition.figures.reviews["deleted"] == 300


def test_a_state_without_an_activity_is_never_deleted() -> None:
    assert FOR_A_YEAR.deletion(Lead("lead-1"), RuleChange(1, NO_CLOCK)).instant == NEVER
    assert FOR_A_YEAR.catch_up(Lead("lead-1"), NEVER - 1).effects == ()


def test_reviews_before_the_deletion_are_published_and_none_at_its_instant() -> None:
    judge = keeping("{inactive: 365d}")
    lead = played(judge, ("trial_started", 0, {}))
    effects = judge.catch_up(lead, NEVER - 1).effects
    times = [effect.decision.decided_at for effect in effects if isinstance(effect, Decided)]
    assert times
    assert max(times) < to_text(MONDAY + 365 * DAY)
    assert effects[-1] == Deleted("inactive", MONDAY + 365 * DAY)
    assert (
        judge.assess(lead, activity("trial_started", {}, day=400), MONDAY + 400 * DAY + MINUTE).effects[: len(effects)]
        == effects
    )


# Offline.


def test_a_rule_test_that_looks_at_a_deleted_lead_is_wrong() -> None:
    text = "tests:\n  - name: x\n    activities: [{type: trial_started}]\n    expect: {after: %s, score: 0}\n"
    outcomes = []
    for after in ("300d", "366d"):
        (result,) = run_tests({"a_test.yaml": (text % after).encode()}, FOR_A_YEAR).results
        outcomes.append(result.outcome)
    assert outcomes == ["pass", "error"]
    assert "the lead is deleted at 2027-01-02T00:00:00Z (`retention`), so nothing is known at 366d" in result.details[0]


def test_the_explanation_says_when_the_lead_is_deleted_and_ends_there() -> None:
    lead, end = played(FOR_A_YEAR, TRIAL), MONDAY + 366 * DAY
    story = explain_lead(lead, FOR_A_YEAR)
    assert story.deleted_at == to_text(end)
    assert story.outlook.until == to_text(end - DAY)
    assert explain_lead(lead, FOR_A_YEAR, end - 1).deleted_at == to_text(end)
    with pytest.raises(NothingToExplain, match=re.escape(to_text(end))) as error:
        explain_lead(lead, FOR_A_YEAR, end)
    assert error.value.reason == "deleted"
    assert explain_lead(played(FOR_EVER, TRIAL), FOR_EVER).deleted_at is None


def test_the_history_begins_anew_after_the_deletion() -> None:
    events = [activity("trial_started", {}, day=day) for day in (0, 1, 400)]
    told = history("lead-1", events, FOR_A_YEAR)
    assert [entry.event.id for entry in told.entries] == [events[2].id]
    assert told.lead == FOR_A_YEAR.assess(Lead("lead-1"), events[2]).lead


def test_a_backtest_counts_the_last_decision_of_a_lead_that_was_deleted_before_its_outcome() -> None:
    events = [("trial_started", MONDAY), ("opportunity_won", MONDAY + 800 * DAY)]
    lines = [
        json.dumps(
            {
                "specversion": "1.0",
                "id": str(number),
                "source": "/web",
                "type": f"lead.{kind}",
                "subject": "lead-1",
                "time": to_text(time),
                "data": {},
            }
        ).encode()
        for number, (kind, time) in enumerate(events)
    ]
    shard = ReplayShard([FOR_A_YEAR], MONDAY + 900 * DAY)
    for task in (FIND_OUTCOMES, REPLAY):
        assert shard.handle(task, [1, 2], lines) == []
    tally = shard.finish()
    assert (tally.unjudged, tally.outcomes["won"]) == (0, 1)
    assert sum(tally.sides[0].outcome_ratings.values()) == 1
