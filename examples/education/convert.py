"""Convert the X Education lead table (CSV) to lead activities (CloudEvents, JSON Lines).

    python examples/education/convert.py LEADS.csv > activities.jsonl

Each row becomes a `lead.profile_updated` and, 30 days later, its outcome: `lead.opportunity_won` or
`lead.opportunity_lost`. The same table gives the same bytes. A bad row is reported on stderr and left out.
Exit status: 0 fine, 2 wrong usage or no such table, 3 some rows were left out.
"""

import csv
import hashlib
import json
import math
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

SOURCE = "/x-education/leads"
START = datetime(2024, 1, 1, tzinfo=UTC)
SPREAD = 90 * 24 * 60
"""Minutes over which the leads arrive."""
OUTCOME_AFTER = timedelta(days=30)
UNANSWERED = ("", "Select")

Value = str | int | float | bool


class RowError(ValueError):
    """A row that no activities can be made of; the message says why."""


def _text(value: str) -> str:
    if len(value) > 256:
        raise RowError(f"has {len(value)} characters; at most 256 are allowed")
    return value


def _flag(value: str) -> bool:
    if value not in ("Yes", "No"):
        raise RowError(f"is {value!r}; expected Yes or No")
    return value == "Yes"


def _number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number < 2**63:
        raise RowError(f"is {value!r}; expected a number from 0 on")
    return number


def _integer(value: str) -> int:
    number = _number(value)
    if not number.is_integer():
        raise RowError(f"is {value!r}; expected a whole number")
    return int(number)


CUSTOM: Mapping[str, tuple[str, Callable[[str], Value]]] = {
    "Lead Origin": ("lead_origin", _text),
    "Do Not Email": ("do_not_email", _flag),
    "Do Not Call": ("do_not_call", _flag),
    "TotalVisits": ("total_visits", _integer),
    "Total Time Spent on Website": ("time_on_website", _integer),
    "Page Views Per Visit": ("page_views_per_visit", _number),
    "Country": ("country_name", _text),
    "Specialization": ("specialization", _text),
    "How did you hear about X Education": ("heard_from", _text),
    "What is your current occupation": ("occupation", _text),
    "What matters most to you in choosing a course": ("matters_most", _text),
    "Search": ("saw_search", _flag),
    "Magazine": ("saw_magazine", _flag),
    "Newspaper Article": ("saw_newspaper_article", _flag),
    "X Education Forums": ("saw_forum", _flag),
    "Newspaper": ("saw_newspaper", _flag),
    "Digital Advertisement": ("saw_digital_advertisement", _flag),
    "Through Recommendations": ("came_by_recommendation", _flag),
    "Receive More Updates About Our Courses": ("wants_course_updates", _flag),
    "Update me on Supply Chain Content": ("wants_supply_chain_content", _flag),
    "Get updates on DM Content": ("wants_marketing_content", _flag),
    "City": ("city", _text),
    "I agree to pay the amount through cheque": ("pays_by_cheque", _flag),
    "A free copy of Mastering The Interview": ("free_interview_guide", _flag),
}
"""Column -> custom field. Left out: what sales filled in after the fact (Tags, Lead Quality, Lead Profile, Asymmetrique
*, Last Activity, Last Notable Activity), which gives the outcome away, and Lead Number, which counts up with time."""

REQUIRED = ("Prospect ID", "Converted", "Lead Source", *CUSTOM)


def activities(row: Mapping[str, str]) -> Iterator[tuple[str, dict[str, object]]]:
    """The (time, event) pairs of one row. Raises `RowError`."""
    lead = row["Prospect ID"]
    if not lead or len(lead) > 240 or not lead.isprintable():
        raise RowError(f"Prospect ID is {lead[:40]!r}; expected 1 to 240 printable characters")
    if row["Converted"] not in ("0", "1"):
        raise RowError(f"Converted is {row['Converted']!r}; expected 0 or 1")
    data: dict[str, object] = {}
    source = _read("Lead Source", row, _text)
    if source is not None:
        data["lead_source"] = source
    custom = {name: _read(column, row, read) for column, (name, read) in CUSTOM.items()}
    data["custom"] = {name: value for name, value in custom.items() if value is not None}
    # From the id, not from the row's place in the table: its order must not tell anything.
    minute = int.from_bytes(hashlib.sha256(lead.encode()).digest()[:8], "big") % SPREAD
    arrived = START + timedelta(minutes=minute)
    outcome = "lead.opportunity_won" if row["Converted"] == "1" else "lead.opportunity_lost"
    yield _event(lead, "profile", "lead.profile_updated", arrived, data)
    yield _event(lead, "outcome", outcome, arrived + OUTCOME_AFTER, {})


def _read(column: str, row: Mapping[str, str], read: Callable[[str], Value]) -> Value | None:
    value = row[column].strip()
    if value in UNANSWERED:
        return None
    try:
        return read(value)
    except RowError as error:
        raise RowError(f"{column} {error}") from None


def _event(lead: str, part: str, kind: str, at: datetime, data: dict[str, object]) -> tuple[str, dict[str, object]]:
    time = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    event = {"specversion": "1.0", "id": f"{lead}-{part}", "source": SOURCE, "type": kind, "time": time}
    return time, {**event, "subject": lead, "datacontenttype": "application/json", "data": data}


def convert(table: TextIO, report: Callable[[int, str], None]) -> list[dict[str, object]]:
    """The events of a table, by time. `report` takes the line and the reason of each row that is left out.

    Raises `RowError` if there is no header or a column is missing.
    """
    reader = csv.reader(table, strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise RowError(f"the header cannot be read: {error}") from None
    missing = [column for column in REQUIRED if column not in header]
    if missing:
        raise RowError(f"the table has no column {', '.join(missing)}")
    found: list[tuple[str, dict[str, object]]] = []
    lines: dict[str, int] = {}
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
            if cells is None:
                break
            if cells:
                found += _events(header, cells, line, lines)
        except csv.Error as error:
            upto = f"; left out up to line {reader.line_num}" if reader.line_num > line else ""
            report(line, f"not CSV: {error}{upto}")
        except RowError as error:
            report(line, str(error))
    found.sort(key=lambda each: each[0])  # stable: equal times stay in the order of the table
    return [event for _, event in found]


def _events(
    header: Sequence[str], cells: Sequence[str], line: int, lines: dict[str, int]
) -> list[tuple[str, dict[str, object]]]:
    if len(cells) != len(header):
        raise RowError(f"the row has {len(cells)} cells; the header has {len(header)}")
    row = dict(zip(header, cells, strict=True))
    for column, value in row.items():
        # Bytes that are not UTF-8 come as lone surrogates.
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise RowError(f"{column} is not UTF-8 text")
    events = list(activities(row))
    first = lines.setdefault(row["Prospect ID"], line)
    if first != line:
        raise RowError(f"Prospect ID {row['Prospect ID']} was in line {first} already")
    return events


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: convert.py LEADS.csv > activities.jsonl\n")
        return 2
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a traceback
    name = arguments[0]
    rejected = 0

    def report(line: int, reason: str) -> None:
        nonlocal rejected
        rejected += 1
        sys.stderr.write(f"{name}:{line}: {reason}\n")

    try:
        with Path(name).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as table:
            events = convert(table, report)
    except (OSError, RowError) as error:
        sys.stderr.write(f"{name}: {error.strerror if isinstance(error, OSError) else error}\n")
        return 2
    for event in events:
        sys.stdout.write(json.dumps(event, separators=(",", ":")) + "\n")
    return 3 if rejected else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
