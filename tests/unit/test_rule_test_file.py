"""A mistake in one rule test does not hide the others, and a broken file is never worse than an error."""

import random
from pathlib import Path

import pytest

from scorer.rules.yaml_source import MAX_BYTES
from scorer.ruletests.run import Result, run_tests
from tests.factory import evaluator

RULES = evaluator()


def results(content: str | bytes) -> list[Result]:
    data = content.encode() if isinstance(content, str) else content
    return list(run_tests({"a_test.yaml": data}, RULES).results)


def outcomes(content: str) -> list[tuple[str, str]]:
    return [(result.name, result.outcome) for result in results(content)]


GOOD = """\
  - name: good %s
    activities:
      - {type: trial_started}
    expect: {score: 15}
"""

# Mistakes that people make in a single test.
SLIPS = {
    "an unknown key": "  - name: bad\n    activites: [{type: trial_started}]\n    expect: {score: 15}\n",
    "a missing key": "  - name: bad\n    expect: {score: 15}\n",
    "no mapping": "  - just text\n",
    "a key given twice": "  - name: bad\n    expect: {score: 15, score: 16}\n    activities: [{type: trial_started}]\n",
    "a bad tag": "  - name: bad\n    activities: [{type: trial_started, data: !x {}}]\n    expect: {score: !y 15}\n",
    "a bad key": "  - name: bad\n    activities: [{type: trial_started, data: {[1]: 2}}]\n    expect: {score: 15}\n",
    "a bad number": "  - name: bad\n    activities: [{type: trial_started, times: 0}]\n    expect: {score: 1}\n",
    "an unclosed quote": '  - name: bad\n    activities: [{type: trial_started}]\n    expect: {rating: "hot}\n',
    "an unclosed bracket": "  - name: bad\n    activities: [{type: trial_started]\n    expect: {score: 15}\n",
    "a tab": "  - name: bad\n\tactivities: [{type: trial_started}]\n    expect: {score: 15}\n",
    "wrong indentation": "  - name: bad\n     activities: [{type: trial_started}]\n    expect: {score: 15}\n",
    "a missing colon": "  - name: bad\n    activities [{type: trial_started}]\n    expect: {score: 15}\n",
    "a colon in a text": "  - name: bad\n    activities: [{type: trial_started}]\n    expect: score: 15\n",
}


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_a_mistake_in_one_test_does_not_hide_the_others(slip: str) -> None:
    text = "# Comment\ntests:\n" + GOOD % 1 + slip + GOOD % 2 + GOOD % 3
    read = results(text)
    first, bad, *rest = read
    assert [(result.name, result.outcome) for result in (first, *rest)] == [(f"good {n}", "pass") for n in (1, 2, 3)]
    assert bad.outcome == "error"
    assert bad.name == ("bad" if "name" in slip else "test 2, without a name")
    assert bad.position == ("a_test.yaml", 7, 5)
    last = 7 + slip.count("\n")
    for detail in bad.details:
        file, line, column, level = detail.split(":")[:4]
        assert (file, level) == ("a_test.yaml", " error")
        assert 7 <= int(line) <= last
        assert int(column) >= 1
    assert [result.position.line for result in (first, *rest)] == [3, last, last + 4]


def test_positions_refer_to_the_file_even_if_tests_are_read_one_by_one() -> None:
    text = "tests:\n" + GOOD % 1 + SLIPS["an unclosed quote"] + GOOD % 2 + (GOOD % 3).replace("score: 15", "score: 16")
    read = results(text.replace("\n", "\r\n"))
    assert [result.outcome for result in read] == ["pass", "error", "pass", "fail"]
    assert len(read[1].details) == 1
    assert read[1].details[0].startswith("a_test.yaml:8:22: error: not valid YAML: ")
    assert read[3].details[0] == "a_test.yaml:16:14: `score` expected 16, found 15"


def test_a_mistake_between_the_tests_is_an_error_of_the_file() -> None:
    text = "tests:\n" + GOOD % 1 + GOOD % 2 + "more: 1\n"
    assert outcomes(text) == [("the file", "error"), ("good 1", "pass"), ("good 2", "pass")]
    assert results(text)[0].details == ("a_test.yaml:10:1: error: unknown key `more`",)
    text = "tests:\n" + GOOD % 1 + GOOD % 2 + "---\ntests: []\n"
    assert "error" in {result.outcome for result in results(text)}
    text = "tests:\n" + GOOD % 1 + "tests:\n" + GOOD % 2
    assert outcomes(text) == [("the file", "error"), ("good 1", "pass")]
    assert results(text)[0].details == ("a_test.yaml:6:1: error: `tests` is given twice; the first is on line 1",)


