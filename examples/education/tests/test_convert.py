"""The converter, run as a person runs it, on handwritten rows."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.sources.cloudevents import parse_line

ROOT = Path(__file__).resolve().parents[3]
CONVERT = ROOT / "examples" / "education" / "convert.py"

LEAKING = (
    "Tags",
    "Lead Quality",
    "Lead Profile",
    "Asymmetrique Activity Index",
    "Asymmetrique Profile Index",
    "Asymmetrique Activity Score",
    "Asymmetrique Profile Score",
    "Last Activity",
    "Last Notable Activity",
    "Lead Number",
)
FLAGS = (
    "Do Not Email",
    "Do Not Call",
    "Search",
    "Magazine",
    "Newspaper Article",
    "X Education Forums",
    "Newspaper",
    "Digital Advertisement",
    "Through Recommendations",
    "Receive More Updates About Our Courses",
    "Update me on Supply Chain Content",
    "Get updates on DM Content",
    "I agree to pay the amount through cheque",
    "A free copy of Mastering The Interview",
)
ANSWERS = (
    "Country",
    "Specialization",
    "How did you hear about X Education",
    "What is your current occupation",
    "What matters most to you in choosing a course",
    "City",
)
PLAIN: Mapping[str, str] = {
    "Prospect ID": "lead-1",
    "Lead Origin": "API",
    "Lead Source": "Google",
    "Converted": "0",
    "TotalVisits": "3",
    "Total Time Spent on Website": "640",
    "Page Views Per Visit": "1.5",
    **dict.fromkeys(FLAGS, "No"),
    **dict.fromkeys(ANSWERS, "Select"),
    **{column: f"LEAK-{number}" for number, column in enumerate(LEAKING)},
}
Event = dict[str, Any]


def row(**changes: str) -> dict[str, str]:
    """A row; keyword `Lead_Source` stands for the column `Lead Source`."""
    renamed = {name.replace("_", " "): value for name, value in changes.items()}
    assert renamed.keys() <= PLAIN.keys()
    return {**PLAIN, **renamed}


def table(rows: Sequence[Mapping[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(PLAIN), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def run(path: Path, content: str | bytes) -> tuple[int, list[Event], list[str]]:
    """Exit status, events, lines on stderr (the file's name left out)."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    done = subprocess.run([sys.executable, str(CONVERT), str(path)], capture_output=True, timeout=60, check=False)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    errors = done.stderr.decode().splitlines()
    return done.returncode, events, [line.removeprefix(f"{path}:") for line in errors]


@pytest.fixture
def leads(tmp_path: Path) -> Path:
    return tmp_path / "leads.csv"


def test_a_row_is_a_profile_and_its_outcome_thirty_days_later(leads: Path) -> None:
    rows = [row(Prospect_ID="a", Converted="1"), row(Prospect_ID="b", Converted="0")]
    status, events, errors = run(leads, table(rows))
    assert (status, errors) == (0, [])
    kinds = {(event["subject"], event["type"]) for event in events}
    assert kinds == {
        ("a", "lead.profile_updated"),
        ("a", "lead.opportunity_won"),
        ("b", "lead.profile_updated"),
        ("b", "lead.opportunity_lost"),
    }
    activities = [parse_line(json.dumps(event).encode(), now=30_000 * DAY) for event in events]
    for lead in ("a", "b"):
        profile, outcome = (each for each in activities if each.lead_id == lead)
        assert profile.type == "lead.profile_updated"
        assert outcome.time - profile.time == 30 * DAY
        assert outcome.data == {}


def test_answers_become_fields_of_the_right_type(leads: Path) -> None:
    answered = row(
        What_is_your_current_occupation="Student", City="Pune", TotalVisits="4.0", Do_Not_Email="Yes", Lead_Origin="API"
    )
    _, events, _ = run(leads, table([answered]))
    data = events[0]["data"]
    assert data["lead_source"] == "Google"
    expected = {
        "occupation": "Student",
        "city": "Pune",
        "total_visits": 4,
        "time_on_website": 640,
        "page_views_per_visit": 1.5,
        "do_not_email": True,
        "do_not_call": False,
        "lead_origin": "API",
    }
    assert expected.items() <= data["custom"].items()
    assert type(data["custom"]["total_visits"]) is int


def test_what_is_unanswered_is_not_sent(leads: Path) -> None:
    silent = {column: "" for column in PLAIN if column not in ("Prospect ID", "Converted", *ANSWERS)}
    _, events, errors = run(leads, table([{**PLAIN, **silent}]))
    assert errors == []
    assert events[0]["data"] == {"custom": {}}


def test_columns_that_give_the_outcome_away_are_not_sent(leads: Path) -> None:
    _, events, _ = run(leads, table([row(Converted="1")]))
    assert "LEAK" not in json.dumps(events)


def test_the_outcome_shows_in_the_outcome_event_only(leads: Path) -> None:
    won = run(leads, table([row(Converted="1")]))[1]
    lost = run(leads, table([row(Converted="0")]))[1]
    assert won[0] == lost[0]
    assert {**won[1], "type": ""} == {**lost[1], "type": ""}


def test_events_do_not_depend_on_the_order_of_the_rows(leads: Path) -> None:
    rows = [row(Prospect_ID=f"lead-{number}", Converted=str(number % 2)) for number in range(40)]
    forward = run(leads, table(rows))[1]
    assert run(leads, table(rows[::-1]))[1] == forward
    times = [event["time"] for event in forward]
    assert times == sorted(times)
    assert len({event["id"] for event in forward}) == 80


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"Prospect_ID": ""}, "Prospect ID is ''"),
        ({"Prospect_ID": "x" * 300}, "Prospect ID is"),
        ({"Prospect_ID": "tab\tbed"}, "Prospect ID is 'tab\\tbed'"),
        ({"Converted": "yes"}, "Converted is 'yes'; expected 0 or 1"),
        ({"Converted": ""}, "Converted is ''; expected 0 or 1"),
        ({"TotalVisits": "many"}, "TotalVisits is 'many'; expected a number"),
        ({"TotalVisits": "1.5"}, "TotalVisits is '1.5'; expected a whole number"),
        ({"Total_Time_Spent_on_Website": "-1"}, "Total Time Spent on Website is '-1'; expected a number"),
        ({"Page_Views_Per_Visit": "nan"}, "Page Views Per Visit is 'nan'; expected a number"),
        ({"TotalVisits": "1e400"}, "TotalVisits is '1e400'; expected a number"),
        ({"Do_Not_Call": "maybe"}, "Do Not Call is 'maybe'; expected Yes or No"),
        ({"City": "y" * 257}, "City has 257 characters"),
        ({"Prospect_ID": "good"}, "Prospect ID good was in line 2 already"),
    ],
)
def test_a_bad_row_is_named_and_the_rest_converted(leads: Path, bad: dict[str, str], reason: str) -> None:
    rows = [row(Prospect_ID="good"), row(**bad), row(Prospect_ID="after")]
    status, events, errors = run(leads, table(rows))
    assert status == 3
    assert len(errors) == 1
    assert errors[0].startswith(f"3: {reason}")
    assert sorted(event["subject"] for event in events) == ["after", "after", "good", "good"]


