"""Findings of `scorer check` for rules that load: position, level, code and message."""

from __future__ import annotations

import pytest

from scorer.lint import analyse
from scorer.lint.solver import Budget
from scorer.rules.finding import Finding
from scorer.rules.loader import parse_with_source
from tests.factory import SMALL_RULES

HEAD = "ruleset: r\nratings: {warm: 1, hot: 2}\n"
SCORING = "scoring:\n  base: {rules: [{id: b1, points: 5, when: {bant.need: critical}}, {id: b2, points: -5}]}\n"
ROUTING = "routing:\n  - {id: to-sales, when: {rating: hot}, route: sales}\n  - {id: rest, route: nurture}\n"
SOUND = HEAD + SCORING + ROUTING


RETENTION = "retention: {inactive: 2y}\n"


def findings(text: str, budget: Budget | None = None) -> list[Finding]:
    ruleset, source = parse_with_source({"r.yaml": f"{text}{RETENTION}".encode()})
    return analyse(ruleset, source, budget)


def shown(text: str) -> list[str]:
    return [f"{f.position.line}:{f.position.column} {f.level}[{f.code}] {f.message}" for f in findings(text)]


def criterion(*rules: str, settings: str = "") -> str:
    """A ruleset with a criterion in line 8. Its first rule is in line 10, or later if there are settings."""
    lines = "".join(f"\n      - {{id: r{n}, {rule}}}" for n, rule in enumerate(rules))
    more = "{rules: [{id: m, points: 9, when: {bant.need: none}}]}"
    return f"{HEAD}{ROUTING}scoring:\n  more: {more}\n  c:\n{settings}    rules:{lines}\n"


def routing(*rules: str) -> str:
    """A ruleset with routing rules from line 6 on; `to-sales` and `rest` come after them."""
    lines = "".join(f"  - {{id: t{n}, {rule}, route: nurture, queue: q{n}}}\n" for n, rule in enumerate(rules))
    return HEAD + SCORING + ROUTING.replace("routing:\n", "routing:\n" + lines)


def test_sound_rules_have_no_findings() -> None:
    assert shown(SOUND) == []


@pytest.mark.parametrize(
    ("when", "column", "message"),
    [
        (
            "{profile.employees: {gte: 50, lt: 10}}",
            56,
            "`r0` can never apply: `profile.employees: {gte: 50}` and `profile.employees: {lt: 10}` exclude each other",
        ),
        (
            "{bant.need: none, not: {bant.need: none}}",
            36,
            "`r0` can never apply: `bant.need: none` and `not: {bant.need: none}` exclude each other",
        ),
        (
            "{profile.industry: energy, bant.need: none, any: [{profile.industry: retail}, {bant.need: useful}]}",
            36,
            "`r0` can never apply: `profile.industry: energy`, `bant.need: none` and "
            "`any: [{profile.industry: retail}, {bant.need: useful}]` exclude each other",
        ),
        (
            "{profile.company: {starts_with: a, eq: berlin}}",
            54,
            "`r0` can never apply: `profile.company: {starts_with: a}` and `profile.company: berlin` exclude each "
            "other",
        ),
        (
            "{bant.need: {not_in: [critical, important, useful, none]}}",
            48,
            "`r0` can never apply: `bant.need: {not_in: [critical, important, useful, none]}` never holds; "
            "`bant.need` is always critical or important or useful or none here",
        ),
        (
            "{profile.technologies: {contains: SAP, exists: false}}",
            59,
            "`r0` can never apply: `profile.technologies: {contains: SAP}` and `profile.technologies: {exists: false}` "
            "exclude each other",
        ),
    ],
)
def test_a_condition_that_cannot_hold(when: str, column: int, message: str) -> None:
    assert shown(criterion(f"points: 1, when: {when}")) == [f"10:{column} warning[never-fires] {message}"]


