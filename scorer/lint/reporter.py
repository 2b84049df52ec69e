"""Collects findings and gives them their positions in the rule files."""

from __future__ import annotations

from dataclasses import dataclass, field

from scorer.rules.finding import Finding, Level
from scorer.rules.loader import Source
from scorer.rules.yaml_source import Path


@dataclass(slots=True)
class Reporter:
    """Collects findings."""

    source: Source
    findings: list[Finding] = field(default_factory=list)

    def report(self, path: Path, code: str, message: str, *, level: Level = "warning", of_value: bool = False) -> None:
        """Add a finding about the key, list item or (`of_value`) value at a path of the merged ruleset."""
        self.findings.append(Finding(self.source.position(path, of_value), code, message, level))

    def line_of(self, path: Path, *, of_value: bool = False) -> str:
        """`file:line` of a path, for a message."""
        position = self.source.position(path, of_value)
        return f"{position.file}:{position.line}"
