"""The calculations of a backtest: the time of each evaluation, hand-overs, figures and sentences."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.backtest.impact import Move, Moves, between, scores
from scorer.backtest.outcomes import auc
from scorer.backtest.replay import FIND_OUTCOMES, REPLAY, ReplayShard, may_be_outcomes
from scorer.backtest.run import Backtest, backtest, percent
from scorer.backtest.tally import JudgedLead, Mover, Tally, most
from scorer.domain.effects import HandedOver
from scorer.domain.instant import DAY, to_text
from scorer.domain.lead import Lead
from scorer.domain.score import Rating, Route
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.activity_files import block_of
from scorer.offline.place import line_of
from scorer.offline.shards import shard_of
from scorer.sources.cloudevents import parse_line
from scorer.state.shelf import LeadShelf
from tests.factory import MONDAY, SMALL_RULES, evaluator

NOW = MONDAY + 3650 * DAY
OLD = evaluator()
NEW = evaluator(SMALL_RULES.replace("budget_status: approved}, points: 20", "budget_status: approved}, points: 35"))
HOT: dict[str, object] = {"bant": {"budget_status": "approved", "authority": "decision_maker"}}


def event(lead: str, kind: str, day: float, **data: object) -> bytes:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"{lead}-{kind}-{day}",
            "source": "test",
            "type": f"lead.{kind}",
            "time": to_text(MONDAY + round(day * DAY)),
            "subject": lead,
            "data": data,
        }
    ).encode()


def tallied(lines: Sequence[bytes], rulesets: Sequence[Evaluator], shards: int = 1) -> Tally:
    tallies = []
    for number in range(shards):
        shard = ReplayShard(rulesets, NOW)
        mine = block_of("f", 1, [line for line in lines if shard_of(line, shards) == number], 0)
        endings = may_be_outcomes(mine)
        shard.handle(FIND_OUTCOMES, endings.places, endings.lines)
        shard.handle(REPLAY, mine.places, mine.lines)
        tallies.append(shard.finish())
    total = tallies[0]
    for other in tallies[1:]:
        total.add(other)
    return total


def run(lines: Sequence[bytes], *rulesets: Evaluator, shards: int = 1) -> Backtest:
    evaluators = rulesets or (OLD,)
    tally = tallied(lines, evaluators, shards)
    return backtest(tally, [evaluator.ruleset for evaluator in evaluators], ["f"], len(lines), {})


def market(seed: int, leads: int = 60, events: int = 600) -> list[bytes]:
    random = Random(seed)
    lines = []
    for number in range(events):
        lead, day = f"lead-{random.randrange(leads)}", number / 10
        bant: dict[str, object] = HOT if random.random() < 0.5 else {"bant": {"budget_status": "planned"}}
        kinds: list[tuple[str, dict[str, object]]] = [
            ("page_viewed", {"url": random.choice(["/pricing", "/careers"])}),
            ("trial_started", {}),
            ("profile_updated", {"employees": random.choice([10, 500]), "country": random.choice(["DE", "FR"])}),
            ("qualification_updated", bant),
            ("sales_returned", {}),
            ("sales_accepted", {}),
            ("opportunity_won", {}),
            ("opportunity_lost", {}),
        ]
        kind, data = random.choice(kinds)
        lines.append(event(lead, kind, day - random.choice([0, 0, 0, 9]), **data))
        if random.random() < 0.1:
            lines.append(random.choice(lines))
    return lines


def test_lead_is_evaluated_just_before_its_first_outcome_in_any_order_of_the_file() -> None:
    events = [
        event("a", "qualification_updated", 1, **HOT),
        event("a", "opportunity_won", 2),
        event("a", "trial_started", 2),  # at the same instant: not before
        event("a", "profile_updated", 3, employees=500, country="DE"),
        event("a", "opportunity_lost", 4),
    ]
    for lines in (events, events[::-1], [events[3], events[1], events[0], events[4], events[2]]):
        result = run(lines)
        assert result.new.scores.counts == {30: 1}
        assert result.outcomes is not None
        assert (result.outcomes.won, result.outcomes.lost) == (1, 0)


LEAK = """
  leak:
    rules:
      - {id: leak, when: {days_since.opportunity_won: {gte: 0}}, points: 50}