def test_unknown_and_known_values_exclude_each_other() -> None:
    """For an unknown value `ne` is false but `not eq` is true."""
    assert shown(criterion("points: 1, when: {bant.need: {exists: false}, not: {bant.need: none}}")) == []
    never = findings(criterion("points: 1, when: {bant.need: {exists: false, ne: none}}"))
    assert [f.code for f in never] == ["never-fires"]


def test_a_shadowed_rule_names_the_rules_that_cover_it() -> None:
    text = criterion(
        "points: 1, when: {profile.employees: {gte: 100}}",
        "points: 2, when: {profile.country: DE}",
        "points: 3, when: {profile.employees: {lt: 100}}",
        "points: 4, when: {profile.employees: {exists: true}, profile.country: AT}",
        "points: 5, when: {profile.employees: {gte: 500}}",
    )
    assert shown(text) == [
        "13:14 warning[shadowed] `r3` can never apply: the earlier rules `r0` and `r2` together cover it",
        "14:14 warning[shadowed] `r4` can never apply: the earlier rule `r0` holds whenever it does",
    ]


def test_rules_of_a_sum_do_not_shadow_each_other() -> None:
    text = criterion(
        "points: 1, when: {profile.employees: {gte: 100}}",
        "points: 2, when: {profile.employees: {gte: 500}}",
        settings="    hit_policy: sum\n",
    )
    assert shown(text) == []


def test_a_gap_between_rules_has_an_example() -> None:
    text = criterion(
        "points: 1, when: {profile.employees: {lt: 10}}", "points: 2, when: {profile.employees: {gte: 50}}"
    )
    assert shown(text) == ["8:3 info[gap] a lead with profile.employees: 10 gets 0 points: no rule of `c` holds for it"]


@pytest.mark.parametrize(
    "rules",
    [
        # 0 points are intended beyond the last bound, for texts that no rule names, and for unknown values.
        ["points: 1, when: {profile.employees: {gte: 10}}", "points: 2, when: {profile.employees: {gte: 5}}"],
        ["points: 1, when: {profile.employees: {gt: 1}}", "points: 2, when: {profile.employees: {gt: 5}}"][::-1],
        ["points: 1, when: {profile.industry: energy}", "points: 2, when: {profile.industry: retail}"],
        ["points: 1, when: {profile.is_customer: true}"],
        ["points: 1, when: {profile.is_customer: true}", "points: 2, when: {profile.is_customer: false}"],
        ["points: 1, when: {profile.employees: {lt: 10}}", "points: -20"],
    ],
)
def test_values_left_out_on_purpose_are_not_a_gap(rules: list[str]) -> None:
    assert shown(criterion(*rules)) == []


def test_a_choice_that_no_rule_names_is_a_gap() -> None:
    rules = [f"points: {n}, when: {{bant.need: {need}}}" for n, need in enumerate(("critical", "important", "none"))]
    assert shown(criterion(*rules)) == [
        "8:3 info[gap] a lead with bant.need: useful gets 0 points: no rule of `c` holds for it"
    ]


def test_limits_that_no_sum_reaches() -> None:
    rules = [
        "points: 10, when: {profile.job_level: executive}",
        "points: 8, when: {profile.job_level: director}",
        "points: 3, when: {profile.email_kind: business}",
        "points: -4, when: {profile.email_kind: free}",
        "points: -1, when: {not: {profile.email_kind: free}}",
    ]
    # No lead is both executive and director, or has two kinds of address: at most 10 + 3 - 1, at least -4.
    limits = "    hit_policy: sum\n    min: %d\n    max: %d\n"
    assert shown(criterion(*rules, settings=limits % (-5, 13))) == [
        "10:5 warning[cap-unreachable] `min: -5` is never reached: the rules give at least -4 points together",
        "11:5 warning[cap-unreachable] `max: 13` is never reached: the rules give at most 12 points together",
    ]
    assert shown(criterion(*rules, settings=limits % (-4, 12))) == []


