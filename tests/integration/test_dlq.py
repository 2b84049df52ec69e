"""`scorer dlq` with a real broker, as a process of its own: it lists dead letters and sends each back once."""

import asyncio
import json
import os
import pty
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from typer.testing import CliRunner

from scorer.cli import app
from scorer.dlq import replay
from scorer.dlq.dead_letter import SHORTENED, dead_letter
from scorer.domain.instant import DAY, HOUR, SECOND, to_text
from tests import audit_lines
from tests.brokers.marks import embedded_only
from tests.integration.activities import START, event, offline, structured
from tests.integration.kafka import DEADLINE, Kafka, Names, Record
from tests.integration.service import ROOT, service

PARTITIONS = 3

# The command with a fault: `action` happens the `number`th time that `point` is reached. Transactions have few records,
# so there are several.
FAULTY = """
import os, signal, sys, threading
from scorer.kafka.session import Session
from scorer.dlq import replay
replay._RECORDS = 10
point, action, number, delay = sys.argv[1], getattr(signal, sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
reached = 0
def at(name):
    global reached
    if name == point:
        reached += 1
        if reached == number and delay:
            threading.Timer(delay, os.kill, (os.getpid(), action)).start()
        elif reached == number:
            os.kill(os.getpid(), action)
start, send, end = Session.open, Session._write_to, Session.end
async def faulty_start(self):
    at("start")
    await start(self)
async def faulty_send(self, *args, **names):
    at("send")
    return await send(self, *args, **names)
async def faulty_end(self, *, commit):
    at("before commit")
    await end(self, commit=commit)
    at("after commit")
Session.open, Session._write_to, Session.end = faulty_start, faulty_send, faulty_end
from scorer.__main__ import main
sys.argv = ["scorer", *sys.argv[5:]]
main()
"""


class Letter(NamedTuple):
    """A dead letter to write."""

    key: bytes | None = b"lead-1"
    value: bytes | None = b"{broken"
    headers: Sequence[tuple[str, bytes | None]] = ()
    reason: str = "not_json"
    topic: str | None = None
    partition: int = 0
    offset: int = 0
    time: int | None = None
    """Milliseconds since the epoch."""


def topics(kafka: Kafka, names: Names) -> None:
    """Input, dead letters and marks."""
    kafka.create({names.activity: PARTITIONS, names.dead_letters: PARTITIONS})
    kafka.create({f"{names.dead_letters}.replayed": 1}, {"cleanup.policy": "compact"})


def write(kafka: Kafka, names: Names, letters: Sequence[Letter], *, shorten: bool = False) -> None:
    """Write dead letters as a worker does, in order, to the partition of their input."""

    async def work() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, max_request_size=1 << 24)
        await producer.start()
        try:
            for letter in letters:
                batch = producer.create_batch()
                limit = SHORTENED if shorten else 1 << 24
                message = dead_letter(
                    as_record(letter, names), letter.reason, "what was wrong", names.dead_letters, limit=limit
                )
                batch.append(timestamp=letter.time, key=message.key, value=message.value, headers=message.headers)
                await (await producer.send_batch(batch, names.dead_letters, partition=letter.partition % PARTITIONS))
        finally:
            await producer.stop()

    asyncio.run(work())


def as_record(letter: Letter, names: Names) -> "ConsumerRecord[bytes, bytes]":
    """The record as it was in the input."""
    return ConsumerRecord(
        topic=letter.topic or names.activity,
        partition=letter.partition,
        offset=letter.offset,
        timestamp=1_700_000_000_000,
        timestamp_type=0,
        key=letter.key,
        value=letter.value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=tuple(letter.headers),
    )


def many(count: int) -> list[Letter]:
    """Different dead letters in all partitions."""
    return [
        Letter(f"lead-{number}".encode(), f"broken {number}".encode(), partition=number % PARTITIONS, offset=number)
        for number in range(count)
    ]


