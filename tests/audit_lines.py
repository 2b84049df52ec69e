"""The lines of the audit log among others."""

import json
from typing import Any


def split(text: str) -> tuple[str, list[dict[str, Any]]]:
    """The text without the lines of the audit log, and those lines."""
    others, lines = [], []
    for line in text.splitlines(keepends=True):
        if '"log": "audit"' in line:
            lines.append(json.loads(line))
        else:
            others.append(line)
    return "".join(others), lines