def test_a_criterion_that_is_never_met() -> None:
    rules = ["points: 9, when: {bant.need: none}", "points: 20, when: {bant.need: none, bant.authority: user}"]
    never = "`c` is never met: it gives at most 9 points, but counts towards `groups.g.met` only from 10"
    settings = "    group: g\n    met_at: %d\n"
    assert f"10:5 warning[met-unreachable] {never}" in shown(criterion(*rules, settings=settings % 10))
    assert "met-unreachable" not in [f.code for f in findings(criterion(*rules, settings=settings % 9))]
    assert "met-unreachable" not in [f.code for f in findings(criterion(*rules, settings="    met_at: 99\n"))]


def test_unreachable_ratings() -> None:
    signal = "signals:\n  s: {activity: page_viewed, points: 2, daily_cap: 1, window: 3d}\n"
    text = SOUND.replace("hot: 2", "hot: 12") + signal
    assert shown(text) == [
        "2:20 warning[rating-unreachable] no lead is ever hot: the score is at most 11, but hot starts at 12 "
        "(fit -5 to 5, engagement 0 to 6)",
        "5:1 warning[no-sales] no lead is ever handed over to sales: no rule with `route: sales` can ever apply",
        "6:27 warning[never-fires] `to-sales` can never apply: `rating: hot` never holds; `rating` is always "
        "cold or warm here",
    ]
    assert shown(SOUND.replace("hot: 2", "hot: 11") + signal) == []
    capped = signal.replace("window: 3d", "window: 3d, max_points: 5")
    assert "rating-unreachable" in [f.code for f in findings(SOUND.replace("hot: 2", "hot: 11") + capped)]


def test_leads_that_are_never_cold() -> None:
    assert shown(SOUND.replace("warm: 1,", "warm: -5,")) == [
        "2:11 warning[rating-unreachable] no lead is ever cold: the score is at least -5 "
        "(fit -5 to 5, engagement 0 to 0)"
    ]


def test_unreachable_grades() -> None:
    grades = "grades:\n  fit: {A: 6, B: 5, C: %d}\n  engagement: {1: 3, 2: 2, 3: 1}\n"
    assert shown(SOUND + grades % 0) == [
        "9:9 warning[grade-unreachable] no lead is ever graded A for fit: fit is at most 5 points"
    ]
    assert shown(SOUND + (grades % -5).replace("A: 6, B: 5", "A: 5, B: 4")) == [
        "9:21 warning[grade-unreachable] no lead is ever graded D for fit: fit is at least -5 points"
    ]
    signal = "signals:\n  s: {activity: page_viewed, points: 2, max_points: 2}\n"
    assert shown(SOUND + (grades % 0).replace("A: 6, B: 5", "A: 5, B: 4") + signal) == [
        "10:16 warning[grade-unreachable] no lead is ever graded 1 for engagement: engagement is at most 2 points"
    ]


@pytest.mark.parametrize(
    ("signal", "column", "message"),
    [
        ("activity: page_viewed, points: 0", 30, "`s` gives 0 points, so it affects no decision"),
        (
            "activity: lead.page_veiwed, points: 1",
            17,
            "`s` counts `lead.page_veiwed`, a custom activity type; did you mean page_viewed?",
        ),
        (
            "activity: lead.Chat, points: 1",
            17,
            "`s` never counts: `lead.Chat` is not an activity type; use lower-case letters, digits, `_` and dots",
        ),
        ("activity: lead.erased, points: 1", 17, "`s` never counts: an erasure deletes all counts of its day"),
        (
            "activity: webinar_attended, points: 1, where: {minutes: {gt: 9, lt: 3}}",
            64,
            "`s` never counts: `minutes: {gt: 9}` and `minutes: {lt: 3}` exclude each other",
        ),
        (
            "activity: lead.chat_started, points: 1, where: {topic: {eq: a, ne: a}}",
            63,
            "`s` never counts: `topic: a` and `topic: {ne: a}` exclude each other",
        ),
        (
            "activity: webinar_attended, points: 1, where: {minutes: {lt: 0}}",
            64,
            "`s` never counts: `minutes: {lt: 0}` never holds; `minutes` is at least 0",
        ),
    ],
)
def test_signals_that_never_count(signal: str, column: int, message: str) -> None:
    assert shown(f"{SOUND}signals:\n  s: {{{signal}}}\n") == [f"9:{column} warning[unused-signal] {message}"]


