"""Findings as text, as JSON, and as annotations for GitHub Actions."""

import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from rich.cells import cell_len
from rich.text import Text

from scorer.domain.printable import printable
from scorer.rules.finding import Finding, Level

_WIDTH = 120
_STYLES: Mapping[Level, str] = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}
_COMMANDS: Mapping[Level, str] = {"error": "error", "warning": "warning", "info": "notice"}
# As YAML counts lines.
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_WORD = re.compile(r"""("[^"]*"|'[^']*'|[^\s,{}\[\]:]+)""")


class Format(StrEnum):
    """How findings are written."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


def as_text(finding: Finding, files: Mapping[str, bytes]) -> Text:
    """`file:line:column: level[code]: message`, and the line of the file with the place underlined."""
    file, line, column = finding.position
    style = _STYLES[finding.level]
    text = Text(printable(f"{file}:{line}:{column}: "), no_wrap=True)
    text.append(f"{finding.level}[{finding.code}]", style).append(printable(f": {finding.message}"))
    excerpt = _excerpt(finding, files)
    if excerpt is not None:
        before, marked, after = excerpt
        text.append(f"\n    {before}{marked}{after}\n    {' ' * cell_len(before)}")
        text.append("^" * max(1, cell_len(marked)), style)
    return text


def as_json(findings: Sequence[Finding], ruleset: Mapping[str, object] | None) -> str:
    """One JSON object: the ruleset (null if it was rejected) and the findings."""
    content = {
        "ruleset": ruleset,
        "findings": [
            {
                "file": printable(finding.position.file),
                "line": finding.position.line,
                "column": finding.position.column,
                "level": finding.level,
                "code": finding.code,
                "message": printable(finding.message),
            }
            for finding in findings
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def as_github(finding: Finding) -> str:
    """A workflow command, escaped as the Actions toolkit does it
    (https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts)."""
    file, line, column = finding.position
    properties = {"file": file, "line": line, "col": column, "title": finding.code}
    shown = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    return f"::{_COMMANDS[finding.level]} {shown}::{_data(printable(finding.message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    # A name that is not printable is escaped twice, and so stays on one line.
    return _data(printable(text)).replace(":", "%3A").replace(",", "%2C")


def _excerpt(finding: Finding, files: Mapping[str, bytes]) -> tuple[str, str, str] | None:
    """The text before, at and after the place, on one line of at most `_WIDTH` letters; None if there is no text."""
    content = files.get(finding.position.file)
    if content is None:
        return None
    lines = _LINE_BREAK.split(content.decode("utf-8-sig", "replace"))
    if finding.position.line > len(lines):
        return None
    line = lines[finding.position.line - 1]
    start = finding.position.column - 1
    if start >= len(line):
        return None
    word = _WORD.match(line, start)
    end = min(word.end() if word else start + 1, start + _WIDTH // 2)
    left = max(0, start - _WIDTH // 2) if len(line) > _WIDTH else 0
    before, marked, after = line[left:start], line[start:end], line[end : left + _WIDTH]
    # Indentation does not matter here.
    return _shown(before.lstrip() if left == 0 else before), _shown(marked), _shown(after.rstrip())


def _shown(text: str) -> str:
    return printable(text.replace("\t", " "))
