"""`scorer test`: run the tests of a ruleset."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from scorer.cli.atomic import write_atomically
from scorer.cli.common import EngineOption, ExitStatus, RulesArgument
from scorer.cli.test_output import complain, show, summary, tell
from scorer.cli.watching import watch_rules
from scorer.engines.engine import EngineName, EngineUnavailableError, default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset, read_rule_file, rule_files, rule_test_files
from scorer.rules.finding import RulesetError
from scorer.rules.ruleset import Ruleset
from scorer.ruletests.coverage import coverage
from scorer.ruletests.junit import junit_xml
from scorer.ruletests.run import Result, of_file, run_file
from scorer.ruletests.selection import Selection

Timed = tuple[Result, float]
"""A result and the seconds it took."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    rules: Path
    engine: EngineName | None
    pattern: str
    junit: Path | None
    min_coverage: float | None


def run_rule_tests(
    rules: RulesArgument,
    engine: EngineOption = None,
    run: Annotated[
        str, typer.Option("--run", metavar="PATTERN", help="Only tests whose file::name has this text or expression.")
    ] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Run again whenever a file changes, until Ctrl-C.")] = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write the results as JUnit XML.")
    ] = None,
    cover: Annotated[
        bool, typer.Option("--coverage", help="List the rules and signals that no test exercises.")
    ] = False,
    min_coverage: Annotated[
        float | None,
        typer.Option("--min-coverage", metavar="PERCENT", min=0, max=100, help="Fail below this coverage."),
    ] = None,
) -> None:
    """Run the tests beside a ruleset (`*_test.yaml`), one line each. Exit status 1 unless all of them pass."""
    if min_coverage is None and cover:
        min_coverage = 0
    wanted = _Wanted(rules, engine, run, junit, min_coverage)
    if junit is not None:
        _refuse_as_report(junit, rules)
    if watch:
        watch_rules(rules, lambda: _run(wanted), lambda names: tell(f"\nchanged: {', '.join(names)}"))
    elif not _run(wanted):
        raise typer.Exit(ExitStatus.FINDINGS)


def _refuse_as_report(junit: Path, rules: Path) -> None:
    problem = None
    if not junit.parent.is_dir():
        problem = "there is no such directory"
    elif junit.exists() and not junit.is_file():
        problem = "not a regular file"
    elif junit.suffix in (".yaml", ".yml"):
        problem = f"a report is not YAML; beside {rules} it would be read as rules"
    if problem is not None:
        complain(f"error: --junit {junit}: {problem}")
        raise typer.Exit(ExitStatus.USAGE)


def _run(wanted: _Wanted) -> bool:
    """Run the tests once. Returns whether all of them pass and the coverage suffices."""
    started = perf_counter()
    try:
        evaluator = Evaluator(load_ruleset(wanted.rules), default_engine(wanted.engine))
    except RulesetError as error:
        for finding in error.findings:
            complain(str(finding))
        _report(wanted, [(of_file(error.findings), perf_counter() - started)])
        return False
    except EngineUnavailableError as error:
        complain(f"error: {error}")
        raise typer.Exit(ExitStatus.USAGE) from None
    selection = Selection(wanted.pattern)
    timed = []
    for result, seconds in _timed(rule_test_files(wanted.rules), evaluator, selection):
        show(result)
        timed.append((result, seconds))
    _report(wanted, timed)
    results = [result for result, _ in timed]
    if not results:
        if selection.left_out:
            complain(f"error: no test matches --run {selection}")
        else:
            complain(f"error: no test file (*_test.yaml) beside {wanted.rules}")
        return False
    tell(summary(results, selection.left_out, perf_counter() - started))
    return _covered(wanted, evaluator.ruleset, results) and all(result.outcome == "pass" for result in results)


def _timed(files: Sequence[Path], evaluator: Evaluator, selection: Selection) -> Iterator[Timed]:
    for file in files:
        started = perf_counter()
        try:
            content = read_rule_file(file)
        except RulesetError as error:
            yield of_file(error.findings), perf_counter() - started
            continue
        for result in run_file(str(file), content, evaluator, selection):
            # The time to read a file counts towards its first result.
            now = perf_counter()
            yield result, now - started
            started = perf_counter()


def _report(wanted: _Wanted, timed: Sequence[Timed]) -> None:
    if wanted.junit is None:
        return
    try:
        write_atomically(wanted.junit, junit_xml(f"scorer test {wanted.rules}", timed))
    except OSError as error:
        complain(f"error: --junit {wanted.junit}: {error.strerror}")
        raise typer.Exit(ExitStatus.USAGE) from None


def _covered(wanted: _Wanted, ruleset: Ruleset, results: Sequence[Result]) -> bool:
    if wanted.min_coverage is None:
        return True
    fired = {name for result in results for name in result.fired}
    try:
        measured = coverage(ruleset, fired, {str(path): read_rule_file(path) for path in rule_files(wanted.rules)})
    except RulesetError as error:
        # The rules were changed and broken while their tests ran.
        for finding in error.findings:
            complain(str(finding))
        return False
    tell(str(measured))
    for idle in measured.idle:
        tell(f"  {idle}")
    if measured.percent < wanted.min_coverage:
        complain(f"error: the coverage is below the required {wanted.min_coverage:g} %")
        return False
    return True