def test_a_signal_that_never_counts_is_left_out_of_the_reachable_points() -> None:
    signal = "signals:\n  s: {activity: lead.Chat, points: 50}\n"
    assert "rating-unreachable" in [f.code for f in findings(SOUND.replace("hot: 2", "hot: 12") + signal)]
    assert "rating-unreachable" not in [
        f.code for f in findings(SOUND.replace("hot: 2", "hot: 12") + signal.replace("Chat", "page_veiwed"))
    ]


@pytest.mark.parametrize(
    ("condition", "column", "message"),
    [
        ("profile.country: Germany", 53, "`Germany` is not a country code (ISO 3166-1 alpha-2); did you mean DE?"),
        ("profile.country: de", 53, "`de` is not a country code (ISO 3166-1 alpha-2); did you mean DE?"),
        ("profile.country: {in: [DE, UK]}", 63, "`UK` is not a country code (ISO 3166-1 alpha-2); did you mean GB?"),
        ("profile.country: QQ", 53, "`QQ` is not a country code (ISO 3166-1 alpha-2)"),
        ("profile.country: EN", 53, "`EN` is not a country code (ISO 3166-1 alpha-2)"),
        ("profile.country: UKR", 53, "`UKR` is not a country code (ISO 3166-1 alpha-2); did you mean UA?"),
        ("profile.country: Czechia", 53, "`Czechia` is not a country code (ISO 3166-1 alpha-2); did you mean CZ?"),
        (
            "profile.country: Swizerland",
            53,
            "`Swizerland` is not a country code (ISO 3166-1 alpha-2); did you mean CH?",
        ),
        (
            "profile.language: German",
            54,
            "`German` is not a language tag (BCP 47, such as de or de-AT); did you mean de?",
        ),
        ("profile.language: DE", 54, "`DE` is not a language tag (BCP 47, such as de or de-AT); did you mean de?"),
        (
            "profile.email_domain: x@Example.com",
            58,
            "`profile.email_domain` is the part after the @, in lower case; it is never `x@Example.com`; "
            "did you mean example.com?",
        ),
        (
            "profile.email_domain: {ends_with: .EDU}",
            70,
            "`profile.email_domain` is the part after the @, in lower case; it is never `.EDU`; did you mean .edu?",
        ),
        (
            "assessment.probability: {gte: 60}",
            66,
            "`assessment.probability` is between 0 and 1, never 60; did you mean 0.6?",
        ),
        ("profile.employees: {gte: -1}", 61, "`profile.employees` is never below 0, but is compared with -1 here"),
        (
            "days_since.call_logged: {lt: -2}",
            65,
            "`days_since.call_logged` is never below 0, but is compared with -2 here",
        ),
        (
            'profile.industry: " energy"',
            54,
            "`profile.industry` is compared with text that starts or ends with whitespace; did you mean energy?",
        ),
    ],
)
def test_constants_that_look_wrong(condition: str, column: int, message: str) -> None:
    rule = f"points: 1, when: {{{condition}}}"
    assert shown(criterion(rule)) == [f"10:{column} warning[suspicious-constant] {message}"]


