"""A JUnit reader finds the results in the XML."""

from pathlib import Path
from xml.etree import ElementTree

from junitparser import Error, Failure, JUnitXml

from scorer.rules.finding import Position
from scorer.ruletests.junit import junit_xml
from scorer.ruletests.run import Result

DIFFERENCE = "a:10:1: `score` expected 1, found 2"
RESULTS = [
    (Result("good", Position("rules/b2b/a_test.yaml", 3, 5), "pass"), 0.25),
    (
        Result(
            "bad", Position("rules/b2b/a_test.yaml", 9, 5), "fail", ("a:10:1: `score` expected 1, found 2", "points")
        ),
        0.5,
    ),
    (Result("wrong", Position("rules/b2b/b_test.yml", 7, 5), "error", ("b:8:1: error: unknown key",)), 0.125),
]


def read(tmp_path: Path, content: bytes) -> JUnitXml:
    path = tmp_path / "junit.xml"
    path.write_bytes(content)
    return JUnitXml.fromfile(str(path))


def test_suites_are_files_and_failures_are_not_errors(tmp_path: Path) -> None:
    xml = read(tmp_path, junit_xml("scorer test rules/b2b", RESULTS))
    assert (xml.name, xml.tests, xml.failures, xml.errors, xml.skipped, xml.time) == (
        "scorer test rules/b2b", 3, 1, 1, 0, 0.875,
    )  # fmt: skip
    suites = list(xml)
    assert [(suite.name, suite.tests, suite.failures, suite.errors, suite.time) for suite in suites] == [
        ("rules/b2b/a_test.yaml", 2, 1, 0, 0.75),
        ("rules/b2b/b_test.yml", 1, 0, 1, 0.125),
    ]
    good, bad, wrong = (case for suite in suites for case in suite)
    assert (good.name, good.classname, good.time, good.result) == ("good", "rules.b2b.a_test", 0.25, [])
    (failure,), (error,) = bad.result, wrong.result
    assert isinstance(failure, Failure)
    assert failure.message == DIFFERENCE
    assert failure.text == f"{DIFFERENCE}\npoints"
    assert isinstance(error, Error)
    assert (error.message, wrong.classname) == ("b:8:1: error: unknown key", "rules.b2b.b_test")


def test_every_test_has_its_file_and_line() -> None:
    root = ElementTree.fromstring(junit_xml("x", RESULTS))
    places = [(case.get("file"), case.get("line")) for case in root.iter("testcase")]
    assert places == [("rules/b2b/a_test.yaml", "3"), ("rules/b2b/a_test.yaml", "9"), ("rules/b2b/b_test.yml", "7")]


def test_characters_that_xml_forbids_are_replaced_and_others_are_escaped() -> None:
    awkward = '<b> & "q" \' \x00\x1b\ud800\ufffe ü 😀 ]]>'
    result = Result(awkward, Position("a<&>\udcff.yaml"), "fail", (awkward, "second"))
    content = junit_xml(awkward, [(result, 0.0)])
    root = ElementTree.fromstring(content)
    (case,) = root.iter("testcase")
    (failure,) = root.iter("failure")
    cleaned = '<b> & "q" \' \ufffd\ufffd\ufffd\ufffd ü 😀 ]]>'
    assert case.get("name") == cleaned
    assert case.get("file") == "a<&>\ufffd.yaml"
    assert failure.text == cleaned + "\nsecond"
    assert content.startswith(b"<?xml version='1.0' encoding='utf-8'?>")


def test_a_document_without_results_is_valid(tmp_path: Path) -> None:
    xml = read(tmp_path, junit_xml("x", []))
    assert (xml.tests, list(xml)) == (0, [])
