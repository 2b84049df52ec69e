"""The parts of `scorer report`: names in bounded memory, intervals of lifts, the worth of a closing rate, and leads
with long lives, deleted or erased ones."""

from collections import Counter
from fractions import Fraction
from math import exp, log
from random import Random
from statistics import pstdev, quantiles

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.domain.instant import DAY, to_text
from scorer.domain.rounding import percent
from scorer.figures.report_model import Report
from scorer.keyfigures.headline import amount, duration
from scorer.keyfigures.lifts import lift_interval
from scorer.keyfigures.names import LONGEST, Names
from scorer.keyfigures.worth import worth, worth_of
from scorer.report.keyfigures_page import keyfigures_page
from scorer.rules.ruleset import Period, Targets
from tests.factory import MONDAY, SMALL_RULES
from tests.lives import LIFE_RULES, event_line
from tests.unit.test_report_figures import reported

HOT = {"bant": {"budget_status": "approved", "authority": "decision_maker"}}
UNTIL = MONDAY + 60 * DAY


def at(lead: str, number: int, kind: str, day: float, **data: object) -> bytes:
    return event_line(f"{lead}-{number}", lead, kind, MONDAY + round(day * DAY), data)


def handed_over(lead: str, day: float = 0) -> list[bytes]:
    """A lead that is handed over to key accounts, which promise an answer within four hours."""
    return [at(lead, 1, "trial_started", day), at(lead, 2, "qualification_updated", day, **HOT)]


def fates(result: Report) -> dict[str, int]:
    (queue,) = result.responses
    names = ("kept", "late", "missed", "open", "withdrawn", "unmeasured")
    assert queue.promises == sum(getattr(queue, name) for name in names)
    return {name: count for name in names if (count := getattr(queue, name))}


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.text(st.sampled_from("aAbßS\u1e9e i\u0130\n"), min_size=1, max_size=3), st.integers(0, 3)),
        max_size=60,
    ),
    st.integers(1, 6),
    st.randoms(),
)
def test_names_are_counted_the_same_however_they_are_divided(
    names: list[tuple[str, int]], kept: int, random: Random
) -> None:
    whole = Names(kept)
    parts = [Names(kept) for _ in range(3)]
    for name, time in names:
        whole.add(name, time)
        random.choice(parts).add(name, time)
    whole.finish()
    total = Names(kept)
    for part in parts:
        part.finish()
        total.merge(part)
    assert total == whole
    assert len(whole.counts) <= kept
    assert whole.counts.total() + whole.others + whole.unstated == len(names)
    plain = [(" ".join(name.split()), time) for name, time in names]
    exact = Counter(name.casefold() for name, _ in plain)
    assert all(times == exact[name] for name, times in whole.counts.items())
    for name in whole.counts:
        alike = [(time, spelled) for spelled, time in plain if spelled.casefold() == name]
        assert whole.spelling(name) == min(alike)[1]


def test_names_without_text_are_not_stated_and_long_ones_are_cut() -> None:
    names = Names()
    for name in (None, "", "  \n", 7, " too \n expensive ", "too expensive", "x" * 5000, "x" * 6000):
        names.add(name, 0)
    assert names.unstated == 4
    assert names.counts == {"too expensive": 2, "x" * LONGEST: 2}


def test_reasons_and_competitors_that_differ_only_in_case_or_spaces_are_one() -> None:
    given = [("a", 3, "too  Expensive", "ACME"), ("b", 1, "Too expensive", "acme"), ("c", 2, "TOO EXPENSIVE ", "Acme")]
    lines = [
        at(lead, 1, "opportunity_lost", day, reason=reason, competitor=rival) for lead, day, reason, rival in given
    ]
    result = reported(lines, until=UNTIL)
    assert [(named.name, named.times) for named in result.reasons_lost.named] == [("Too expensive", 3)]
    assert [(named.name, named.times) for named in result.competitors.named] == [("acme", 3)]


def test_the_worth_of_a_better_closing_rate_is_that_of_the_example_of_the_field() -> None:
    example = worth(Fraction(900), Fraction(4000), Fraction("0.33"))
    assert (example.deals, example.revenue) == (Fraction(297), Fraction(1_188_000))
    assert (example.better_rate, example.better_deals) == (Fraction("0.363"), Fraction("326.7"))
    assert example.better_revenue == 1_306_800
    assert example.better_revenue - example.revenue == 118_800
    targets = Targets(Fraction(100_000), Fraction(4_000), Fraction(1, 3), Period.MONTH, "UTC")
    assert targets.needed == 75
    assert worth_of(targets).opportunities == 900
    assert worth_of(targets).better_revenue == 1_320_000
    assert worth(Fraction(10), Fraction(1), Fraction(99, 100)).better_rate == 1