def environment(kafka: Kafka, names: Names, **settings: str) -> dict[str, str]:
    """The environment of a command."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
    return {
        **inherited,
        "SCORER_BOOTSTRAP_SERVERS": kafka.bootstrap,
        **names.environment,
        **{f"SCORER_{name.upper()}": value for name, value in settings.items()},
    }


class Done(NamedTuple):
    """The result of a command."""

    returncode: int
    stdout: str
    stderr: str
    audit: list[dict[str, Any]]


def dlq(kafka: Kafka, names: Names, *args: str, **settings: str) -> Done:
    """Run the command to its end in this process, which saves a second each time."""
    unset = dict.fromkeys(name for name in os.environ if name.startswith("SCORER_"))
    given = {**unset, **environment(kafka, names, **settings)}
    result = CliRunner().invoke(app, ["dlq", *args], env=given, catch_exceptions=False)
    stderr, audit = audit_lines.split(result.stderr)
    return Done(result.exit_code, result.stdout, stderr, audit)


@contextmanager
def started(kafka: Kafka, names: Names, *command: str) -> "Iterator[subprocess.Popen[str]]":
    """A Python process. It is killed on leaving if it still runs."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment(kafka, names),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextmanager
def faulty(
    kafka: Kafka, names: Names, point: str, action: str, number: int, delay: float = 0.0
) -> "Iterator[subprocess.Popen[str]]":
    """`scorer dlq replay --all` with a fault; `delay`, in seconds, moves it to some moment after the point."""
    fault = (point, action, str(number), str(delay))
    with started(kafka, names, "-c", FAULTY, *fault, "dlq", "replay", "--all") as process:
        yield process


