"""What would make a lead warm or hot, in single cases."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from scorer.domain.activity import LeadActivity
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.explain import single_changes
from scorer.explain.outlook import outlook
from scorer.explain.story import explain_lead
from scorer.explain.story_model import Story, Target
from scorer.explain.timeline import history
from scorer.offline.ruleset_files import load_ruleset
from tests.factory import activity, evaluator

ROUTING = "\nrouting:\n  - {id: ready, when: {rating: hot}, route: sales}\n  - {id: rest, route: nurture}\n"


def story(rules: Evaluator, *activities: LeadActivity, later: int = 0) -> Story:
    known = history("lead-1", activities, rules)
    return explain_lead(known.lead, rules, known.lead.clock + later * DAY, known)


def rules(text: str, warm: int = 10, hot: int = 20, more: str = "") -> Evaluator:
    return evaluator(f"ruleset: x\nratings: {{warm: {warm}, hot: {hot}{more}}}\n{text}{ROUTING}")


def shown(target: Target) -> list[tuple[tuple[str, ...], int]]:
    return [
        (tuple(("-" if w.ceases else "") + w.rule + f"*{w.times}" * (w.times > 1) for w in way.wanted), way.score)
        for way in target.suggestions
    ]


def bant(**answers: object) -> LeadActivity:
    return activity("qualification_updated", {"bant": answers})


def profile(**values: object) -> LeadActivity:
    return activity("profile_updated", values)


FIRST = """
scoring:
  budget:
    rules:
      - {id: approved, when: {bant.budget_status: approved, bant.budget_amount: {gte: 50000}}, points: 20}
      - {id: small, when: {bant.budget_status: approved}, points: 12}
      - {id: planned, when: {bant.budget_status: planned}, points: 5}
"""


def test_with_first_a_new_rule_replaces_the_present_one() -> None:
    result = story(rules(FIRST), bant(budget_status="planned"))
    warm, hot = result.targets
    assert shown(warm) == [(("approved",), 20), (("small",), 12)]
    assert warm.suggestions[0].example == {"bant.budget_status": "approved", "bant.budget_amount": 50000}
    assert warm.suggestions[0].replaced == ["planned"]
    assert (warm.needed, warm.missing, warm.size, warm.found) == (10, 5, 1, 2)
    assert shown(hot) == [(("approved",), 20)]
    assert hot.suggestions[0].route == "sales"


def test_known_answer_is_not_taken_back() -> None:
    text = "scoring:\n  c:\n    rules:\n      - {id: silent, when: {bant.need: {exists: false}}, points: 30}\n"
    (_, hot) = story(rules(text), bant(need="none")).targets
    assert (hot.size, hot.most, hot.suggestions) == (None, 0, [])


SUM = """
scoring:
  contact:
    hit_policy: sum
    min: -10
    max: 25
    rules:
      - {id: executive, when: {profile.job_level: executive}, points: 15}
      - {id: manager, when: {profile.job_level: manager}, points: 8}
      - {id: student, when: {profile.job_level: student}, points: -20}
      - {id: business, when: {profile.email_kind: business}, points: 6}
      - {id: throwaway, when: {profile.email_kind: disposable}, points: -8}
      - {id: local, when: {profile.country: DE}, points: 12}
"""


def test_rules_that_exclude_each_other_are_never_added_up() -> None:
    # 8 + 15 would be 23, but nobody is a manager and an executive.
    (hot,) = story(rules(SUM), profile(job_level="manager", email_kind="business")).targets
    assert shown(hot) == [(("local",), 25), (("executive",), 21)]
    assert [way.replaced for way in hot.suggestions] == [[], ["manager"]]


def test_limits_of_a_criterion_are_applied() -> None:
    result = story(rules(SUM, hot=30), profile(job_level="executive", email_kind="business", country="DE"))
    assert (result.score.total, result.targets[0].size, result.targets[0].most) == (25, None, 25)
    # Below the lower limit, a single change gives less than its points or nothing.
    low = story(rules(SUM, warm=10, hot=40), profile(job_level="student", email_kind="disposable"))
    assert low.score.total == -10
    assert low.targets[0].size == 2
    assert (("executive", "local"), 19) in shown(low.targets[0])


def test_points_that_a_limit_would_cut_are_not_counted() -> None:
    result = story(rules(SUM, warm=22, hot=26), profile(job_level="executive", email_kind="business"))
    assert (result.score.total, result.targets[0].found) == (21, 1)
    assert shown(result.targets[0]) == [(("local",), 25)]
    assert (result.targets[1].size, result.targets[1].most) == (None, 25)


def test_with_first_the_replaced_rule_is_not_a_separate_change() -> None:
    text = FIRST.replace("bant.budget_status: planned}, points: 5", "bant.budget_status: planned}, points: -5")
    (warm, _) = story(rules(text), bant(budget_status="planned")).targets
    assert (warm.size, shown(warm)) == (1, [(("approved",), 20), (("small",), 12)])


def test_two_fields_used_by_one_rule_are_still_two_changes() -> None:
    text = """
