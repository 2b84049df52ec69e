"""The command line, as the shell sees it."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.factory import SMALL_RULES, ruleset_folder

ROOT = Path(__file__).parents[2]


def scorer(*args: str, stdin: str | bytes = b"", cwd: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    data = stdin.encode() if isinstance(stdin, str) else stdin
    command = [sys.executable, "-m", "scorer", *args]
    return subprocess.run(command, input=data, capture_output=True, cwd=cwd, timeout=120, check=False)


def ways_to_give(source: Path, cut: int) -> list[tuple[str, ...]]:
    """Arguments that give the same activities: as one file, packed, and cut after so many lines."""
    lines = source.read_bytes().splitlines(keepends=True)
    packed, first, second = (source.with_name(f"{source.stem}.{end}") for end in ("gz", "1.jsonl", "2.jsonl"))
    packed.write_bytes(gzip.compress(source.read_bytes()))
    first.write_bytes(b"".join(lines[:cut]))
    second.write_bytes(b"".join(lines[cut:]))
    return [
        ("--input", str(source), "--workers", "1"),
        ("--input", str(packed), "--workers", "2"),
        ("--input", str(first), str(second), "--workers", "2"),
    ]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return ruleset_folder(tmp_path / "rules", f"{SMALL_RULES}retention: {{inactive: 2y}}\n", file="small.yaml")


def event(number: int, kind: str = "lead.page_viewed", lead: str = "lead-1", **data: object) -> str:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": str(number),
            "source": "web",
            "type": kind,
            "time": f"2026-01-{number:02}T09:00:00Z",
            "subject": lead,
            "data": data,
        }
    )


def test_check_says_ok_with_counts_and_revision(rules: Path) -> None:
    done = scorer("check", str(rules))
    assert done.returncode == 0
    assert done.stdout.decode().startswith("ok: 13 rules, 4 signals, revision ")


def test_check_prints_each_mistake_and_exits_1(rules: Path) -> None:
    (rules / "more.yaml").write_text("scoring:\n  c:\n    rules:\n      - {id: x, points: 1, when: {foo: 1}}\n")
    done = scorer("check", str(rules))
    assert done.returncode == 1
    assert done.stdout.decode() == (
        f"{rules}/more.yaml:4:35: error[unknown-field]: unknown field `foo`; declare a custom field under "
        "`fields`\n"
        "    - {id: x, points: 1, when: {foo: 1}}\n"
        "                                ^^^\n"
    )


def test_check_against_the_rules_in_use_names_new_fields(rules: Path, tmp_path: Path) -> None:
    next_rules = tmp_path / "next"
    shutil.copytree(rules, next_rules)
    assert b"new-field" not in scorer("check", str(next_rules), "--against", str(rules)).stdout
    (next_rules / "fields.yaml").write_text("fields:\n  plan: {type: string}\n")
    # A field that no rule uses yet is fine: it only collects values.
    assert b"plan" not in scorer("check", str(next_rules), "--strict", "--level", "info").stdout
    done = scorer("check", str(next_rules), "--strict", "--against", str(rules))
    assert done.returncode == 0
    assert (
        f"{next_rules}/fields.yaml:2:3: info[new-field]: the field `plan` is new; it is unknown for every lead already "
        "seen, until an activity states it again\n" in done.stdout.decode()
    )
    missing = scorer("check", str(rules), "--against", str(tmp_path / "none"))
    assert missing.returncode == 2
    assert b"--against" in missing.stderr


def test_check_without_rules_is_a_finding(tmp_path: Path) -> None:
    assert scorer("check", str(tmp_path)).returncode == 1
    missing = scorer("check", str(tmp_path / "none"))
    assert missing.returncode == 1
    assert b"there is no such file or directory" in missing.stdout


@pytest.mark.parametrize("args", [["nonsense"], ["check"], ["score", "--engine", "magic"], ["schema", "nothing"]])
def test_wrong_usage_exits_2(args: list[str]) -> None:
    assert scorer(*args).returncode == 2


@pytest.mark.parametrize(
    "args",
    [["dlq", "purge", "--dry-run", "--lead", "\udcff"], ["explain", "--service", "http://127.0.0.1:1", "\udcff"]],
)
def test_the_id_of_a_lead_that_is_not_utf8_is_wrong_usage(args: list[str]) -> None:
    done = scorer(*args)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("error: ")
    assert "not UTF-8" in line


@pytest.mark.parametrize("option", ["--format", "--level", "--engine"])
def test_the_message_for_a_wrong_choice_does_not_quote_the_library(option: str) -> None:
    message = scorer("check", "rules/b2b", option, "magic").stderr.decode()
    assert f"Invalid value for '{option}': 'magic' is not one of" in message
    assert "Value error" not in message


def test_score_gives_the_same_bytes_every_time_and_with_either_engine(rules: Path) -> None:
    lines = [event(n, url="/pricing", lead=f"lead-{n % 3}") for n in range(1, 25)]
    lines.append(event(26, "lead.qualification_updated", bant={"budget_status": "approved"}))
    text = "\n".join(lines)
    runs = [scorer("score", "--rules", str(rules), "--engine", name, stdin=text) for name in ("durable", "compiled")]
    runs.append(scorer("score", "--rules", str(rules), stdin=text))
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len({run.stdout for run in runs}) == 1
    decisions = [json.loads(line) for line in runs[0].stdout.splitlines()]
    assert len(decisions) > 3
    assert all(sum(c["points"] for c in d["contributions"]) == d["score"]["total"] for d in decisions)


def test_score_prints_and_skips_bad_lines_and_exits_3(rules: Path, tmp_path: Path) -> None:
    source, sink = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(event(1, url="/").encode() + b"\n{broken\n\xff\xfe\n" + event(2, "lead.merged").encode() + b"\n")
    done = scorer("score", "--rules", str(rules), "--input", str(source), "--output", str(sink))
    assert done.returncode == 3
    assert len(sink.read_text().splitlines()) == 1
    report = done.stderr.decode().splitlines()
    assert [line.split(": ")[:2] for line in report[:3]] == [
        [f"{source}:2", "not_json"],
        [f"{source}:3", "not_utf8"],
        [f"{source}:4", "invalid_data"],
    ]
    assert report[3] == "3 of 4 activities rejected"


def test_the_number_of_rejected_activities_counts_the_events_of_a_batch(rules: Path) -> None:
    line = f"[{event(1, url='/')}, {event(2, 'lead.merged')}, 7]"
    done = scorer("score", "--rules", str(rules), stdin=line)
    report = done.stderr.decode().splitlines()
    assert [entry.partition(": ")[0] for entry in report[:2]] == ["<stdin>:1#1", "<stdin>:1#2"]
    assert report[2] == "2 of 3 activities rejected"


def test_score_with_a_missing_file_is_wrong_usage(rules: Path) -> None:
    done = scorer("score", "--rules", str(rules), "--input", "/nowhere/in.jsonl")
    assert (done.returncode, done.stderr) == (2, b"error: /nowhere/in.jsonl: No such file or directory\n")


def test_score_never_empties_its_own_input(rules: Path, tmp_path: Path) -> None:
    source, link = tmp_path / "in.jsonl", tmp_path / "link.jsonl"
    source.write_text(event(1, url="/"))
    link.symlink_to(source)
    for output in (source, link):
        done = scorer("score", "--rules", str(rules), "--input", str(source), "--output", str(output))
        assert (done.returncode, done.stderr) == (
            2,
            f"error: {output}: is also the input; writing would empty it\n".encode(),
        )
    assert source.read_text() == event(1, url="/")


def test_a_failed_write_of_the_output_is_one_line_of_error(rules: Path) -> None:
    for command in ("check", "test", "score --rules"):
        line = f"{sys.executable} -m scorer {command} {rules} > /dev/full"
        source = event(1, url="/").encode()
        done = subprocess.run(
            ["bash", "-c", line], input=source, capture_output=True, cwd=ROOT, timeout=120, check=False
        )
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_closed_stdin_is_reported(rules: Path) -> None:
    line = f"{sys.executable} -m scorer score --rules {rules} <&-"
    done = subprocess.run(["bash", "-c", line], capture_output=True, cwd=ROOT, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (2, b"error: stdin is closed; name a file\n")


def test_pipes_and_devices_are_rejected_without_waiting(rules: Path) -> None:
    os.mkfifo(rules / "pipe.yaml")
    (rules / "zero.yaml").symlink_to("/dev/zero")
    done = scorer("check", str(rules))
    assert done.returncode == 1
    assert b"pipe.yaml:1:1: error[unreadable]: cannot be read: not a regular file" in done.stdout
    (rules / "pipe.yaml").unlink()
    assert b"zero.yaml:1:1: error[unreadable]: cannot be read: not a regular file" in scorer("check", str(rules)).stdout
    (rules / "zero.yaml").unlink()
    os.mkfifo(rules / "pipe_test.yaml")
    done = scorer("test", str(rules))
    assert done.returncode == 1
    assert b"not a regular file" in done.stdout + done.stderr


def shell(line: str, stdin: str = "", **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """A line of bash, in which `$S` is the command."""
    values = {**os.environ, "S": f"{sys.executable} -m scorer", **environment}
    return subprocess.run(
        ["bash", "-c", line], input=stdin.encode(), capture_output=True, cwd=ROOT, env=values, timeout=60, check=False
    )


@pytest.mark.parametrize("command", ["check {}", "check {} --format json", "test rules/b2b", "schema activity"])
def test_a_closed_stdout_is_one_line_of_error(rules: Path, command: str) -> None:
    done = shell(f"$S {command.format(rules)} >&-")
    assert (done.returncode, done.stderr) == (2, b"error: stdout is closed\n")


def test_a_closed_stdout_matters_only_to_a_command_that_prints(rules: Path, tmp_path: Path) -> None:
    done = shell(f"$S score --rules {rules} --output {tmp_path}/out >&-", event(1, url="/"))
    assert (done.returncode, done.stderr) == (0, b"")
    done = shell(f"$S score --rules {rules} >&-", event(1, url="/"))
    assert (done.returncode, done.stderr) == (2, b"error: stdout is closed; name a file\n")


def test_a_terminal_without_the_characters_gets_replacements(rules: Path) -> None:
    line = event(1, "lead.profile_updated", country="DE").replace('"web"', '"w\u00e9b \u4e2d"')
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0"}
    done = shell(f"$S explain lead-1 --rules {rules} --input -", line, **plain)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert b"?" in done.stdout
    ours, theirs = (
        shell(f"$S explain lead-1 --rules {rules} --input - --format json", line, **environment).stdout
        for environment in (plain, {"PYTHONUTF8": "1"})
    )
    assert ours == theirs
    known = {value["field"]: value for value in json.loads(ours)["known"]}
    assert known["profile.country"]["event"]["source"] == "w\u00e9b \u4e2d"


def test_score_of_csv_says_so(rules: Path, tmp_path: Path) -> None:
    for content in ("id,email\n1,a@x.example\n", '"id";"email"\n"1";"a"\n', "id\temail\n1\ta\n", "id,email,country\n"):
        for source, data in (
            (tmp_path / "in.csv", content.encode()),
            (tmp_path / "in.gz", gzip.compress(content.encode())),
        ):
            source.write_bytes(data)
            done = scorer("score", "--rules", str(rules), "--input", str(source))
            message = f"error: {source}: looks like CSV; expects JSON Lines of CloudEvents\n"
            assert (done.returncode, done.stdout, done.stderr) == (2, b"", message.encode())
    assert scorer("score", "--rules", str(rules), stdin="broken\nbroken, too\n").returncode == 3


def test_a_failed_score_keeps_the_previous_output(rules: Path, tmp_path: Path) -> None:
    source, sink = tmp_path / "in.gz", tmp_path / "out.jsonl"
    lines = "".join(event(1 + n % 28, url="/pricing", lead=f"lead-{n}") + "\n" for n in range(9000))
    source.write_bytes(gzip.compress(lines.encode())[:-50])
    sink.write_text("the previous output")
    sink.chmod(0o640)
    done = scorer("score", "--rules", str(rules), "--input", str(source), "--output", str(sink))
    assert (done.returncode, sink.read_text()) == (2, "the previous output")
    source.write_bytes(gzip.compress(lines.encode()))
    done = scorer("score", "--rules", str(rules), "--input", str(source), "--output", str(sink))
    assert (done.returncode, len(sink.read_text().splitlines())) == (0, 9000)
    assert sink.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.gz", "out.jsonl", "rules"]


def test_the_output_can_be_a_pipe_or_a_descriptor(rules: Path) -> None:
    for name in ("/dev/stdout", "/dev/fd/1", ">(cat)"):
        done = shell(f"$S score --rules {rules} --output {name}", event(1, url="/"))
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr


@pytest.mark.parametrize("command", ["score", "backtest", "report", "explain lead-1"])
def test_a_device_as_the_input_is_refused_without_waiting(rules: Path, command: str) -> None:
    for line, name in ((f"{command} --input /dev/zero", "/dev/zero"), (f"{command} --input - < /dev/zero", "<stdin>")):
        done = shell(f"$S {line.replace(command, f'{command} --rules {rules}')}")
        assert (done.returncode, done.stderr) == (
            2,
            f"error: {name}: is a device; expected a file or a pipe\n".encode(),
        )


def test_an_empty_input_means_the_same_to_score_and_backtest(rules: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("the previous output")
    for command in ("score", "backtest", "report", f"score --output {tmp_path}/out"):
        for line in (f"$S {command} --rules {rules}", f"$S {command} --rules {rules} < /dev/null"):
            done = shell(line)
            assert (done.returncode, done.stderr) == (3, b"error: no activity in <stdin>\n")
    assert (tmp_path / "out").read_text() == "the previous output"


@pytest.mark.parametrize("line", ["score", "sources test - --source cloudevents"])
def test_a_command_whose_reader_has_enough_ends_like_other_tools(line: str, rules: Path) -> None:
    text = "\n".join(event(1 + n % 28, url="/pricing", lead=f"lead-{n}") for n in range(3000))
    command = f"{sys.executable} -m scorer {line} --rules {rules} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], input=text.encode(), capture_output=True, cwd=ROOT, timeout=120, check=False
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == b""
    assert done.returncode == 128 + signal.SIGPIPE


@pytest.mark.parametrize("name", ["b2b", "education"])
def test_the_shipped_rulesets_are_valid_and_pass_their_tests(name: str) -> None:
    assert scorer("check", f"rules/{name}", "--strict").returncode == 0
    done = scorer("test", f"rules/{name}")
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize("name", ["activity", "decision", "dead-letter", "ruleset", "rule-tests"])
def test_schema_prints_json(name: str) -> None:
    assert json.loads(scorer("schema", name).stdout)["$schema"].startswith("https://json-schema.org/")
