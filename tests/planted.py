"""Personal values that tests send to the service and that no output of it may show: name, e-mail, phone, custom fact.

A request for a lead returns them. A log, a metric, a trace, an error and the audit log must not show them.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

NAME: Final = "Jane Zylberquist"
EMAIL: Final = "jane.planted@zylberquist.example"
PHONE: Final = "+49 30 55570135"
FACT: Final = "planted-fact-9f3c"
VALUES: Final = {"name": NAME, "email": EMAIL, "phone": PHONE, "note": FACT}

_MARKS: Final = re.compile(rb"zylberquist|jane.{0,3}planted|55570135|planted.{0,3}fact", re.IGNORECASE)
_SEGMENT: Final = re.compile(r"[0-9]+\.log")
"""What Kafka calls its files of records."""


def found_in(text: str | bytes) -> list[str]:
    """The lines that show a planted value."""
    data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    if _MARKS.search(data) is None:
        return []
    return [line.decode(errors="replace") for line in data.splitlines() if _MARKS.search(line)]


def found_below(folder: Path) -> list[str]:
    """The lines of log files in a folder and its folders that show a planted value."""
    logs: Iterable[Path] = (path for path in folder.rglob("*.log") if _SEGMENT.fullmatch(path.name) is None)
    return [f"{path}: {line}" for path in logs if path.is_file() for line in found_in(path.read_bytes())]
