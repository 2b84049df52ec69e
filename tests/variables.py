"""The environment variables of the tests: SCORER_TEST_BOOTSTRAP, SCORER_FAULT_* and SCORER_SOAK.

The commands under test would refuse them as unknown settings, so the import of this module renames them. The child
processes of pytest-xdist inherit the new names.
"""

import os
from typing import Final

_OURS: Final = ("SCORER_TEST_", "SCORER_FAULT_", "SCORER_SOAK")
_MOVED: Final = "TESTS_OF_"

for _name in [name for name in os.environ if name.startswith(_OURS)]:
    os.environ[_MOVED + _name] = os.environ.pop(_name)


def given(name: str, default: str = "") -> str:
    """The value of such a variable, or the default."""
    return os.environ.get(_MOVED + name, default)
