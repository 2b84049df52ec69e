"""How much memory the process may use, as the control group of its container says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

_FILES: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_UNLIMITED: Final = 1 << 60
"""Version 1 of control groups says a number near 2**63 for no limit."""


def memory_limit(files: Sequence[Path] = _FILES) -> int | None:
    """The limit in bytes, from the first of the files that exists; None without a limit."""
    for file in files:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdecimal() and int(text) < _UNLIMITED else None
    return None
