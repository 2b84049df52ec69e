"""Rule tests: pass, fail and error are distinct, and failures show what was expected, what was found, and where."""

import pytest

from scorer.ruletests.run import Result, RuleTestReport, run_tests
from tests.factory import SMALL_RULES, evaluator


def results(text: str, rules: str = SMALL_RULES) -> tuple[Result, ...]:
    return run_tests({"a_test.yaml": text.encode()}, evaluator(rules)).results


STORY = """
tests:
  - name: two visits to the price page
    activities:
      - {type: qualification_updated, data: {bant: {budget_status: approved}}}
      - {type: page_viewed, after: 1d, times: 2, data: {url: /pricing}}
    expect: %s
"""


def story(*activities: str, expect: str) -> Result:
    lines = "".join(f"      - {activity}\n" for activity in activities)
    (result,) = results(f"tests:\n  - name: x\n    activities:\n{lines}    expect: {expect}\n")
    return result


def test_a_test_passes_when_everything_expected_is_found() -> None:
    (result,) = results(
        STORY % "{rating: warm, grade: B3, route: nurture, routing: keep-warm, queue: ~, score: 30, fit: {gte: 20}, "
        "engagement: 10, criteria: {budget: 20, behaviour: {between: [5, 15]}, authority: 0}, published: true, "
        "contributions: {pricing: 10, trial: {exists: false}}, present: [budget-approved], absent: [careers]}"
    )
    assert (result.outcome, result.details) == ("pass", ())
    assert result.id == "a_test.yaml::two visits to the price page"
    assert result.position == ("a_test.yaml", 3, 5)


@pytest.mark.parametrize(
    ("expect", "detail"),
    [
        ("{rating: hot}", "7:14: `rating` expected hot, found warm"),
        ("{rating: {in: [cold, hot]}}", "7:14: `rating` expected in [cold, hot], found warm"),
        ("{grade: B2}", "7:14: `grade` expected B2, found B3"),
        ("{route: sales}", "7:14: `route` expected sales, found nurture"),
        ("{routing: hot}", "7:14: `routing` expected hot, found keep-warm"),
        ("{queue: key-accounts}", "7:14: `queue` expected key-accounts, found nothing"),
        ("{score: 31}", "7:14: `score` expected 31, found 30"),
        ("{score: {gte: 50, lt: 60}}", "7:14: `score` expected gte 50 and lt 60, found 30"),
        ("{fit: {between: [21, 30]}}", "7:14: `fit` expected between [21, 30], found 20"),
        ("{engagement: {ne: 10}}", "7:14: `engagement` expected ne 10, found 10"),
        ("{criteria: {behaviour: 9}}", "7:25: `criteria.behaviour` expected 9, found 10"),
        ("{criteria: {authority: {gt: 0}}}", "7:25: `criteria.authority` expected gt 0, found 0"),
        ("{contributions: {pricing: 5}}", "7:30: `contributions.pricing` expected 5, found 10"),
        ("{contributions: {trial: 5}}", "7:30: `contributions.trial` expected 5, found nothing"),
        ("{present: [trial]}", "7:24: `trial` expected to contribute, did not"),
        ("{absent: [careers, pricing]}", "7:32: `pricing` expected not to contribute, contributed 10"),
        ("{published: false}", "7:14: `published` expected false, found true"),
    ],
)
def test_a_failure_shows_what_was_expected_and_found_and_where(expect: str, detail: str) -> None:
    (result,) = results(STORY % expect)
    assert result.outcome == "fail"
    assert result.details == (f"a_test.yaml:{detail}", "points found: budget-approved +20, pricing +10")


def test_all_differences_of_all_expectations_are_shown_in_line_order() -> None:
    (result,) = results(
        STORY % "\n      - {score: 30}\n      - {score: 31, after: 1d, rating: hot, absent: [pricing]}\n"
        "      - {after: 11d, score: 30, present: [careers]}\n"
    )
    assert result.details == (
        "a_test.yaml:9:10: `score` expected 31, found 30 at 1d",
        "a_test.yaml:9:32: `rating` expected hot, found warm at 1d",
        "a_test.yaml:9:54: `pricing` expected not to contribute, contributed 10 at 1d",
        "points found at 1d: budget-approved +20, pricing +10",
        "a_test.yaml:10:22: `score` expected 30, found 25 at 11d",
        "a_test.yaml:10:43: `careers` expected to contribute, did not at 11d",
        "points found at 11d: budget-approved +20, pricing +5",
    )


