"""What is doubtful in rules that load: rules that never apply, bounds never reached, constants that look wrong.

Pure, and exact where it can be: a rule is called dead only if no lead at all can meet it.
"""

from scorer.lint.analyse import analyse

__all__ = ["analyse"]
