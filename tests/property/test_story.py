"""For every story of a lead, the explanation adds up, agrees with the decision, and gives suggestions that work.

The smallest sets of changes are found here independently of the search, by trying every change.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from math import fsum

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity
from scorer.domain.counts import counts_of
from scorer.domain.facts import Fact, Stamp
from scorer.domain.instant import DAY, day_of
from scorer.domain.lead import Lead
from scorer.domain.score import Rating
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Evaluation
from scorer.explain.story import NothingToExplain, explain_lead, parse_time
from scorer.explain.story_model import Story
from scorer.explain.timeline import history
from scorer.explain.wording import condition_part
from tests.factory import SMALL_RULES, activity, evaluator
from tests.property.test_lead_fold import stories

RULES = evaluator()
ROUTES = evaluator(
    SMALL_RULES.split("routing:")[0]
    + """
routing:
  - {id: looped, when: {score.since_return: {between: [1, 14]}}, route: nurture}
  - {id: fresh, when: {all: [{days_since.sales_returned: {lt: 3}}, {not: {score.fit: {gte: 20}}}]}, route: discard}
  - {id: met, when: {groups.bant.met: {gte: 1}, grade.fit: {in: [A, B]}}, route: sales}
  - {id: busy, when: {any: [{signals.pricing: {gt: 5}}, {criteria.behaviour: {lt: 0}}]}, route: nurture}
  - {id: sized, when: {criteria.company: {ne: 0}, grade.engagement: {lte: 3}, rating: warm}, route: nurture}
  - {id: rest, route: nurture}
