"""Which rule tests to run, by a pattern on `file::name`."""

import re2

from scorer.rules.field_type import compiled


class Selection:
    """Selects the tests whose `file::name` contains the pattern as it is written, or in which it matches as an RE2
    expression (linear in time, whatever the pattern). Counts what it leaves out."""

    def __init__(self, pattern: str) -> None:
        self.left_out = 0
        self._pattern = pattern
        self._problem = ""
        try:
            self._expression = compiled(pattern)
        except (re2.error, UnicodeEncodeError) as error:
            reason = error.args[0]
            self._expression = None
            self._problem = reason.decode() if isinstance(reason, bytes) else str(error)

    def __call__(self, name: str) -> bool:
        # A file name need not be UTF-8, and RE2 searches nothing else.
        text = name.encode("utf-8", "replace").decode()
        if self._pattern in name or (self._expression is not None and self._expression.search(text) is not None):
            return True
        self.left_out += 1
        return False

    def __str__(self) -> str:
        as_text = f" (looked for as text; it is not an RE2 expression: {self._problem})" if self._problem else ""
        return f"{self._pattern}{as_text}"
