"""All findings about a ruleset that loads."""

from __future__ import annotations

from scorer.lint.bound_findings import bounds_not_reached
from scorer.lint.constant_findings import suspicious_constants
from scorer.lint.lifecycle_findings import doubtful_lifecycle
from scorer.lint.limits import Reach, signal_range
from scorer.lint.reporter import Reporter
from scorer.lint.retention_findings import kept_for_ever
from scorer.lint.signal_findings import unused_actions, unused_signals
from scorer.lint.solver import Budget
from scorer.lint.source_findings import doubtful_sources
from scorer.lint.table_findings import TableFindings
from scorer.rules.finding import Finding
from scorer.rules.loader import Source
from scorer.rules.ruleset import Ruleset


def analyse(ruleset: Ruleset, source: Source, budget: Budget | None = None) -> list[Finding]:
    """Warnings and infos about the ruleset, in file and line order."""
    reporter, steps = Reporter(source), budget or Budget()
    suspicious = suspicious_constants(ruleset, source.file, reporter)
    tables = TableFindings(ruleset, source.file, reporter, steps, suspicious)
    points = {}
    for criterion in ruleset.criteria:
        section = source.file.scoring[criterion.name]
        points[criterion.name] = tables.criterion(criterion, section)
        tables.met(criterion, section, points[criterion.name])
    uncounted = unused_signals(ruleset, source.file, reporter, steps, suspicious)
    signals = {name: (0, 0) if name in uncounted else signal_range(signal) for name, signal in ruleset.signals.items()}
    reach = Reach(points, signals)
    bounds_not_reached(ruleset, source.file, reach, reporter)
    tables.routing(reach)
    tables.categories(reach)
    unused_actions(ruleset, source.file, reporter, steps, suspicious)
    doubtful_lifecycle(source.file, reporter)
    doubtful_sources(source.file, reporter)
    kept_for_ever(source.file, reporter)
    return sorted(reporter.findings, key=lambda finding: finding.position)
