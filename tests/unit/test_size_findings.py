"""`scorer check` refuses rules under which a state or a decision can become too large to be written."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scorer.cli.check import check as check_command
from scorer.evaluation.largest_state import largest_state
from scorer.lint import too_large
from scorer.offline.ruleset_files import read_rule_files
from scorer.rules.loader import parse_with_source
from scorer.runtime import record_bytes
from scorer.runtime.settings import Settings
from tests.factory import SMALL_RULES, ruleset_folder

ROOT = Path(__file__).parents[2]


def with_signals(number: int, daily_cap: int = 100) -> str:
    """Rules with so many signals."""
    signals = "".join(
        f"  s{place}: {{activity: page_viewed, points: 1, daily_cap: {daily_cap}, window: 730d}}\n"
        for place in range(number)
    )
    return f"""
ruleset: many
ratings: {{warm: 10, hot: 20}}
signals:
{signals}
routing: [{{id: rest, route: sales}}]
"""


MANY_SIGNALS = with_signals(40)


def messages(text: str, limit: int = record_bytes.DEFAULT, beside: str | None = None) -> list[str]:
    ruleset, source = parse_with_source({"rules.yaml": text.encode()})
    other = None if beside is None else parse_with_source({"rules.yaml": beside.encode()})[0]
    return [str(finding) for finding in too_large(ruleset, source, limit, other)]


def with_fields(first: int, number: int) -> str:
    """Small rules with own fields of these numbers."""
    names = "".join(f", field_{place}: {{type: strings}}" for place in range(first, first + number))
    return SMALL_RULES.replace("{type: integer}}", f"{{type: integer}}{names}}}")


def with_rules(number: int, policy: str) -> str:
    """Rules of one criterion that each repeat a large evidence."""
    rules = "\n".join(
        f"      - {{id: r{place}, when: {{profile.technologies: {{contains: a{place}}}}}, points: 1}}"
        for place in range(number)
    )
    return f"""
