"""Which rule tests to run, by a pattern on `file::name`."""

import re2

from scorer.rules.field_type import compiled


class Selection:
    """Selects the tests whose `file::name` contains the pattern as text, or matches it as an RE2 expression (linear
    time for every pattern). Counts the tests that it leaves out."""

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
        # RE2 searches only UTF-8, but a file name may be anything.
        text = name.encode("utf-8", "replace").decode()
        if self._pattern in name or (self._expression is not None and self._expression.search(text) is not None):
            return True
        self.left_out += 1
        return False

    def __str__(self) -> str:
        as_text = f" (searched as text; it is not an RE2 expression: {self._problem})" if self._problem else ""
        return f"{self._pattern}{as_text}"
