"""What a change of rules means for leads that are already known."""

from __future__ import annotations

from scorer.lint.reporter import Reporter
from scorer.rules.finding import Finding
from scorer.rules.loader import Source
from scorer.rules.ruleset import Ruleset


def compared(ruleset: Ruleset, source: Source, before: Ruleset) -> list[Finding]:
    """Infos about the change from the rules `before`, in file and line order."""
    reporter = Reporter(source)
    for name in ruleset.own_fields.keys() - before.own_fields.keys():
        message = (
            f"the field `{name}` is new; it is unknown for every lead already seen, until an activity states it again"
        )
        reporter.report(("fields", name), "new-field", message, level="info")
    return sorted(reporter.findings, key=lambda finding: finding.position)