scoring:
  c:
    hit_policy: sum
    rules:
      - {id: student, when: {profile.job_level: student}, points: -8}
      - {id: local, when: {profile.country: DE}, points: 12}
      - {id: local-student, when: {profile.job_level: student, profile.country: DE}, points: -1}
"""
    (warm, hot) = story(rules(text, warm=2, hot=12), profile(job_level="student")).targets
    assert shown(warm) == [(("local",), 3)]
    assert (hot.size, shown(hot)) == (2, [(("local", "-student"), 12)])


def test_rule_with_negative_points_can_cease() -> None:
    result = story(rules(SUM, warm=15, hot=40), profile(country="DE", email_kind="disposable", job_level="manager"))
    assert result.score.total == 12
    ways = dict(shown(result.targets[0]))
    assert ways[("-throwaway",)] == 20
    assert ways[("business",)] == 25
    assert ways[("executive",)] == 19


SIGNAL = """
signals:
  visit: {activity: page_viewed, points: 4, daily_cap: 3, max_points: 10}
  trial: {activity: trial_started, points: 7, daily_cap: 1, half_life: 10d}
"""


def test_signals_count_up_to_their_daily_cap_and_their_limit() -> None:
    (hot,) = story(
        rules(SIGNAL, warm=5, hot=17), activity("page_viewed", {"url": "/"}), activity("trial_started")
    ).targets
    # Three visits give 12, limited to 10, which makes 17 with the trial. A second trial on the same day does not count.
    assert shown(hot) == [(("visit*2",), 17)]
    assert hot.size == 2
    (higher,) = story(
        rules(SIGNAL, warm=5, hot=18), activity("page_viewed", {"url": "/"}), activity("trial_started")
    ).targets
    assert (higher.size, higher.most) == (None, 17)


def test_one_more_event_of_a_decayed_signal_adds_to_the_remaining_points() -> None:
    result = story(rules(SIGNAL), activity("trial_started"), later=10)
    assert result.score.total == 4
    # The first one still gives 3.5.
    assert shown(result.targets[0]) == [(("trial",), 11)]


def test_lead_that_has_cooled_down_needs_all_points_to_be_hot_again() -> None:
    cooled = story(rules(SIGNAL, warm=2, hot=7, more=", hysteresis: 2"), activity("trial_started"), later=10)
    (hot,) = cooled.targets
    assert (cooled.rating.rating, cooled.rating.previous, hot.needed) == ("warm", "warm", 7)
    assert {way.rating for way in hot.suggestions} == {"hot"}


def test_outlook_names_the_first_day_on_which_time_lowers_the_rating() -> None:
    result = story(rules(SIGNAL, warm=2, hot=7, more=", hysteresis: 2"), activity("trial_started"))
    # 7 x 0.5 ** (age / 10): after 6 days 4.6 is rounded to 5 and the hysteresis keeps the rating; after 7 days 4.3 is
    # rounded to 4. The lead stays warm down to 2 - 2 = 0.
    assert [(moment.at, moment.rating, moment.score) for moment in result.outlook.ratings] == [
        ("2026-01-12T00:00:00Z", "warm", 4)
    ]
    assert result.rating.kept_down_to == 5
    assert result.outlook.moments[-1].score == 0


def test_fields_that_several_criteria_share_are_changed_together() -> None:
    text = """