@pytest.mark.parametrize(
    "condition",
    [
        "profile.country: {in: [DE, GB, XK]}",
        "profile.language: {in: [de, de-AT, gsw, zh-Hant-TW]}",
        "profile.language: {starts_with: de}",
        "profile.email_domain: {ends_with: .edu}",
        "profile.email_domain: example.co.uk",
        "assessment.probability: {between: [0, 1]}",
        "profile.industry: {in: [Energy, Retail]}",
    ],
)
def test_constants_that_look_right(condition: str) -> None:
    assert shown(criterion(f"points: 1, when: {{{condition}}}")) == []


@pytest.mark.parametrize(
    ("where", "column", "message"),
    [
        ("path: {starts_with: pricing}", 69, "`path` starts with /, so it is never `pricing`; did you mean /pricing?"),
        (
            'path: "https://example.com/pricing"',
            55,
            "`path` holds no host, so it is never `https://example.com/pricing`; did you mean /pricing?",
        ),
        (
            'path: "/pricing?plan=a"',
            55,
            "`path` holds no query, so it is never `/pricing?plan=a`; compare `url`, or leave out the query",
        ),
    ],
)
def test_paths_that_look_wrong(where: str, column: int, message: str) -> None:
    signal = f"signals:\n  s: {{activity: page_viewed, points: 1, where: {{{where}}}}}\n"
    assert shown(SOUND + signal) == [f"9:{column} warning[suspicious-constant] {message}"]


def test_the_same_text_in_upper_and_lower_case() -> None:
    text = criterion(
        "points: 1, when: {profile.industry: {in: [Energy, retail]}}", "points: 2, when: {profile.industry: energy}"
    )
    assert shown(text) == [
        "11:54 warning[suspicious-constant] `profile.industry` is compared with `energy` here and with `Energy` in "
        "r.yaml:10; text comparisons are case-sensitive"
    ]


def test_one_cause_is_reported_once() -> None:
    """A rule that needs a probability of 60 can never apply either, but there is no second finding."""
    assert len(shown(criterion("points: 1, when: {assessment.probability: {gte: 60}}"))) == 1


def test_the_same_condition_twice_in_a_sum() -> None:
    text = criterion(
        "points: 1, when: {profile.employees: {gte: 11}}",
        "points: 2, when: {not: {any: [{profile.employees: {lte: 10}}, {profile.employees: {exists: false}}]}}",
        settings="    hit_policy: sum\n",
    )
    assert shown(text) == [
        "12:14 warning[double] `r1` holds for the same leads as `r0` (r.yaml:11), and both give points"
    ]


def test_a_rule_that_changes_nothing() -> None:
    text = criterion(
        "points: 5, when: {profile.employees: {gte: 100}}",
        "points: 5, when: {profile.employees: {gte: 50}}",
        "points: 6, when: {profile.employees: {gte: 10}}",
    )
    assert shown(text) == [
        "10:14 info[redundant] `r0` changes only the rule's name: without it, `r1` would apply with the same result"
    ]
    assert (
        shown(
            text.replace(
                "points: 5, when: {profile.employees: {gte: 100}}",
                "reason: Large, points: 5, when: {profile.employees: {gte: 100}}",
            )
        )
        == []
    )


