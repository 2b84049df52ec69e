"""Findings about `retention`: leads that nobody ever deletes."""

from __future__ import annotations

from typing import Final

from scorer.lint.reporter import Reporter
from scorer.rules.language import RulesetFile

_ADVICE: Final = "as in `retention: {inactive: 2y, after_erasure: 90d}`"


def kept_for_ever(file: RulesetFile, reporter: Reporter) -> None:
    """Report a ruleset that does not say when leads are deleted."""
    retention = file.retention
    if retention is None:
        message = f"leads are kept for ever; say when they are deleted, {_ADVICE}"
        reporter.report(("ruleset",), "no-retention", message)
    elif retention.inactive is None:
        message = f"leads that were not erased are kept for ever; say when they are deleted, {_ADVICE}"
        reporter.report(("retention",), "no-retention", message)
