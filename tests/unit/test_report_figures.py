"""Every figure of `scorer report` equals an independent computation from the log."""

import json
from collections import Counter
from datetime import datetime
from functools import cache
from math import ceil
from statistics import median

import pytest

from scorer.backtest.replay import FIND_OUTCOMES, REPLAY, may_be_outcomes
from scorer.domain.instant import DAY, to_text
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.figures.report_model import Report, Transitions
from scorer.keyfigures.result import Read, report
from scorer.keyfigures.shard import Counted, ReportShard
from scorer.offline.activity_files import block_of
from scorer.offline.decisions import DecisionShard
from scorer.offline.place import place
from scorer.offline.shards import shard_of
from scorer.rules.loader import parse_ruleset
from tests.factory import MONDAY
from tests.figures_from_log import PHASES, Figures, Logged, activity_of, figures_of
from tests.lives import LIFE_RULES, START, event_line, lives

NOW = MONDAY + 3650 * DAY
DAYS = 240
UNTIL = START + (DAYS + 10) * DAY
STAGES = {
    "Open": "acquisition",
    "Qualified": "acquisition",
    "Working": "contact",
    "Proposal": "offer",
    "Negotiation": "negotiation",
    "Signed": "close",
}
SEEDS = (1, 2, 3)


def reported(lines: list[bytes], rules: str = LIFE_RULES, until: int = UNTIL, shards: int = 1) -> Report:
    """The report of the lines, counted by so many shards."""
    evaluator = Evaluator(parse_ruleset({"rules.yaml": rules.encode()}), default_engine("compiled"))
    total: Counted | None = None
    for number in range(shards):
        shard = ReportShard(evaluator, NOW)
        mine = block_of("f", 1, [line for line in lines if shard_of(line, shards) == number], 0)
        endings = may_be_outcomes(mine)
        shard.handle(FIND_OUTCOMES, endings.places, endings.lines)
        shard.handle(REPLAY, mine.places, mine.lines)
        part = shard.finish(until)
        if total is None:
            total = part
        else:
            total.outcomes.add(part.outcomes)
            total.figures.add(part.figures)
    assert total is not None
    return report(total.figures, total.outcomes, evaluator.ruleset, Read(["f"], len(lines), {}, until))


def computed(lines: list[bytes]) -> Figures:
    """The same figures from activities and decisions."""
    shard = DecisionShard(
        Evaluator(parse_ruleset({"rules.yaml": LIFE_RULES.encode()}), default_engine("compiled")), NOW
    )
    log: list[Logged] = []
    for number, line in enumerate(lines, start=1):
        decisions = shard.handle("score", [place(number)], [line]).decisions
        log.append((activity_of(line), [json.loads(one) for many in decisions for one in many.splitlines()]))
    late = [json.loads(decision) for _, _, decision in shard.finish(UNTIL)]
    return figures_of(log, late, datetime.fromisoformat(to_text(UNTIL)), STAGES)


@cache
def both(seed: int) -> tuple[Report, Figures]:
    lines = lives(seed, 150, DAYS)
    return reported(lines), computed(lines)


@pytest.mark.parametrize("seed", SEEDS)
def test_hand_overs_of_each_period_and_what_became_of_them(seed: int) -> None:
    result, expected = both(seed)
    assert len(result.periods) == 9
    for period in result.periods:
        made = period.hand_overs
        for name in ("handed_over", "accepted", "returned", "won", "lost", "decided"):
            assert getattr(made, name) == expected.hand_overs[period.label, name], (period.label, name)
        for rate, name in (("acceptance_rate", "accepted"), ("return_rate", "returned"), ("win_rate", "won")):
            share = getattr(made, name) / made.handed_over if made.handed_over else None
            assert getattr(made, rate) == share
        assert made.decided_win_rate == (made.won / made.decided if made.decided else None)
        for name in ("accepted", "returned", "won", "lost"):
            assert getattr(period, name) == expected.said[period.label, name]
        assert period.value_won == float(expected.values[period.label])
    assert result.total.handed_over == sum(
        times for (_, what), times in expected.hand_overs.items() if what == "handed_over"
    )
    assert 5 < result.total.won < result.total.decided < result.total.handed_over
    undecided = result.total.handed_over - result.total.decided
    assert any(f"; {undecided} hand-overs are undecided." in sentence for sentence in result.headline)
    assert result.total.returned > 5


@pytest.mark.parametrize("seed", SEEDS)
def test_funnel(seed: int) -> None:
    result, expected = both(seed)
    assert result.funnel is not None
    for period in result.periods:
        for phase in period.phases:
            assert phase.reached == expected.reached[period.label, phase.phase]
            assert phase.went_on == expected.went_on[period.label, phase.phase]
    for name, phase in zip(PHASES, result.funnel, strict=True):
        assert phase.phase == name
        assert phase.reached == sum(times for (_, what), times in expected.reached.items() if what == name) > 0
        assert phase.ratio == phase.went_on / phase.reached


@pytest.mark.parametrize("seed", SEEDS)
def test_changes_in_both_directions(seed: int) -> None:
    result, expected = both(seed)
    assert result.stages is not None
    for kind, found in (("rating", result.ratings), ("status", result.statuses), ("stage", result.stages)):
        pairs = {(before, after): times for (what, before, after), times in expected.changes.items() if what == kind}
        assert _pairs(found) == pairs
        assert found.total == sum(pairs.values()) > 20
    assert {(one.before, one.after): one.times for one in result.unusual} == dict(expected.unusual)
    assert expected.unusual


