"""`scorer check`: find mistakes and suspicious rules in rule files."""

import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from os import environ
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scorer.cli.common import EngineOption, ExitStatus, RulesArgument, say
from scorer.cli.findings import Format, as_github, as_json, as_text
from scorer.domain.printable import counted
from scorer.engines.engine import EngineUnavailableError, default_engine
from scorer.evaluation.largest_decision import largest_decision
from scorer.evaluation.largest_state import largest_state
from scorer.lint import analyse, compared, too_large
from scorer.offline.ruleset_files import load_ruleset, read_rule_file, read_rule_files
from scorer.offline.source_files import check_source_file, misnamed_files, source_files
from scorer.rules.finding import Finding, Level, RulesetError
from scorer.rules.loader import parse_with_source
from scorer.rules.ruleset import Ruleset
from scorer.runtime import record_bytes

_LEVELS: Sequence[Level] = ("error", "warning", "info")


def check(
    rules: RulesArgument,
    engine: EngineOption = None,
    output: Annotated[
        Format, typer.Option("--format", help="text, json, or github (annotations for GitHub Actions).")
    ] = Format.TEXT,
    level: Annotated[Level, typer.Option("--level", help="The lowest level to show.")] = "warning",
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="DIR", help="The rules in use: also say what changes for known leads."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    max_record_bytes: Annotated[
        int,
        typer.Option(
            "--max-record-bytes",
            envvar="SCORER_MAX_RECORD_BYTES",
            min=record_bytes.LEAST,
            max=record_bytes.MOST,
            metavar="BYTES",
            help="Refuse rules under which a lead's state or a decision can be larger.",
        ),
    ] = record_bytes.DEFAULT,
) -> None:
    """Check a ruleset for mistakes, and for rules, bounds and constants that look wrong (docs/findings.md).

    Exit status 1 if there is an error, or a warning with --strict.
    """
    try:
        default_engine(engine)
    except EngineUnavailableError as error:
        say(f"error: {error}")
        raise typer.Exit(ExitStatus.USAGE) from None
    ruleset, findings, changes, files = _examined(
        rules, None if against is None else _in_use(against), max_record_bytes
    )
    shown = [finding for finding in findings if _LEVELS.index(finding.level) <= _LEVELS.index(level)]
    shown += changes
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if output is Format.JSON:
        typer.echo(as_json(shown, None if ruleset is None else _described(ruleset)))
    else:
        _print(shown, files, output)
        if ruleset is not None:
            typer.echo(_summary(ruleset, shown, max_record_bytes))
    failing: Sequence[Level] = ("error", "warning") if strict else ("error",)
    if any(finding.level in failing for finding in findings):
        raise typer.Exit(ExitStatus.FINDINGS)


def _in_use(rules: Path) -> Ruleset:
    try:
        return load_ruleset(rules)
    except RulesetError as error:
        finding = error.findings[0]
        # A finding about the directory itself already names it.
        place = f"--against {rules}" if finding.position.file == str(rules) else f"--against: {finding.position.file}"
        say(f"error: {place}: {finding.message}")
        raise typer.Exit(ExitStatus.USAGE) from None


def _examined(
    rules: Path, in_use: Ruleset | None, max_record_bytes: int
) -> tuple[Ruleset | None, Sequence[Finding], Sequence[Finding], Mapping[str, bytes]]:
    """The ruleset (None if it was rejected), its findings, those about the change, and the files that were read."""
    files: Mapping[str, bytes] = {}
    findings: Sequence[Finding] = ()
    try:
        rule_files = read_rule_files(rules)
        beside, findings = _beside(rules)
        files = {**rule_files, **beside}
        ruleset, source = parse_with_source(rule_files)
    except RulesetError as error:
        return None, [*error.findings, *findings], [], files
    if any(finding.level == "error" for finding in findings):
        return None, findings, [], files
    refusals = too_large(ruleset, source, max_record_bytes)
    if refusals:
        return None, refusals, [], files
    changes = [] if in_use is None else compared(ruleset, source, in_use)
    return ruleset, [*analyse(ruleset, source), *findings], changes, files


def _beside(rules: Path) -> tuple[Mapping[str, bytes], Sequence[Finding]]:
    """The job titles and mapping files beside the rules, and their findings."""
    files: dict[str, bytes] = {}
    findings = misnamed_files(rules)
    for path in source_files(rules):
        try:
            content = files[str(path)] = read_rule_file(path)
        except RulesetError as error:
            findings += error.findings
        else:
            findings += check_source_file(rules, path, content)
    return files, findings


def _print(findings: Sequence[Finding], files: Mapping[str, bytes], output: Format) -> None:
    if output is Format.GITHUB:
        for finding in findings:
            typer.echo(as_github(finding))
        return
    terminal = sys.stdout.isatty()
    console = Console(
        force_terminal=terminal,
        color_system="auto" if terminal and not environ.get("NO_COLOR") else None,
        highlight=False,
        soft_wrap=True,
    )
    for finding in findings:
        console.print(as_text(finding, files))


def _described(ruleset: Ruleset) -> Mapping[str, object]:
    return {
        "name": ruleset.name,
        "revision": ruleset.revision,
        "rules": ruleset.rule_count,
        "signals": len(ruleset.signals),
    }


def _summary(ruleset: Ruleset, shown: Sequence[Finding], max_record_bytes: int) -> str:
    rules, signals = counted(ruleset.rule_count, "rule"), counted(len(ruleset.signals), "signal")
    text = f"ok: {rules}, {signals}, revision {ruleset.revision[:12]}"
    state, decision = largest_state([ruleset]).total, largest_decision(ruleset).total
    text += f"; a state takes at most {_kb(state)}, a decision {_kb(decision)}, of {_kb(max_record_bytes)}"
    warnings = sum(finding.level == "warning" for finding in shown)
    return f"{text}; {counted(warnings, 'warning')}" if warnings else text


def _kb(size: int) -> str:
    # Rounded up, so that a size within the limit never looks larger than the limit.
    return f"{-(-size // 1000):,} KB"
