"""The rules that are used where none are named."""

from pathlib import Path
from typing import Final

import scorer

IN_THE_CLONE: Final = Path("rules") / "b2b"
_PACKAGE: Final = Path(scorer.__file__).parent
_INSTALLED: Final = _PACKAGE / "_rulesets" / "b2b"
"""Where the wheel holds them: `package_dir` in setup.py."""


def default_rules() -> Path:
    """`rules/b2b` of the working directory; elsewhere the same rules as they were installed with the package. Only a
    package that is incomplete has neither; then it is a path at which nothing is."""
    here = IN_THE_CLONE, _INSTALLED, _PACKAGE.parent / IN_THE_CLONE
    return next((location for location in here if location.is_dir()), IN_THE_CLONE)