@pytest.mark.parametrize(
    ("when", "column", "message"),
    [
        ("{rating: warm, score.total: {gte: 5}}", 21, "`rating: warm` and `score.total: {gte: 5}` exclude each other"),
        ("{rating: cold, score.total: 1}", 21, "`rating: cold` and `score.total: 1` exclude each other"),
        ("{score.total: {gt: 5}}", 35, "`score.total: {gt: 5}` never holds; `score.total` is between -5 and 5"),
        ("{criteria.base: {lt: -5}}", 37, "`criteria.base: {lt: -5}` never holds; `criteria.base` is between -5 and 5"),
        (
            "{rating: {exists: false}}",
            30,
            "`rating: {exists: false}` never holds; `rating` is always cold or warm or hot here",
        ),
        ("{grade.fit: A}", 21, "`grade.fit: A` never holds; `grade.fit` is always D here"),
        ("{grade.engagement: 1}", 21, "`grade.engagement: 1` never holds; `grade.engagement` is always 4 here"),
        (
            "{score.engagement: {gt: 0}}",
            40,
            "`score.engagement: {gt: 0}` never holds; `score.engagement` is always 0 here",
        ),
        (
            "{score.fit: {lt: 0}, score.total: {gt: 0}}",
            33,
            "`score.fit: {lt: 0}` and `score.total: {gt: 0}` exclude each other",
        ),
        (
            "{criteria.behaviour: {gt: 3}, score.engagement: {lt: 3}}",
            42,
            "`criteria.behaviour: {gt: 3}` never holds; `criteria.behaviour` is always 0 here",
        ),
    ],
)
def test_routing_rules_that_no_score_can_meet(when: str, column: int, message: str) -> None:
    assert shown(routing(f"when: {when}"))[:1] == [f"6:{column} warning[never-fires] `t0` can never apply: {message}"]


@pytest.mark.parametrize(
    "when",
    [
        "{not: {rating: hot}, score.total: 1}",
        "{rating: warm, score.total: 1}",
        "{rating: hot, score.total: 5}",
        "{score.total: -5}",
    ],
)
def test_routing_rules_that_some_score_can_meet(when: str) -> None:
    assert shown(routing(f"when: {when}")) == []


def test_hysteresis_keeps_a_lead_hot_below_the_bound() -> None:
    text = routing("when: {rating: hot, score.total: {lt: 2}}")
    assert [f.code for f in findings(text)] == ["never-fires"]
    assert findings(text.replace("hot: 2}", "hot: 2, hysteresis: 1}")) == []


def test_grades_that_no_condition_names_are_considered() -> None:
    grades = "grades:\n  fit: {A: 5, B: 0, C: -4}\n  engagement: {1: 3, 2: 2, 3: 1}\n"
    assert shown(routing("when: {not: {grade.fit: A}, score.fit: {gte: 0, lt: 5}}") + grades) == []
    assert shown(routing("when: {not: {grade.fit: A}, score.fit: {lt: -4}}") + grades) == []


def test_a_signal_counts_up_to_its_cap_on_every_day_of_its_window() -> None:
    text = (
        SOUND.replace("hot: 2", "hot: %d")
        + "signals:\n  s: {activity: page_viewed, points: 2, daily_cap: 3, window: 2d}\n"
    )
    assert shown(text % (5 + 2 * 3 * 2)) == []
    assert [f.code for f in findings(text % (5 + 2 * 3 * 2 + 1))][:1] == ["rating-unreachable"]


def test_a_shadowed_routing_rule() -> None:
    text = routing("when: {rating: {in: [cold, warm]}}", "when: {rating: warm, bant.need: none}")
    assert shown(text)[0] == (
        "7:10 warning[shadowed] `t1` can never apply: the earlier rule `t0` holds whenever it does"
    )


def test_no_route_to_sales() -> None:
    assert shown(routing("when: {rating: {ne: cold}}")) == [
        "5:1 warning[no-sales] no lead is ever handed over to sales: no rule with `route: sales` can ever apply",
        "7:10 warning[shadowed] `to-sales` can never apply: the earlier rule `t0` holds whenever it does",
    ]
    assert shown(SOUND.replace("route: sales", "route: nurture, queue: calls")) == [
        "5:1 warning[no-sales] no lead is ever handed over to sales: no rule has `route: sales`"
    ]


def pigeons(holes: int) -> str:
    """The pigeonhole problem: one pigeon more than holes is impossible, but hard to prove."""
    names = [[f"p{i}_{j}" for j in range(holes)] for i in range(holes + 1)]
    seated = [f"any: [{', '.join(f'{{{name}: true}}' for name in row)}]" for row in names]
    alone = [
        f"any: [{{{names[i][j]}: false}}, {{{names[k][j]}: false}}]"
        for j in range(holes)
        for i in range(holes + 1)
        for k in range(i)
    ]
    fields = "".join(f"  {name}: {{type: boolean}}\n" for row in names for name in row)
    when = f"{{all: [{', '.join(f'{{{part}}}' for part in seated + alone)}]}}"
    return f"fields:\n{fields}{criterion(f'points: 50, when: {when}')}"


