"""What an evaluator remembers never changes a result. Evaluation with notes, without them and from bytes gives the same
answer, and that is the answer of the conditions over the plain facts."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.activity import LeadActivity
from scorer.domain.counts import Hit, join_counts
from scorer.domain.decision import read_decision
from scorer.domain.effects import Decided
from scorer.domain.instant import DAY, day_of, days_between
from scorer.domain.lead import Lead
from scorer.evaluation.contributions import contributions
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.notes import Notes
from scorer.evaluation.results import Evaluation
from scorer.evaluation.signal_points import SignalPoints, SignalWorth, signal_points
from scorer.rules.condition import predicate
from scorer.rules.ruleset import Signal
from scorer.state.codec import decode_lead, encode_lead
from tests.factory import MONDAY, SMALL_RULES, activity, evaluator

TIMED = """
  history:
    rules:
      - {id: returned-lately, when: {days_since.sales_returned: {lt: 3}}, points: -5}
      - {id: returned-once, when: {days_since.sales_returned: {gte: 3}, bant.budget_status: {exists: true}}, points: -2}
  quiet:
    hit_policy: sum
    rules:
      - {id: tried, when: {days_since.trial_started: {between: [1, 9]}}, points: 3}
      - {id: asked, when: {not: {days_since.demo_requested: {gt: 0.25}}, days_since.last_activity: {lt: 1}}, points: 1}
      - {id: uses-kafka, when: {profile.technologies: {contains: kafka}}, points: 1}
      - {id: named, when: {profile.company: {matches: "^A.*é$"}}, points: 1, reason: "Says “é” \\\\ \\"x\\""}
routing:
  - {id: cold-again, when: {days_since.last_activity: {gte: 5}}, route: discard}
  - {id: busy, when: {signals.pricing: {gte: 5}, grade.fit: {in: [A, B]}, criteria.budget: {gt: 5}}, route: sales}
  - {id: lately, when: {days_since.trial_started: {lte: 1}, criteria.behaviour: {gte: 15}}, route: nurture, queue: q}
  - {id: handed, when: {lifecycle.status: handed_over, days_since.handed_over: {gte: 1}}, route: nurture}
  - {id: unseen, when: {signals.pricing: {lt: 3}, score.fit: {gte: 8}}, route: nurture}
  - {id: d4, when: {any: [{grade.engagement: 4, score.engagement: {lte: 0}}, {score.fit: {lt: 0}}]}, route: nurture}