def _pairs(transitions: Transitions) -> dict[tuple[str, str], int]:
    return {
        (before, after): times for before, row in transitions.counts.items() for after, times in row.items() if times
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_response_times_and_promises(seed: int) -> None:
    result, expected = both(seed)
    assert {queue.queue for queue in result.responses} == {queue for queue, _ in expected.fates}
    for queue in result.responses:
        fates = {fate: getattr(queue, fate) for fate in ("kept", "late", "missed", "open", "withdrawn", "unmeasured")}
        assert fates == {fate: expected.fates[queue.queue, fate] for fate in fates}
        assert queue.promises == sum(fates.values())
        assert queue.escalations == expected.escalations[queue.queue]
        times = sorted(waited.total_seconds() for waited in expected.answers[queue.queue])
        assert queue.median_seconds == pytest.approx(median(times))
        assert queue.p90_seconds == pytest.approx(times[ceil(0.9 * len(times)) - 1])
    assert result.waiting.overdue == expected.overdue
    assert sum(expected.escalations.values()) > 20
    fates_of_all: Counter[str] = Counter()
    for (_, fate), times_of in expected.fates.items():
        fates_of_all[fate] += times_of
    assert min(fates_of_all[fate] for fate in ("kept", "late", "missed")) > 5


@pytest.mark.parametrize("seed", SEEDS)
def test_reasons_and_competitors(seed: int) -> None:
    result, expected = both(seed)
    for ranking, counts in (
        (result.reasons_lost, expected.reasons_lost),
        (result.competitors, expected.competitors),
        (result.reasons_returned, expected.reasons_returned),
    ):
        assert {named.name: named.times for named in ranking.named} == {
            n: c for n, c in counts.items() if n is not None
        }
        assert ranking.unstated == counts[None]
        assert ranking.total == counts.total() > 5
        assert ranking.other == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_sales_actions_by_day(seed: int) -> None:
    result, expected = both(seed)
    for action in result.actions:
        assert action.total == sum(times for (name, _), times in expected.actions.items() if name == action.action) > 20
        listed = {day.day: day.times for day in action.days}
        first = to_text(UNTIL - 91 * DAY)[:10]
        assert listed == {
            day: times for (name, day), times in expected.actions.items() if name == action.action and day >= first
        }


@pytest.mark.parametrize("seed", SEEDS)
def test_base_at_the_end_of_each_period(seed: int) -> None:
    result, expected = both(seed)
    kinds = ((1, result.base.by_status), (2, result.base.by_rating), (3, result.base.by_category))
    for kind, found in kinds:
        for index, label in enumerate(result.base.periods):
            counts = {name: leads[index] for name, leads in found.items() if leads[index]}
            assert counts == dict(expected.base(kind, label)), (label, kind)
        assert sum(leads[-1] for leads in found.values()) == 150


@pytest.mark.parametrize("seed", SEEDS)
def test_production_and_the_worth_of_a_better_closing_rate(seed: int) -> None:
    result, expected = both(seed)
    made, last = result.production, result.periods[-1]
    assert made is not None
    assert (made.needed, made.period) == (75, last.label)
    assert made.handed_over == expected.hand_overs[last.label, "handed_over"]
    targets, year = result.closing_rate
    assert (targets.opportunities, targets.revenue, targets.plus) == (900, 1_200_000, 120_000)
    handed_over, won = result.total.handed_over, result.total.won
    assert year.opportunities == handed_over
    assert year.rate == pytest.approx(won / handed_over)
    assert year.average_deal == float(sum(expected.values.values()) / expected.deals)
    assert year.plus == pytest.approx(year.revenue * 0.1)
    assert (targets.days, year.days) == (365, DAYS + 11), "the input does not cover a year"
    assert any(f"in the {year.days} days of the input" in sentence for sentence in result.headline)
    assert not any("in a year" in sentence for sentence in result.headline)


def test_a_lead_that_came_back_between_two_periods_was_elsewhere_at_the_end_of_the_first() -> None:
    """By a review in June it left sales; the next activity, in July, brought it back."""
    result, expected = both(45)
    june = result.base.periods.index("2025-06")
    counts = {name: leads[june] for name, leads in result.base.by_category.items()}
    assert counts == dict(expected.base(3, "2025-06"))


def test_an_erasure_does_not_change_where_the_lead_was_at_the_end_of_an_earlier_period() -> None:
    """By a review in January the lead became cold; the erasure, in February, forgets it."""
    lines = [
        event_line("1", "a", "trial_started", START, {}),
        *(event_line(f"p{minute}", "a", "page_viewed", START + minute, {"url": "/pricing"}) for minute in (1, 2)),
        event_line("2", "a", "erased", START + 40 * DAY, {}),
    ]
    rules = LIFE_RULES.replace("hysteresis: 5", "hysteresis: 1")
    kept, erased = (reported(some, rules, START + 41 * DAY) for some in (lines[:-1], lines))
    assert any(after for row in kept.ratings.counts.values() for after in row.values()), "time changed the rating"
    assert kept.base.periods == erased.base.periods == ["2025-01", "2025-02"]
    for one, other in ((kept.base.by_category, erased.base.by_category), (kept.base.by_rating, erased.base.by_rating)):
        first = [{name: counts[0] for name, counts in found.items() if counts[0]} for found in (one, other)]
        assert first[0] == first[1]


def test_the_number_of_shards_does_not_matter() -> None:
    lines = lives(1, 150, DAYS)
    assert reported(lines, shards=3) == both(1)[0]
