"""Rule tests: pass, fail and error are told apart, and failures say what was found and where."""

import pytest

from scorer.tuning.rule_tests import Result, run_tests
from tests.factory import ruleset


def results(text: str) -> list[Result]:
    return list(run_tests("a_test.yaml", text.encode(), ruleset()))


STORY = """
tests:
  - name: two visits to the price page
    activities:
      - {type: qualification_updated, data: {bant: {budget_status: approved}}}
      - {type: page_viewed, after: 1d, times: 2, data: {url: /pricing}}
    expect: %s
"""


def test_a_test_passes_when_everything_expected_is_found() -> None:
    (result,) = results(
        STORY % "{rating: warm, grade: B2, route: nurture, routing: keep-warm, queue: ~, score: 30, fit: {gte: 20}, "
        "criteria: {budget: 20, behaviour: {between: [5, 15]}}, contributions: {pricing: 10}, absent: [careers]}"
    )
    assert (result.outcome, result.details) == (
        "fail",
        ("a_test.yaml:7: `grade` expected B2, found B3", "points found: budget-approved +20, pricing +10"),
    )
    (result,) = results(STORY % "{rating: warm, grade: B3}")
    assert (result.outcome, result.details) == ("pass", ())


def test_a_failure_shows_expected_and_found_with_the_line() -> None:
    (result,) = results(
        STORY % "\n      rating: hot\n      score: {gte: 50, lt: 60}\n      absent: [pricing]\n"
        "      queue: key-accounts\n      contributions:\n        trial: 5\n"
    )
    assert result.outcome == "fail"
    assert sorted(result.details) == [
        "a_test.yaml:10: `pricing` contributed 10 points",
        "a_test.yaml:11: `queue` expected key-accounts, found nothing",
        "a_test.yaml:13: `trial` did not contribute",
        "a_test.yaml:8: `rating` expected hot, found warm",
        "a_test.yaml:9: `score` expected gte 50 and lt 60, found 30",
        "points found: budget-approved +20, pricing +10",
    ]


def test_checkpoints_show_what_time_does() -> None:
    (result,) = results(STORY % "[{after: 0, score: 20}, {after: 1d, score: 30}, {after: 11d, score: 25}]")
    assert result.outcome == "pass"


def test_a_mistaken_test_is_an_error_not_a_failure() -> None:
    (result,) = results(STORY % "{absent: [pricng], criteria: {budgt: 1}, score: {gte: many}}")
    assert result.outcome == "error"
    text = "\n".join(result.details)
    assert "no rule or signal `pricng` in the ruleset; did you mean pricing?" in text
    assert "no criterion `budgt`" in text
    assert "gte takes a value of type integer, not 'many'" in text


def test_a_mistaken_activity_is_an_error_with_its_place() -> None:
    (result,) = results(
        "tests:\n  - name: x\n    activities:\n      - {type: page_veiwed}\n      - {type: page_viewed}\n"
        "    expect: {rating: cold}\n"
    )
    assert result.outcome == "error"
    assert result.details[0] == (
        "a_test.yaml:4:10: error: unknown activity type `page_veiwed`; did you mean page_viewed?"
    )
    assert result.details[1].startswith("a_test.yaml:5:9: error: data.url:")


def test_a_file_that_is_no_test_file_is_one_error() -> None:
    for text in ("tests: 5\n", "- a\n", "tests:\n  - {name: x}\n", "tests: [\n"):
        (result,) = results(text)
        assert result.outcome == "error"
        assert result.details[0].startswith("a_test.yaml:")


@pytest.mark.parametrize(
    ("expect", "finding"),
    [
        ("{ratingg: hot}", "a_test.yaml:7:14: error: unknown key `ratingg`; did you mean rating?"),
        ("[{ratingg: hot}]", "a_test.yaml:7:15: error: unknown key `ratingg`; did you mean rating?"),
        ("{rating: hott}", "a_test.yaml:7:14: error: `rating` is never `hott`; did you mean hot?"),
        ("{route: sale}", "a_test.yaml:7:14: error: `route` is never `sale`; did you mean sales?"),
        ("{grade: Z9}", "a_test.yaml:7:14: error: `grade` is never `Z9`; it is one of A1"),
        ("{}", "a_test.yaml:7:5: error: nothing is expected, so the test would always pass"),
        ("{after: 0d, score: 1}", "a_test.yaml:7:21: error: `0d` is out of range"),
        ("{after: 5, score: 1}", "a_test.yaml:7:21: error: a time is a number and one of s, m, h, d, w"),
    ],
)
def test_a_slip_in_an_expectation_is_an_error_with_its_place(expect: str, finding: str) -> None:
    (result,) = results(STORY % expect)
    assert result.outcome == "error"
    assert len(result.details) == 1
    assert result.details[0].startswith(finding)


def test_a_custom_value_that_the_rules_cannot_know_is_an_error() -> None:
    (result,) = results(
        "tests:\n  - name: x\n    activities:\n"
        "      - {type: profile_updated, data: {custom: {instaled_base: 1}}}\n"
        "      - {type: profile_updated, data: {custom: {installed_base: many}}}\n"
        "    expect: {rating: cold}\n"
    )
    assert result.details == (
        "a_test.yaml:4:49: error: unknown field `instaled_base`; did you mean installed_base?",
        "a_test.yaml:5:49: error: `installed_base` is of type integer, not 'many'",
    )
