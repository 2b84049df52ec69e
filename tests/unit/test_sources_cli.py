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
  dropped: seconds: malformed: "soon"
{records}:2#2 view: rejected: missing_attribute: the lead is not named: there is no value at user
{records}:3 login
  lead.custom.login of u-1 at 2026-01-01T09:00:00Z {{}}
  held back: lead.merged of v-1 at 2026-01-01T09:00:00Z {{"into":"u-1"}}
{records}:4: rejected: not_json: the value is not JSON: invalid character (byte 4)
6 events: 3 activities, 1 held back, 1 ignored, 2 rejected, 1 key dropped
"""
    )


def test_test_takes_a_document_of_several_lines_as_one_record(rules: Path) -> None:
    done = scorer("sources", "test", "-", "--rules", str(rules), stdin=json.dumps([view(1), view(2)], indent=2))
    assert done.stdout.decode().endswith("2 events: 2 activities, 0 held back, 0 ignored, 0 rejected\n")


def test_commands_read_a_document_of_several_lines_as_one_record(rules: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text(json.dumps([view(1), view(2, user=None)], indent=2))
    done = scorer("convert", "--source", "shop", "--rules", str(rules), "--input", str(path))
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["1"]
    assert done.stderr.decode().startswith(f"{path}:1#1: missing_attribute: ")
    path.write_text(json.dumps([view(number) for number in range(15_000)], indent=2))
    for command in (["score", "--input"], ["sources", "test"]):
        done = scorer(*command, str(path), "--source", "shop", "--rules", str(rules))
        message = "is one JSON document of more than 1,048,576 bytes; write each event on a line of its own"
        assert (done.returncode, done.stderr.decode()) == (2, f"error: {path}: {message}, as jq -c '.[]' does\n")


@pytest.mark.parametrize("first", ["{", "[", '{"event": "view"', "x", ""])
def test_a_bad_first_line_costs_no_other(first: str, rules: Path) -> None:
    lines = f"{first}\n{json.dumps(view(1))}\n{json.dumps(view(2))}\n"
    done = scorer("convert", "--source", "shop", "--rules", str(rules), stdin=lines)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.decode().startswith("<stdin>:1: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (view(1), "is UTF-16, as Excel's format Unicode Text; save it as CSV in UTF-8"),
        (
            b"PK\x03\x04rest",
            "is a ZIP archive or a workbook of a spreadsheet; unpack it, or save the sheet as CSV in UTF-8",
        ),
    ],
)
def test_files_of_spreadsheets_are_refused_with_what_to_do(
    content: object, message: str, rules: Path, tmp_path: Path
) -> None:
    path = tmp_path / "export"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode("utf-16"))
    for command in (["score", "--input"], ["convert", "--input"], ["sources", "test"]):
        done = scorer(*command, str(path), "--source", "shop", "--rules", str(rules))
        assert (done.returncode, done.stderr.decode()) == (2, f"error: {path}: {message}\n")


def test_test_says_that_a_path_never_had_a_value(rules: Path) -> None:
    profile = """
  - name: profile
    when: {event: profile}
    type: lead.profile_updated
    data: {company: traits.compani, job_title: traits.title, custom: {seats: traits.seats, installed_base: traits.base}}
    also: [{type: lead.signed_up, present: never, data: {plan: never}}]
