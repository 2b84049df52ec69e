"""Rule files: the findings say where each mistake is and how to fix it. Equal rules have equal revisions."""

import pytest

from scorer.rules.finding import RulesetError
from scorer.rules.loader import parse_ruleset
from tests.factory import SMALL_RULES, ruleset

HEAD = "ruleset: r\nratings: {warm: 1, hot: 2}\n"
ROUTE = "routing:\n  - {id: end, route: nurture}\n"


def findings(*texts: str | bytes) -> list[str]:
    files = {f"{n}.yaml": text if isinstance(text, bytes) else text.encode() for n, text in enumerate(texts, start=1)}
    with pytest.raises(RulesetError) as caught:
        parse_ruleset(files)
    return [str(finding) for finding in caught.value.findings]


def scoring(condition: str) -> str:
    return f"{HEAD}{ROUTE}scoring:\n  c:\n    rules:\n      - {{id: a, points: 1, when: {condition}}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + ROUTE + "colour: red\n", "1.yaml:5:1: error: unknown key `colour`"),
        (HEAD + ROUTE + "signal: {}\n", "1.yaml:5:1: error: unknown key `signal`; did you mean signals?"),
        (
            HEAD + ROUTE + "signals:\n  a: {activity: page_viewed, points: 1, half_live: 2d}\n",
            "1.yaml:6:41: error: unknown key `half_live`; did you mean half_life?",
        ),
        (HEAD + ROUTE + "signals:\n  a: {points: 1}\n", "1.yaml:6:3: error: `activity` is missing"),
        (
            HEAD + ROUTE + "signals:\n  a: {activity: page_veiwed, points: 1}\n",
            "1.yaml:6:17: error: unknown activity type `page_veiwed`; did you mean page_viewed?",
        ),
        (
            HEAD + ROUTE + "signals:\n  a: {activity: page_viewed, points: 1.5}\n",
            "1.yaml:6:38: error: `points` must be a valid integer, not 1.5",
        ),
        (
            HEAD + ROUTE + "signals:\n  a: {activity: page_viewed, points: 1, half_life: soon}\n",
            "1.yaml:6:52: error: `soon` is not a duration; write a number and one of s, m, h, d, w, y, as in 14d",
        ),
        ("ruleset: r\n" + ROUTE, "1.yaml:1:1: error: the section `ratings` is missing"),
        (HEAD, "1.yaml:1:1: error: the section `routing` is missing; it says where leads go"),
        (
            "ruleset: r\nratings: {warm: 5, hot: 2}\n" + ROUTE,
            "1.yaml:2:10: error: hot (2) must be above warm (5)",
        ),
        (
            HEAD + "routing:\n  - {id: a, when: {rating: hot}, route: sales}\n",
            "1.yaml:4:13: error: the last routing rule must have no `when`, so that every lead goes somewhere",
        ),
        (
            HEAD + "routing:\n  - {id: a, route: sales}\n  - {id: b, route: nurture}\n",
            "1.yaml:4:5: error: `a` has no `when`, so the rules after it can never apply",
        ),
        (
            HEAD + "routing:\n  - {id: a, route: trash}\n",
            "1.yaml:4:20: error: `route` must be 'discard', 'nurture' or 'sales', not \"trash\"",
        ),
        (HEAD + "routing:\n  - {id: a, route: discrad}\n", 'not "discrad"; did you mean discard?'),
        (HEAD + ROUTE + "fields: {x: {type: int}}\n", 'not "int"; did you mean integer?'),
        (
            HEAD + ROUTE + "fields: {x: {type: string, accept_text: true}}\n",
            "1.yaml:5:28: error: only fields of type integer or number can have `accept_text`",
        ),
        (HEAD + ROUTE + "unfitting: ignore\n", "1.yaml:5:12: error: `unfitting` must be 'count' or 'dead_letter'"),
        (HEAD + ROUTE + "scoring:\n  c: {hit_policy: some, rules: [{id: a, points: 1}]}\n", "did you mean sum?"),
        (
            HEAD + ROUTE + "scoring:\n  c:\n    group: g\n    max: 3\n    rules: [{id: a, points: 1}]\n",
            "1.yaml:8:5: error: min and max require `hit_policy: sum`",
        ),
        (
            HEAD + ROUTE + "scoring:\n  c:\n    group: g\n    min: 3\n    rules: [{id: a, points: 1}]\n",
            "1.yaml:8:5: error: min and max require `hit_policy: sum`",
        ),
        (
            HEAD + ROUTE + "signals:\n  a:\n    points:\n    activity: page_viewed\n",
            "1.yaml:7:5: error: `points` must be a valid integer",
        ),
        (
            HEAD + ROUTE + "signals:\n  a: {activity: page_viewed, points: 1, reason: polite, but wants no calls}\n",
            "unknown key `but wants no calls`; text with a comma needs quotes",
        ),
        (
            HEAD + ROUTE + "signals:\n  a: {activity: page_viewed, points: 1, reason: Works: a competitor}\n",
            "but got ':'; put quotes around text that contains a colon",
        ),
        (
            HEAD + ROUTE + "description: x\n  fields: {}\n",
            "otherwise a colon is missing on the line above, or the indentation is wrong",
        ),
        ("ruleset: a b\n", "1.yaml:1:10: error: `ruleset` must be letters, digits, _ and -, at most 64"),
        (HEAD + ROUTE + "ruleset: again\n", "1.yaml:5:1: error: `ruleset` is given twice; the first is on line 1"),
        ("- a\n", "1.yaml:1:1: error: a rule file is a mapping of sections"),
        ("ruleset: [\n", "1.yaml:2:1: error: not valid YAML"),
        (HEAD + ROUTE + "fields\n  x: 1\n", "1.yaml:5:1: error: not valid YAML: while scanning a simple key"),
        (HEAD + ROUTE + "description: it's: so\n", "put quotes around text that contains a colon"),
        (HEAD + ROUTE + "fields:\n\tx: {type: string}\n", "tabs are not allowed; use spaces"),
        (
            HEAD + ROUTE + "description: 'never closed\nfields: {}\n",
            "1.yaml:5:14: error: not valid YAML: while scanning",
        ),
        (
            HEAD + ROUTE + "signals:\n  a: {activity: page_viewed, points: 1, half_life: 30}\n",
            "1.yaml:6:52: error: `half_life` must be a duration: a number and one of s, m, h, d, w, y, as in 14d",
        ),
        (
            HEAD + ROUTE + "signals:\n  a: {activity: chat_started, points: 1}\n",
            "write a custom activity type in full, as in lead.chat_started",
        ),
        (HEAD + ROUTE + "fields: {x: !!python/name:os.system x}\n", "1.yaml:5:13: error: the tag"),
        (HEAD + ROUTE + "signals:\n  a: {activity: page_viewed, points: 1_000}\n", 'not "1_000"'),
        (
            HEAD + ROUTE + "scoring:\n  c:\n    rules:\n      - {id: a, points: 1}\n      - {id: b, points: 2}\n",
            "1.yaml:8:9: error: `a` has no `when`, so the rules after it can never apply",
        ),
        (HEAD + ROUTE + "scoring:\n  c: {rules: []}\n", "1.yaml:6:14: error: `rules` must not be empty"),
        ("a: 1\n---\nb: 2\n", "1.yaml:3:1: error: more than one document"),
        (b"ruleset: \xff\xfe\n", "1.yaml:1:10: error: the file is not UTF-8 text"),
        (b"ruleset: a\x00b\n", "1.yaml:1:11: error: "),
        ("a: " + "[" * 1200, "1.yaml:1:1: error: nested more than 40 levels deep"),
        ("a: &a [*a]\n", "error: nested more than 40 levels deep, or within itself"),
        (
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
            "error: more than 100,000 values, once its aliases are expanded",
        ),
        (b"#" * ((1 << 18) + 1), "1.yaml:1:1: error: the file is larger than the 262,144 bytes that are allowed"),
        (HEAD + ROUTE + "fields: {x: !!binary aGk=}\n", "1.yaml:5:13: error: "),
    ],
)
def test_a_finding_says_where_the_mistake_is(text: str | bytes, expected: str) -> None:
    lines = findings(text)
    assert any(expected in line for line in lines), lines


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("{industry: Steel}", "unknown field `industry`; did you mean profile.industry?"),
        ("{profile.industri: Steel}", "unknown field `profile.industri`; did you mean profile.industry?"),
        ("{foo: 1}", "unknown field `foo`; declare a custom field under `fields`"),
        ("{rating: hot}", "`rating` is computed from the score; only `routing` can use it"),
        ("{bant.need: critcal}", "`bant.need` is never `critcal`; did you mean critical?"),
        ('{profile.employees: {gte: "50"}}', "profile.employees: gte takes a value of type integer, not '50'"),
        ("{profile.employees: {starts_with: 5}}", "operator starts_with does not fit a field of type integer"),
        ("{profile.employees: {greater: 5}}", "unknown operator `greater`"),
        ("{profile.country: [DE, AT]}", "`profile.country` is compared with a list; write {in: [...]}"),
        ("{profile.country: ~}", "to test for a missing value write {exists: false}"),
        ("{profile.company: {matches: '('}}", "is not an RE2 expression: missing )"),
        ("{profile.employees: {between: [9, 2]}}", "low 9 is above high 2"),
        ("{or: [{rating: hot}]}", "unknown field `or`; did you mean any?"),
        ("{profile.employees: {in: 50}}", "profile.employees: in takes a list of values, not 50"),
        ("{any: {}}", "`any` takes a list of conditions"),
        ("{}", "an empty condition always holds; if you mean that, leave it out"),
        ("hot", '`when` must be a mapping, as in {field: value}, not "hot"'),
        ("{profile.is_competitor: yes}", "eq takes a value of type boolean, not 'yes'; write true or false"),
        ("{profile.employees: {gte: 50,250}}", "unknown operator `250`; a number has no commas: write 50250"),
        ("{profile.employees: {gte: 50,000}}", "a number has no commas: write 50000"),
        ("{profile.employees: {gte: 5, 250: 3}}", "unknown operator `250`; use one of"),
    ],
)
def test_a_mistake_in_a_condition_is_a_finding(condition: str, expected: str) -> None:
    lines = findings(scoring(condition))
    assert len(lines) == 1
    assert lines[0].startswith("1.yaml:8:")
    assert expected in lines[0]