"""
)
_ORDER = (Rating.COLD, Rating.WARM, Rating.HOT)


def explained(story: Sequence[LeadActivity], rules: Evaluator, later: int = 0) -> tuple[Story, Lead]:
    known = history("lead-1", story, rules)
    assume(not known.lead.is_erased)
    return explain_lead(known.lead, rules, known.lead.clock + later * DAY, known), known.lead


@settings(max_examples=50, deadline=None)
@given(stories(), st.sampled_from([0, 1, 40, 400]))
def test_every_point_is_explained_and_they_add_up_to_the_score(activities: list[LeadActivity], later: int) -> None:
    story, lead = explained(activities, RULES, later)
    total = RULES.evaluate(lead, lead.clock + later * DAY).score.total
    assert sum(step.points for step in story.waterfall) == story.score.total == total
    ends = [0, *(step.end for step in story.waterfall)]
    assert [step.start for step in story.waterfall] == ends[:-1]
    assert ends[-1] == total
    assert sum(part.points for part in story.criteria) == story.score.fit
    assert sum(part.points for part in story.signals) == story.score.engagement
    for part in story.criteria:
        assert sum(rule.points for rule in part.rules) == part.before_limit
        assert part.before_limit + part.cut == part.points
    for signal in story.signals:
        assert abs(fsum(day.points for day in signal.days) - signal.before_limit) < 0.01 * (1 + len(signal.days))
        assert abs(signal.before_limit + signal.cut - signal.points) <= 0.511


@settings(max_examples=50, deadline=None)
@given(stories())
def test_explained_routing_agrees_with_the_decision(activities: list[LeadActivity]) -> None:
    story, lead = explained(activities, ROUTES)
    evaluation = ROUTES.evaluate(lead, lead.clock)
    assert story.routing.rule == evaluation.routing.id
    facts = ROUTES.routing_facts(evaluation)
    holds = [
        rule.id
        for rule in ROUTES.ruleset.routing
        if rule.condition is None or condition_part(rule.condition, facts).holds
    ]
    assert holds[0] == evaluation.routing.id
    assert not any(rule.condition is None or rule.condition.holds for rule in story.routing.passed_over)
    passed_over = [rule.rule for rule in story.routing.passed_over]
    assert [*passed_over, story.routing.rule, *story.routing.not_asked] == [rule.id for rule in ROUTES.ruleset.routing]


@settings(max_examples=50, deadline=None)
@given(stories())
def test_timeline_adds_up_from_nothing_to_the_present_score(activities: list[LeadActivity]) -> None:
    story, _ = explained(activities, RULES)
    points: dict[tuple[str, str], int] = {}
    entries = story.timeline or []
    for entry in entries:
        for change in entry.changes:
            key = (change.criterion, change.rule)
            assert points.get(key, 0) == change.before
            points[key] = change.after
        assert sum(points.values()) == entry.score
    assert len(entries) + story.without_effect == len(activities)
    assert {key: value for key, value in points.items() if value} == {
        (step.criterion, step.rule): step.points for step in story.waterfall
    }


@settings(max_examples=30, deadline=None)
@given(stories())
def test_outlook_agrees_with_the_evaluation_on_each_day(activities: list[LeadActivity]) -> None:
    story, lead = explained(activities, RULES)
    moments = [(parse_time(moment.at), moment) for moment in story.outlook.moments]
    today = day_of(lead.clock)
    for day in (today + 1, today + 2, today + 10, today + 90, today + 365, today + 730):
        expected = RULES.evaluate(lead, day * DAY)
        shown = [moment for at, moment in moments if at <= day * DAY][-1]
        assert (shown.score, shown.rating, shown.route) == (
            expected.score.total,
            expected.rating,
            expected.routing.route,
        )


# --- What would raise the rating. The values that SMALL_RULES distinguishes, listed by hand.
ANSWERS: Mapping[str, Sequence[object]] = {
    "bant.budget_status": ["approved", "planned", "none"],
    "bant.authority": ["decision_maker", "influencer", "user"],
    "profile.employees": [250, 249],
    "profile.country": ["DE", "US"],
    "installed_base": [1, 0],
    "profile.email_kind": ["free", "business"],
}
SIGNALS = ("pricing", "trial", "booth")


def _answered(lead: Lead, change: Mapping[str, object], rules: Evaluator) -> Evaluation:
    facts = {**lead.facts, **{name: Fact(value, Stamp(lead.clock, "x", "")) for name, value in change.items()}}
    return rules.evaluate(replace(lead, facts=facts), lead.clock)


def _engaged(lead: Lead, more: Mapping[str, int], rules: Evaluator) -> int | None:
    """Engagement with that many more activities today; None if the daily cap is exceeded."""
    today = day_of(lead.clock)
    signals = dict(lead.signals)
    for name, count in more.items():
        days = signals.get(name, {})
        hashes = (*days.get(today, ()), *range(1, count + 1))
        if len(hashes) > rules.ruleset.signals[name].daily_cap:
            return None
        signals[name] = {**days, today: hashes}
    counted = {name: counts_of(days) for name, days in signals.items()}
    return rules.evaluate(replace(lead, counted=counted), lead.clock).score.engagement


def _gained(before: Evaluation, after: Evaluation) -> int:
    """The number of rules: those that start to hold and give points, and those with negative points that cease on their
    own."""
    count = 0
    for old, new in zip(
        sorted(before.criteria, key=lambda result: result.criterion.name),
        sorted(after.criteria, key=lambda result: result.criterion.name),
        strict=True,
    ):
        came = [rule for rule in new.rules if rule not in old.rules and rule.points > 0]
        ceased = [rule for rule in old.rules if rule not in new.rules and rule.points < 0]
        count += len(came) + (len(ceased) if old.criterion.name == "company" else 0)
    return count


def _changes(lead: Lead, size: int) -> Iterator[Mapping[str, object]]:
    for count in range(size + 1):
        for names in combinations(ANSWERS, count):
            for values in product(*(ANSWERS[name] for name in names)):
                yield dict(zip(names, values, strict=True))


def _best(lead: Lead, now: Evaluation) -> dict[int, int]:
    """The highest score that can be reached, by number of changes."""
    fits: dict[int, int] = {}
    for change in _changes(lead, 3):
        after = _answered(lead, change, RULES)
        cost = _gained(now, after)
        fits[cost] = max(fits.get(cost, -999), after.score.fit)
    engagements: dict[int, int] = {}
    for count in range(4):
        for names in combinations(sorted(SIGNALS * 3), count):
            engagement = _engaged(lead, {name: names.count(name) for name in names}, RULES)
            if engagement is not None:
                engagements[count] = max(engagements.get(count, -999), engagement)
    best: dict[int, int] = {}
    for (cost, points), (count, engagement) in product(fits.items(), engagements.items()):
        if cost + count <= 3:
            best[cost + count] = max(best.get(cost + count, -999), points + engagement)
    return best


@settings(max_examples=30, deadline=None)
@given(stories(), st.sampled_from([None, "free", "business"]))
def test_suggested_sets_are_the_smallest_possible(activities: list[LeadActivity], mail: str | None) -> None:
    if mail is not None:
        activities = [*activities, activity("profile_updated", {"email_kind": mail}, day=1000)]
    story, lead = explained(activities, RULES)
    now = RULES.evaluate(lead, lead.clock)
    best = _best(lead, now)
    for target in story.targets:
        sizes = [cost for cost, total in sorted(best.items()) if cost and total >= target.needed]
        assert target.exhaustive
        assert target.size == (sizes[0] if sizes else None)
        assert target.most == max(now.score.total, *best.values())
        for suggestion in target.suggestions:
            assert suggestion.score >= target.needed
            assert _ORDER.index(suggestion.rating) >= _ORDER.index(target.rating)


def test_erased_lead_has_no_story() -> None:
    known = history("lead-1", [activity("trial_started"), activity("erased", day=1)], RULES)
    with pytest.raises(NothingToExplain, match="2026-01-06T00:00:00Z") as error:
        explain_lead(known.lead, RULES)
    assert error.value.reason == "erased"