"""
    (rules / "sources" / "shop.yaml").write_text(MAPPING + profile)
    lines = "\n".join(
        json.dumps(view(number, event="profile", traits={"company": "A", "title": "" if number else "CTO", "seats": 1}))
        for number in range(3)
    )
    done = scorer("sources", "test", "-", "--source", "shop", "--rules", str(rules), stdin=lines)
    assert done.returncode == 0
    assert done.stderr.decode() == (
        "hint: `traits.compani` (for `company`) had no value in any of 3 events of kind profile; did you mean "
        "company?\n"
        "hint: `traits.base` (for `custom.installed_base`) had no value in any of 3 events of kind profile\n"
        "hint: `custom.seats` is in 3 activities, but the rules do not declare `seats` under `fields`, so it will be "
        "dropped\n"
    )


def test_test_gives_hints_about_own_kinds_only_and_not_without_end(rules: Path) -> None:
    facts = ", ".join(f"f{number}: f{number}" for number in range(15))
    (rules / "sources" / "shop.yaml").write_text(
        "description: d\nextends: segment\n"
        f"kinds: [{{name: own, when: {{type: own}}, type: lead.own.x, data: {{{facts}}}}}]"
    )
    track = {"messageId": "1", "userId": "u", "timestamp": "2026-01-01T00:00:00Z", "type": "identify"}
    done = scorer("sources", "test", "-", "--source", "shop", "--rules", str(rules), stdin=json.dumps(track))
    assert done.stderr == b""
    own = json.dumps(track | {"type": "own"})
    done = scorer("sources", "test", "-", "--source", "shop", "--rules", str(rules), stdin=own)
    assert done.stderr.decode().splitlines()[9:] == [
        "hint: `f9` had no value in the only event of kind own",
        "… and 5 more hints",
    ]


def test_test_says_why_an_event_is_of_no_kind(rules: Path) -> None:
    lines = "\n".join(json.dumps(view(number, event=name)) for number, name in enumerate(["veiw", None, "x" * 99]))
    done = scorer("sources", "test", "-", "--source", "shop", "--rules", str(rules), stdin=lines)
    assert (
        done.stdout.decode()
        == f"""\
<stdin>:1: ignored: no_kind
  no kind is for event = "veiw"; did you mean view?
<stdin>:2: ignored: no_kind
  no kind is for no value at `event`
<stdin>:3: ignored: no_kind
  no kind is for event = "{"x" * 38}…
3 events: 0 activities, 0 held back, 3 ignored, 0 rejected
"""
    )
    path = rules / "sources" / "shop.yaml"
    assert done.stderr.decode() == (f"hint: `kinds` in {path} says which events are wanted (docs/sources.md#kinds)\n")


def test_sources_that_make_the_same_are_no_choice(rules: Path) -> None:
    done = scorer("sources", "test", "docs/segment.jsonl", "--rules", str(rules))
    assert (done.returncode, done.stderr) == (0, b"the source that fits best is segment\n")
    copy = MAPPING.replace("url: url,", "url: url, referrer: at,")
    (rules / "sources" / "other.yaml").write_text(copy)
    done = scorer("sources", "test", "-", "--rules", str(rules), stdin=json.dumps(view(1)))
    told = b"the source that fits best is other; --source chooses another that fits as well: shop\n"
    assert done.stderr.startswith(told)


def test_a_byte_order_mark_and_windows_line_ends_cost_no_event(rules: Path) -> None:
    for lines in ([view(1), view(2)], [[view(1), view(2)]]):
        text = "\ufeff" + "".join(json.dumps(line, indent=None) + "\r\n" for line in lines)
        done = scorer("convert", "--source", "shop", "--rules", str(rules), stdin=text)
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
    document = "\ufeff" + json.dumps([view(1), view(2)], indent=2).replace("\n", "\r\n")
    assert len(scorer("convert", "--source", "shop", "--rules", str(rules), stdin=document).stdout.splitlines()) == 2


@pytest.mark.parametrize("command", ["score", "convert"])
def test_a_file_of_which_all_is_ignored_says_so(command: str, rules: Path) -> None:
    done = scorer(command, "--source", "shop", "--rules", str(rules), stdin='{"event": "ping"}\n{"event": "x"}\n')
    assert done.returncode == 3
    assert "ignored: no_kind (no kind of the mapping is for it; scorer sources test shows why): 1 time" in (
        done.stderr.decode()
    )


def test_score_hints_at_sources_if_no_line_is_an_activity(rules: Path) -> None:
    done = scorer("score", "--rules", str(rules), "--input", "docs/segment.jsonl")
    assert done.stderr.decode().endswith(
        "5 of 5 activities rejected\n"
        "hint: if another platform wrote this file, --source NAME translates it (scorer sources list)\n"
    )


def test_test_says_that_a_file_has_no_event(rules: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    done = scorer("sources", "test", str(tmp_path / "empty"), "--source", "shop", "--rules", str(rules))
    assert (done.returncode, done.stderr.decode()) == (3, f"error: no event in {tmp_path}/empty\n")


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
"""
DROPPED = '`seconds` was malformed in 1 of 5 events, e.g. "soon"\n'
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
    expected = (REJECTED + SUMMARY + DROPPED + "2 of 5 activities rejected\n").format(records=records)
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
    expected = (REJECTED + SUMMARY + (DROPPED if command == "report" else "")).format(records=records)
    assert sorted(done.stderr.decode().splitlines()) == sorted(expected.splitlines())
    assert json.loads(done.stdout)["input"]["activities"] == 3


