"""Coverage lists each rule, signal and routing rule that no test exercises, with its position."""

from fractions import Fraction

from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.rules.loader import parse_ruleset
from scorer.ruletests.coverage import Coverage, Idle, coverage
from scorer.ruletests.run import run_tests
from tests.factory import SMALL_RULES, evaluator

FILES = {
    "rules.yaml": b"ruleset: two-files\nratings: {warm: 5, hot: 9}\nrouting:\n"
    b"  - {id: hot, when: {rating: hot}, route: sales}\n  - {id: rest, route: nurture}\n",
    "signals.yaml": b"signals:\n  trial: {activity: trial_started, points: 4}\n"
    b"  nothing:\n    activity: demo_requested\n    points: 0\n"
    b"scoring:\n  size:\n    rules:\n      - {points: 1, id: large, when: {profile.employees: {gte: 9}}}\n"
    b"      - {id: small, points: 0}\n",
}


def of(*activities: str, expect: str = "{score: {gte: -99}}") -> Coverage:
    rules = parse_ruleset(FILES)
    lines = "".join(f"      - {activity}\n" for activity in activities)
    text = f"tests:\n  - name: x\n    activities:\n{lines}    expect: {expect}\n"
    report = run_tests({"a_test.yaml": text.encode()}, Evaluator(rules, default_engine("compiled")))
    return coverage(rules, {name for result in report.results for name in result.fired}, FILES)


def test_idle_rules_are_listed_with_their_positions_in_file_order() -> None:
    covered = of("{type: demo_requested}")
    assert covered.idle == (
        Idle(("rules.yaml", 4, 6), "routing rule", "hot"),  # type: ignore[arg-type]
        Idle(("signals.yaml", 2, 3), "signal", "trial"),  # type: ignore[arg-type]
        Idle(("signals.yaml", 9, 21), "rule", "large"),  # type: ignore[arg-type]
    )
    assert list(map(str, covered.idle)) == [
        "rules.yaml:4:6: routing rule `hot` never applied",
        "signals.yaml:2:3: signal `trial` never counted",
        "signals.yaml:9:21: rule `large` never held",
    ]
    assert str(covered) == "coverage: 3 of 6 rules and signals (50 %)"


def test_only_full_coverage_is_a_hundred_percent() -> None:
    everything = (
        "{type: demo_requested}",
        "{type: profile_updated, data: {employees: 9}}",
        "{type: trial_started, times: 2}",
    )
    covered = of(*everything)
    assert covered.idle == ()
    assert str(covered) == "coverage: 6 of 6 rules and signals (100 %)"
    almost = Coverage(10_000, of("{type: demo_requested}").idle[:1])
    assert str(almost) == "coverage: 9999 of 10000 rules and signals (99.9 %)"
    assert almost.percent == Fraction(9999, 100)


def test_a_failed_test_covers_and_an_invalid_test_does_not() -> None:
    assert len(of("{type: trial_started}", expect="{score: 99}").idle) == 3
    assert len(of("{type: trial_started}", expect="{scoree: 99}").idle) == 6


def test_a_rule_that_holds_only_later_counts() -> None:
    rules = evaluator(SMALL_RULES.replace("scoring:\n", "scoring:\n  age:\n    rules: [{id: old, points: -1, "
                                        "when: {days_since.trial_started: {gte: 30}}}]\n"))  # fmt: skip
    text = "tests:\n  - name: x\n    activities: [{type: trial_started}]\n    expect: {after: %s, score: {gte: 0}}\n"
    fired = [run_tests({"x": (text % after).encode()}, rules).results[0].fired for after in ("29d", "30d")]
    assert fired[1] - fired[0] == {"old"}