"""


def test_score_does_not_depend_on_the_outcome_with_which_it_is_compared() -> None:
    lines = []
    for number in range(20):
        end = "opportunity_won" if number % 2 else "opportunity_lost"
        lines += [event(f"l{number}", "page_viewed", number, url="/pricing"), event(f"l{number}", end, number + 1)]
    outcomes = run(lines, evaluator(SMALL_RULES.replace("scoring:\n", "scoring:" + LEAK))).outcomes
    assert outcomes is not None
    assert outcomes.new.auc is not None
    assert outcomes.new.auc.value == 0.5
    assert next(rule for rule in outcomes.new.rules if rule.rule == "leak").won == 0


def test_lead_without_activities_before_its_outcome_is_counted_separately() -> None:
    result = run([event("a", "opportunity_won", 1), event("a", "trial_started", 2), event("b", "trial_started", 2)])
    assert result.outcomes is not None
    assert (result.outcomes.unjudged, result.outcomes.won) == (1, 0)
    assert result.input.leads == 2
    assert sum(result.new.ratings.values()) == 1


def test_hand_over_counts_once_in_its_iso_week() -> None:
    lines = [
        event("a", "qualification_updated", 1, **HOT),
        event("a", "trial_started", 3),  # hot: 30 + 15
        event("a", "page_viewed", 4, url="/pricing"),
        event("b", "sales_accepted", 5),  # no hand-over
        event("b", "qualification_updated", 5.5, **HOT),
        event("b", "trial_started", 6),
        event("a", "sales_returned", 8),
        event("a", "profile_updated", 16, employees=500, country="DE"),  # new evidence: 15 points
    ]
    result = run(lines)
    assert [(week.week, week.starts, week.leads) for week in result.new.handovers.weeks] == [
        ("2026-W02", "2026-01-05", 1),
        ("2026-W03", "2026-01-12", 0),
        ("2026-W04", "2026-01-19", 1),
    ]
    assert result.new.handovers.total == 2
    assert result.new.handovers.per_week == pytest.approx(2 / 3)


def test_precision_and_recall_use_hand_overs_before_the_outcome() -> None:
    lines = []
    for number, (hot, end) in enumerate([(1, "won")] * 3 + [(1, "lost")] + [(0, "won")] * 2 + [(0, "lost")] * 4):
        lead = f"l{number}"
        lines.append(event(lead, "qualification_updated", 1, bant=HOT["bant"] if hot else {"need": "useful"}))
        lines += [event(lead, "trial_started", 2), event(lead, f"opportunity_{end}", 3)]
        if not hot:  # handed over, but after the outcome
            lines.append(event(lead, "qualification_updated", 4, **HOT))
    outcomes = run(lines).outcomes
    assert outcomes is not None
    sales = outcomes.new.sales
    assert (sales.handed_over, sales.won, sales.precision, sales.recall) == (4, 3, 0.75, 0.6)
    by_rating = {row.rating: row for row in outcomes.new.conversion}
    assert (by_rating[Rating.HOT].leads, by_rating[Rating.HOT].rate) == (4, 0.75)
    assert by_rating[Rating.HOT].lift == pytest.approx(0.75 / 0.5)
    assert by_rating[Rating.WARM].rate is None
    rule = next(rule for rule in outcomes.new.rules if rule.rule == "budget-approved")
    assert (rule.won, rule.lost, rule.won_share, rule.lost_share, rule.rate) == (3, 1, 0.6, 0.2, 0.75)
    assert rule.lift == pytest.approx(1.5)


@pytest.mark.parametrize("seed", range(6))
def test_figures_agree_with_a_plain_fold(seed: int) -> None:
    """Compare with the simplest possible code: everything in memory, lead by lead."""
    lines = market(seed)
    activities = [parse_line(line, NOW) for line in lines]
    ends: dict[str, tuple[int, str, str, str]] = {}
    for activity in activities:
        if activity.type in ("lead.opportunity_won", "lead.opportunity_lost"):
            end = (activity.time, activity.id, activity.source, activity.type.rpartition("_")[2])
            ends[activity.lead_id] = min(end, ends.get(activity.lead_id, end))
    scores_, ratings = Counter[int](), Counter[Rating]()
    by_end, handed = Counter[tuple[str, int]](), Counter[tuple[str, bool]]()
    for lead_id in {activity.lead_id for activity in activities}:
        lead, was_handed = Lead(lead_id), False
        for activity in activities:
            if activity.lead_id != lead_id:
                continue
            if lead_id in ends and activity.time >= ends[lead_id][0]:
                # What time alone decides before the outcome.
                result = OLD.catch_up(lead, ends[lead_id][0] - 1)
            else:
                result = OLD.assess(lead, activity)
            was_handed |= any(isinstance(effect, HandedOver) for effect in result.effects)
            lead = result.lead
        if lead.published is None:
            continue
        total = OLD.evaluate(lead, lead.judged_at).score.total
        scores_[total] += 1
        ratings[lead.published.rating] += 1
        if lead_id in ends:
            by_end[ends[lead_id][3], total] += 1
            handed[ends[lead_id][3], was_handed] += 1
    side = tallied(lines, [OLD]).sides[0]
    assert side.scores == scores_
    assert side.ratings == ratings
    assert side.outcome_scores == by_end
    assert side.outcome_sales == handed


@pytest.mark.parametrize("shards", [2, 5])
def test_result_does_not_depend_on_the_number_of_shards(shards: int) -> None:
    lines = market(7)
    assert run(lines, NEW, OLD, shards=shards) == run(lines, NEW, OLD)


def test_repeated_activities_change_only_their_count() -> None:
    lines = [line for line in market(8) if b"sales_" not in line and b"opportunity" not in line]
    once, twice = run(lines, NEW, OLD), run([line for line in lines for _ in range(2)], NEW, OLD)
    assert twice.changes == once.changes
    assert (twice.new, twice.old) == (once.new, once.old)
    assert twice.input.activities == 2 * once.input.activities


def test_comparison_of_two_rulesets() -> None:
    lines = [
        event("same", "page_viewed", 1, url="/pricing"),
        event("moves", "qualification_updated", 1, bant={"budget_status": "approved"}),
        event("moves", "profile_updated", 2, country="DE"),
    ]
    changes = run(lines, NEW, OLD).changes
    assert changes is not None
    assert changes.ratings.counts["warm"] == {"cold": 0, "warm": 0, "hot": 1}
    assert (changes.ratings.changed, changes.ratings.share) == (1, 0.5)
    assert changes.routes.counts["nurture"] == {"discard": 0, "nurture": 1, "sales": 1}
    assert changes.scores == {0: 1, 15: 1}
    (rule,) = changes.rules
    assert (rule.rule, rule.reason) == ("budget-approved", "Budget is approved")
    assert (rule.leads, rule.points, rule.usual) == (1, 15, 15)
    (mover,) = changes.movers
    assert (mover.lead_id, mover.old.score, mover.new.score, mover.steps) == ("moves", 25, 40, 1)
    assert [(rule.rule, rule.old, rule.new) for rule in mover.rules] == [("budget-approved", 20, 35)]


def test_leads_with_only_another_queue_are_counted_and_listed() -> None:
    other = evaluator(SMALL_RULES.replace("queue: key-accounts", "queue: field-sales"))
    lines = deals(("approved", 3), ("small", 2))
    result = run(lines, other, OLD)
    changes = result.changes
    assert changes is not None
    assert (changes.otherwise, changes.ratings.changed, changes.routes.changed, changes.grades.changed) == (3, 0, 0, 0)
    assert changes.queues == Moves(3, 0.6, [Move("key-accounts", "field-sales", 3)])
    assert [mover.old.queue for mover in changes.movers] == ["key-accounts"] * 3
    assert (
        "3 of 5 leads (60%) would get another rating, route, queue or grade: rating 0, route 0, queue 3, grade 0."
        in (result.headline)
    )


@pytest.mark.parametrize("shards", [1, 3])
def test_changes_count_every_lead_with_a_difference_once(shards: int) -> None:
    other = evaluator(SMALL_RULES.replace("hot: 40", "hot: 30").replace("queue: inside-sales", "queue: field-sales"))
    lines = market(11)
    changes = run(lines, other, OLD, shards=shards).changes
    assert changes is not None
    ratings, queues = changes.ratings.changed, changes.queues.changed
    # Some leads change only their rating, some only their queue, and some change both.
    assert max(ratings, queues) < changes.otherwise < ratings + queues
    assert queues == sum(move.leads for move in changes.queues.moves)
    assert all(move.old != move.new for move in changes.queues.moves)


@pytest.mark.parametrize(
    ("lines", "rejected", "first"),
    [
        (1967, {"not_json": 800, "no_subject": 2}, "Caution: 802 of 1,967 activities could not be used."),
        (100, {"not_json": 10}, "Caution: 10 of 100 activities could not be used."),
        (100, {"not_json": 9}, "Sales would get 2 leads a week."),
    ],
)
def test_headline_starts_with_a_large_share_of_unusable_lines(lines: int, rejected: dict[str, int], first: str) -> None:
    tally = tallied(deals(("approved", 2)), [OLD])
    assert backtest(tally, [OLD.ruleset], ["f"], lines, rejected).headline[0] == first


def test_headline_has_no_shares_without_a_won_deal() -> None:
    headline = run(deals(("approved lost", 3)), OLD).headline
    assert headline[1:] == ["Only 0 won deals and 3 lost deals are known, so figures about deals are only a hint."]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"),
        (0, "0%"),
        (0.0001, "<0.1%"),
        (0.004, "0.4%"),
        (0.05, "5%"),
        (0.256, "26%"),
        (0.125, "13%"),
        (0.9999, ">99.9%"),
    ],
)
def test_percentage_looks_like_none_or_all_only_if_it_is(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_points_of_a_mover_add_up_to_its_scores() -> None:
    capped = evaluator(SMALL_RULES.replace("max: 15", "max: 7"))
    movers = tallied(market(9), [capped, OLD]).movers
    assert any(rule == "cap" for mover in movers for _, rule, _ in mover.new.points)
    for mover in movers:
        for judged in (mover.old, mover.new):
            assert sum(points for _, _, points in judged.points) == judged.score


def test_leads_that_move_most_come_first_in_any_order() -> None:
    def judged(score: int, rating: Rating) -> JudgedLead:
        return JudgedLead(score, rating, Route.NURTURE, "D4", None, ())

    def mover(lead: str, score: int, rating: Rating) -> Mover:
        return Mover(lead, judged(0, Rating.COLD), judged(score, rating))

    best, worse = mover("d", 5, Rating.HOT), mover("c", -90, Rating.WARM)
    ranked = [best, worse, mover("b", 90, Rating.COLD), mover("e", -90, Rating.COLD)]
    many = ranked + [mover(f"z{number}", 1, Rating.COLD) for number in range(50)]
    assert most(many[::-1])[:4] == ranked
    assert len(most(many)) == 20


@given(
    st.dictionaries(st.integers(-5, 5), st.integers(1, 6), max_size=6),
    st.dictionaries(st.integers(-5, 5), st.integers(1, 6), max_size=6),
)
def test_auc_is_the_share_of_pairs_in_the_right_order(won: dict[int, int], lost: dict[int, int]) -> None:
    winners = [score for score, count in won.items() for _ in range(count)]
    losers = [score for score, count in lost.items() for _ in range(count)]
    area = auc(won, lost)
    if not winners or not losers:
        assert area is None
        return
    right = sum(1 if w > x else 0.5 if w == x else 0 for w, x in product(winners, losers))
    assert area is not None
    assert area.value == pytest.approx(right / (len(winners) * len(losers)), abs=1e-12)
    assert 0 <= area.low <= area.value <= area.high <= 1


def test_interval_of_the_auc_agrees_with_the_paper() -> None:
    # Hanley and McNeil 1982, table I: ratings of 51 abnormal and 58 normal images; area 0.893, standard error 0.032.
    abnormal, normal = {1: 3, 2: 2, 3: 2, 4: 11, 5: 33}, {1: 33, 2: 6, 3: 6, 4: 11, 5: 2}
    area = auc(abnormal, normal)
    assert area is not None
    assert area.value == pytest.approx(0.893, abs=5e-4)
    assert (area.high - area.value) / 1.96 == pytest.approx(0.032, abs=5e-4)


@given(st.dictionaries(st.integers(-100, 100), st.integers(1, 5), min_size=1, max_size=8))
def test_median_and_mean_of_the_scores(counts: dict[int, int]) -> None:
    listed = sorted(score for score, count in counts.items() for _ in range(count))
    statistics = scores(counts)
    middle = (listed[(len(listed) - 1) // 2] + listed[len(listed) // 2]) / 2
    assert (statistics.lowest, statistics.median, statistics.highest) == (listed[0], middle, listed[-1])
    assert statistics.mean == pytest.approx(sum(listed) / len(listed))


def test_weeks_without_a_hand_over_are_listed_up_to_a_limit() -> None:
    assert between([(2020, 52), (2021, 1)]) == [(2020, 52), (2020, 53), (2021, 1)]
    assert between([(1, 1), (2026, 1)]) == [(1, 1), (2026, 1)]
    assert between([]) == []


def test_lines_that_may_be_outcomes_include_every_outcome() -> None:
    plain = event("a", "opportunity_won", 1)
    escaped = plain.replace(b"lead.opportunity_won", b"lead.opp\\u006frtunity\\u005fwon")
    split = plain.replace(b"opportunity_", b"\\u006fpportunity\\u005F")
    other = event("ä", "page_viewed", 1, url="/ö")
    assert b"\\u00e4" in other
    found = may_be_outcomes(block_of("f", 1, [other, plain, escaped, other, split], 0))
    assert list(found.lines) == [plain, escaped, split]
    assert [line_of(place) for place in found.places] == [2, 3, 5]
    for line in (escaped, split):
        assert parse_line(line, NOW).type == "lead.opportunity_won"


def test_shelf_of_any_size_returns_the_lead_that_was_put_last() -> None:
    random = Random(3)
    activities = [parse_line(line, NOW) for line in market(4, leads=30)]
    plain: dict[str, Lead] = {}
    for room in (1, 7, 30, 1000):
        small = LeadShelf(room)
        plain.clear()
        for activity in activities:
            lead = small.get(activity.lead_id) or Lead(activity.lead_id)
            assert lead == plain.get(activity.lead_id, Lead(activity.lead_id))
            after = OLD.assess(lead, activity).lead
            if after is not lead or random.random() < 0.5:
                small.put(after)
                plain[after.id] = after
        assert small.ids() == plain.keys()
        assert {lead_id: small.get(lead_id) for lead_id in small.ids()} == plain


def deals(*kinds: tuple[str, int]) -> list[bytes]:
    """Leads of several kinds: `planned` is hot with the new rules only, `approved` with both, and `small` with none."""
    lines = []
    number = 0
    for kind, count in kinds:
        what, _, end = kind.partition(" ")
        for _ in range(count):
            lead, number = f"{kind}{number}", number + 1
            bant: dict[str, object] = {"budget_status": "none"}
            if what != "small":
                bant = {"budget_status": "approved", "authority": "decision_maker" if what == "approved" else "user"}
            lines += [event(lead, "qualification_updated", 1, bant=bant), event(lead, "trial_started", 2)]
            lines += [event(lead, f"opportunity_{end}", 3)] if end else []
    return lines


@pytest.mark.parametrize(
    ("lines", "rulesets", "expected"),
    [
        (deals(("approved", 12), ("planned", 8)), (OLD, NEW), "Sales would get 12 leads a week instead of 20."),
        (deals(("approved", 1), ("small", 3)), (OLD,), "Sales would get 1 lead a week."),
        (
            deals(("approved won", 2), ("planned won", 3)),
            (OLD, NEW),
            "Sales would miss 3 of 5 won deals that it gets today.",
        ),
        (
            deals(("approved won", 2), ("planned won", 3)),
            (NEW, OLD),
            "Sales would gain 3 won deals that it does not get today.",
        ),
        (deals(("approved won", 1), ("planned lost", 3)), (OLD, NEW), "Sales would miss none of 1 won deal."),
        (
            deals(("approved won", 1), ("small won", 1)),
            (OLD,),
            "1 of 2 won deals would have been handed over before the outcome.",
        ),
        (
            deals(("approved won", 3), ("approved lost", 1)),
            (OLD,),
            "Of the leads handed over, 75% were won; of all leads with an outcome, 75% were.",
        ),
        (
            deals(("approved won", 1), ("small lost", 1)),
            (OLD,),
            "Only 1 won deal and 1 lost deal are known, so figures about deals are only a hint.",
        ),
        (
            deals(("planned", 1), ("approved", 3)),
            (NEW, OLD),
            "1 of 4 leads (25%) would get another rating, route, queue or grade: rating 1, route 1, queue 1, grade 1.",
        ),
        (deals(("approved", 2)), (OLD, OLD), f"The two rulesets are the same (revision {OLD.ruleset.revision[:12]})."),
        (
            deals(("small", 2)),
            (NEW, OLD),
            "No lead changes: all scores, ratings, routes, queues and grades are the same.",
        ),
        ([], (OLD,), "No lead was found in the input."),
    ],
)
def test_headline_sentences(lines: list[bytes], rulesets: tuple[Evaluator, ...], expected: str) -> None:
    assert expected in run(lines, *rulesets).headline
