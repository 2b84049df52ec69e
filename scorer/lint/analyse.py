"""All findings about a ruleset that loads."""

from __future__ import annotations

from scorer.lint.bound_findings import bounds_not_reached
from scorer.lint.constant_findings import doubtful_constants
from scorer.lint.limits import Reach, signal_range
from scorer.lint.reporter import Reporter
from scorer.lint.signal_findings import unused_signals
from scorer.lint.solver import Budget
from scorer.lint.table_findings import TableFindings
from scorer.rules.finding import Finding
from scorer.rules.loader import Source
from scorer.rules.ruleset import Ruleset


def analyse(ruleset: Ruleset, source: Source, budget: Budget | None = None) -> list[Finding]:
    """Warnings and notes about the ruleset, in the order of the files' lines."""
    reporter, steps = Reporter(source), budget or Budget()
    doubted = doubtful_constants(ruleset, source.file, reporter)
    tables = TableFindings(ruleset, source.file, reporter, steps, doubted)
    points = {}
    for criterion in ruleset.criteria:
        section = source.file.scoring[criterion.name]
        points[criterion.name] = tables.criterion(criterion, section)
        tables.met(criterion, section, points[criterion.name])
    silent = unused_signals(ruleset, source.file, reporter, steps, doubted)
    signals = {name: (0, 0) if name in silent else signal_range(each) for name, each in ruleset.signals.items()}
    reach = Reach(points, signals)
    bounds_not_reached(ruleset, source.file, reach, reporter)
    tables.routing(reach)
    return sorted(reporter.findings, key=lambda each: each.position)