@pytest.mark.parametrize("shares", [(0.20, 0.10, 0.30, 0.40), (0.05, 0.15, 0.45, 0.35), (0.3, 0.3, 0.2, 0.2)])
def test_the_interval_of_a_lift_is_as_wide_as_the_lift_varies(shares: tuple[float, ...]) -> None:
    """Among many samples of one population, by the spread of the logarithm and by how often the truth is inside."""
    random, size, samples, inside = Random(7), 600, [], 0
    won, lost, others_won, _ = shares
    truth = won / (won + lost) / (won + others_won)
    for _ in range(1500):
        drawn = Counter(random.choices(range(4), shares, k=size))
        counts = (drawn[0], drawn[1], drawn[0] + drawn[2], drawn[1] + drawn[3])
        interval = lift_interval(*counts)
        assert interval is not None
        inside += interval.low <= truth <= interval.high
        samples.append(log(counts[0] / (counts[0] + counts[1]) / (counts[2] / size)))
    assert 0.935 < inside / 1500 < 0.965
    expected = tuple(round(share * size) for share in shares)
    middle = lift_interval(expected[0], expected[1], expected[0] + expected[2], expected[1] + expected[3])
    assert middle is not None
    assert log(middle.high / middle.low) / 2 / 1.96 == pytest.approx(pstdev(samples), rel=0.08)
    low, *_, high = quantiles(samples, n=40)
    assert (log(middle.low), log(middle.high)) == pytest.approx((low, high), abs=0.1)


def test_the_interval_of_a_lift_is_that_of_its_formula() -> None:
    # variance = 1/20 - 1/30 - 1/50 - 1/100 + 2 x 20 / (30 x 50)
    spread = 1.959964 * (1 / 75) ** 0.5
    interval = lift_interval(20, 10, 50, 50)
    assert interval == pytest.approx((4 / 3 * exp(-spread), 4 / 3 * exp(spread)), rel=1e-6)


def test_there_is_an_interval_unless_nothing_is_known() -> None:
    assert lift_interval(0, 0, 5, 5) is None
    assert lift_interval(3, 0, 3, 0) is None
    for counts in ((0, 3, 5, 5), (3, 0, 5, 5), (5, 5, 5, 5), (1, 0, 1, 1)):
        interval = lift_interval(*counts)
        assert interval is not None
        lift = counts[0] / (counts[0] + counts[1]) / (counts[2] / (counts[2] + counts[3]))
        assert interval.low <= lift <= interval.high


def test_each_promise_has_one_fate() -> None:
    hour = 1 / 24
    lines = [
        *handed_over("kept"),
        at("kept", 3, "call_logged", hour, outcome="reached"),
        *handed_over("late"),
        at("late", 3, "sales_accepted", 5 * hour),
        *handed_over("missed"),
        at("missed", 3, "sales_returned", 9 * hour),
        *handed_over("withdrawn"),
        at("withdrawn", 3, "sales_returned", hour),
        *handed_over("silent"),
        *handed_over("open", 59.9),
    ]
    result = reported(sorted(lines, key=_time), until=UNTIL)
    assert fates(result) == {"kept": 1, "late": 1, "missed": 2, "open": 1, "withdrawn": 1}
    (queue,) = result.responses
    assert (queue.median_seconds, queue.p90_seconds, queue.kept_share) == (3 * 3600, 5 * 3600, 0.25)
    assert (result.waiting.open, result.waiting.overdue, result.waiting.hot_untouched) == (2, 1, 2)
    assert "Of 6 promises of an answer, 3 were broken, 1 was kept and 2 are open or withdrawn;" in " ".join(
        result.headline
    )
    assert queue.escalations == 1 + 1 + 3  # late: one level; missed: one; silent: all three


def test_stages_that_no_phase_names_are_listed_with_what_may_be_meant() -> None:
    lines = [at("a", 1, "stage_changed", 0, stage="propsal"), at("b", 1, "stage_changed", 1, stage="Propsal")]
    lines += [at("a", 2, "stage_changed", 2, stage="signed"), at("a", 3, "stage_changed", 3, stage="Signed")]
    lines += [at("b", 2, "stage_changed", 4, stage="Q7")]
    result = reported(lines, until=UNTIL)
    found = [(unknown.stage, unknown.times, unknown.meant) for unknown in result.unknown_stages]
    assert found == [("propsal", 2, "Proposal"), ("Q7", 1, None), ("signed", 1, "Signed")]
    assert reported(lines, SMALL_RULES, UNTIL).unknown_stages == []


