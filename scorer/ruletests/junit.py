"""Results of rule tests as JUnit XML, which Jenkins, GitLab, GitHub Actions and others read. Pure.

There is no standard, so this writes what these tools have in common: a suite for each file, `failure` for a failed
test, `error` for an invalid test, and `file` and `line` of each test. https://docs.gitlab.com/ci/testing/unit_test_reports/
lists what GitLab reads.
"""

import re
from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree

from scorer.ruletests.run import Result

# Characters that XML 1.0 forbids, even escaped (https://www.w3.org/TR/xml/#charsets).
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_TYPES = {"fail": ("failure", "expectation not met"), "error": ("error", "mistake in the rules or the test")}


def junit_xml(name: str, results: Sequence[tuple[Result, float]]) -> bytes:
    """The XML document. `results` are in order, each with its seconds; `name` is that of the whole run."""
    root = ElementTree.Element("testsuites", {"name": _text(name), **_figures(results)})
    for file, group in groupby(results, key=lambda timed: timed[0].position.file):
        _add_suite(root, file, list(group))
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _add_suite(root: ElementTree.Element, file: str, results: Sequence[tuple[Result, float]]) -> None:
    suite = ElementTree.SubElement(root, "testsuite", {"name": _text(file), "file": _text(file), **_figures(results)})
    # Jenkins reads dots as packages: rules.b2b.routing_test.
    place = re.sub(r"\.ya?ml$", "", file).strip("./").replace(".", "_").replace("/", ".")
    for result, seconds in results:
        attributes = {
            "name": _text(result.name),
            "classname": _text(place),
            "file": _text(file),
            "line": str(result.position.line),
            "time": f"{seconds:.6f}",
        }
        case = ElementTree.SubElement(suite, "testcase", attributes)
        if result.outcome != "pass":
            tag, kind = _TYPES[result.outcome]
            first = result.details[0] if result.details else kind
            element = ElementTree.SubElement(case, tag, {"message": _text(first), "type": kind})
            element.text = _text("\n".join(result.details))


def _figures(results: Sequence[tuple[Result, float]]) -> dict[str, str]:
    outcomes = [result.outcome for result, _ in results]
    return {
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count("fail")),
        "errors": str(outcomes.count("error")),
        "skipped": "0",
        "time": f"{sum(seconds for _, seconds in results):.6f}",
    }


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