def test_an_alias_is_reported_as_such_if_another_test_is_invalid() -> None:
    text = (
        "tests:\n  - name: one\n    activities: &a [{type: trial_started}]\n    expect: {score: 15}\n"
        "  - name: two\n    activities: *a\n    expect: {score: 15}\n"
    )
    assert outcomes(text) == [("one", "pass"), ("two", "pass")]
    read = results(text + '  - name: three\n    expect: {rating: "hot}\n')
    assert [(result.name, result.outcome) for result in read] == [("one", "pass"), ("two", "error"), ("three", "error")]
    assert read[1].details == (
        "a_test.yaml:6:17: error: not run: it uses an alias, and another test is not valid YAML",
    )


def test_a_name_must_be_unique_in_a_file() -> None:
    text = "tests:\n" + GOOD % 1 + GOOD % 2 + GOOD % 1
    read = results(text)
    assert [result.outcome for result in read] == ["pass", "pass", "error"]
    assert read[2].details == ("a_test.yaml:10:5: error: the name `good 1` is already used in line 2",)
    assert len({result.id for result in read}) == 3
    both = {"a_test.yaml": ("tests:\n" + GOOD % 1).encode(), "b_test.yaml": ("tests:\n" + GOOD % 1).encode()}
    assert run_tests(both, RULES).passed


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ('"one\\ntwo"', "a name must be one line of text"),
        ('"\\e[31mred"', "a name must be one line of text"),
        ('" "', "a test needs a name that says what it shows"),
        ("15", "`name` must be a valid string, not 15"),
        ("x" * 201, "`name` must have at most 200 characters"),
    ],
)
def test_a_name_must_be_a_line_of_text(name: str, finding: str) -> None:
    (result,) = results("tests:\n" + (GOOD % 1).replace("good 1", name))
    assert result.outcome == "error"
    assert result.details[0].startswith(f"a_test.yaml:2:11: error: {finding}")
    assert "\n" not in result.name
    assert "\x1b" not in result.name


BOMB = "tests:\n  - name: bomb\n    a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"    {new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        ("", "1:1: error: a test file is a mapping with the key `tests`"),
        ("tests: 5\n", "1:1: error: `tests` must be a list of one or more tests"),
        ("tests: []\n", "1:1: error: `tests` must be a list of one or more tests"),
        ("tets: []\n", "1:1: error: unknown key `tets`; did you mean tests?"),
        ("- a\n", "1:1: error: a test file is a mapping with the key `tests`"),
        ("tests: [\n", "2:1: error: not valid YAML"),
        (b"tests:\n  - name: \xff\n", "2:11: error: the file is not UTF-8 text"),
        (b"\x00" * 5000, "1:1: error: "),
        (bytes(range(256)) * 10, "2:118: error: the file is not UTF-8 text"),
        (b"tests:\n" + b"#" * 10_000_000, "1:1: error: the file is larger than the 262,144 bytes"),
        (BOMB, "error: more than 100,000 values, once its aliases are expanded"),
        ("tests:\n  - &a [*a]\n", "error: nested more than 40 levels deep, or within itself"),
        ("tests: " + "[" * 2000 + "]" * 2000, "1:1: error: nested more than 40 levels deep"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_unreadable_file_is_one_error_with_its_position(content: str | bytes, detail: str) -> None:
    (result,) = results(content)
    assert (result.name, result.outcome) == ("the file", "error")
    assert result.details[0].startswith("a_test.yaml:")
    assert detail in result.details[0]


BREAKERS = [b"\n", b"- ", b"{", b'"', b": ", b"\t", b"&a ", b"*a", b"---\n", b"\xc3"]


def test_every_mutation_of_a_file_gives_results_and_details_if_it_does_not_pass() -> None:
    rng = random.Random(20260105)
    original = ("tests:\n" + "".join(GOOD % n for n in range(4))).encode()
    assert len(original) < MAX_BYTES
    for _ in range(300):
        data = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(data))
            match rng.randrange(4):
                case 0:
                    data[place] = rng.randrange(256)
                case 1:
                    del data[place : place + rng.randint(1, 20)]
                case 2:
                    data[place:place] = rng.choice(BREAKERS)
                case _:
                    del data[place:]
            data = data or bytearray(b"x")
        read = results(bytes(data))
        assert read
        assert all(result.details for result in read if result.outcome != "pass")


def test_the_shipped_rule_tests_have_no_findings() -> None:
    from scorer.ruletests.file import read_test_file

    for path in sorted((Path(__file__).parents[2] / "rules").glob("*/*_test.yaml")):
        read = read_test_file(str(path), path.read_bytes())
        assert not read.findings
        assert read.tests
        assert all(test.case is not None for test in read.tests)
