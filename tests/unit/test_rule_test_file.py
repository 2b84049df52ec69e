"""A slip in one rule test does not hide the others, and no file, however broken, does worse than be an error."""

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
    return [(each.name, each.outcome) for each in results(content)]


GOOD = """\
  - name: good %s
    activities:
      - {type: trial_started}
    expect: {score: 15}
"""

# What people get wrong in a single test. The mistaken line is the fourth of the file.
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
def test_a_slip_in_one_test_does_not_hide_the_others(slip: str) -> None:
    text = "# Comment\ntests:\n" + GOOD % 1 + slip + GOOD % 2 + GOOD % 3
    found = results(text)
    first, bad, *rest = found
    assert [(each.name, each.outcome) for each in (first, *rest)] == [(f"good {n}", "pass") for n in (1, 2, 3)]
    assert bad.outcome == "error"
    assert bad.name == ("bad" if "name" in slip else "test 2, without a name")
    assert bad.position == ("a_test.yaml", 7, 5)
    last = 7 + slip.count("\n")
    for detail in bad.details:
        file, line, column, level = detail.split(":")[:4]
        assert (file, level) == ("a_test.yaml", " error")
        assert 7 <= int(line) <= last
        assert int(column) >= 1
    assert [each.position.line for each in (first, *rest)] == [3, last, last + 4]


def test_positions_are_those_of_the_file_even_where_tests_are_read_one_by_one() -> None:
    text = "tests:\n" + GOOD % 1 + SLIPS["an unclosed quote"] + GOOD % 2 + (GOOD % 3).replace("score: 15", "score: 16")
    found = results(text.replace("\n", "\r\n"))
    assert [each.outcome for each in found] == ["pass", "error", "pass", "fail"]
    assert len(found[1].details) == 1
    assert found[1].details[0].startswith("a_test.yaml:8:22: error: not valid YAML: ")
    assert found[3].details[0] == "a_test.yaml:16:14: `score` expected 16, found 15"


def test_what_is_wrong_between_the_tests_is_an_error_of_the_file() -> None:
    text = "tests:\n" + GOOD % 1 + GOOD % 2 + "more: 1\n"
    assert outcomes(text) == [("the file", "error"), ("good 1", "pass"), ("good 2", "pass")]
    assert results(text)[0].details == ("a_test.yaml:10:1: error: unknown key `more`",)
    text = "tests:\n" + GOOD % 1 + GOOD % 2 + "---\ntests: []\n"
    assert "error" in {each.outcome for each in results(text)}
    text = "tests:\n" + GOOD % 1 + "tests:\n" + GOOD % 2
    assert outcomes(text) == [("the file", "error"), ("good 1", "pass")]
    assert results(text)[0].details == ("a_test.yaml:6:1: error: `tests` is given twice; the first is in line 1",)


def test_an_alias_to_a_test_that_cannot_be_read_is_said_to_be_that() -> None:
    text = (
        "tests:\n  - name: one\n    activities: &a [{type: trial_started}]\n    expect: {score: 15}\n"
        "  - name: two\n    activities: *a\n    expect: {score: 15}\n"
    )
    assert outcomes(text) == [("one", "pass"), ("two", "pass")]
    found = results(text + '  - name: three\n    expect: {rating: "hot}\n')
    assert [(each.name, each.outcome) for each in found] == [("one", "pass"), ("two", "error"), ("three", "error")]
    assert found[1].details == (
        "a_test.yaml:6:17: error: not run: it uses an alias, and another test is not valid YAML",
    )


def test_a_name_is_given_once_in_a_file() -> None:
    text = "tests:\n" + GOOD % 1 + GOOD % 2 + GOOD % 1
    found = results(text)
    assert [each.outcome for each in found] == ["pass", "pass", "error"]
    assert found[2].details == ("a_test.yaml:10:5: error: the name `good 1` is used in line 2 already",)
    assert len({each.id for each in found}) == 3
    both = {"a_test.yaml": ("tests:\n" + GOOD % 1).encode(), "b_test.yaml": ("tests:\n" + GOOD % 1).encode()}
    assert run_tests(both, RULES).passed


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ('"one\\ntwo"', "a name is one line of text"),
        ('"\\e[31mred"', "a name is one line of text"),
        ('" "', "a test needs a name that says what it shows"),
        ("15", "`name` must be a valid string, not 15"),
        ("x" * 201, "`name` must have at most 200 characters"),
    ],
)
def test_a_name_is_a_line_of_text(name: str, finding: str) -> None:
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
        ("tests: 5\n", "1:1: error: `tests` must be a list of tests, and not an empty one"),
        ("tests: []\n", "1:1: error: `tests` must be a list of tests, and not an empty one"),
        ("tets: []\n", "1:1: error: unknown key `tets`; did you mean tests?"),
        ("- a\n", "1:1: error: a test file is a mapping with the key `tests`"),
        ("tests: [\n", "2:1: error: not valid YAML"),
        (b"tests:\n  - name: \xff\n", "2:11: error: the file is not UTF-8 text"),
        (b"\x00" * 5000, "1:1: error: "),
        (bytes(range(256)) * 10, "2:118: error: the file is not UTF-8 text"),
        (b"tests:\n" + b"#" * 10_000_000, "1:1: error: the file is larger than the 262,144 bytes"),
        (BOMB, "error: more than 100,000 values, once its aliases are unfolded"),
        ("tests:\n  - &a [*a]\n", "error: nested more than 40 levels deep, or within itself"),
        ("tests: " + "[" * 2000 + "]" * 2000, "1:1: error: nested more than 40 levels deep"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_file_that_cannot_be_read_is_one_error_with_its_place(content: str | bytes, detail: str) -> None:
    (result,) = results(content)
    assert (result.name, result.outcome) == ("the file", "error")
    assert result.details[0].startswith("a_test.yaml:")
    assert detail in result.details[0]


BREAKERS = [b"\n", b"- ", b"{", b'"', b": ", b"\t", b"&a ", b"*a", b"---\n", b"\xc3"]


def test_no_mutation_of_a_file_does_worse_than_be_an_error_and_none_passes_unseen() -> None:
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
        found = results(bytes(data))
        assert found
        assert all(each.details for each in found if each.outcome != "pass")


def test_the_rule_tests_we_ship_are_read_without_a_finding() -> None:
    from scorer.ruletests.file import read_test_file

    for path in sorted((Path(__file__).parents[2] / "rules").glob("*/*_test.yaml")):
        read = read_test_file(str(path), path.read_bytes())
        assert not read.findings
        assert read.tests
        assert all(test.case is not None for test in read.tests)
