"""The page of `scorer report` in a browser: wide and narrow, light and dark."""

from pathlib import Path

import pytest

from scorer.keyfigures.headline import amount
from scorer.report.keyfigures_page import keyfigures_page
from tests.browser.browser import VARIANTS, Page, needs_browser, written
from tests.factory import SMALL_RULES
from tests.lives import LIFE_RULES, lives
from tests.unit.test_keyfigures import UNTIL, at, handed_over
from tests.unit.test_report import EVIL
from tests.unit.test_report_figures import reported

pytestmark = needs_browser

LONG = "x" * 200
LIFE = reported(lives(3, 120, 240))
RESULTS = {
    "life": LIFE,
    "small": reported(lives(4, 40, 60), SMALL_RULES),
    "years": reported([*lives(4, 40, 300), *lives(4, 40, 1)], LIFE_RULES.replace("period: month", "period: week")),
    "evil": reported(
        [
            *handed_over("a"),
            at("a", 3, "opportunity_lost", 1, reason=EVIL, competitor=LONG),
            at("a", 4, "sales_returned", 2, reason=LONG),
            at("a", 5, "stage_changed", 2, stage=LONG),
            *handed_over(LONG, 3),
        ],
        until=UNTIL,
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pages = {name: keyfigures_page(result) for name, result in RESULTS.items()}
    return written(tmp_path_factory.mktemp("pages"), pages)


@pytest.mark.parametrize(("width", "scheme"), VARIANTS)
@pytest.mark.parametrize("name", list(RESULTS))
def test_the_page_fits_and_fetches_nothing(
    page: Page, files: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    page.must_fit(files[name], width, scheme)


def test_light_and_dark_differ(page: Page, files: dict[str, Path]) -> None:
    page.must_change_with_the_scheme(files["life"])


def test_the_page_shows_the_figures(page: Page, files: dict[str, Path]) -> None:
    page.open(files["life"], 1280, "light")
    shown = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())"
    assert page.run(shown, "main > p.answer, main > p.lead") == list(LIFE.headline)
    assert LIFE.production is not None
    assert page.run(shown, ".tile .value")[:2] == [
        str(LIFE.production.handed_over),
        amount(LIFE.production.forecast or 0),
    ]
    # The bars of the periods are in proportion to the hand-overs.
    heights = page.run(
        "return [...document.querySelectorAll('.card .plot')][0].querySelectorAll('rect').values()"
        ".map(e => Number(e.getAttribute('height'))).toArray()"
    )
    counts = [period.hand_overs.handed_over for period in LIFE.periods if period.hand_overs.handed_over]
    assert [height / max(heights) for height in heights] == pytest.approx([n / max(counts) for n in counts], abs=0.01)
    assert page.run(shown, "#hot tbody th") == [lead.lead_id for lead in LIFE.hot_leads]
    # The latest period is in sight, also on a narrow screen.
    page.open(files["life"], 400, "light")
    assert page.run(
        "const cell = document.querySelector('table.over thead tr').lastElementChild.getBoundingClientRect();"
        "return cell.right <= window.innerWidth && cell.left > 0"
    )