def test_lines_are_counted_as_an_editor_counts_them(leads: Path) -> None:
    rows = [row(City="two\nlines"), row(Prospect_ID="bad", Converted="?"), row(Prospect_ID="after")]
    status, events, errors = run(leads, table(rows))
    assert status == 3
    assert errors == ["4: Converted is '?'; expected 0 or 1"]
    assert {event["subject"] for event in events} == {"lead-1", "after"}


def test_a_row_with_too_few_cells(leads: Path) -> None:
    head, good = table([row()]).splitlines()
    status, events, errors = run(leads, "\n".join([head, "lead-0,API", "", good]))
    assert status == 3
    assert errors == [f"2: the row has 2 cells; the header has {len(PLAIN)}"]
    assert {event["subject"] for event in events} == {"lead-1"}


def test_a_row_that_is_not_utf8(leads: Path) -> None:
    content = table([row(Prospect_ID="bad", City="Z\u00fcrich"), row(City="Z\u00fcrich")]).encode()
    status, events, errors = run(leads, content.replace("\u00fc".encode(), b"\xfc", 1))
    assert status == 3
    assert errors == ["2: City is not UTF-8 text"]
    assert events[0]["data"]["custom"]["city"] == "Z\u00fcrich"


def test_a_quote_that_is_never_closed(leads: Path) -> None:
    content = table([row(), row(Prospect_ID="open")]).rstrip("\n") + ',"\nnever,closed\n'
    status, events, errors = run(leads, content)
    assert status == 3
    assert len(errors) == 1
    assert errors[0].startswith("3: not CSV: ")
    assert {event["subject"] for event in events} == {"lead-1"}


def test_a_table_from_a_spreadsheet(leads: Path) -> None:
    content = table([row()]).replace("\n", "\r\n").encode("utf-8-sig")
    status, events, errors = run(leads, content)
    assert (status, len(events), errors) == (0, 2, [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the table has no column Prospect ID, Converted"),
        (table([row()]).replace("Converted", "Outcome"), "the table has no column Converted"),
    ],
)
def test_a_table_of_another_kind_is_refused(leads: Path, content: str, reason: str) -> None:
    status, events, errors = run(leads, content)
    assert (status, events) == (2, [])
    assert len(errors) == 1
    assert errors[0].strip().startswith(reason)


def test_wrong_usage(tmp_path: Path) -> None:
    for arguments, reason in (([], b"usage: "), ([str(tmp_path / "none.csv")], b"No such file")):
        done = subprocess.run([sys.executable, str(CONVERT), *arguments], capture_output=True, timeout=60, check=False)
        assert done.returncode == 2
        assert reason in done.stderr
        assert done.stdout == b""


def test_the_rules_read_what_is_written_and_do_not_score_the_outcome(leads: Path) -> None:
    professional = {"What_is_your_current_occupation": "Working Professional", "City": "Pune", "Converted": "1"}
    rows = [
        row(Prospect_ID="hot", Lead_Origin="Lead Add Form", Total_Time_Spent_on_Website="1500", **professional),
        row(Prospect_ID="cold", Total_Time_Spent_on_Website="20"),
    ]
    _, events, _ = run(leads, table(rows))
    ruleset = Evaluator(load_ruleset(ROOT / "rules" / "education"), default_engine("compiled"))
    found: dict[str, list[tuple[str, str, int]]] = {"hot": [], "cold": []}
    states = {name: Lead(name) for name in found}
    for event in events:
        activity = parse_line(json.dumps(event).encode(), now=30_000 * DAY)
        lead = ruleset.assess(states[activity.lead_id], activity).lead
        evaluation = ruleset.evaluate(lead, lead.clock)
        states[activity.lead_id] = lead
        found[activity.lead_id].append((evaluation.rating.value, evaluation.routing.id, evaluation.score.total))
    assert found == {
        "hot": [("hot", "hot", 51), ("hot", "enrolled", 51)],
        "cold": [("cold", "cold", -20), ("cold", "declined", -20)],
    }
