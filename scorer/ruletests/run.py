"""Runs rule tests: given activities, expect a rating, a route, points. Their files are beside the rules: `*_test.yaml`.

Each test is one lead. Its activities go through `assess`, as in production. An expectation is compared with the result
of the last activity, or with the lead at the time that it names. Pure: files come as bytes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from scorer.domain.activity import LeadActivity
from scorer.domain.effects import Decided
from scorer.domain.instant import to_text
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.evaluation.results import Assessment
from scorer.rules.finding import Finding, Position
from scorer.rules.yaml_source import Path
from scorer.ruletests.expectations import Comparison, TestedLead, points_found, rule_ids
from scorer.ruletests.file import ReadTest, read_test_file
from scorer.ruletests.given_activities import START, given_activities
from scorer.ruletests.given_activities import moment as moment_of
from scorer.ruletests.model import Expectation, RuleTestFile, TestCase
from scorer.sources.rejected import Rejected

__all__ = ["START", "Result", "RuleTestFile", "RuleTestReport", "of_file", "rule_ids", "run_file", "run_tests"]

MAX_REPLAYED = 200_000
"""Activities that the tests of one file may apply, counted once for each expectation. That many take seconds."""

WHOLE_FILE = "the file"
"""Name of the result for the mistakes of a file as a whole."""

Selector = Callable[[str], bool]
"""Takes `file::name`; true if the test should run."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one test. `error` means that the test itself is invalid; `details` are lines for people.

    `fired` are the ids of the rules that held, the signals that counted and the routing rules that applied at any time
    in the test, whether expected or not; empty for an error.
    """

    name: str
    position: Position
    outcome: Literal["pass", "fail", "error"]
    details: tuple[str, ...] = ()
    fired: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """`file::name`."""
        return f"{self.position.file}::{self.name}"


@dataclass(frozen=True, slots=True)
class RuleTestReport:
    """The results of the tests of a ruleset."""

    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        """Whether no test failed and none is invalid. True if there are no tests."""
        return all(result.outcome == "pass" for result in self.results)

    @property
    def failures(self) -> tuple[Result, ...]:
        """The tests whose expectations the rules do not meet."""
        return tuple(result for result in self.results if result.outcome == "fail")

    @property
    def errors(self) -> tuple[Result, ...]:
        """The tests and files that are themselves invalid."""
        return tuple(result for result in self.results if result.outcome == "error")


def run_tests(files: Mapping[str, bytes], evaluator: Evaluator) -> RuleTestReport:
    """Run every test of the test files, by name. Never raises: an invalid file is a result too."""
    return RuleTestReport(tuple(r for name in sorted(files) for r in run_file(name, files[name], evaluator)))


def run_file(file: str, content: bytes, evaluator: Evaluator, selected: Selector = lambda _: True) -> Iterator[Result]:
    """Run the selected tests of one file in order, each when its result is requested.

    Mistakes of the file as a whole are a result with outcome `error`, whatever is selected: they may hide tests.
    """
    read = read_test_file(file, content)
    if read.findings:
        yield of_file(read.findings)
    budget = MAX_REPLAYED
    comparison = Comparison(evaluator.ruleset)
    for test in read.tests:
        if not selected(f"{file}::{test.name}"):
            continue
        if test.case is None:
            yield Result(test.name, test.position, "error", tuple(map(str, test.findings)))
            continue
        budget -= sum(given.times for given in test.case.activities) * len(test.case.expect)
        yield _too_much(test) if budget < 0 else _Run(test, test.case, evaluator, comparison).result()


def of_file(findings: Sequence[Finding]) -> Result:
    """The result for a file that cannot be read completely."""
    return Result(WHOLE_FILE, findings[0].position, "error", tuple(map(str, findings)))


def _too_much(test: ReadTest) -> Result:
    message = f"the tests of this file apply more than {MAX_REPLAYED:,} activities; lower `times`, or split the file"
    return Result(test.name, test.position, "error", (str(Finding(test.position, "too-large", message)),))


class _Run:
    """One test being run."""

    def __init__(self, test: ReadTest, case: TestCase, evaluator: Evaluator, comparison: Comparison) -> None:
        self._test = test
        self._case = case
        self._evaluator = evaluator
        self._comparison = comparison
        self._findings: list[Finding] = []
        self._all_given = True
        self._fired: set[str] = set()
        self._deleted_at: int | None = None

    def result(self) -> Result:
        test = self._test
        activities = list(given_activities(self._case.activities, self._evaluator.ruleset, self._report))
        self._all_given = not self._findings
        failures: list[str] = []
        for index, expected in enumerate(self._case.expect):
            failures += self._failures(expected, ("expect", index), activities)
        if self._findings:
            lines = tuple(str(finding) for finding in sorted(self._findings, key=lambda finding: finding.position))
            return Result(test.name, test.position, "error", lines)
        return Result(test.name, test.position, "fail" if failures else "pass", tuple(failures), frozenset(self._fired))

    def _report(self, path: Path, code: str, message: str) -> None:
        finding = Finding(self._test.document.position(path), code, message)
        if finding not in self._findings:
            self._findings.append(finding)

    def _failures(self, expected: Expectation, path: Path, activities: Sequence[LeadActivity]) -> list[str]:
        moment = None if expected.after is None else moment_of(expected.after)
        until = [activity for activity in activities if moment is None or activity.time <= moment]
        tested = self._tested_lead(until, moment)
        if tested is None:
            if self._deleted_at is not None:
                when = to_text(self._deleted_at)
                message = f"the lead is deleted at {when} (`retention`), so nothing is known at {expected.after}"
                self._report((*path, "after"), "bad-value", message)
            elif self._all_given and until:
                refused = ("activities", int(until[0].id.partition("-")[0]))
                self._report(refused, "bad-value", "every activity is refused (`allowed_sources`), so there is no lead")
            elif self._all_given:
                self._report((*path, "after"), "bad-value", f"at {expected.after} no activity has happened yet")
            return []
        differences = list(self._comparison.differences(expected, path, tested, self._report))
        if not differences:
            return []
        when = "" if expected.after is None else f" at {expected.after}"
        placed = sorted((self._test.document.position(where), message) for where, message in differences)
        lines = [f"{file}:{line}:{column}: {message}{when}" for (file, line, column), message in placed]
        return [*lines, *self._refusals(until), f"points found{when}: {points_found(tested)}"]

    def _refusals(self, activities: Sequence[LeadActivity]) -> Iterator[str]:
        """A line for each given activity that the rules refuse."""
        for index, of_one in groupby(activities, key=lambda activity: int(activity.id.partition("-")[0])):
            activity = next(of_one)
            if not self._is_admitted(activity):
                file, line, column = self._test.document.position(("activities", index))
                yield f"{file}:{line}:{column}: refused: {activity.source} may not send this (`allowed_sources`)"

    def _is_admitted(self, activity: LeadActivity) -> bool:
        try:
            self._evaluator.admit(activity)
        except Rejected:
            return False
        return True

    def _tested_lead(self, activities: Sequence[LeadActivity], moment: int | None) -> TestedLead | None:
        lead, evaluation, published, respond_by = Lead("test"), None, False, None
        self._deleted_at = None
        for activity in activities:
            if not self._is_admitted(activity):
                published = False
                continue
            assessment = self._evaluator.assess(lead, activity)
            lead, published = assessment.lead, assessment.decision is not None
            respond_by = _respond_by(assessment, respond_by)
            if assessment.evaluation is not None:
                evaluation = assessment.evaluation
                self._note(assessment)
                self._fired.update(hit.signal for hit in self._evaluator.hits(activity))
        if evaluation is None:
            return None
        if moment is not None and moment > lead.clock:
            end = self._evaluator.deletion(lead).instant
            if end <= moment:
                self._deleted_at = end
                return None
            caught_up = self._evaluator.catch_up(lead, moment)
            lead, respond_by = caught_up.lead, _respond_by(caught_up, respond_by)
            evaluation = self._evaluator.evaluate(lead, moment)
            self._note(Assessment(lead, evaluation))
        # Where nothing has happened since, what was said of the last activity: a hand-over to sales that followed from
        # it is not yet part of it.
        return TestedLead(lead, evaluation, published, respond_by)

    def _note(self, assessment: Assessment) -> None:
        self._fired.update(rule for _, rule in assessment.hits)
        if assessment.evaluation is not None:
            self._fired.add(assessment.evaluation.routing.id)


def _respond_by(assessment: Assessment, before: str | None) -> str | None:
    """That of the last decision that the assessment published; `before` if it published none."""
    decided = [effect.decision for effect in assessment.effects if isinstance(effect, Decided)]
    return decided[-1].respond_by if decided else before
