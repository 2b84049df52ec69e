"""The demo view: all essentials fit from 80 columns on, and the text output shows the same."""

from collections import Counter
from collections.abc import Sequence
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from scorer.demo.flow import flow
from scorer.demo.screen import LineScreen
from scorer.demo.state import DemoState, Service, with_rules
from scorer.demo.summary import progress_line, summary
from scorer.demo.view import render, sparkline
from scorer.domain.decision import (
    Contribution,
    Routing,
    RoutingDecision,
    RulesetReference,
    ScoreView,
)
from scorer.domain.score import Rating, Route

URL = "http://127.0.0.1:38123"
BROKER = "127.0.0.1:38124"
WIDTHS = (40, 60, 80, 100, 120, 160)
REASONS = [
    (20, "A budget of 50,000 or more is approved"),
    (15, "The contact decides on the purchase"),
    (12, "Looked at the prices"),
    (2, "Opened one of our emails"),
    (-6, "Looked at our job openings"),
]
REJECTIONS = ("not_json", "missing_attribute", "unknown_type", "invalid_data", "empty_value", "not_utf8")


def decision(
    lead_id: str, rating: Rating, route: Route, queue: str | None = None, reasons: Sequence[tuple[int, str]] = ()
) -> RoutingDecision:
    points = sum(points for points, _ in reasons)
    return RoutingDecision(
        decision_id="0" * 32,
        lead_id=lead_id,
        decided_at="2024-03-14T10:00:00Z",
        cause="activity",
        reference=None,
        rating=rating,
        grade="A1" if rating is Rating.HOT else "C3",
        route=route,
        queue=queue,
        respond_by=None,
        routing=Routing(rule="rule", reason="Wants to buy" if rating is Rating.HOT else "Because"),
        score=ScoreView(total=points, fit=points, engagement=0),
        criteria={},
        contributions=[
            # Weakest first, because the view must sort them.
            Contribution(criterion="budget", rule=f"rule-{n}", points=p, reason=reason, evidence={})
            for n, (p, reason) in enumerate(reversed(reasons))
        ],
        previous=None,
        ruleset=RulesetReference(name="b2b", revision="4f2a91c0d3e2" + "0" * 52),
    )


@pytest.fixture
def state() -> DemoState:
    state = DemoState(service=Service("b2b", "4f2a91c0d3e2" + "0" * 52, "durable", URL, BROKER), phase="playing")
    state.sent, state.processed, state.seconds = 12_500, 12_340, 24.68
    state.rates.extend([400.0, 500.0, 480.0, 520.0, 500.0, 500.0])
    for n in range(70):
        state.decide(decision(f"L-{n:06d}", Rating.COLD, Route.NURTURE))
    for n in range(70, 95):
        state.decide(decision(f"L-{n:06d}", Rating.WARM, Route.NURTURE))
    state.companies["L-000095"] = "Stavanger Transport Authority GmbH"
    for n in range(90, 96):
        state.decide(decision(f"L-{n:06d}", Rating.HOT, Route.SALES, "key-accounts", REASONS))
    for n, reason in enumerate(REJECTIONS, start=3):
        state.dead_letters[reason] = n
    return state


def screen(state: DemoState, width: int, height: int) -> str:
    console = Console(width=width, height=height, file=StringIO(), record=True, color_system=None)
    console.print(render(state, width))
    return console.export_text()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (140, 32), (200, 50)])
def test_the_essentials_fit_the_screen(state: DemoState, width: int, height: int) -> None:
    shown = screen(state, width, height)
    lines = shown.splitlines()
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)
    together = " ".join(shown.replace("│", " ").split())
    for part in (
        *("b2b", "4f2a91c0d3e2", "durable", "playing"),
        *("500 a second", "12,500", "12,340"),
        *(f"{URL}/metrics", "/health/live", "/health/ready"),
        f"SCORER_BOOTSTRAP_SERVERS={BROKER}",
        *("L-000095", "Stavanger Transport Authority GmbH"[:15], "A1"),
        *(f"+{points} {reason}" for points, reason in REASONS[:3]),
        *("hot 6", "6%", "warm 20", "cold 70", "sales 6", "nurture 90", "discard 0"),
        *REJECTIONS,
    ):
        assert part in together or part in together.replace("█", "").replace("  ", " "), part