"""
RULES = evaluator(SMALL_RULES.replace("routing:\n", TIMED))
# A column with more than 16 cells, so that codes do not fit into half a byte.
WIDE = evaluator(
    SMALL_RULES.replace(
        "routing:\n",
        "  bands:\n    rules:\n"
        + "".join(
            f"      - {{id: band-{n}, when: {{profile.employees: {{lt: {n * 20}}}}}, points: {n}}}\n"
            for n in range(1, 20)
        )
        + "routing:\n",
    )
)

_kinds: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.just("page_viewed"), st.fixed_dictionaries({"url": st.sampled_from(["/pricing", "/careers", "/"])})),
    st.tuples(st.sampled_from(["trial_started", "demo_requested", "sales_returned", "erased"]), st.just({})),
    st.tuples(st.just("merged"), st.just({"into": "lead-2"})),
    st.tuples(
        st.just("qualification_updated"),
        st.fixed_dictionaries({"bant": st.dictionaries(st.just("budget_status"), st.sampled_from(["approved", None]))}),
    ),
    st.tuples(
        st.just("profile_updated"),
        st.fixed_dictionaries(
            {},
            optional={
                "company": st.sampled_from(["Aé", "B\u2028<\x1f\x7f🚀"]),
                "employees": st.none() | st.sampled_from([0, 100, 250, 390]),
                "is_competitor": st.booleans(),
                "custom": st.fixed_dictionaries({"installed_base": st.sampled_from([-1, 1, 1.0, True])}),
                "technologies": st.sampled_from([["kafka"], ["sap", "kafka"], []]),
            },
        ),
    ),
)


@st.composite
def stories(draw: st.DrawFn) -> list[LeadActivity]:
    days = st.sampled_from([0, 0.25, 0.2500001, 1, 1.5, 3, 4, 9, 10.5, 30])
    return [
        activity(*draw(_kinds), day=draw(days), id=f"{number:02}", source=draw(st.sampled_from(["a", "b"])))
        for number in range(draw(st.integers(1, 12)))
    ]


def shown(evaluation: Evaluation) -> object:
    points = sorted((signal.id, points) for signal, points in evaluation.signals)
    rules = [
        (result.criterion.name, [rule.id for rule in result.rules], result.points) for result in evaluation.criteria
    ]
    standing = evaluation.score, evaluation.rating, evaluation.grade
    return *standing, points, rules, evaluation.routing.id, contributions(evaluation)


def check_against_plain_facts(evaluation: Evaluation, rules: Evaluator, lead: Lead, routing: str) -> None:
    """Check the criteria and the routing rule against the conditions themselves, over a dictionary of all fields."""
    facts: dict[str, object] = {name: fact.value for name, fact in lead.facts.items()}
    for name, fact in lead.facts.items():
        if name.startswith("at."):
            facts[f"days_since.{name[3:]}"] = days_between(fact.stamp.time, evaluation.now)
    facts["days_since.last_activity"] = days_between(lead.clock, evaluation.now)
    met: dict[str, int] = {}
    for result in evaluation.criteria:
        criterion = result.criterion
        holding = [rule for rule in criterion.rules if rule.condition is None or predicate(rule.condition)(facts)]
        if criterion.hit_policy == "first":
            holding = holding[:1]
        assert list(result.rules) == holding
        points = sum(rule.points for rule in holding)
        points = points if criterion.max is None else min(points, criterion.max)
        points = points if criterion.min is None else max(points, criterion.min)
        assert result.points == points
        facts[f"criteria.{criterion.name}"] = points
        if criterion.group is not None:
            met[criterion.group] = met.get(criterion.group, 0) + (points >= criterion.met_at)
    facts |= {f"groups.{name}.met": count for name, count in met.items()}
    facts |= {f"signals.{name}": 0 for name in rules.ruleset.signals} | {
        f"signals.{s.id}": p for s, p in evaluation.signals
    }
    facts["rating"], (facts["grade.fit"], facts["grade.engagement"]) = evaluation.rating.value, evaluation.grade
    facts["score.total"], facts["score.fit"] = evaluation.score.total, evaluation.score.fit
    facts["score.engagement"] = facts["criteria.behaviour"] = evaluation.score.engagement
    returned = lead.facts.get("at.sales_returned")
    if returned is not None:
        today, day = day_of(evaluation.now), day_of(returned.stamp.time)
        new = [
            rule.points
            for result in evaluation.criteria
            for rule in result.rules
            if rule.id not in lead.rules_at_return
        ]
        new += [signal_points(signal, lead.counted[signal.id], today, day) for signal, _ in evaluation.signals]
        facts["score.since_return"] = sum(new)
    if lead.is_erased:
        assert routing == "erased"
    elif lead.value("lifecycle.merged_into") is not None:
        assert routing == "merged"
    else:
        holds = (
            rule.id for rule in rules.ruleset.routing if rule.condition is None or predicate(rule.condition)(facts)
        )
        assert routing == next(holds)


@settings(max_examples=400, deadline=None)
@given(stories(), st.sampled_from([RULES, WIDE]), st.integers(0, 40), st.randoms(use_true_random=False))
def test_caches_never_change_a_result(
    story: Sequence[LeadActivity], rules: Evaluator, later: int, chance: random.Random
) -> None:
    lead = Lead("lead-1")
    for event in story:
        if chance.random() < 0.3:
            lead = decode_lead("lead-1", encode_lead(lead))
        assessment = rules.assess(lead, event)
        lead = assessment.lead
        assert lead.notes is None or (isinstance(lead.notes, Notes) and lead.notes.facts is lead.facts)
        for now in (lead.clock, lead.clock + later * DAY // 4, lead.clock):
            evaluation = rules.evaluate(lead, now)
            fresh = Lead(
                lead.id,
                lead.clock,
                dict(lead.facts),
                lead.counted,
                lead.erased_at,
                lead.published,
                lead.rules_at_return,
                judged_at=lead.judged_at,
                recent=lead.recent,
                seen_at=lead.seen_at,
                lifecycle=lead.lifecycle,
            )
            plain = rules.evaluate(fresh, now)
            assert (shown(evaluation), evaluation.until) == (shown(plain), plain.until)
            restored = decode_lead("lead-1", encode_lead(lead))
            assert restored == lead == fresh
            assert encode_lead(restored) == encode_lead(lead)
            assert shown(evaluation) == shown(rules.evaluate(restored, now))
            check_against_plain_facts(evaluation, rules, lead, evaluation.routing.id)
        # Other rules take effect, then the first ones again.
        other = WIDE if rules is RULES else RULES
        other.evaluate(lead, lead.clock)
        if chance.random() < 0.2:
            lead = other.assess(lead, activity("page_viewed", {"url": "/"}, day=chance.random(), id="other")).lead


@settings(max_examples=300, deadline=None)
@given(stories())
def test_a_decision_survives_the_round_trip_through_its_contract(story: Sequence[LeadActivity]) -> None:
    lead = Lead("lead-1")
    for event in story:
        assessment = RULES.assess(lead, event)
        lead = assessment.lead
        if assessment.decision is not None:
            model = read_decision(assessment.decision.to_json())
            assert model == assessment.decision
            assert assessment.evaluation is not None
            assert (model.rating, model.route) == (
                assessment.evaluation.rating,
                assessment.evaluation.routing.route,
            )
            order = [(-abs(part.points), part.criterion, part.rule) for part in model.contributions]
            assert order == sorted(order)
            before = model.previous
            changed = before is not None and before.rating is not model.rating
            assert Decided(assessment.decision).transition == (
                (before.rating, model.rating) if before and changed else None
            )


@settings(max_examples=800, deadline=None)
@given(
    st.integers(-10_000, 10_000).filter(bool),
    st.integers(1, 100),
    st.none() | st.integers(1, 200_000),
    st.none() | st.sampled_from([1, 2, 10, 14, 30]),
    st.integers(1, 730),
    st.dictionaries(st.integers(0, 800), st.integers(1, 100), min_size=1, max_size=30),
)
def test_tabulated_points_equal_the_formula_on_all_days_for_which_they_are_valid(
    points: int, cap: int, limit: int | None, half_life: int | None, window: int, days: dict[int, int]
) -> None:
    weights = tuple(1.0 if half_life is None else 0.5 ** (age / half_life) for age in range(window))
    signal = Signal("s", "lead.page_viewed", None, points, cap, limit, weights, "S")
    counts = join_counts(b"", [number for day in sorted(days.items()) for number in day])
    table = SignalPoints(signal)
    known: SignalWorth | None = None
    for today in (700, 800, 790, 792, 793, 814, 900, 1_400, 1):
        known = table.worth(counts, today, known)
        same, whole, since, until, _, _ = known
        assert same is counts
        assert whole == signal_points(signal, counts, today)
        assert since <= today < until
        for day in {*range(today, min(until, today + 40)), *range(max(today, until - 3), min(until, 2_000))}:
            assert signal_points(signal, counts, day) == whole


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2, 5, 9, 729, 731, 1500]), st.integers(0, 12)), max_size=25),
    st.integers(1, 4),
)
def test_counts_keep_the_smallest_hashes_of_each_day(events: list[tuple[int, int]], cap: int) -> None:
    lead, expected = Lead("lead-1"), dict[int, set[int]]()
    clock = -(10**9)
    for day, number in events:
        event = activity("page_viewed", {"url": "/"}, day=day, id=f"e{day}-{number}")
        lead = lead.apply(event, [Hit("s", cap)])
        clock = max(clock, day)
        if day >= clock - 730:
            own = expected.get(day, set())
            alone = Lead("x").apply(event, [Hit("s", 1)]).signals["s"]
            kept = set(sorted(own | {*alone[day_of(event.time)]})[:cap])
            if kept != own:
                expected = {d: hashes for d, hashes in expected.items() if d >= clock - 730} | {day: kept}
    first = day_of(MONDAY)
    assert lead.signals.get("s", {}) == {first + day: tuple(sorted(expected[day])) for day in sorted(expected)}
    assert list(lead.signals.get("s", {})) == sorted(lead.signals.get("s", {}))


def test_a_sum_near_a_half_is_rounded_like_the_formula() -> None:
    # 50 x 0.05 is 2.5; the sum of 50 terms is 2.499999999999999.
    signal = Signal("s", "lead.page_viewed", None, 1, 1, None, (0.05,) * 60, "S")
    counts = join_counts(b"", [number for day in range(50) for number in (day, 1)])
    assert signal_points(signal, counts, 50) == SignalPoints(signal).worth(counts, 50)[1] == 3


def test_replaced_facts_are_evaluated_without_stale_notes() -> None:
    lead = RULES.assess(Lead("lead-1"), activity("profile_updated", {"employees": 1000})).lead
    less = replace(lead, facts={})  # one point remains, for the demo that nobody requested
    assert RULES.evaluate(less, less.clock).score.fit == 1
    assert RULES.evaluate(decode_lead("lead-1", encode_lead(less)), less.clock).score.fit == 1
