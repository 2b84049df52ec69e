"""docs/logs.md lists exactly the events of the log and of the audit log, and which lines name a lead."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from scorer.runtime.audit import EVENTS

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "logs.md").read_text()
LEVELS: Final = {"debug", "info", "warning", "error", "critical", "exception"}
SAID_BY_A_NAME: Final = {
    "INTERNAL_ERROR": ["internal_error"],
    "event": ["http_listening", "api_listening"],
}
"""Events that the code gives by a variable."""
LABELS: Final = ("rules", "shadow_rules", "mappings")
"""What a reloader puts before its events."""
OF_A_LEAD: Final = {"lead", "lead_id"}


class Call(NamedTuple):
    """A line of the code that logs."""

    place: str
    level: str
    events: list[str]
    fields: frozenset[str]


def logging_calls(folder: Path) -> Iterator[Call]:
    """All calls of a logger in our code."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                continue
            logger = node.func.value
            name = logger.attr if isinstance(logger, ast.Attribute) else getattr(logger, "id", "")
            if name == "log":
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                fields = frozenset(keyword.arg or "**" for keyword in node.keywords)
                yield Call(place, node.func.attr, names_of(node.args[0], place), fields)


def names_of(node: ast.expr, place: str) -> list[str]:
    """The events that an expression can be."""
    match node:
        case ast.Constant(value=str() as text):
            return [text]
        case ast.IfExp(body=body, orelse=other):
            return [*names_of(body, place), *names_of(other, place)]
        case ast.Name(id=name) if name in SAID_BY_A_NAME:
            return SAID_BY_A_NAME[name]
        case ast.JoinedStr(values=[ast.FormattedValue(), ast.Constant(value=str() as rest)]):
            return [f"{label}{rest}" for label in LABELS]
    raise AssertionError(f"{place}: the event is neither a text nor known to this test; a log line needs a stable name")


def table(heading: str) -> Mapping[str, list[str]]:
    """The rows of the table below a heading of the page, by the names in their first cell."""
    part = re.split(r"^#+ ", PAGE.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows: dict[str, list[str]] = {}
    for line in part.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `"):
            for name in re.findall(r"`([a-z_]+)`", cells[0]):
                assert name not in rows, f"{name} is listed twice"
                rows[name] = cells[1:]
    return rows


CALLS: Final = list(logging_calls(ROOT / "scorer"))
LOGGED: Final = table("Events of the log")
AUDITED: Final = table("Events of the audit log")


def test_each_event_of_the_log_is_listed_and_none_that_does_not_exist() -> None:
    assert {event for call in CALLS for event in call.events} == set(LOGGED)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.place)
def test_an_event_is_listed_with_its_levels(call: Call) -> None:
    level = "error" if call.level == "exception" else call.level
    for event in call.events:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", event)
        assert level in LOGGED[event][0].split(", ")


def test_an_event_is_listed_with_no_level_that_it_never_has() -> None:
    levels: dict[str, set[str]] = {}
    for call in CALLS:
        for event in call.events:
            levels.setdefault(event, set()).add("error" if call.level == "exception" else call.level)
    assert {event: set(row[0].split(", ")) for event, row in LOGGED.items()} == levels


def test_the_page_says_which_lines_name_a_lead() -> None:
    direct = {event for call in CALLS for event in call.events if call.fields & OF_A_LEAD}
    marked = {event for event, row in LOGGED.items() if row[1] == "lead"}
    # These quote an error of Kafka that names the lead of the largest record.
    assert marked - direct == {"partition_reopened", "worker_failed"}
    assert direct <= marked


def test_each_event_of_the_audit_log_is_listed_and_written() -> None:
    written = set()
    for path in (ROOT / "scorer").rglob("*.py"):
        text = path.read_text()
        written |= set(re.findall(r"\.write\(\s*\"([a-z_]+)\"", text))
        for action in re.findall(r"audited\(settings, \"([a-z_]+)\"", text):
            written |= {f"{action}_started", f"{action}_ended"}
    assert set(AUDITED) == set(EVENTS)
    assert written == set(EVENTS)
