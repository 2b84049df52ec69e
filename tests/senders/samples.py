"""What each platform sends, re-made from what is known of its formats, and what must come of it.

`samples/PLATFORM/EVENT.json` (or `.tsv`, `.csv`, `.form`) is one record; the folder has the name of the source.
`EVENT.expected.json` beside it says what comes of each event of the record.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from scorer.domain.instant import from_datetime
from scorer.offline.source_files import load_source
from scorer.sources.cloudevents import MAX_BYTES
from scorer.sources.source import Activity, Outcome, Source

FOLDER: Final = Path(__file__).parent / "samples"
NOW: Final = from_datetime(datetime(2026, 3, 10, 12, tzinfo=UTC))
"""When the records arrive, in microseconds since the epoch."""
_EXPECTED: Final = ".expected.json"
_NOTES: Final = ".md"


@dataclass(frozen=True, slots=True)
class Sample:
    """One record of a platform. `path`: its file."""

    path: Path

    @property
    def platform(self) -> str:
        """The name of the source that reads it."""
        return self.path.parent.name

    @property
    def name(self) -> str:
        """Platform and file."""
        return f"{self.platform}/{self.path.name}"

    @property
    def value(self) -> bytes:
        """The value of the record. The line feed at the end of the file is not part of it."""
        return self.path.read_bytes().rstrip(b"\n")

    @property
    def expected(self) -> Path:
        """The file that says what must come of it."""
        return self.path.with_name(self.path.stem + _EXPECTED)


def samples(platform: str = "*") -> list[Sample]:
    """The samples of the platform, or of all, in the order of their names."""
    files = sorted(FOLDER.glob(f"{platform}/*"))
    return [Sample(path) for path in files if path.suffix != _NOTES and not path.name.endswith(_EXPECTED)]


def platforms() -> list[str]:
    """The platforms that have samples."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


@cache
def source_of(platform: str) -> Source:
    """The built-in source of the platform."""
    return load_source(platform, None)


def outcomes(platform: str, value: bytes) -> Sequence[Outcome]:
    """What comes of a record. Raises `Rejected`."""
    return source_of(platform).outcomes(value, (), NOW, MAX_BYTES)


def readable(outcome: Outcome) -> dict[str, Any]:
    """The outcome as a file of expectations says it: without what is empty."""
    told = {
        "kind": outcome.kind,
        "activities": [_readable_activity(activity) for activity in outcome.activities],
        "held": [_readable_activity(activity) for activity in outcome.held],
        "ignored": outcome.ignored,
        "rejected": outcome.rejected and outcome.rejected.reason,
        "dropped": [list(dropped) for dropped in outcome.dropped],
    }
    return {key: value for key, value in told.items() if value}


def _readable_activity(activity: Activity) -> dict[str, Any]:
    event = json.loads(activity.value)
    return {key: event[key] for key in ("subject", "id", "type", "time", "data")}
