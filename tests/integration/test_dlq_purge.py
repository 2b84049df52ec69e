"""`scorer dlq purge` with a real broker: nothing of the lead remains, every other dead letter is there once."""

import json
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scorer.dlq.dead_letter import dead_letter
from scorer.domain.instant import to_text
from scorer.kafka.client_internals import record_size
from tests.brokers.marks import embedded_only
from tests.integration.kafka import DEADLINE, Kafka, Names, Record
from tests.integration.service import Service, service
from tests.integration.test_dlq import (
    PARTITIONS,
    Letter,
    as_record,
    dlq,
    listed,
    started,
    topics,
    wait_until_stopped,
    went_back,
    write,
)

LEAD = "lead-jane"
AT = (int(time.time()) - 3600) * 1000
"""Milliseconds since the epoch. Recent, because the broker deletes what is older than its retention."""

# The command with a fault: a signal the `number`th time that `point` is reached. Transactions have few records.
FAULTY = """
import os, signal, sys
from scorer.kafka.session import Session
from aiokafka.admin import AIOKafkaAdminClient
from scorer.dlq import purge
purge._RECORDS = 5
point, action, number = sys.argv[1], getattr(signal, sys.argv[2]), int(sys.argv[3])
reached = 0
def at(name):
    global reached
    if name == point:
        reached += 1
        if reached == number:
            os.kill(os.getpid(), action)
send, end = Session._write_to, Session.end
delete = AIOKafkaAdminClient.delete_records
async def faulty_send(self, *args, **names):
    at("send")
    return await send(self, *args, **names)
async def faulty_end(self, *, commit):
    at("before commit")
    await end(self, commit=commit)
    at("after commit")
async def faulty_delete(self, *args, **names):
    at("before delete")
    result = await delete(self, *args, **names)
    at("after delete")
    return result
Session._write_to, Session.end = faulty_send, faulty_end
AIOKafkaAdminClient.delete_records = faulty_delete
from scorer.__main__ import main
sys.argv = ["scorer", *sys.argv[4:]]
main()
"""


@contextmanager
def faulty(kafka: Kafka, names: Names, point: str, action: str, number: int) -> "Iterator[subprocess.Popen[str]]":
    """A purge with a fault. It is killed on leaving if it still runs."""
    command = ("dlq", "purge", "--lead", LEAD, "--yes")
    with started(kafka, names, "-c", FAULTY, point, action, str(number), *command) as process:
        yield process


def mixed(count: int) -> list[Letter]:
    """Dead letters of many leads in all partitions; every fourth is of the lead."""
    return [
        Letter(
            LEAD.encode() if number % 4 == 2 else f"lead-{number}".encode(),
            f"broken {number}".encode(),
            partition=number % PARTITIONS,
            offset=number,
            time=AT + number,
        )
        for number in range(count)
    ]


def origins(kafka: Kafka, names: Names, *args: str) -> list[int]:
    """The offsets in the input of the listed dead letters, oldest first."""
    return [letter["origin"]["offset"] for letter in listed(kafka, names, *args)]


def others(count: int) -> list[int]:
    """The `origins` of `mixed(count)` without those of the lead."""
    return [number for number in range(count) if number % 4 != 2]


def raw(kafka: Kafka, names: Names) -> bytes:
    """Everything that can still be read in the dead letter topic."""
    return repr([(record.key, record.value, record.headers) for record in kafka.read(names.dead_letters)]).encode()


def event(subject: str) -> bytes:
    return json.dumps({"specversion": "1.0", "subject": subject, "data": {}}).encode()