ruleset: many
ratings: {{warm: 10, hot: 20}}
scoring:
  technologies:
    hit_policy: {policy}
    rules:
{rules}
routing: [{{id: rest, route: sales}}]
"""


def check(rules: Path, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    known = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
    return subprocess.run(
        [sys.executable, "-m", "scorer", "check", str(rules), *options],
        cwd=ROOT,
        env={**known, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_default_is_that_of_the_service() -> None:
    of_check = inspect.signature(check_command).parameters["max_record_bytes"].default
    assert Settings.model_fields["max_record_bytes"].default == of_check == 1_000_000


def test_check_refuses_signals_that_can_fill_a_state(tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "many", MANY_SIGNALS)
    done = check(rules)
    assert done.returncode == 1
    assert (
        f"{rules / 'rules.yaml'}:5:3: error[state-too-large]: a lead's state can take 1,113,448 bytes; the limit is "
        "1,000,000 (SCORER_MAX_RECORD_BYTES): counts of `s0`, `s1`, `s2`, `s3`, `s4` "
        "and 35 more take 815,990 and the facts that every lead can have take 295,154, so lower "
        "`daily_cap`, write fewer signals, or raise SCORER_MAX_RECORD_BYTES and run `scorer topics ensure`, "
        "which says what topics need more"
    ) in done.stdout.replace("\n", "")
    assert "ok:" not in done.stdout
    (finding,) = json.loads(check(rules, "--format", "json").stdout)["findings"]
    assert (finding["code"], finding["level"]) == ("state-too-large", "error")


def test_the_limit_is_an_option_or_the_setting_of_the_service(tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "many", MANY_SIGNALS)
    assert check(rules, "--max-record-bytes", "1113448").returncode == 0
    assert check(rules, SCORER_MAX_RECORD_BYTES="1113447").returncode == 1
    assert check(rules, SCORER_MAX_RECORD_BYTES="1113448").returncode == 0
    assert check(rules, "--max-record-bytes", "1").returncode == 2


@pytest.mark.parametrize("rules", ["b2b", "education"])
def test_the_rules_of_this_project_have_room(rules: str) -> None:
    ruleset, source = parse_with_source(read_rule_files(ROOT / "rules" / rules))
    assert too_large(ruleset, source, 750_000) == []


def test_own_fields_count_with_the_largest_value_that_can_be_sent() -> None:
    assert messages(with_fields(0, 20)) == []
    (message,) = messages(with_fields(0, 64))
    assert message.startswith("rules.yaml:6:43: error: a lead's state can take 1,")
    assert "and 60 more take 1," in message
    assert "declare fewer `fields`, or raise SCORER_MAX_RECORD_BYTES and run `scorer topics ensure`" in message


@pytest.mark.parametrize(
    ("type_", "size"), [("boolean", 5200), ("number", 5200), ("string", 13400), ("strings", 21700)]
)
def test_an_own_field_counts_by_its_type(type_: str, size: int) -> None:
    one, two = (
        parse_with_source({"rules.yaml": with_fields(0, number).replace("strings", type_).encode()})[0]
        for number in (1, 2)
    )
    more = largest_state([two]).total - largest_state([one]).total
    assert size - 100 < more <= size + 100
    assert messages(with_fields(0, 64).replace("strings", "boolean")) == []


def test_of_different_types_of_live_and_shadow_the_largest_counts() -> None:
    flags = with_fields(0, 20).replace("strings", "boolean")
    one, other = (parse_with_source({"rules.yaml": text.encode()})[0] for text in (with_fields(0, 20), flags))
    assert largest_state([one, other]).fields == largest_state([other, one]).fields == largest_state([one]).fields


def test_fields_and_signals_of_live_and_shadow_rules_count_together() -> None:
    assert messages(with_fields(0, 20), beside=with_fields(0, 20)) == []
    (message,) = messages(with_fields(0, 20), beside=with_fields(20, 20))
    assert "a lead's state, together with the rules that judge beside it, can take 1," in message
    some = with_signals(30)
    assert messages(some, beside=some) == []
    (message,) = messages(with_signals(40, 1), beside=MANY_SIGNALS)
    assert "lower `daily_cap`" in message


def test_a_decision_is_refused_only_if_all_its_rules_can_hold() -> None:
    assert messages(with_rules(64, "sum")) == []
    assert messages(with_rules(1000, "first")) == []
    (message,) = messages(with_rules(1000, "sum"))
    assert message.startswith("rules.yaml:5:3: error: a decision can take 1,")
    assert "criterion `technologies` takes 1," in message


def test_a_decision_of_signals_alone_is_refused_too() -> None:
    signals = "\n".join(
        f"  s{number}: {{activity: page_viewed, points: 1, daily_cap: 1, reason: {'r' * 500}}}" for number in range(250)
    )
    text = f"ruleset: r\nratings: {{warm: 1, hot: 2}}\nsignals:\n{signals}\nrouting: [{{id: rest, route: sales}}]\n"
    state, decision = messages(text, 1 << 17)
    assert "a lead's state can take" in state
    assert "a decision can take" in decision
    assert "signals take" in decision


def test_a_limit_below_the_facts_of_any_lead_says_so() -> None:
    (message,) = messages(SMALL_RULES, 70_000)
    assert "the facts that every lead can have take 295,154 alone, so raise SCORER_MAX_RECORD_BYTES" in message


def test_the_largest_parts_come_first_and_equal_ones_as_written() -> None:
    caps = {"a_small": 1, "zz": 100, "mid": 100, "much_longer_name": 2}
    signals = "".join(
        f"  {name}: {{activity: page_viewed, points: 1, daily_cap: {cap}, window: 730d}}\n"
        for name, cap in caps.items()
    )
    text = f"ruleset: r\nratings: {{warm: 1, hot: 2}}\nsignals:\n{signals}\nrouting: [{{id: rest, route: sales}}]\n"
    (message,) = messages(text, 310_000)
    ranking = "counts of `zz`, `mid`, `much_longer_name` and `a_small` take"
    assert f"the facts that every lead can have take 295,154 and {ranking}" in message
    assert message.startswith("rules.yaml:5:3: error")


def test_rules_without_signals_and_fields_are_not_told_to_write_fewer() -> None:
    text = "ruleset: r\nratings: {warm: 1, hot: 2}\nrouting: [{id: rest, route: sales}]\n"
    (message,) = messages(text, 295_200)
    assert "the facts that every lead can have take 295,154 alone, so raise SCORER_MAX_RECORD_BYTES" in message
