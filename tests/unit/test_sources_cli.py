"""`scorer sources`, `scorer convert` and `--source`, as the shell sees them."""

import gzip
import json
from pathlib import Path

import pytest

from tests.factory import SMALL_RULES, ruleset_folder
from tests.unit.test_cli import event, scorer

MAPPING = """
description: What our shop emits.
lead: user
id: [id]
time: {path: at, unit: s}
kinds:
  - {name: view, when: {event: view}, type: lead.page_viewed, data: {url: url, seconds: seconds}}
  - name: login
    when: {event: login}
    type: lead.custom.login
    also: [{type: lead.merged, held: true, lead: visitor, data: {into: user}}]
  - {name: ping, when: {event: ping}, ignore: says nothing}
"""
AT = 1767258000


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = ruleset_folder(tmp_path / "rules", SMALL_RULES)
    (folder / "sources").mkdir()
    (folder / "sources" / "shop.yaml").write_text(MAPPING)
    return folder


def view(number: int, **more: object) -> dict[str, object]:
    return {"event": "view", "user": "u-1", "id": number, "at": AT + number, "url": "/pricing"} | more


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    lines = [
        view(1),
        [{"event": "ping"}, view(2, seconds="soon"), view(3, user=None)],
        {"event": "login", "user": "u-1", "visitor": "v-1", "id": 4, "at": AT},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "nonsense\n")
    return path


def test_list_names_the_built_in_sources_and_those_of_the_ruleset(rules: Path) -> None:
    done = scorer("sources", "list", "--rules", str(rules))
    rows = [line.split(maxsplit=1) for line in done.stdout.decode().splitlines()]
    assert ["shop", f"{rules}/sources/shop.yaml  What our shop emits."] in rows
    assert "cloudevents" in [name for name, _ in rows]


def test_show_prints_the_file(rules: Path) -> None:
    assert scorer("sources", "show", "shop", "--rules", str(rules)).stdout.decode().strip() == MAPPING.strip()
    done = scorer("sources", "show", "shp", "--rules", str(rules))
    assert (done.returncode, done.stderr.decode()) == (2, "error: there is no source `shp`; did you mean shop?\n")


def test_test_tells_what_comes_of_each_event_and_which_source_fits(rules: Path, records: Path) -> None:
    done = scorer("sources", "test", str(records), "--rules", str(rules))
    assert done.returncode == 3
    assert done.stderr.decode() == "the source that fits best is shop\n"
    assert (
        done.stdout.decode()
        == f"""\
{records}:1 view
  lead.page_viewed of u-1 at 2026-01-01T09:00:01Z {{"url":"/pricing"}}
{records}:2#0 ping: ignored: says nothing
{records}:2#1 view
  lead.page_viewed of u-1 at 2026-01-01T09:00:02Z {{"url":"/pricing"}}
  dropped: seconds: malformed
{records}:2#2 view: rejected: missing_attribute: the lead is not named: there is no value at user
{records}:3 login
  lead.custom.login of u-1 at 2026-01-01T09:00:00Z {{}}
  held back: lead.merged of v-1 at 2026-01-01T09:00:00Z {{"into":"u-1"}}
{records}:4: rejected: not_json: the value is not JSON: invalid character (byte 4)
6 events: 3 activities, 1 held back, 1 ignored, 2 rejected
"""
    )


def test_test_takes_a_document_of_several_lines_as_one_record(rules: Path) -> None:
    done = scorer("sources", "test", "-", "--rules", str(rules), stdin=json.dumps([view(1), view(2)], indent=2))
    assert done.stdout.decode().endswith("2 events: 2 activities, 0 held back, 0 ignored, 0 rejected\n")


def test_test_says_if_no_source_fits(rules: Path) -> None:
    done = scorer("sources", "test", "-", "--rules", str(rules), stdin="{}")
    assert (done.returncode, done.stderr.decode()) == (
        1,
        "error: no source makes an activity of this file; --source NAME shows why (scorer sources list)\n",
    )


def test_test_refuses_a_time_that_the_input_would_refuse(rules: Path) -> None:
    done = scorer("sources", "test", "-", "--source", "shop", "--rules", str(rules), stdin=json.dumps(view(10**9)))
    assert done.stdout.decode().startswith("<stdin>:1 view: rejected: time_in_future: ")


SUMMARY = """\
ignored of the kind ping: says nothing: 1 time, first at {records}:2#0
held back, of the kind login: lead.merged: 1 time, first at {records}:3
dropped seconds: malformed: 1 time, first at {records}:2#1
"""
REJECTED = """\
{records}:2#2: missing_attribute: the lead is not named: there is no value at user
{records}:4: not_json: the value is not JSON: invalid character (byte 4)
"""


def test_convert_writes_activities_that_score_like_the_records(rules: Path, records: Path, tmp_path: Path) -> None:
    converted, rejects = tmp_path / "out.jsonl", tmp_path / "rejects.jsonl"
    options = ("--rules", str(rules), "--input")
    done = scorer(
        "convert", "--source", "shop", *options, str(records), "--output", str(converted), "--rejects", str(rejects)
    )
    assert done.returncode == 3
    expected = (REJECTED + SUMMARY + "2 of 5 activities rejected\n").format(records=records)
    assert sorted(done.stderr.decode().splitlines()) == sorted(expected.splitlines())
    assert [json.loads(line)["id"] for line in converted.read_text().splitlines()] == ["1", "2", "4"]
    reasons = [(entry["line"], entry.get("index"), entry["reason"]) for entry in map(json.loads, rejects.open())]
    assert reasons == [(2, 2, "missing_attribute"), (4, None, "not_json")]

    direct = scorer("score", *options, str(records), "--source", "shop", "--workers", "2")
    assert direct.returncode == 3
    assert direct.stdout == scorer("score", *options, str(converted)).stdout != b""


