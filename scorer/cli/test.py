"""`scorer test`: do the rules do what their tests say?"""

from pathlib import Path

import typer

from scorer.cli.common import EngineOption, ExitStatus, RulesArgument, load_or_exit, say
from scorer.rules.finding import RulesetError
from scorer.rules.ruleset import Ruleset
from scorer.ruleset_files import read_rule_file, rule_test_files
from scorer.tuning.rule_tests import Result, run_tests


def run_rule_tests(rules: RulesArgument, engine: EngineOption = None) -> None:
    """Run the tests beside a ruleset (`*_test.yaml`): a line for each, exit status 1 if any fails."""
    ruleset = load_or_exit(rules, engine)
    files = rule_test_files(rules)
    if not files:
        say(f"error: no test file (*_test.yaml) beside {rules}")
        raise typer.Exit(ExitStatus.FINDINGS)
    results = [result for file in files for result in _run_file(file, ruleset)]
    counts = {outcome: sum(each.outcome == outcome for each in results) for outcome in ("pass", "fail", "error")}
    typer.echo(f"{counts['pass']} passed, {counts['fail']} failed, {counts['error']} in error")
    if counts["pass"] < len(results):
        raise typer.Exit(ExitStatus.FINDINGS)


def _run_file(file: Path, ruleset: Ruleset) -> list[Result]:
    try:
        content = read_rule_file(file)
    except RulesetError as error:
        say(str(error))
        raise typer.Exit(ExitStatus.FINDINGS) from None
    results = []
    for result in run_tests(str(file), content, ruleset):
        typer.echo(f"{result.outcome.upper():5} {result.name}")
        for detail in result.details:
            typer.echo(f"      {detail}")
        results.append(result)
    return results