def test_checkpoints_show_the_effect_of_time() -> None:
    (result,) = results(STORY % "[{after: 0, score: 20}, {after: 1d, score: 30}, {after: 11d, score: 25}, {score: 30}]")
    assert (result.outcome, result.details) == ("pass", ())


def test_published_refers_to_the_last_activity_until_then() -> None:
    activities = (
        "{type: page_viewed, data: {url: /pricing}}",
        "{type: page_viewed, after: 1d, data: {url: /blog}}",
        "{type: trial_started, after: 2d}",
    )
    expect = (
        "[{after: 0, published: true}, {after: 1d, published: false}, {published: true}, {after: 9d, published: %s}]"
    )
    assert story(*activities, expect=expect % "true").details == ()
    result = story(*activities, expect=expect % "false")
    assert result.details[0].endswith("`published` expected false, found true at 9d")


def test_a_hand_over_is_compared_as_published() -> None:
    # The effect of the hand-over itself shows in the next evaluation.
    in_hand = "  - {id: in-hand, when: {lifecycle.status: handed_over}, route: sales, queue: owner}\n"
    rules = evaluator(SMALL_RULES.replace("  - {id: hot,", in_hand + "  - {id: hot,"))
    text = (
        "tests:\n  - name: x\n    activities:\n"
        "      - {type: qualification_updated, data: {bant: {budget_status: approved}}}\n"
        "      - {type: page_viewed, times: 2, data: {url: /pricing}}\n"
        "      - {type: trial_started}\n"
        "    expect: [{routing: hot, queue: inside-sales, published: true}, {after: 1d, routing: in-hand}]\n"
    )
    (result,) = run_tests({"a_test.yaml": text.encode()}, rules).results
    assert (result.outcome, result.details) == ("pass", ())


PROMISE = SMALL_RULES.replace("respond_within: 1h}", "respond_within: 1h, escalate: [{after: 1h, queue: team-lead}]}")
PROMISE += """
lifecycle:
  categories: [{id: open, when: {lifecycle.status: {in: [handed_over, accepted]}}}, {id: base}]
"""


def life(*activities: str, expect: str) -> Result:
    hot = (
        "{type: qualification_updated, data: {bant: {budget_status: approved, authority: decision_maker}}}",
        "{type: page_viewed, times: 2, data: {url: /pricing}}",
    )
    lines = "".join(f"      - {activity}\n" for activity in (*hot, *activities))
    text = f"tests:\n  - name: x\n    activities:\n{lines}    expect: {expect}\n"
    (result,) = run_tests({"a_test.yaml": text.encode()}, evaluator(PROMISE)).results
    return result


def test_the_status_of_a_lead_can_be_expected_with_what_was_published_until_then() -> None:
    accepted, won = "{type: sales_accepted, after: 1d}", "{type: opportunity_won, after: 9d}"
    expect = "[{after: 0, status: handed_over}, {after: 2d, status: accepted}, {status: {in: [won, lost]}}]"
    assert life(accepted, won, expect=expect).details == ()
    (first, *_) = life(expect="{status: nurturing}").details
    assert first.endswith("`status` expected nurturing, found handed_over")