@pytest.mark.parametrize("command", ["backtest", "report"])
def test_commands_that_read_twice_count_once(command: str, rules: Path, records: Path) -> None:
    done = scorer(command, "--rules", str(rules), "--input", str(records), "--source", "shop", "--format", "json")
    expected = (REJECTED + SUMMARY).format(records=records)
    assert sorted(done.stderr.decode().splitlines()) == sorted(expected.splitlines())
    assert json.loads(done.stdout)["input"]["activities"] == 3


def test_explain_reads_records_of_a_source(rules: Path, records: Path) -> None:
    done = scorer("explain", "u-1", "--rules", str(rules), "--input", str(records), "--source", "shop")
    assert done.returncode == 3
    assert done.stdout.decode().startswith("u-1 ")


def test_csv_with_a_header_line(rules: Path, tmp_path: Path) -> None:
    (rules / "sources" / "sheet.yaml").write_text(f"format: csv\n{MAPPING}")
    path = tmp_path / "in.csv"
    path.write_text(f'id,user,at,event,url\n1,u-1,{AT},view,"/a\n,b"\n\n2,u-1,{AT},view\n3,u-1,{AT},view,/c')
    done = scorer("convert", "--source", "sheet", "--rules", str(rules), "--input", str(path))
    assert [json.loads(line)["data"]["url"] for line in done.stdout.splitlines()] == ["/a\n,b", "/c"]
    assert done.stderr.decode() == (
        f"{path}:5: wrong_columns: the row has 4 columns; expected 5 columns\n1 of 3 activities rejected\n"
    )


def test_our_own_format_is_a_source_too(rules: Path) -> None:
    lines = f"{event(1, url='/')}\n[{event(2, url='/')},{event(3, 'lead.merged')}]\n"
    done = scorer("convert", "--source", "cloudevents", "--rules", str(rules), stdin=lines)
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["1", "2"]
    assert "<stdin>:2#1: invalid_data: lead.merged: data.into is missing\n" in done.stderr.decode()


def test_source_is_for_files(rules: Path) -> None:
    done = scorer("score", "--topic", "x", "--source", "shop", "--rules", str(rules))
    assert done.returncode == 2
    assert b"--source is for files" in done.stderr
    done = scorer("explain", "u", "--service", "http://x", "--source", "shop")
    assert done.returncode == 2


def test_check_finds_mistakes_in_mapping_files(rules: Path) -> None:
    assert scorer("check", str(rules)).returncode == 0
    path = rules / "sources" / "shop.yaml"
    path.write_text(MAPPING.replace("seconds: seconds", "second: seconds"))
    done = scorer("check", str(rules))
    assert done.returncode == 1
    assert done.stdout.decode() == (
        f"{path}:7:80: error[unknown-key]: `lead.page_viewed` has no `second`; did you mean seconds?\n"
        "    - {name: view, when: {event: view}, type: lead.page_viewed, data: {url: url, second: seconds}}\n"
        "                                                                                 ^^^^^^\n"
    )
    done = scorer("convert", "--source", "shop", "--rules", str(rules))
    assert (done.returncode, done.stderr.decode().split(": ", 1)[0]) == (2, f"{path}:7:80")


def test_check_warns_of_a_type_that_is_probably_misspelt(rules: Path, records: Path) -> None:
    path = rules / "sources" / "shop.yaml"
    path.write_text(
        MAPPING.replace("type: lead.page_viewed, data: {url: url, seconds: seconds}", "type: lead.page_veiwed")
    )
    message = "`lead.page_veiwed` is a custom activity type; did you mean lead.page_viewed?"
    done = scorer("check", str(rules))
    assert done.returncode == 0
    assert f"{path}:7:45: warning[mistyped-type]: {message}\n" in done.stdout.decode()
    assert scorer("check", str(rules), "--strict").returncode == 1
    done = scorer("sources", "test", str(records), "--source", "shop", "--rules", str(rules))
    assert done.stderr.decode() == f"{path}:7:45: warning: {message}\n"


def test_check_finds_a_mapping_file_that_is_never_read(rules: Path) -> None:
    path = rules / "sources" / "crm.yml"
    path.write_text(MAPPING)
    done = scorer("check", str(rules))
    assert done.returncode == 1
    message = "error[bad-file]: this file is not read; the name of a mapping file ends in .yaml"
    assert done.stdout.decode().startswith(f"{path}:1:1: {message}\n")


def test_a_source_that_is_nowhere_is_refused_with_the_file_that_it_could_have(rules: Path) -> None:
    done = scorer("sources", "show", "unheard", "--rules", str(rules))
    message = "there is no source `unheard`; a ruleset's own is the file sources/unheard.yaml in its folder"
    assert (done.returncode, done.stderr.decode()) == (2, f"error: {message}\n")


def test_test_reads_gzip_and_says_if_it_is_damaged(rules: Path, tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(view(1)).encode())
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(packed)
    done = scorer("sources", "test", str(path), "--source", "shop", "--rules", str(rules))
    assert (done.returncode, done.stdout.decode().splitlines()[0]) == (0, f"{path}:1 view")
    path.write_bytes(packed[:-12])
    done = scorer("sources", "test", str(path), "--source", "shop", "--rules", str(rules))
    assert (done.returncode, done.stderr.decode()) == (2, f"error: {path}: damaged gzip file: it ends early\n")