def test_a_table_that_is_too_large_is_reported_as_undecided() -> None:
    small = [f.code for f in findings(pigeons(3))]
    assert small == ["never-fires"]
    (only,) = findings(pigeons(8), Budget(question=20_000))
    assert (only.level, only.code) == ("info", "undecided")
    assert only.message == (
        "`c` is too large to analyse for every lead; these rules applied to none of up to 2,000 random leads: `r0`"
    )


def test_the_small_ruleset_of_the_tests_has_two_gaps_and_nothing_else() -> None:
    assert shown(SMALL_RULES) == [
        "19:3 info[gap] a lead with bant.budget_status: none gets 0 points: no rule of `budget` holds for it",
        "24:3 info[gap] a lead with bant.authority: user gets 0 points: no rule of `authority` holds for it",
    ]


TIMED = """ruleset: timed
ratings: {warm: 10, hot: 30, hysteresis: 3}
signals:
  visit: {activity: page_viewed, points: 20, half_life: 10d, window: 400d}
  trial: {activity: trial_started, points: 20, window: 60d}
scoring: {base: {rules: [{id: b1, points: 12, when: {bant.need: critical}}, {id: b2, points: -5}]}}
routing:
  - {id: t0, when: WHEN, route: sales}
  - {id: hot, when: {rating: hot}, route: sales, queue: q}
  - {id: rest, route: nurture}
"""


@pytest.mark.parametrize(
    "condition",
    [
        "{days_since.last_activity: {gte: 365}}",
        "{days_since.last_activity: {gt: 30}, rating: hot}",
        "{days_since.last_activity: {gte: 365}, rating: warm}",
        "{days_since.last_activity: {gte: 59}, signals.trial: {gt: 0}}",
        "{days_since.last_activity: {gte: 365}, score.engagement: 0}",
        "{days_since.last_activity: {gte: 365}, score.total: {gte: 12}}",
    ],
)
def test_a_bound_on_the_time_since_the_last_activity_can_be_reached(condition: str) -> None:
    assert shown(TIMED.replace("WHEN", condition)) == []


@pytest.mark.parametrize(
    "condition",
    [
        "{days_since.last_activity: {lt: 0}}",
        "{days_since.last_activity: {gte: 365}, rating: hot}",
        "{days_since.last_activity: {gte: 60}, signals.trial: {gt: 0}}",
        "{days_since.last_activity: {gte: 365}, score.engagement: {gte: 1}}",
        "{days_since.last_activity: {gte: 365}, score.total: {gt: 12}}",
        "{days_since.last_activity: {gte: 365}, grade.engagement: {lt: 4}}",
    ],
)
def test_what_a_silent_lead_cannot_have_any_more_is_found(condition: str) -> None:
    (finding,) = findings(TIMED.replace("WHEN", condition))
    assert finding.code == "never-fires"
    assert "`t0` can never apply" in finding.message


@pytest.mark.parametrize(
    ("retention", "place"),
    [("", "2:1"), ("retention: {after_erasure: 90d}\n", "LAST:1"), ("retention: {inactive: 7d}\n", None)],
)
def test_leads_that_are_kept_for_ever(retention: str, place: str | None) -> None:
    text = f"{SMALL_RULES}{retention}"
    found = [each for each in analyse(*parse_with_source({"r.yaml": text.encode()})) if each.code == "no-retention"]
    assert len(found) == (place is not None)
    for each in found:
        assert f"{each.position.line}:{each.position.column}" == str(place).replace("LAST", str(text.count("\n")))
        assert each.level == "warning"