def test_times_of_answers_are_in_business_time_if_the_rules_have_a_calendar() -> None:
    """MONDAY is 00:00 UTC, 01:00 in Berlin: the answer comes on Tuesday at 10:30, after ten hours and a half."""
    calendar = "calendar: {zone: Europe/Berlin, days: [mon-fri], hours: 09:00-18:00}\n"
    lines = [*handed_over("a"), at("a", 3, "call_logged", 1 + 9.5 / 24 - 1e-9, outcome="reached")]
    elapsed, business = (reported(lines, rules, UNTIL) for rules in (LIFE_RULES, f"{LIFE_RULES}{calendar}"))
    times = [queue.median_seconds for report in (elapsed, business) for queue in report.responses]
    assert times == pytest.approx([33.5 * 3600, 10.5 * 3600])
    assert (elapsed.in_business_time, business.in_business_time) == (False, True)
    assert any("took at most 33 h." in sentence for sentence in elapsed.headline)
    assert any("took at most 10 h of business time." in sentence for sentence in business.headline)
    assert duration(9 * 9 * 3600, is_business=True) == "81 h"
    assert "Time to the answer, in business time" in keyfigures_page(business)


def test_the_hot_leads_that_wait_longest_are_named() -> None:
    lines = [line for number in range(25) for line in handed_over(f"lead-{number:02}", 30 - number)]
    lines += [at("lead-24", 3, "call_logged", 30.5, outcome="reached"), *handed_over("lead-99", 59.9)]
    result = reported(sorted(lines, key=_time), until=UNTIL, shards=2)
    assert result.waiting.hot_untouched == 25
    assert [lead.lead_id for lead in result.hot_leads] == [f"lead-{number:02}" for number in range(23, 3, -1)]
    first = result.hot_leads[0]
    assert (first.since, first.due) == (to_text(MONDAY + 7 * DAY), to_text(MONDAY + 7 * DAY + 4 * DAY // 24))
    assert first.queue == "head-of-sales", "it was escalated"


def test_an_answer_from_before_the_hand_over_was_decided_has_no_time() -> None:
    old = at("a", 3, "call_logged", 1, outcome="reached")
    late = old[:-1] + f', "arrivedat": "{to_text(MONDAY + 9 * DAY)}"}}'.encode()
    first, second = (one[:-1] + f', "arrivedat": "{to_text(MONDAY + 8 * DAY)}"}}'.encode() for one in handed_over("a"))
    result = reported([first, second, late], until=UNTIL)
    assert fates(result) == {"unmeasured": 1}
    assert result.responses[0].median_seconds is None


def test_steps_beyond_those_that_a_lead_keeps_are_counted() -> None:
    lines = handed_over("a")
    for number in range(40):
        lines.append(at("a", 10 + number, "opportunity_won", 1 + number / 4, value=100.1))
    result = reported(lines, until=UNTIL)
    assert sum(period.won for period in result.periods) == 40
    assert sum(period.value_won for period in result.periods) == 4004
    assert result.total.won == 1


def test_a_deleted_lead_stays_in_the_figures_of_its_periods_and_leaves_the_base() -> None:
    rules = f"{LIFE_RULES}\nretention: {{inactive: 30d}}\n"
    lines = [*handed_over("a"), at("a", 3, "sales_accepted", 0.1), at("a", 4, "opportunity_won", 9, value=4000)]
    kept, deleted = (reported(lines, text, until=UNTIL) for text in (LIFE_RULES, rules))
    assert deleted.periods == kept.periods
    assert deleted.total == kept.total
    assert kept.total.won == 1
    assert deleted.statuses == kept.statuses
    assert [leads[-1] for leads in kept.base.by_status.values() if leads[-1]] == [1]
    for counts in (deleted.base.by_status, deleted.base.by_rating, deleted.base.by_category):
        assert sum(leads[0] for leads in counts.values()) == 1
        assert sum(leads[-1] for leads in counts.values()) == 0


def test_an_erased_lead_stays_in_the_figures_before_its_erasure() -> None:
    lines = [*handed_over("a"), at("a", 3, "sales_accepted", 0.1), at("a", 4, "opportunity_lost", 9, reason="price")]
    kept, erased = (reported(some, until=UNTIL) for some in (lines, [*lines, at("a", 5, "erased", 10)]))
    assert erased.total == kept.total
    assert erased.reasons_lost == kept.reasons_lost
    assert erased.statuses == kept.statuses
    assert {name: leads[-1] for name, leads in erased.base.by_status.items() if leads[-1]} == {"discarded": 1}


def test_an_erasure_that_arrives_late_counts_nothing_twice() -> None:
    steps = [
        at("a", 10 + number, kind, 1 + number, **({"stage": "Open"} if kind == "stage_changed" else {}))
        for number, kind in enumerate(["sales_accepted", "stage_changed", "sales_returned", "opportunity_lost"] * 4)
    ]
    lines = [*handed_over("a"), *steps, at("a", 50, "page_viewed", 30, url="/pricing")]
    erasure = at("a", 51, "erased", 12.5)[:-1] + f', "arrivedat": "{to_text(MONDAY + 31 * DAY)}"}}'.encode()
    kept, erased = (reported(some, until=UNTIL) for some in (lines, [*lines, erasure]))
    for one, other in zip(kept.periods, erased.periods, strict=True):
        for name in ("accepted", "returned", "won", "lost"):
            assert getattr(one, name) == getattr(other, name)
    assert erased.total.handed_over == kept.total.handed_over == 5
    # Of the hand-over just before the erasure nobody knows what became of it.
    assert (kept.total.returned, erased.total.returned) == (4, 3)


def test_values_that_no_deal_has_are_not_added_up() -> None:
    lines = [
        at("a", 1, "opportunity_won", 1, value=0.1),
        at("a", 2, "opportunity_won", 2, value=0.2),
        at("a", 3, "opportunity_won", 3, value=1e300),
        at("a", 4, "opportunity_won", 4),
    ]
    result = reported(lines, until=UNTIL)
    assert [period.value_won for period in result.periods] == [0.3, 0, 0]
    assert sum(period.won for period in result.periods) == 4


@pytest.mark.parametrize(("passed", "forecast"), [(3.0, None), (3.2, 1 / (3.2 / 31)), (30.999, 1 / (30.999 / 31))])
def test_there_is_no_forecast_before_a_tenth_of_the_period_has_passed(passed: float, forecast: float | None) -> None:
    """MONDAY is 2026-01-05, 00:00 UTC; the period is January in Berlin."""
    begins = -4 - 1 / 24
    lines = [*handed_over("a", begins), at("a", 3, "opportunity_won", begins + 0.1, value=25_000)]
    result = reported(lines, until=MONDAY + round((begins + passed) * DAY))
    made = result.production
    assert made is not None
    assert made.forecast == (None if forecast is None else pytest.approx(forecast))
    assert ("too early for a forecast" in result.headline[0]) == (forecast is None)
    assert (made.revenue_won, made.revenue_share) == (25_000, 0.25)
    assert result.headline[1] == "Deals worth 25,000 were won in 2026-01 so far, 25.0% of the target of 100,000."
    none = reported(lines[:-1], until=MONDAY)
    assert none.headline[1] == "No revenue was won in 2026-01 so far, of the target of 100,000."


def test_parts_without_rules_are_left_out_and_the_report_says_how_to_get_them() -> None:
    rules = SMALL_RULES.replace(", respond_within: 1h", "")
    result = reported([*handed_over("a")], rules, until=UNTIL)
    assert (result.production, result.funnel, result.stages) == (None, None, None)
    assert (result.responses, result.actions, result.base.by_category, result.closing_rate) == ([], [], {}, [])
    assert result.total.handed_over == 1
    assert [part.part for part in result.missing] == [
        "opportunities needed and their forecast",
        "funnel and transitions between stages",
        "base by category",
        "sales actions by day",
        "response times",
        "what won leads had, reasons of loss and competitors",
    ]
    silent = reported(handed_over("a"), until=UNTIL)
    assert silent.funnel is None
    assert [part.how for part in silent.missing] == [
        "send `stage_changed` activities with the stages that the rules name",
        "send `opportunity_won` and `opportunity_lost` activities",
    ]


def test_the_periods_are_at_most_120_and_the_totals_cover_all() -> None:
    lines = [at(f"lead-{year}", year, "opportunity_won", 365.25 * (year - 40), value=1) for year in range(40)]
    result = reported(lines, until=UNTIL)
    assert len(result.periods) == 120
    assert sum(period.won for period in result.periods) == 9
    assert result.base.by_status["won"][-1] == 40


def test_shares_beside_each_other_have_the_same_decimals_and_halves_go_away_from_zero() -> None:
    shares = (None, 0, 0.0004, 0.0625, 0.125, 0.6, 0.6245, 0.62451, 0.99949, 0.9996, 1)
    assert [percent(share) for share in shares] == [
        "–",
        "0.0%",
        "<0.1%",
        "6.3%",
        "12.5%",
        "60.0%",
        "62.5%",
        "62.5%",
        "99.9%",
        ">99.9%",
        "100.0%",
    ]
    assert [amount(value) for value in (0.25, 2, 9.96, 12.5, 13.5, 1e15)] == [
        "0.3",
        "2",
        "10",
        "13",
        "14",
        "1,000,000,000,000,000",
    ]


def test_times_for_people() -> None:
    assert [duration(seconds) for seconds in (None, 0, 59, 60, 90, 3600, 7200, 100_000, 200_000, 3e6)] == [
        "–",
        "0 s",
        "59 s",
        "1 min",
        "1.5 min",
        "1 h",
        "2 h",
        "28 h",
        "2.3 d",
        "35 d",
    ]


def _time(event: bytes) -> str:
    return event.partition(b'"time": "')[2].decode()