scoring:
  size:
    rules:
      - {id: large, when: {profile.employees: {gte: 1000}}, points: 12}
      - {id: small, when: {profile.employees: {lt: 1000}}, points: 2}
  effort:
    rules:
      - {id: costly, when: {profile.employees: {gte: 5000}}, points: -6}
"""
    result = story(rules(text, warm=5, hot=12), profile(country="DE"))
    assert shown(result.targets[1]) == [(("large",), 12)]
    assert result.targets[1].suggestions[0].example == {"profile.employees": 1000}
    above = story(rules(text.replace("gte: 5000", "gte: 900"), warm=5, hot=12), profile(country="DE"))
    assert (above.targets[0].size, shown(above.targets[0])) == (1, [(("large",), 6)])
    assert above.targets[1].size is None


def test_tables_connected_by_a_field_are_searched_together() -> None:
    text = """
scoring:
  one:
    rules:
      - {id: a, when: {profile.industry: retail, profile.country: DE}, points: 12}
  two:
    rules:
      - {id: b, when: {profile.country: DE, profile.employees: {gte: 10}}, points: 6}
"""
    result = story(rules(text, warm=10, hot=18), profile(company="x"))
    assert shown(result.targets[0]) == [(("a",), 12)]
    assert shown(result.targets[1]) == [(("a", "b"), 18)]


def test_signal_says_when_its_points_end() -> None:
    short = rules(SIGNAL.replace("max_points: 10", "window: 3d"))
    (signal,) = story(short, activity("page_viewed", {"url": "/"})).signals
    assert (signal.points, signal.gone_on) == (4, "2026-01-08")


def test_counts_above_a_lowered_daily_cap_give_no_points() -> None:
    visits = [activity("page_viewed", {"url": "/"}) for _ in range(3)]
    lead = history("lead-1", visits, rules(SIGNAL)).lead
    result = explain_lead(lead, rules(SIGNAL.replace("daily_cap: 3", "daily_cap: 2")))
    (signal,) = result.signals
    assert (signal.days[0].counted, signal.before_limit, signal.cut, signal.points) == (2, 8, 0, 8)
    assert result.score.total == 8


def test_search_that_stops_early_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_changes, "_COMBINATIONS", 3)
    result = story(rules(FIRST), bant(budget_status="planned"))
    assert not result.targets[0].exhaustive


@pytest.fixture(scope="module")
def b2b() -> Evaluator:
    return Evaluator(load_ruleset(Path(__file__).parents[2] / "rules" / "b2b"), default_engine("compiled"))


@pytest.mark.parametrize(
    ("activities", "size", "first"),
    [
        ([profile(industry="logistics", employees=400, country="AT", job_level="director")], 3, None),
        (
            [
                profile(industry="logistics", employees=400, country="AT", job_level="director"),
                bant(authority="decision_maker", need="important"),
            ],
            1,
            ("budget-approved",),
        ),
    ],
)
def test_shipped_rules(b2b: Evaluator, activities: Sequence[LeadActivity], size: int, first: object) -> None:
    target = story(b2b, *activities).targets[-1]
    assert (target.rating, target.size, target.exhaustive) == ("hot", size, True)
    assert len(target.suggestions) == min(10, target.found)
    if first is not None:
        assert first in dict(shown(target))


def test_the_outlook_reviews_a_lead_only_when_a_decision_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = evaluator(
        """
ruleset: slow
ratings: {warm: 10, hot: 20}
signals: {trial: {activity: trial_started, points: 24, half_life: 300d, window: 730d}}
routing: [{id: rest, route: nurture}]
"""
    )
    lead = history("lead-1", [activity("trial_started")], rules).lead
    reviewed: list[int] = []
    catch_up = rules.catch_up

    def counted(lead: Lead, until: int) -> Assessment:
        reviewed.append(until)
        return catch_up(lead, until)

    monkeypatch.setattr(rules, "catch_up", counted)
    ahead = outlook(lead, rules, lead.judged_at)
    assert [moment.rating for moment in ahead.ratings] == ["warm", "cold"]
    assert len(reviewed) <= 4
