"""Pages and charts: nothing that could run gets in, and shapes match their numbers."""

import re
from html.parser import HTMLParser

import pytest
from markupsafe import Markup

from scorer.report.charts import Bar, Mark, Scale, Series, bars, heat_table, histogram, lines, track
from scorer.report.page import number, percent, plural, render, signed

EVIL = '</td><script>alert("1")</script>\'"><img src=x onerror=alert(1)>'


class Tags(HTMLParser):
    """Every element with its attributes, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    "markup",
    [
        bars([Bar(EVIL, 3, EVIL)], caption=EVIL),
        lines([Series(EVIL, "hot", points=[(0, 1)])] * 2, x_labels=[EVIL], describe=EVIL, marks=[Mark(1, EVIL)]),
        histogram([Series(EVIL, "hot", values=[1, 2])] * 2, x_labels=[EVIL], describe=EVIL),
        heat_table([EVIL], [EVIL], [[1]], row_title=EVIL, column_title=EVIL, caption=EVIL),
    ],
)
def test_texts_in_charts_are_escaped(markup: Markup) -> None:
    tags = Tags(str(markup)).found
    assert tags
    assert not {"script", "img"} & {tag for tag, _ in tags}
    assert not any(name.startswith("on") for _, attributes in tags for name in attributes)


def test_charts_without_data_are_drawn() -> None:
    assert "svg" in lines([], x_labels=[], describe="")
    assert "svg" in histogram([], x_labels=[], describe="")
    assert "table" in bars([])
    assert "table" in heat_table([], [], [], row_title="a", column_title="b")
    assert "0.0%" not in heat_table(["a"], ["a"], [[0]], row_title="a", column_title="b")


def test_a_bar_lies_between_its_values_and_is_never_too_thin_to_see() -> None:
    scale = Scale.over([-50, 150])
    assert (scale.low, scale.high) == (-50, 150)
    assert 'x="25.00%" y="15%" width="50.00%"' in track(scale, 0, 100, "plus")
    assert track(scale, 100, 0, "plus") == track(scale, 0, 100, "plus")
    assert 'width="2"' in track(scale, 10, 10, "plus")
    assert track(scale, 0, 1, "plus", [50]).count("<line") == 2


def test_the_scale_of_a_chart_covers_zero_and_its_ticks_are_round() -> None:
    assert Scale.over([30, 80]).low == 0
    assert Scale.over([]).share(5) == 0
    assert Scale(-20, 100).ticks() == [0, 50, 100]
    assert Scale(0, 80).ticks() == [0, 20, 40, 60, 80]
    assert Scale(3, 3).ticks() == [3]
    assert Scale(0, 10).share(11) == 1


def test_a_stepped_line_has_a_corner_and_a_curve_has_none() -> None:
    series = [Series("a", "hot", points=[(0, 0), (10, 10)])]
    curve, stairs = (
        re.findall(r'points="([^"]*)"', str(lines(series, x_labels=[], describe="", steps=steps)))[0].split()
        for steps in (False, True)
    )
    assert (len(curve), len(stairs)) == (2, 3)
    assert stairs[1].split(",")[1] == stairs[0].split(",")[1]


def test_the_cells_of_a_matrix_show_counts_and_shares() -> None:
    table = str(heat_table(["cold", "hot"], ["cold", "hot"], [[1500, 0], [250, 250]], row_title="a", column_title="b"))
    assert re.findall(r">([\d,]+)<small>([\d.]+%)", table) == [
        ("1,500", "75.0%"),
        ("0", "0.0%"),
        ("250", "12.5%"),
        ("250", "12.5%"),
    ]
    assert table.count('class="same"') == 2


def test_numbers_for_people() -> None:
    assert number(-1234.5, 1) == "−1,234.5"
    assert (signed(5), signed(0), signed(-5)) == ("+5", "0", "−5")
    assert (number(-0.4), number(1e16)) == ("0", "10,000,000,000,000,000")
    assert percent(0.125, 1) == "12.5%"
    assert [percent(share) for share in (0.125, 0.145, 0.625, 10.0)] == ["13%", "15%", "63%", "1,000%"]
    assert (plural(1, "lead"), plural(1200, "lead"), plural(2, "entry", "entries")) == (
        "1 lead",
        "1,200 leads",
        "2 entries",
    )


def test_the_policy_of_a_page_forbids_fetching_and_running() -> None:
    page = render("base.html.j2", {})
    policy = next(a["content"] for tag, a in Tags(page).found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    for tag, attributes in Tags(page).found:
        assert tag != "script"
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert "url(" not in page
    assert "@import" not in page