def test_the_stage_and_the_category_of_a_lead_can_be_expected() -> None:
    moved = "{type: stage_changed, after: 1d, data: {stage: Proposal}}"
    expect = "[{after: 0, stage: ~, category: open}, {stage: Proposal, category: {in: [open, base]}}]"
    assert life(moved, expect=expect).details == ()
    first, second = life(moved, expect="{stage: proposal, category: base}").details[:2]
    assert first.endswith("`stage` expected proposal, found Proposal")
    assert second.endswith("`category` expected base, found open")
    (mistake, *_) = life(expect="{category: oben}").details
    assert mistake.endswith("`category` is never `oben`; did you mean open?")
    text = "tests: [{name: x, activities: [{type: page_viewed, data: {url: /}}], expect: {category: open}}]\n"
    (result,) = run_tests({"a_test.yaml": text.encode()}, evaluator(SMALL_RULES)).results
    assert result.outcome == "error"
    assert result.details[0].endswith("the ruleset has no `lifecycle.categories`")


def test_a_range_of_escalations_can_be_expected() -> None:
    expect = "[{after: 0, escalated: {lt: 1}}, {after: 1h, escalated: {between: [1, 2]}}]"
    assert life(expect=expect).details == ()
    (first, *_) = life(expect="{after: 0, escalated: {between: [1, 2]}}").details
    assert first.endswith("`escalated` expected between [1, 2], found 0 at 0")


def test_time_escalates_a_promise_step_by_step_at_the_checkpoints() -> None:
    expect = (
        "[{after: 0, escalated: 0, queue: key-accounts, respond_by: 2026-01-01T10:00:00Z},"
        " {after: 59m, escalated: 0}, {after: 1h, escalated: 1, queue: key-accounts},"
        " {after: 2h, escalated: 2, queue: team-lead, respond_by: 2026-01-01T11:00:00+01:00},"
        " {after: 3d, escalated: {gt: 1}, queue: team-lead}]"
    )
    assert life(expect=expect).details == ()
    (first, *_) = life(expect="{after: 3h, escalated: 1}").details
    assert first.endswith("`escalated` expected 1, found 2 at 3h")


def test_an_answer_ends_the_escalation_and_what_is_promised() -> None:
    answered = "{type: sales_accepted, after: 90m}"
    expect = "[{after: 89m, escalated: 1}, {escalated: 0, status: accepted}, {after: 9d, escalated: 0}]"
    assert life(answered, expect=expect).details == ()
    (first, *_) = life("{type: sales_returned, after: 90m}", expect="{respond_by: 2026-01-01T10:00:00Z}").details
    assert first.endswith("`respond_by` expected 2026-01-01T10:00:00Z, found nothing")


def test_queues_of_escalations_are_known_and_others_are_a_mistake() -> None:
    assert life(expect="{after: 1d, queue: team-lead}").outcome == "pass"
    assert life(expect="{after: 1d, queue: teem-lead}").outcome == "error"


def test_points_that_limits_take_are_a_contribution_too() -> None:
    profile = "{type: profile_updated, data: {employees: 300, country: DE, custom: {installed_base: 1}}}"
    assert story(profile, expect="{criteria: {company: 15}, contributions: {large: 10, cap: -5}}").outcome == "pass"


