"""The page of `scorer backtest` in a browser: wide and narrow, light and dark."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scorer.backtest.run import a_week
from scorer.report.backtest_page import backtest_page
from tests.browser.browser import VARIANTS, Page, needs_browser, written
from tests.unit.test_backtest import NEW, OLD, event, market, run
from tests.unit.test_report import EVIL

pytestmark = needs_browser

LONG = "x" * 200
RESULTS = {
    "compared": run(
        [*market(3), event(LONG, "qualification_updated", 1, bant={"budget_status": "approved"})], NEW, OLD
    ),
    "alone": run(market(3), OLD),
    "evil": run([event(EVIL, "qualification_updated", 1, bant={"budget_status": "approved"})], NEW, OLD),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pages = {name: backtest_page(result) for name, result in RESULTS.items()}
    return written(tmp_path_factory.mktemp("pages"), pages)


@pytest.mark.parametrize(("width", "scheme"), VARIANTS)
@pytest.mark.parametrize("name", list(RESULTS))
def test_the_page_fits_and_fetches_nothing(
    page: Page, files: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    page.must_fit(files[name], width, scheme)


def test_light_and_dark_differ(page: Page, files: dict[str, Path]) -> None:
    page.must_change_with_the_scheme(files["compared"])


def test_the_page_shows_the_figures_of_the_json(page: Page, files: dict[str, Path]) -> None:
    page.open(files["compared"], 1280, "light")
    result: dict[str, Any] = json.loads(msgspec.json.encode(RESULTS["compared"]))
    new, old, changes, outcomes = (result[name] for name in ("new", "old", "changes", "outcomes"))
    assert page.run(texts("main > p.answer, main > p.lead")) == result["headline"]
    cells = page.run("return [...document.querySelectorAll('table.heat td')].map(e => e.firstChild.textContent)")
    matrices = (changes["ratings"]["counts"], changes["routes"]["counts"])
    assert cells == [str(count) for matrix in matrices for row in matrix.values() for count in row.values()]
    tiles = dict(zip(page.run(texts(".tile .name")), page.run(texts(".tile .value")), strict=True))
    assert tiles["Rating changed"] == str(changes["ratings"]["changed"])
    assert tiles["Ranking (AUC)"] == page.run(texts("#auc"))[0] == f"{outcomes['new']['auc']['value']:.3f}"
    assert tiles["Queue changed"] == str(changes["queues"]["changed"])
    assert tiles["Grade changed"] == str(changes["grades"]["changed"])
    week = a_week(new["handovers"]["per_week"])
    assert tiles["Leads for sales a week"] == week
    assert page.run(texts(".movers th[scope=row]")) == [mover["lead_id"] for mover in changes["movers"]]
    scores = [f"{mover['old']['score']} → {mover['new']['score']}" for mover in changes["movers"]]
    assert page.run(texts(".movers td.num")) == [text.replace("-", "\N{MINUS SIGN}") for text in scores]
    shown = page.run(texts("#outcomes table:first-of-type tbody td.num:nth-of-type(3)"))
    assert shown == [str(row["leads"]) for row in outcomes["new"]["conversion"]]
    assert old["handovers"]["total"] <= new["handovers"]["total"]


def test_a_lead_id_is_shown_as_text(page: Page, files: dict[str, Path]) -> None:
    page.open(files["evil"], 1280, "light")
    assert page.run(texts(".movers th[scope=row]")) == [EVIL]
    assert page.run("return document.querySelectorAll('script, img').length") == 0


def texts(selector: str) -> str:
    return f"return [...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent.trim())"
