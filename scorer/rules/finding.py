"""What is wrong with a rule file, and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from scorer.domain.printable import printable

Level = Literal["error", "warning", "info"]
"""`error`: the rules are refused. `warning`: the rules load, but something is probably not what the author meant.
`info`: worth knowing."""


class Position(NamedTuple):
    """A place in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to fix. `code` is stable, for documentation and filters."""

    position: Position
    code: str
    message: str
    level: Level = "error"

    def __str__(self) -> str:
        file, line, column = self.position
        return printable(f"{file}:{line}:{column}: {self.level}: {self.message}")


class RulesetError(Exception):
    """The rule files were refused; `findings` says why, in order of file and line."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = sorted(findings, key=lambda finding: finding.position)
        super().__init__("\n".join(map(str, self.findings)))