@pytest.mark.parametrize(
    ("expect", "finding"),
    [
        ("{ratingg: hot}", "7:14: error: unknown key `ratingg`; did you mean rating?"),
        ("[{ratingg: hot}]", "7:15: error: unknown key `ratingg`; did you mean rating?"),
        ("{rating: hott}", "7:14: error: `rating` is never `hott`; did you mean hot?"),
        ("{rating: {in: [hot, wam]}}", "7:23: error: `rating` is never `wam`; did you mean warm?"),
        ("{rating: }", "7:14: error: `rating` is compared with nothing; write what is expected"),
        ("{route: sale}", "7:14: error: `route` is never `sale`; did you mean sales?"),
        ("{routing: redy}", "7:14: error: `routing` is never `redy`; did you mean ready?"),
        ("{queue: key-acounts}", "7:14: error: `queue` is never `key-acounts`; did you mean key-accounts?"),
        ("{grade: Z9}", "7:14: error: `grade` is never `Z9`; it is one of A1"),
        ("{score: {gte: many}}", "7:22: error: score: gte takes a value of type integer, not 'many'"),
        ("{score: {gt: 1, atleast: 2}}", "7:29: error: unknown operator `atleast`"),
        ("{absent: [pricng]}", "7:23: error: no rule or signal `pricng` in the ruleset; did you mean pricing?"),
        ("{present: [pricng]}", "7:24: error: no rule or signal `pricng` in the ruleset; did you mean pricing?"),
        ("{contributions: {pricng: 5}}", "7:30: error: no rule or signal `pricng` in the ruleset; did you mean"),
        ("{contributions: {pricing: }}", "7:30: error: `contributions.pricing` is compared with nothing"),
        ("{criteria: {budgt: 1}}", "7:25: error: no criterion `budgt` in the ruleset; did you mean budget?"),
        ("{status: acepted}", "7:14: error: `status` is never `acepted`; did you mean accepted?"),
        ("{status: }", "7:14: error: `status` is compared with nothing; write what is expected"),
        ("{escalated: twice}", "7:14: error: escalated: eq takes a value of type integer, not 'twice'"),
        ("{respond_by: 4h}", "7:26: error: `4h` is not a time; write it as in 2026-01-05T15:00:00Z, or ~ for none"),
        ("{published: maybe}", "7:25: error: `published` must be a boolean; write true or false"),
        ("{}", "7:13: error: nothing is expected, so the test would always pass"),
        ("{absent: []}", "7:13: error: nothing is expected, so the test would always pass"),
        ("[]", "7:13: error: `expect` must not be empty"),
        ("{after: 0d, score: 1}", "7:21: error: `0d` is out of range"),
        ("{after: 5, score: 1}", "7:21: error: a time is a number and one of s, m, h, d, w"),
        ("{after: soon, score: 1}", "7:21: error: `soon` is not a duration"),
    ],
)
def test_a_mistake_in_an_expectation_is_an_error_with_its_position(expect: str, finding: str) -> None:
    (result,) = results(STORY % expect)
    assert result.outcome == "error"
    assert result.name == "two visits to the price page"
    assert result.fired == frozenset()
    assert len(result.details) == 1
    assert result.details[0].startswith(f"a_test.yaml:{finding}")


@pytest.mark.parametrize(
    ("activity", "finding"),
    [
        ("{type: page_veiwed}", "4:10: error: unknown activity type `page_veiwed`; did you mean page_viewed?"),
        ("{type: chat_begun}", "4:10: error: unknown activity type `chat_begun`; write a type of your own in full"),
        (
            "{type: lead.page_veiwed}",
            "4:10: error: no signal or action counts `lead.page_veiwed`; did you mean lead.page_viewed",
        ),
        (
            "{type: lead.both_visited}",
            "4:10: error: no signal or action counts `lead.both_visited`; did you mean lead.booth_",
        ),
        ("{type: lead.My Type}", "4:10: error: `lead.My Type` is not an activity type; write it as in lead.my_type"),
        ("{type: page_viewed}", "4:9: error: `data.url` is missing"),
        ("{type: page_viewed, data: {url: 5}}", "4:36: error: `data.url`: expected a string"),
        ("{type: page_viewed, data: {url: /, pth: /}}", "4:44: error: nothing reads `data.pth`; did you mean path?"),
        (
            "{type: qualification_updated, data: {bant: {need: none, budgt_amount: 5}}}",
            "4:65: error: nothing reads `data.bant.budgt_amount`; did you mean budget_amount?",
        ),
        (
            "{type: qualification_updated, data: {bant: {need: urgent}}}",
            "4:53: error: `data.bant.need`: expected 'critical', 'important', 'useful' or 'none'",
        ),
        (
            "{type: profile_updated, data: {custom: {installed_base: {a: 1}}}}",
            "4:49: error: `data.custom.installed_base` must be true, false, a number",
        ),
        (
            "{type: profile_updated, data: {custom: {Installed base: 1}}}",
            "4:49: error: the name in `data.custom.Installed base` is wrong: expected a name of at most 64 characters",
        ),
        (
            "{type: profile_updated, data: {custom: 1}}",
            "4:40: error: `data.custom`: expected an object",
        ),
        (
            "{type: profile_updated, data: {custom: {instaled_base: 1}}}",
            "4:49: error: unknown field `instaled_base`; did you mean installed_base?",
        ),
        (
            "{type: profile_updated, data: {custom: {installed_base: many}}}",
            "4:49: error: `installed_base` is of type integer, not 'many'",
        ),
        ("{type: trial_started, times: 0}", "4:38: error: `times` must be greater than or equal to 1, not 0"),
        ("{type: trial_started, after: yesterday}", "4:38: error: `yesterday` is not a duration"),
    ],
)
def test_a_mistake_in_an_activity_is_an_error_with_its_position(activity: str, finding: str) -> None:
    result = story(activity, expect="{rating: cold}")
    assert result.outcome == "error"
    assert len(result.details) == 1
    assert result.details[0].startswith(f"a_test.yaml:{finding}")


