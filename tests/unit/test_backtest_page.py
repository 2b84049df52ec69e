"""The page of a backtest: complete, safe for any lead id, and with the numbers of the result."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.backtest.impact import WeekCount
from scorer.backtest.run import CAUTION
from scorer.evaluation.evaluator import Evaluator
from scorer.report.backtest_charts import classes, week_chart
from scorer.report.backtest_page import backtest_page
from tests.unit.test_backtest import NEW, OLD, event, market, run
from tests.unit.test_report import EVIL, Tags


def test_names_from_outside_are_escaped() -> None:
    lines = [event(EVIL, "qualification_updated", 1, bant={"budget_status": "approved"}), *market(1)]
    result = run(lines, NEW, OLD)
    assert result.changes is not None
    assert EVIL in {mover.lead_id for mover in result.changes.movers}
    read = replace(result.input, files=[EVIL], rejected={EVIL: 1})
    evil = replace(result, input=read, new=replace(result.new, name=EVIL))
    page = backtest_page(evil)
    tags = Tags(page).found
    assert not {"script", "img"} & {tag for tag, _ in tags}
    assert not any(name.startswith("on") for _, attributes in tags for name in attributes)
    assert page.count("&lt;script&gt;") >= 4


TRIAL, WON, LOST = (event("a", kind, 1) for kind in ("trial_started", "opportunity_won", "opportunity_lost"))


@pytest.mark.parametrize(
    ("lines", "rulesets"),
    [
        ([], [OLD]),
        ([TRIAL], [OLD]),
        ([TRIAL], [OLD, OLD]),
        ([WON], [NEW, OLD]),
        ([LOST], [OLD]),
        ([event("a", "trial_started", 0.5), WON], [NEW, OLD]),
    ],
)
def test_there_is_a_page_for_every_result(lines: list[bytes], rulesets: list[Evaluator]) -> None:
    page = backtest_page(run(lines, *rulesets))
    assert page.rstrip().endswith("</html>")
    assert "None" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)


def test_the_page_has_the_numbers_of_the_result() -> None:
    result = run(market(2), NEW, OLD)
    page = backtest_page(result)
    words = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    for sentence in result.headline:
        assert sentence.replace("'", "&#39;") in words
    assert result.outcomes is not None
    assert result.outcomes.new.auc is not None
    assert f"{result.outcomes.new.auc.value:.3f}" in words
    assert result.changes is not None
    assert CAUTION in words
    assert result.changes.queues.moves
    for move in result.changes.queues.moves:
        assert f"{move.old or 'none'} {move.new or 'none'} {move.leads:,}" in words
    for matrix in (result.changes.ratings, result.changes.routes):
        for row in matrix.counts.values():
            for count in row.values():
                assert f">{count:,}<small>" in page


@given(st.lists(st.dictionaries(st.integers(-(10**6), 10**6), st.integers(1, 9), max_size=9), min_size=1, max_size=2))
def test_every_lead_is_counted_in_its_class(counts: list[dict[int, int]]) -> None:
    low, width, distributions = classes(counts)
    assert len(distributions[0]) % 4 == 0
    assert len(distributions[0]) <= 28
    for known, leads in zip(counts, distributions, strict=True):
        assert sum(leads) == sum(known.values())
        for score, count in known.items():
            assert leads[(score - low) // width] >= count


def test_hand_overs_over_many_weeks_are_drawn_as_a_line() -> None:
    weeks = [WeekCount(f"2024-W{number:02}", "2024-01-01", number % 5) for number in range(1, 53)]
    assert (
        week_chart([("new", "series-2", weeks[:10])], "").count("<rect") == 8
    )  # ten weeks, two of them without hand-overs
    assert "<polyline" in week_chart([("new", "series-2", weeks)], "")
