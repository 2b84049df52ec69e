"""Lint for rules that load: rules that never apply, bounds that are never reached, constants that look wrong.

Pure, and exact where possible: a rule is called dead only if no lead can ever meet it.
"""

from scorer.lint.analyse import analyse
from scorer.lint.change_findings import compared
from scorer.lint.size_findings import too_large

__all__ = ["analyse", "compared", "too_large"]