def test_a_number_may_be_given_as_text_where_the_rules_take_it() -> None:
    accepting = SMALL_RULES.replace("{type: integer}", "{type: integer, accept_text: true}")
    for given, outcome in (("40", "pass"), ("4O", "error")):
        told = f"{{type: profile_updated, data: {{custom: {{installed_base: '{given}'}}}}}}"
        text = f"tests:\n  - name: x\n    activities: [{told}]\n    expect: {{fit: {{gt: 0}}}}\n"
        (result,) = results(text, accepting)
        assert result.outcome == outcome


def test_a_custom_activity_type_needs_no_signal() -> None:
    assert story("{type: lead.tour_taken, data: {any: [1]}}", expect="{score: 0}").outcome == "pass"


def test_all_mistakes_of_a_test_are_shown_in_line_order() -> None:
    result = story(
        "{type: page_veiwed}",
        "{type: page_viewed, data: {}}",
        "{type: trial_started, after: 1d}",
        expect="{rating: hott, contributions: {tral: 15}}",
    )
    assert [detail.split(":")[1:3] for detail in result.details] == [["4", "10"], ["5", "29"], ["7", "14"], ["7", "44"]]


def test_an_expectation_before_the_first_activity_is_an_error() -> None:
    result = story("{type: trial_started, after: 2d}", expect="[{after: 1d, score: 0}, {score: 15}]")
    assert result.details == ("a_test.yaml:5:15: error: at 1d no activity has happened yet",)


def test_a_test_that_would_run_for_minutes_is_an_error() -> None:
    visits = ["{type: page_viewed, times: 1000, data: {url: /pricing}}"] * 101
    expect = ", ".join(["{score: 1}"] * 2)
    result = story(*visits, expect=f"[{expect}]")
    assert result.outcome == "error"
    assert result.details == (
        "a_test.yaml:2:5: error: the tests of this file apply more than 200,000 activities; lower `times`, "
        "or split the file",
    )


def test_a_report_tells_whether_rules_may_go_live() -> None:
    good, bad, wrong = STORY % "{score: 30}", STORY % "{score: 31}", STORY % "{scor: 30}"

    def report(**texts: str) -> RuleTestReport:
        return run_tests({name: text.encode() for name, text in texts.items()}, evaluator())

    assert report(a=good, b=good).passed
    assert report().passed
    mixed = report(a=good, b=bad, c=wrong, d=bad)
    assert not mixed.passed
    assert [result.position.file for result in mixed.results] == ["a", "b", "c", "d"]
    assert [result.position.file for result in mixed.failures] == ["b", "d"]
    assert [result.position.file for result in mixed.errors] == ["c"]
    assert not report(a=bad).passed
    assert not report(a=wrong).passed
    assert not report(a="tests: 5").passed


def test_fired_contains_what_applied_at_any_time() -> None:
    result = story(
        "{type: qualification_updated, data: {bant: {budget_status: planned}}}",
        "{type: qualification_updated, after: 1d, data: {bant: {budget_status: approved}}}",
        "{type: page_viewed, after: 1d, data: {url: /careers}}",
        "{type: profile_updated, after: 2d, data: {is_competitor: true}}",
        expect="[{after: 400d, score: 1}]",
    )
    assert result.outcome == "fail"
    assert result.fired == {"budget-planned", "budget-approved", "careers", "keep-warm", "competitor"}
