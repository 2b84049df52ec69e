"""What is wrong with a rule file, and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

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


def printable(text: str) -> str:
    """The text on one line, safe for every terminal and every UTF-8 file. Control characters, which could control a
    terminal, and characters without a UTF-8 form, which file names can contain, become escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
