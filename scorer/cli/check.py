"""`scorer check`: are the rule files right?"""

import typer

from scorer.cli.common import EngineOption, RulesArgument, load_or_exit


def check(rules: RulesArgument, engine: EngineOption = None) -> None:
    """Check a ruleset: `ok`, or a line `file:line:column: error: …` for each mistake (exit status 1)."""
    ruleset = load_or_exit(rules, engine, to_stderr=False)
    typer.echo(f"ok: {ruleset.rule_count} rules, {len(ruleset.signals)} signals, revision {ruleset.revision[:12]}")