def test_removes_the_lead_and_keeps_the_others_as_they_are(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    own = [
        Letter(LEAD.encode(), b"{broken"),
        Letter(None, event(LEAD), reason="null_key"),
        Letter(b"another", event(LEAD), reason="key_mismatch"),
        Letter(LEAD.encode(), event("another"), reason="key_mismatch"),
        Letter(None, b"{}", [("ce_subject", LEAD.encode())], reason="null_key"),
        Letter(None, b"[" + event("another") + b"," + event(LEAD) + b"]", reason="not_an_object"),
        Letter(None, event(LEAD).replace(b"jane", b"\\u006aane"), reason="null_key"),
        Letter(LEAD.encode(), None, reason="empty_value"),
    ]
    kept = [
        Letter(b"b", b"\x00\xff", [("trace", b"\x00\xff"), ("none", None), ("trace", b"2")], time=AT),
        Letter(b"", b"", time=AT + 1),
        Letter(None, None, time=AT + 2),
        Letter(b"\xff", b"x" * 300_000, time=AT + 3),
        Letter(b"lead-jane2", event("lead-jan"), time=AT + 4),
    ]
    after = Letter(b"c", b"after the last", time=AT + 5)
    write(kafka, names, [*own[:4], *kept, *own[4:], after])
    before = [
        (record.key, record.value, list(record.headers), record.timestamp) for record in kafka.read(names.dead_letters)
    ]
    letters = listed(kafka, names)
    dry = dlq(kafka, names, "purge", "--lead", LEAD, "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "")
    assert dry.stdout.splitlines() == [
        f"8 dead letters of the lead in {names.dead_letters}",
        "  3  null_key",
        "  2  key_mismatch",
        "  1  empty_value",
        "  1  not_an_object",
        "  1  not_json",
        "1 dead letter only contains the id somewhere; --containing removes those too",
        "5 dead letters to keep would be copied to the end and get new positions",
    ]
    assert listed(kafka, names) == letters
    done = dlq(kafka, names, "purge", "--lead", LEAD, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert [(line["event"], line["selection"]["lead"]) for line in done.audit] == [
        ("purge_started", LEAD),
        ("purge_ended", LEAD),
    ]
    assert (done.audit[1]["completed"], done.audit[1]["removed"], done.audit[1]["copied"]) == (True, 8, 5)
    assert done.stdout.splitlines()[-1] == (
        f"8 dead letters of the lead removed from {names.dead_letters}; 5 dead letters to keep copied to the end"
    )
    left = kafka.read(names.dead_letters)
    assert [record.key for record in left] == [b"c", b"b", b"", None, b"\xff", b"lead-jane2"]
    ours = ("dlq-first-position", "dlq-copied-from")
    for record in left:
        headers = [(name, value) for name, value in record.headers if name not in ours]
        assert (record.key, record.value, headers, record.timestamp) in before
    now = listed(kafka, names)
    position = ("partition", "offset")
    times = {to_text((AT + number) * 1000) for number in range(6)}
    assert [{name: each for name, each in letter.items() if name not in position} for letter in now] == [
        {name: each for name, each in letter.items() if name not in position}
        for letter in letters
        if letter["time"] in times
    ]
    assert min(letter["offset"] for letter in now) == len(letters) - 1
    again = dlq(kafka, names, "purge", "--lead", LEAD)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "nothing to remove")
    # Copies of copies.
    more = dlq(kafka, names, "purge", "--lead", "lead-jane2", "--yes")
    assert more.returncode == 0, more.stderr
    assert [letter["key"] for letter in listed(kafka, names)] == ["b", "", None, None, "c"]


def test_containing_removes_also_what_only_mentions_the_lead(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    mentions = [
        Letter(b"b", event("b").replace(b"{}", json.dumps({"into": LEAD}).encode())),
        Letter(b"b", b"x", [("trace", LEAD.encode())]),
        Letter(None, b"{cut " + LEAD.encode()),
    ]
    write(kafka, names, [*mentions, Letter(b"c", b"x")])
    done = dlq(kafka, names, "purge", "--lead", LEAD, "--yes")
    assert done.stdout.splitlines()[-2:] == [
        "3 dead letters only contain the id somewhere; --containing removes those too",
        "nothing to remove",
    ]
    done = dlq(kafka, names, "purge", "--lead", LEAD, "--yes", "--containing")
    assert done.returncode == 0, done.stderr
    assert [letter["key"] for letter in listed(kafka, names)] == ["c"]
    assert LEAD.encode() not in raw(kafka, names)


@pytest.mark.parametrize(
    ("point", "number"),
    [
        ("before delete", 1),
        ("send", 1),
        ("before commit", 2),
        ("after commit", 1),
        ("after commit", 6),
        ("before delete", 2),
        ("after delete", 2),
    ],
)
def test_a_kill_loses_nothing_and_doubles_nothing(kafka: Kafka, names: Names, point: str, number: int) -> None:
    topics(kafka, names)
    write(kafka, names, mixed(41))
    with faulty(kafka, names, point, "SIGKILL", number) as killed:
        assert killed.wait(DEADLINE) == -signal.SIGKILL, killed.communicate()
    # A reader sees each once now.
    assert origins(kafka, names) in (list(range(41)), others(41))
    assert dlq(kafka, names, "list", "--counts").stdout.splitlines()[-1] in (
        "41 dead letters; 0 replayed",
        "31 dead letters; 0 replayed",
    )
    # More of the lead after the copies: they too must go, and the copies are then before the end.
    write(kafka, names, [Letter(LEAD.encode(), b"late", offset=42 + number, partition=number) for number in range(3)])
    done = dlq(kafka, names, "purge", "--lead", LEAD, "--yes")
    assert done.returncode == 0, done.stderr
    assert origins(kafka, names) == others(41)
    assert LEAD.encode() not in raw(kafka, names)
    values = Counter(record.value for record in kafka.read(names.dead_letters))
    assert values == {f"broken {number}".encode(): 1 for number in others(41)}


def test_a_run_after_a_kill_copies_nothing_again(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    write(kafka, names, mixed(41))
    with faulty(kafka, names, "before delete", "SIGKILL", 2) as killed:
        assert killed.wait(DEADLINE) == -signal.SIGKILL
    done = dlq(kafka, names, "purge", "--lead", LEAD, "--yes")
    assert done.stdout.splitlines()[-1].endswith("; 0 dead letters to keep copied to the end")
    assert origins(kafka, names) == others(41)


def test_a_replayed_letter_that_was_copied_goes_back_only_once(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    write(kafka, names, mixed(41))
    assert dlq(kafka, names, "replay", "--all", "--limit", "20").returncode == 0
    first = went_back(kafka, names, 20)
    with faulty(kafka, names, "before delete", "SIGKILL", 2) as killed:
        assert killed.wait(DEADLINE) == -signal.SIGKILL
    # Between the copy and the deletion: each once.
    assert dlq(kafka, names, "replay", "--all", "--limit", "8").returncode == 0
    went_back(kafka, names, 28)
    assert dlq(kafka, names, "purge", "--lead", LEAD, "--yes").returncode == 0
    assert sum(letter["replayed"] for letter in listed(kafka, names)) == 21
    done = dlq(kafka, names, "replay", "--all")
    assert done.returncode == 0, done.stderr
    assert "21 dead letters skipped: already replayed" in done.stdout
    sent = [record.value for record in kafka.read(names.activity, 38)]
    # The lead's letters that went back before the purge are in the input: 7 of the first 28.
    assert sorted(sent) == sorted(f"broken {n}".encode() for n in range(41) if n % 4 != 2 or n < 28)
    assert len(first) == 20


def test_a_second_purge_fences_the_first(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    write(kafka, names, mixed(41))
    with faulty(kafka, names, "before commit", "SIGSTOP", 2) as first:
        wait_until_stopped(first)
        done = dlq(kafka, names, "purge", "--lead", LEAD, "--yes")
        assert done.returncode == 0, done.stderr
        first.send_signal(signal.SIGCONT)
        output, errors = first.communicate(timeout=DEADLINE)
    assert first.returncode == 1, output
    assert f"another purge of {names.dead_letters} has taken over" in errors
    assert "Traceback" not in errors
    assert origins(kafka, names) == others(41)


def test_it_is_safe_while_the_service_writes_dead_letters(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    sent: list[bytes] = []
    stop = threading.Event()

    def feed() -> None:
        number = 0
        while not stop.is_set():
            batch = [f"broken {number + each}".encode() for each in range(20)]
            # The lead stops sending early; then all of its dead letters can go.
            keys = [LEAD if each % 5 == 0 and number < 400 else f"lead-{number + each}" for each in range(20)]
            kafka.write(names.activity, [Record(key.encode(), value) for key, value in zip(keys, batch, strict=True)])
            sent.extend(value for key, value in zip(keys, batch, strict=True) if key != LEAD)
            number += 20

    with service(kafka, names, tmp_path, topic_partitions=str(PARTITIONS), max_records="7") as running:
        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            kafka.read(names.dead_letters, at_least=100)
            statuses = {dlq(kafka, names, "purge", "--lead", LEAD, "--yes").returncode for _ in range(4)}
            assert statuses <= {0, 1}
        finally:
            stop.set()
            feeder.join()
        running.wait(lambda: kafka_lag(kafka, names, running) == 0)
        assert dlq(kafka, names, "purge", "--lead", LEAD, "--yes").returncode == 0
        assert running.terminate() == 0
    values = Counter(record.value for record in kafka.read(names.dead_letters))
    assert values == Counter(sent)
    assert LEAD.encode() not in raw(kafka, names)
    assert len(listed(kafka, names)) == len(sent)


def kafka_lag(kafka: Kafka, names: Names, running: Service) -> float:
    """How many input records the service has not made into dead letters yet."""
    written = len(kafka.read(names.activity))
    return written - running.metric('scorer_dead_letters_total{reason="not_json"}')


def test_batches_that_are_too_large_are_copied_one_by_one(kafka: Kafka, names: Names) -> None:
    kafka.create({names.activity: PARTITIONS})
    kafka.create({f"{names.dead_letters}.replayed": 1}, {"cleanup.policy": "compact"})
    kafka.create({names.dead_letters: PARTITIONS}, {"max.message.bytes": "3000"})
    letters = [letter._replace(value=b"%d " % letter.offset * 200) for letter in mixed(41)]
    write(kafka, names, letters)
    done = dlq(kafka, names, "purge", "--lead", LEAD, "--yes")
    assert done.returncode == 0, done.stderr
    assert origins(kafka, names) == others(41)
    # One that has no room for two more headers: nothing is lost, and the message names it.
    fits = Letter(b"d", b"", offset=77)
    message = dead_letter(as_record(fits, names), fits.reason, "what was wrong", names.dead_letters, limit=1 << 24)
    room = 2990 - record_size(message.key, message.value, message.headers)
    write(kafka, names, [fits._replace(value=b"x" * room), Letter(LEAD.encode(), b"y", offset=78)])
    (large,) = [letter for letter in listed(kafka, names) if letter["key"] == "d"]
    refused = dlq(kafka, names, "purge", "--lead", LEAD, "--yes")
    assert refused.returncode == 1
    assert (
        f"a copy of the dead letter at {large['partition']}:{large['offset']}, because it is too large"
        in refused.stderr
    )
    assert sorted(origins(kafka, names)) == [*others(41), 77, 78]


@embedded_only
def test_refusals(kafka: Kafka, names: Names) -> None:
    missing = dlq(kafka, names, "purge", "--lead", LEAD, "--yes")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert f"the topic {names.dead_letters} (SCORER_DEAD_LETTER_TOPIC) does not exist" in missing.stderr
    kafka.create({names.dead_letters: 1}, {"cleanup.policy": "compact"})
    kafka.write(names.dead_letters, [Record(LEAD.encode(), b"{broken")])
    compact = dlq(kafka, names, "purge", "--lead", LEAD, "--yes")
    assert compact.returncode == 1
    assert "has cleanup.policy=compact" in compact.stderr
    assert dlq(kafka, names, "purge", "--lead", "").returncode == 2


@embedded_only
def test_without_a_terminal_it_needs_yes(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    write(kafka, names, mixed(5))
    asked = dlq(kafka, names, "purge", "--lead", LEAD)
    assert asked.returncode == 2
    assert "add --yes" in asked.stderr
    assert origins(kafka, names) == list(range(5))


@embedded_only
def test_list_shows_values_only_if_asked(kafka: Kafka, names: Names) -> None:
    topics(kafka, names)
    letters = [
        Letter(b"a", "größe\n".encode(), [("trace", b"1"), ("bytes", b"\xff"), ("none", None)], time=AT),
        Letter(b"b", b"\xff\x00", time=AT + 1),
        Letter(b"c", None, time=AT + 2),
    ]
    write(kafka, names, letters)
    write(kafka, names, [Letter(b"d", b"x" * 100_000, time=AT + 3)], shorten=True)
    assert all("value" not in letter and "headers" not in letter for letter in listed(kafka, names))
    first, second, third, cut = listed(kafka, names, "--with-value")
    assert first["value"] == "größe\n"
    assert first["headers"] == [
        {"name": "trace", "value": "1"},
        {"name": "bytes", "value_base64": "/w=="},
        {"name": "none", "value": None},
    ]
    assert (second["value_base64"], "value" in second) == ("/wA=", False)
    assert third["value"] is None
    assert (cut["size"], cut["cut_from"], cut["value"]) == (65_536, 100_000, "x" * 65_536)
    table = dlq(kafka, names, "list", "--with-value")
    assert (table.returncode, table.stdout) == (2, "")
    assert "--with-value needs --format json" in table.stderr