def test_all_mistakes_are_reported_at_once() -> None:
    lines = findings(scoring("{any: [{foo: 1}, {not: {bar: 2}}]}"))
    assert [line.split(": error: ")[1].split(";")[0] for line in lines] == [
        "unknown field `foo`",
        "unknown field `bar`",
    ]


def test_ids_are_unique_over_all_files_and_sections() -> None:
    other = "signals:\n  end: {activity: page_viewed, points: 1}\n"
    assert findings(HEAD + ROUTE, other) == [
        "1.yaml:4:10: error: the id `end` is already used in 2.yaml:2",
    ]


def test_a_criterion_in_two_files_is_refused() -> None:
    criterion = "scoring:\n  c:\n    rules:\n      - {id: %s, points: 1}\n"
    assert findings(HEAD + ROUTE, criterion % "a", criterion % "b") == [
        "3.yaml:2:3: error: `c` is already defined in 2.yaml:2"
    ]


def test_a_ruleset_without_files_is_refused() -> None:
    with pytest.raises(RulesetError, match="there is no rule file"):
        parse_ruleset({})


def test_the_keys_of_where_are_checked_against_the_payload() -> None:
    text = HEAD + ROUTE + "signals:\n  a: {activity: page_viewed, where: {pth: /x}, points: 1}\n"
    assert findings(text) == ["1.yaml:6:38: error: unknown field `pth`; did you mean path?"]


def test_the_revision_ignores_order_comments_files_and_explicit_defaults() -> None:
    whole = ruleset(SMALL_RULES)
    head, _, routing = SMALL_RULES.partition("routing:")
    files = {"b.yaml": head.encode(), "a.yaml": b"# why\nrouting:" + routing.encode()}
    split = parse_ruleset(files)
    assert split.revision == whole.revision
    assert ruleset(SMALL_RULES.replace("window: 90d", "daily_cap: 10, window: 90d")).revision == whole.revision
    assert ruleset(SMALL_RULES.replace("warm: 20", "warm: 21")).revision != whole.revision
    assert len(whole.revision) == 64


def test_norway_is_a_country_and_a_date_is_text() -> None:
    ruleset(scoring("{profile.country: {in: [NO, DE]}}"))
    ruleset(scoring("{profile.job_title: {ne: 2026-01-31}}"))