def wait_until_stopped(process: "subprocess.Popen[str]") -> None:
    """Wait until it has stopped itself by SIGSTOP."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError(f"not stopped within {DEADLINE} s")


def listed(kafka: Kafka, names: Names, *args: str) -> list[dict[str, Any]]:
    """The output of `list --format json`."""
    done = dlq(kafka, names, "list", "--format", "json", *args)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def went_back(kafka: Kafka, names: Names, at_least: int = 0) -> list[str]:
    """The sorted origins that the committed records of the input name. Each may occur once."""
    records = kafka.read(names.activity, at_least)
    return sorted(value.decode() for record in records for name, value in record.headers if name == "replayed-from")


def each_once(names: Names, count: int) -> list[str]:
    """The result of `went_back` if all of `many(count)` were sent back once."""
    return sorted(f"{names.dead_letters}/{n % PARTITIONS}/{n // PARTITIONS}" for n in range(count))


def test_list_filters_and_counts(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    at = (int(time.time()) - 7200) * 1000
    moment = at * 1000
    letters = [
        Letter(b"a", reason="not_json", partition=0, offset=5, time=at),
        Letter(b"b", reason="invalid_data", partition=1, offset=6, time=at + 1_000),
        Letter(b"a", reason="invalid_data", partition=2, offset=7, time=at + 2_000),
        Letter(None, reason="null_key", partition=0, offset=8, time=at + 3_000),
        Letter(b"\xff", reason="key_mismatch", partition=0, offset=9, time=at + 4_000),
    ]
    write(kafka, names, letters)

    def offsets(*args: str) -> list[int]:
        return [letter["origin"]["offset"] for letter in listed(kafka, names, *args)]

    assert offsets() == [5, 6, 7, 8, 9]
    assert offsets("--reason", "invalid_data") == [6, 7]
    assert offsets("--reason", "invalid_data", "--reason", "null_key") == [6, 7, 8]
    assert offsets("--key", "a") == [5, 7]
    assert offsets("--key", "a", "--reason", "not_json") == [5]
    assert offsets("--since", to_text(moment + SECOND)) == [6, 7, 8, 9]
    assert offsets("--until", to_text(moment + SECOND)) == [5]
    assert offsets("--until", to_text(moment + HOUR + SECOND).replace("Z", "+01:00")) == [5]
    assert offsets("--since", to_text(moment + 2 * DAY)[:10]) == []
    assert offsets("--until", "1h") == [5, 6, 7, 8, 9]
    assert offsets("--since", "1h") == []
    assert offsets("--limit", "2") == [5, 6]
    first, *_, last = listed(kafka, names)
    assert first == {
        "partition": 0,
        "offset": 0,
        "time": to_text(moment),
        "reason": "not_json",
        "detail": "what was wrong",
        "key": "a",
        "origin": {"topic": names.activity, "partition": 0, "offset": 5},
        "size": 7,
        "cut_from": None,
        "replayed_from": None,
        "replayed": False,
    }
    assert (last["key"], last["key_base64"]) == (None, "/w==")
    counts = dlq(kafka, names, "list", "--counts")
    assert counts.stdout.splitlines() == [
        "  2  invalid_data",
        "  1  key_mismatch",
        "  1  not_json",
        "  1  null_key",
        "5 dead letters; 0 replayed",
    ]
    as_json = dlq(kafka, names, "list", "--counts", "--format", "json", "--key", "a").stdout
    assert [json.loads(line) for line in as_json.splitlines()] == [
        {"reason": "invalid_data", "count": 1},
        {"reason": "not_json", "count": 1},
    ]
    plain = dlq(kafka, names, "list", "--limit", "1").stdout.splitlines()
    assert plain[0].split() == ["record", "when", "reason", "lead", "from", "replayed", "detail"]
    assert plain[1].split(maxsplit=6) == [
        "0:0",
        to_text(moment),
        "not_json",
        "a",
        f"{names.activity}:0:5",
        "no",
        "what was wrong",
    ]
    assert plain[-1] == "5 dead letters, 1 shown; 0 replayed"


def test_an_empty_queue_is_fine(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    done = dlq(kafka, names, "list")
    assert (done.returncode, done.stdout) == (0, "0 dead letters; 0 replayed\n")
    done = dlq(kafka, names, "replay", "--all")
    assert (done.returncode, done.stdout) == (0, "nothing to replay\n")


def test_replays_the_chosen_records_unchanged(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    letters = [
        Letter(b"a", b"1", [("trace", b"\x00\xff"), ("empty", b""), ("none", None), ("trace", b"2")], partition=2),
        Letter(b"a", b"", partition=1),
        Letter(b"", None, partition=1),
        Letter(None, None, partition=1),
        Letter(b"\xff", b"x" * 300_000, partition=0),
        Letter(b"a", b"another", reason="invalid_data", partition=0),
    ]
    write(kafka, names, letters)
    done = dlq(kafka, names, "replay", "--reason", "not_json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"5 dead letters to send back to {names.activity}",
        "  5  not_json",
        "5 dead letters replayed",
    ]
    records = kafka.read(names.activity, at_least=5)
    places = {(0, 0): (0, 0), (1, 0): (1, 0), (1, 1): (1, 1), (1, 2): (1, 2), (2, 0): (2, 0)}
    by_place = {(record.partition, record.offset): record for record in records}
    assert by_place.keys() == places.keys()
    expected = dict(zip([(2, 0), (1, 0), (1, 1), (1, 2), (0, 0)], letters, strict=False))
    for (partition, offset), letter in expected.items():
        record = by_place[partition, offset]
        assert (record.key, record.value) == (letter.key, letter.value)
        source = ("replayed-from", f"{names.dead_letters}/{partition}/{offset}".encode())
        assert list(record.headers) == [*letter.headers, source]
    assert [letter["reason"] for letter in listed(kafka, names, "--pending")] == ["invalid_data"]
    assert {letter["replayed"] for letter in listed(kafka, names, "--reason", "not_json")} == {True}


def test_running_again_sends_nothing_twice(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    write(kafka, names, many(7))
    dry = dlq(kafka, names, "replay", "--all", "--dry-run")
    assert dry.returncode == 0
    assert dry.stdout.splitlines() == [f"7 dead letters to send back to {names.activity}", "  7  not_json"]
    assert went_back(kafka, names) == []
    # The limit counts only unsent records, so repeating the command continues.
    for total in (3, 6, 7):
        assert dlq(kafka, names, "replay", "--all", "--limit", "3").returncode == 0
        assert len(went_back(kafka, names, total)) == total
    again = dlq(kafka, names, "replay", "--all")
    assert again.stdout.splitlines() == ["nothing to replay", "7 dead letters skipped: already replayed"]
    one = dlq(kafka, names, "replay", "--offset", "0:0")
    assert (one.returncode, one.stdout.splitlines()[-1]) == (0, "1 dead letter skipped: already replayed")
    assert went_back(kafka, names) == each_once(names, 7)


@pytest.mark.parametrize(
    ("point", "number", "sure"),
    [("send", 1, 0), ("send", 2, 10), ("before commit", 1, 0), ("before commit", 3, 20), ("after commit", 2, 20)],
)
def test_a_kill_sends_nothing_twice(kafka: Kafka, names: Names, point: str, number: int, sure: int) -> None:
    topics(kafka, names)
    write(kafka, names, many(35))
    with faulty(kafka, names, point, "SIGKILL", number) as killed:
        assert killed.wait(DEADLINE) == -signal.SIGKILL
    done = dlq(kafka, names, "replay", "--all")
    assert done.returncode == 0, done.stderr
    assert f"{35 - sure} dead letters replayed" in done.stdout
    assert went_back(kafka, names, 35) == each_once(names, 35)


def test_kills_at_any_moment_send_nothing_twice(kafka: Kafka, names: Names) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)  # noqa: T201
    moments = random.Random(seed)
    topics(kafka, names)
    count = 400
    write(kafka, names, many(count))
    killed = 0
    for delay in (0.001, *(moments.uniform(0, 0.2) for _ in range(5))):
        with faulty(kafka, names, "send", "SIGKILL", 1, delay) as process:
            killed += process.wait(DEADLINE) == -signal.SIGKILL
    assert killed
    assert dlq(kafka, names, "replay", "--all").returncode == 0
    assert went_back(kafka, names, count) == each_once(names, count)


def test_a_second_replay_fences_the_first(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    write(kafka, names, many(35))
    with faulty(kafka, names, "before commit", "SIGSTOP", 2) as first:
        wait_until_stopped(first)
        done = dlq(kafka, names, "replay", "--all")
        assert done.returncode == 0, done.stderr
        assert "25 dead letters replayed" in done.stdout
        first.send_signal(signal.SIGCONT)
        output, errors = first.communicate(timeout=DEADLINE)
    assert first.returncode == 1
    assert "10 dead letters replayed" in output
    assert f"another replay of {names.dead_letters} has taken over" in errors
    assert "Traceback" not in errors
    assert went_back(kafka, names, 35) == each_once(names, 35)


def test_records_that_another_replay_sent_meanwhile_are_skipped(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    write(kafka, names, many(35))
    # It stops after it has chosen the records and before it fences others.
    with faulty(kafka, names, "start", "SIGSTOP", 1) as first:
        wait_until_stopped(first)
        assert dlq(kafka, names, "replay", "--all").returncode == 0
        first.send_signal(signal.SIGCONT)
        output, _ = first.communicate(timeout=DEADLINE)
    assert first.returncode == 0
    assert output.splitlines()[-2:] == ["0 dead letters replayed", "35 dead letters skipped: already replayed"]
    assert went_back(kafka, names, 35) == each_once(names, 35)


def test_replays_at_the_same_time_send_nothing_twice(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    count = 1_500
    write(kafka, names, many(count))
    command = ("-m", "scorer", "dlq", "replay", "--all")
    with (
        started(kafka, names, *command) as one,
        started(kafka, names, *command) as two,
        started(kafka, names, *command) as three,
    ):
        outputs = [process.communicate(timeout=90) for process in (one, two, three)]
        statuses = [process.returncode for process in (one, two, three)]
    # Nothing fences the replay that started its producer last.
    assert 0 in statuses, outputs
    assert set(statuses) <= {0, 1}
    assert went_back(kafka, names, count) == each_once(names, count)


def test_records_that_cannot_go_back_are_reported_with_the_reason(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    write(kafka, names, [Letter(value=b"x" * 100_000, offset=4)], shorten=True)
    write(kafka, names, [Letter(topic="elsewhere"), Letter(value=b"fine", offset=6)])
    kafka.write(names.dead_letters, [Record(b"k", b"not ours")])
    done = dlq(kafka, names, "replay", "--all")
    assert done.returncode == 1
    assert "1 dead letter replayed" in done.stdout
    stays = dict(line.split(" not sent: ") for line in done.stderr.splitlines())
    assert stays.pop("0:0") == f"only 65,536 of its 100,000 bytes are here; the whole was at {names.activity}:0:4"
    fix = "set SCORER_ACTIVITY_TOPIC to that topic to send it back, or name it in SCORER_SOURCES"
    assert stays.pop("0:1") == f"it came from elsewhere; {fix}"
    assert list(stays.values()) == ["it does not say where it came from (dlq-topic, dlq-partition, dlq-offset)"]
    assert [record.value for record in kafka.read(names.activity)] == [b"fine"]
    none = dlq(kafka, names, "replay", "--offset", "0:99", "--offset", "7:0", "--yes")
    assert none.returncode == 1
    assert none.stderr.splitlines() == [
        f"{position} not sent: there is no such dead letter" for position in ("0:99", "7:0")
    ]


def test_a_record_that_the_input_refuses_does_not_block_the_others(kafka: Kafka, names: Names) -> None:
    kafka.create({names.dead_letters: PARTITIONS})
    kafka.create({f"{names.dead_letters}.replayed": 1}, {"cleanup.policy": "compact"})
    kafka.create({names.activity: PARTITIONS}, {"max.message.bytes": "2000"})
    letters = many(9)
    letters[4] = letters[4]._replace(value=b"x" * 3000)
    write(kafka, names, letters)
    done = dlq(kafka, names, "replay", "--all")
    assert done.returncode == 1
    assert "8 dead letters replayed" in done.stdout
    assert done.stderr.splitlines() == [f"1:1 not sent: larger than {names.activity} accepts"]
    expected = [origin for origin in each_once(names, 9) if not origin.endswith("/1/1")]
    assert went_back(kafka, names, 8) == expected
    assert "8 dead letters skipped" in dlq(kafka, names, "replay", "--all").stdout
    assert went_back(kafka, names, 8) == expected


def test_a_record_that_fails_again_is_a_new_dead_letter(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    good = structured(event("late", 1, "lead.demo_requested", {"note": "n" * 3000}, START))
    expected, _ = offline([good])
    with service(kafka, names, tmp_path, max_value_bytes="2000", topic_partitions=str(PARTITIONS)) as running:
        kafka.write(names.activity, [good, Record(b"bad", b"no json", [("trace", b"1")])])
        kafka.read(names.dead_letters, at_least=2)
        assert running.terminate() == 0
    # Now with a limit that accepts it.
    with service(kafka, names, tmp_path, topic_partitions=str(PARTITIONS)) as running:
        assert dlq(kafka, names, "replay", "--all").returncode == 0
        published = kafka.read(names.routing, at_least=len(expected["late"]))
        assert [record.value for record in published] == expected["late"]
        letters = kafka.read(names.dead_letters, at_least=3)
        assert running.terminate() == 0
    first = next(letter for letter in listed(kafka, names) if letter["reason"] == "not_json" and letter["replayed"])
    (second,) = listed(kafka, names, "--pending")
    assert second["reason"] == "not_json"
    assert second["replayed_from"] == f"{names.dead_letters}/{first['partition']}/{first['offset']}"
    assert len(letters) == 3
    assert dlq(kafka, names, "replay", "--all").returncode == 0
    last = kafka.read(names.activity, at_least=5)[-1]
    bad = [record for record in kafka.read(names.activity) if record.key == b"bad"]
    again = max(bad, key=lambda record: record.offset)
    assert last is not None
    assert list(again.headers) == [
        ("trace", b"1"),
        ("replayed-from", f"{names.dead_letters}/{second['partition']}/{second['offset']}".encode()),
    ]


@pytest.mark.parametrize("selection", [("--all",), ("--key", "lead-1")])
def test_a_replay_ends_although_every_record_fails_again_meanwhile(
    kafka: Kafka, names: Names, monkeypatch: pytest.MonkeyPatch, selection: tuple[str, ...]
) -> None:
    topics(kafka, names)
    write(kafka, names, [Letter(partition=number % PARTITIONS, offset=number) for number in range(6)])
    send_back = replay.Replay._send_back

    async def and_fail_again(self: replay.Replay, producer: Any, records: Sequence[Any], *rest: Any) -> None:
        await send_back(self, producer, records, *rest)
        again = [Letter(partition=record.partition, offset=100 + record.offset) for record in records]
        await asyncio.to_thread(write, kafka, names, again)

    monkeypatch.setattr(replay, "_RECORDS", 1)
    monkeypatch.setattr(replay.Replay, "_send_back", and_fail_again)
    done = dlq(kafka, names, "replay", *selection)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "6 dead letters replayed")
    assert len(went_back(kafka, names)) == 6
    # The next run would send those that came meanwhile.
    assert len(listed(kafka, names, "--pending")) == 6


def test_an_open_transaction_blocks_nothing(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    write(kafka, names, many(6))

    def use() -> tuple[list[dict[str, Any]], Done, Done]:
        return listed(kafka, names), dlq(kafka, names, "replay", "--all"), dlq(kafka, names, "replay", "--all")

    async def work() -> tuple[int, int, str]:
        worker = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{names.prefix}-worker")
        await worker.start()
        try:
            await worker.begin_transaction()
            for partition in range(PARTITIONS):
                await worker.send_and_wait(names.dead_letters, b"not yet", partition=partition)
                await worker.send_and_wait(names.activity, b"not yet", partition=partition)
            shown, done, again = await asyncio.to_thread(use)
            await worker.abort_transaction()
            return len(shown), done.returncode, again.stdout
        finally:
            await worker.stop()

    nothing = "nothing to replay\n6 dead letters skipped: already replayed\n"
    assert asyncio.run(work()) == (6, 0, nothing)
    assert went_back(kafka, names, 6) == each_once(names, 6)


@embedded_only
@pytest.mark.parametrize(("answer", "sent"), [("y\n", 2), ("n\n", 0)])
def test_a_terminal_asks_for_confirmation(kafka: Kafka, names: Names, answer: str, sent: int) -> None:
    topics(kafka, names)
    write(kafka, names, many(2))
    master, terminal = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "scorer", "dlq", "replay", "--all"],
            cwd=ROOT,
            env=environment(kafka, names),
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        os.write(master, answer.encode())
        output, _ = process.communicate(timeout=DEADLINE)
    finally:
        os.close(master)
        os.close(terminal)
    assert b"Send? [y/N]" in output
    assert process.returncode == 0
    assert len(went_back(kafka, names, sent)) == sent


def test_refuses_if_the_marks_are_not_kept(kafka: Kafka, names: Names) -> None:
    kafka.create({names.activity: PARTITIONS, names.dead_letters: PARTITIONS})
    write(kafka, names, many(1))
    missing = dlq(kafka, names, "replay", "--all")
    assert missing.returncode == 1
    assert missing.stderr == (
        f"error: the topic {names.dead_letters}.replayed does not exist; create it with `scorer topics ensure`\n"
    )
    kafka.create({f"{names.dead_letters}.replayed": 1}, {"cleanup.policy": "delete"})
    forgetful = dlq(kafka, names, "replay", "--all")
    assert forgetful.returncode == 1
    assert f"{names.dead_letters}.replayed has cleanup.policy=delete: it would forget" in forgetful.stderr
    assert went_back(kafka, names) == []


def test_a_new_topic_of_the_same_name_is_not_confused_with_the_old(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    write(kafka, names, many(3))
    assert dlq(kafka, names, "replay", "--all").returncode == 0

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            await admin.delete_topics([names.dead_letters])
            async with asyncio.timeout(DEADLINE):
                while names.dead_letters in await admin.list_topics():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        finally:
            await admin.close()

    asyncio.run(delete())
    kafka.create({names.dead_letters: PARTITIONS})
    write(kafka, names, many(3))
    assert "3 dead letters replayed" in dlq(kafka, names, "replay", "--all").stdout
    assert len(kafka.read(names.activity, at_least=6)) == 6


def test_the_audit_log_says_who_replayed_what_and_how_many(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    write(kafka, names, many(3))
    started_line, ended = dlq(kafka, names, "replay", "--reason", "not_json", "--key", "lead-1").audit
    assert started_line["event"] == "replay_started"
    assert ended["event"] == "replay_ended"
    for line in (started_line, ended):
        assert line["who"]
        assert line["group"] == names.group
        assert line["topic"] == names.dead_letters
        assert line["selection"] == {"reasons": ["not_json"], "lead": "lead-1"}
    assert (ended["completed"], ended["replayed"], ended["refused"]) == (True, 1, 0)
    assert dlq(kafka, names, "replay", "--all", "--dry-run").audit == []


@pytest.mark.parametrize("command", [("replay", "--all"), ("purge", "--lead", "lead-1", "--yes")])
def test_nothing_is_done_that_the_audit_log_cannot_record(
    kafka: Kafka, names: Names, tmp_path: Path, command: tuple[str, ...]
) -> None:
    topics(kafka, names)
    write(kafka, names, many(3))
    done = dlq(kafka, names, *command, audit_file=str(tmp_path / "none" / "audit.log"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: SCORER_AUDIT_FILE is ")
    assert done.stderr.endswith("which cannot be written: No such file or directory; nothing was done\n")
    assert went_back(kafka, names) == []
    assert len(kafka.read(names.dead_letters)) == 3


def test_a_missing_dead_letter_topic_is_reported(kafka: Kafka, names: Names) -> None:
    for command in (("list",), ("replay", "--all")):
        done = dlq(kafka, names, *command)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"error: the topic {names.dead_letters} (SCORER_DEAD_LETTER_TOPIC) does not exist; "
            "create it with `scorer topics ensure`\n"
        )


def test_an_unreachable_kafka_is_one_line_within_the_deadline(names: Names) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for address in ("127.0.0.1:1", f"127.0.0.1:{silent.getsockname()[1]}"):
            for command in (("list",), ("replay", "--all")):
                done = dlq(Kafka(address), names, *command, startup_timeout_s="1")
                assert (done.returncode, done.stdout) == (1, "")
                (line,) = done.stderr.splitlines()
                assert line.startswith(f"error: Kafka at {address} (SCORER_BOOTSTRAP_SERVERS): ")