def test_bars_grow_with_the_number_of_leads(state: DemoState) -> None:
    bars = {line.split()[1]: line.count("█") for line in _leads_panel(screen(state, 140, 32))}
    assert bars["cold"] > bars["warm"] > bars["hot"] > 0
    assert bars["discard"] == 0


def _leads_panel(shown: str) -> Sequence[str]:
    panels = [line.split("││")[1] for line in shown.splitlines() if line.count("││") == 2]
    return [f"│ {panel}" for panel in panels if panel.strip() and "%" in panel]


def test_the_latest_hot_lead_is_first_and_a_cooled_lead_disappears(state: DemoState) -> None:
    state.decide(decision("L-000091", Rating.HOT, Route.SALES, None, REASONS))
    state.decide(decision("L-000092", Rating.WARM, Route.NURTURE, None, REASONS))
    shown = screen(state, 140, 40)
    assert shown.index("L-000091") < shown.index("L-000095") < shown.index("L-000094")
    assert "L-000092" not in shown
    assert state.by_rating() == {Rating.HOT: 5, Rating.WARM: 21, Rating.COLD: 70}


def test_a_hot_lead_shows_only_its_three_strongest_reasons(state: DemoState) -> None:
    assert state.hot["L-000095"].reasons == tuple(REASONS[:3])


def test_an_empty_state_can_be_shown() -> None:
    for width in (80, 140):
        shown = screen(DemoState(), width, 24)
        assert "starting" in shown
        assert "Ctrl-C" in shown


def test_reasons_that_do_not_fit_are_added_up(state: DemoState) -> None:
    state.dead_letters.update({f"reason_{n}": 1 for n in range(10)})
    shown = " ".join(screen(state, 140, 32).split())
    assert "43 in all" in shown
    # Of 16 reasons, the five most frequent (8, 7, 6, 5 and 4) have their own line.
    assert "13 other reasons" in shown


def test_the_sparkline_scales_to_the_highest_value() -> None:
    assert sparkline([0, 1, 2, 4], 10) == "▁▃▅█"
    assert sparkline([9, 0, 0], 2) == "▁▁"
    assert sparkline([], 5) == ""


def test_the_summary_shows_the_result(state: DemoState) -> None:
    lines = summary(state).splitlines()
    assert lines[0] == "12,340 of 12,500 activities processed in 24.7 s (500/s)"
    assert lines[1] == "rules b2b 4f2a91c0d3e2, engine durable"
    assert lines[2].startswith("101 decisions, 33 dead letters: not_utf8 8, ")
    table = {line.split()[0]: line.split()[1:] for line in lines[4:9]}
    assert table["leads"] == ["sales", "nurture", "discard", "all"]
    assert table["hot"] == ["6", "0", "0", "6", "6%"]
    assert table["warm"] == ["0", "20", "0", "20", "21%"]
    assert table["all"] == ["6", "90", "0", "96"]
    assert "  A1   43  Stavanger Transport Authority GmbH (L-000095), sales › key-accounts" in lines


def test_the_progress_line_is_one_line(state: DemoState) -> None:
    assert progress_line(state) == (
        "playing: 12,500 sent, 12,340 processed (500/s), 96 leads: 6 hot, 20 warm, 70 cold; 33 dead letters"
    )