def test_backtest_says_what_translation_dropped_as_it_says_what_the_rules_drop(rules: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    texts = [view(number, seconds="soon" if number > 1 else 7) for number in range(4)]
    path.write_text("".join(json.dumps(record) + "\n" for record in texts))
    command = ("backtest", "--rules", str(rules), "--input", str(path), "--source", "shop")
    assert '\n`seconds` was malformed in 2 of 4 events, e.g. "soon"\n' in scorer(*command).stdout.decode()
    read = json.loads(scorer(*command, "--format", "json", "--workers", "2").stdout)["input"]
    assert (read["events"], read["unfitting"]) == (4, [])
    assert read["dropped"] == [
        {"field": "seconds", "reason": "malformed", "found": "", "activities": 2, "example": '"soon"'}
    ]


def test_explain_reads_records_of_a_source(rules: Path, records: Path) -> None:
    done = scorer("explain", "u-1", "--rules", str(rules), "--input", str(records), "--source", "shop")
    assert done.returncode == 3
    assert done.stdout.decode().startswith("u-1 ")
    assert 'Not used: `seconds` was malformed in 1 of 3 activities, e.g. "soon".' in done.stdout.decode()


def test_explain_tells_only_what_concerns_the_lead(rules: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f"{json.dumps(view(1, seconds='soon'))}\n{json.dumps(view(2, user='u-2'))}")
    done = scorer("explain", "u-2", "--rules", str(rules), "--input", str(path), "--source", "shop")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Not used" not in done.stdout


def test_explain_suggests_ids_with_the_prefix_of_a_source_and_in_another_case(rules: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    ids = ["hubspot:1201", "crm:1201", "1201:5", "Ann@Example.org", *(f"s{number}:77" for number in range(9))]
    path.write_text("\n".join(event(number, lead=lead, url="/") for number, lead in enumerate(ids, 1)))

    def refused(lead: str) -> str:
        return scorer("explain", lead, "--rules", str(rules), "--input", str(path)).stderr.decode()

    of = f"error: {path}: none of 13 activities is of"
    assert refused("1201") == f"{of} '1201'; did you mean 'crm:1201' or 'hubspot:1201'?\n"
    assert refused("ann@example.org") == f"{of} 'ann@example.org'; did you mean 'Ann@Example.org'?\n"
    assert refused("201") == f"{of} '201'\n"
    assert refused("77").count(" or ") == 4


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


def test_test_shows_an_event_of_our_own_with_a_number_that_is_out_of_range(rules: Path) -> None:
    line = event(1, "lead.custom.any", size=0).replace('"size": 0', '"size": 1e999')
    done = scorer("sources", "test", "-", "--source", "cloudevents", "--rules", str(rules), stdin=line.encode())
    assert b"lead.custom.any" in done.stdout, done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("data", [None, "{}", {"custom": [1]}, {"custom": None}, {"custom": {"plan": "pro"}}])
def test_test_compares_own_facts_whatever_the_data_of_an_event_of_our_own_is(data: object, rules: Path) -> None:
    line = json.dumps(json.loads(event(1, "lead.profile_updated")) | {"data": data})
    done = scorer("sources", "test", "-", "--source", "cloudevents", "--rules", str(rules), stdin=line)
    assert b"1 event: 1 activity" in done.stdout + done.stderr
    assert (b"custom.plan" in done.stdout + done.stderr) == (isinstance(data, dict) and "plan" in str(data))
    assert b"Traceback" not in done.stderr


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
    assert (done.returncode, done.stderr.decode()) == (
        2,
        f"error: {path}: damaged gzip file near its beginning: it ends early\n",
    )
