"""The page of `scorer explain` in a browser: wide and narrow, light and dark."""

from pathlib import Path

import pytest

from scorer.explain.story import explain_lead
from scorer.explain.timeline import history
from scorer.report.explain_page import explain_page
from tests.browser.browser import VARIANTS, Page, needs_browser, written
from tests.factory import activity, evaluator
from tests.unit.test_explain import EVIL, evil_story

pytestmark = needs_browser

LONG = "x" * 250


def busy_page() -> str:
    """A lead with much known about it, including long texts without a space."""
    profile = {"employees": 1000, "country": "DE", "company": LONG, "custom": {"installed_base": 3}}
    story = [
        activity("profile_updated", profile, lead=LONG, id=LONG[:200], source=LONG),
        activity("qualification_updated", {"bant": {"budget_status": "approved"}}, lead=LONG, day=1),
        *(activity("page_viewed", {"url": "/pricing"}, lead=LONG, day=day / 2, id=f"{LONG}{day}") for day in range(12)),
        *(activity("page_viewed", {"url": "/careers"}, lead=LONG, day=day) for day in range(7, 9)),
    ]
    known = history(LONG, story, evaluator())
    return explain_page(explain_lead(known.lead, evaluator(), None, known))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pages = {"busy": busy_page(), "evil": explain_page(evil_story())}
    return written(tmp_path_factory.mktemp("pages"), pages)


@pytest.mark.parametrize(("width", "scheme"), VARIANTS)
@pytest.mark.parametrize("name", ["busy", "evil"])
def test_the_page_fits_fetches_nothing_and_adds_up(
    page: Page, files: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    page.must_fit(files[name], width, scheme)
    points = page.run("return [...document.querySelectorAll('[data-points]')].map(e => Number(e.dataset.points))")
    shown = page.run("return [...document.querySelectorAll('#score, #sum')].map(e => e.textContent)")
    assert points
    assert shown == [f"{sum(points)}"] * 2


def test_light_and_dark_differ_and_both_are_readable(page: Page, files: dict[str, Path]) -> None:
    page.must_change_with_the_scheme(files["busy"])
    for scheme in ("light", "dark"):
        page.open(files["busy"], 1280, scheme)
        for selector in (".tile .rest", ".evidence", "td", ".badge", "h2", "td.plus", "td.minus"):
            ratio = page.run(_CONTRAST, selector)
            # WCAG 2.1, 1.4.3: contrast of text with its background.
            assert ratio >= 4.5, f"{selector} in {scheme}: {ratio:.2f}"


def test_input_of_a_lead_is_shown_as_text(page: Page, files: dict[str, Path]) -> None:
    page.open(files["evil"], 1280, "light")
    assert page.run("return document.querySelector('h1').textContent") == EVIL
    assert page.run("return document.querySelectorAll('script, img').length") == 0


_CONTRAST = """
const element = document.querySelector(arguments[0]);
const rgb = text => text.match(/[\\d.]+/g).map(Number);
const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
let ground = element;
while (rgb(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
const pair = [rgb(getComputedStyle(element).color), rgb(getComputedStyle(ground).backgroundColor)].map(light);
return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
"""