def test_one_of_a_kind_is_singular(state: DemoState) -> None:
    state.sent = state.processed = state.decisions = 1
    state.dead_letters = Counter(not_json=1)
    for lead in list(state.leads)[1:]:
        del state.leads[lead]
    assert "1 lead: " in progress_line(state)
    assert progress_line(state).endswith("; 1 dead letter")
    lines = summary(state).splitlines()
    assert lines[0].startswith("1 of 1 activity processed")
    assert lines[2] == "1 decision, 1 dead letter: not_json 1"


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_too_wide_and_no_word_is_cut(state: DemoState, width: int) -> None:
    shown = screen(state, width, 40)
    assert all(cell_len(line) <= width for line in shown.splitlines())
    words = shown.replace("│", " ").split()
    wanted = [f"{URL}/metrics", "/health/live", "/health/ready", f"SCORER_BOOTSTRAP_SERVERS={BROKER}", "ends"]
    wanted += ["everything", "4f2a91c0d3e2", "durable", "playing", "12,500", "12,340", "101", "discard", "nurture"]
    assert [word for word in wanted if word not in words] == []
    assert words[-3:] == ["Ctrl-C", "ends", "everything"]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_summary_breaks_lines_only_between_words(state: DemoState, width: int) -> None:
    state.companies["L-000094"] = "上海精密机械制造有限公司"
    whole, broken = summary(state), summary(state, width)
    assert all(cell_len(line) <= width for line in broken.splitlines())
    assert set(broken.split()) <= set(whole.split())
    without_table = [part.split() for part in (whole, broken)]
    assert [word for word in without_table[0] if "%" not in word] == [w for w in without_table[1] if "%" not in w]


@pytest.mark.parametrize("width", WIDTHS)
def test_each_hot_lead_shows_why_it_goes_where_it_goes(state: DemoState, width: int) -> None:
    state.decide(decision("L-000007", Rating.HOT, Route.DISCARD, None, REASONS))
    shown = " ".join(screen(state, width, 60).replace("│", " ").split())
    assert "discard: Wants to buy" in shown
    assert summary(state).count("because: Wants to buy") == len(state.hot)


def ready(revision: str, *, ok: bool, error: str | None = None) -> object:
    last = {"ok": ok, "at": "2026-01-01T00:00:00Z", "error": error}
    return {"ruleset": {"name": "b2b", "revision": revision}, "rules": {"revision": revision, "last_reload": last}}


@pytest.mark.parametrize("width", WIDTHS)
def test_the_header_follows_a_reload_and_shows_a_refusal(state: DemoState, width: int) -> None:
    error = "rules.yaml:3:1: error: unknown field `profile.emploees`\nrules.yaml:4:1: error: second"
    state.service = with_rules(state.service, ready("a" * 64, ok=False, error=error))
    shown = " ".join(screen(state, width, 40).split())
    assert f"b2b {'a' * 12}" in shown
    assert "4f2a91c0d3e2" not in shown
    assert "reload refused: rules.yaml:3:1: error: unknown field `profile.emploees`" in shown
    state.service = with_rules(state.service, ready("b" * 64, ok=True))
    shown = screen(state, width, 40)
    assert "b" * 12 in shown
    assert "refused" not in shown


@pytest.mark.parametrize("answer", [None, {}, {"error": "no"}, {"ruleset": 1, "rules": {}}, []])
def test_an_answer_that_says_nothing_changes_nothing(state: DemoState, answer: object) -> None:
    assert with_rules(state.service, answer) == state.service


def test_lines_name_the_broker_once_and_the_rules_again_when_they_change(state: DemoState) -> None:
    out = StringIO()
    lines = LineScreen(Console(file=out, width=40, color_system=None))
    lines.show(state)
    lines.show(state)
    assert out.getvalue().count(f"SCORER_BOOTSTRAP_SERVERS={BROKER}\n") == 1
    state.service = with_rules(state.service, ready("a" * 64, ok=False, error="rules.yaml:3:1: error: bad"))
    lines.show(state)
    assert "rules b2b aaaaaaaaaaaa, engine durable\nreload refused: rules.yaml:3:1: error: bad\n" in out.getvalue()


def test_only_a_piece_wider_than_the_line_is_cut() -> None:
    assert flow(["one", "two", "three"], 9, " · ") == ["one · two", "three"]
    assert flow(["one", "two", "three"], 11, " · ") == ["one · two ·", "three"]
    assert flow(["a", "b" * 12, "c"], 5) == ["a", "bbbbb", "bbbbb", "bb c"]
    assert flow([], 5) == []
