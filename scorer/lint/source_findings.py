"""Findings about `allowed_sources`: entries that restrict nothing, or less than they seem to."""

from __future__ import annotations

import re
from typing import Final

from scorer.lint.reporter import Reporter
from scorer.lint.signal_findings import mistyped
from scorer.rules.language import RulesetFile
from scorer.rules.yaml_source import Path

_OPEN_HOST: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]+\*")
"""A pattern whose `*` continues the name of a host."""


def doubtful_sources(file: RulesetFile, reporter: Reporter) -> None:
    """Report them."""
    for name, patterns in file.allowed_sources.items():
        path: Path = ("allowed_sources", name)
        problem = mistyped(name) if name.startswith("lead.") else None
        if problem is not None:
            reporter.report(path, "mistyped-type", f"this entry is about {problem}")
        for index, pattern in enumerate(patterns):
            at: Path = (*path, index)
            wider = _wider(patterns, index)
            if pattern == "*":
                message = f"`*` is every source, so anybody may send `{name}`, as without the entry"
                reporter.report(at, "useless-source", message)
            elif wider is not None:
                reporter.report(at, "useless-source", f"`{pattern}` has no effect: `{wider}` covers it")
            elif _OPEN_HOST.fullmatch(pattern) is not None:
                prefix = pattern[:-1]
                message = f"`{pattern}` also matches other hosts, such as `{prefix}.example`; meant `{prefix}/*`?"
                reporter.report(at, "wide-source", message)


def _wider(patterns: list[str], index: int) -> str | None:
    """Another pattern of the list that matches whatever this one does; of two equal ones, the first."""
    pattern = patterns[index]
    for other_index, other in enumerate(patterns):
        if other == pattern:
            if other_index < index:
                return other
        elif other.endswith("*") and pattern.startswith(other[:-1]):
            return other
    return None
