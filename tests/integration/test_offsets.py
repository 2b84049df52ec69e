"""The input was deleted and recreated, shortened, or the retention passed the committed offset: the service says so and
refuses, and `scorer offsets` shows it and chooses where to continue."""

import asyncio
import os
import re
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from typer.testing import CliRunner

from scorer.cli import app
from tests import audit_lines
from tests.brokers.marks import embedded_only, full
from tests.faults.group import evict, positions, wait_until_processed
from tests.faults.oracle import check_exactly_once
from tests.integration.activities import START, event, structured
from tests.integration.kafka import DEADLINE, Kafka, Names, Record
from tests.integration.service import Service, service

PARTITIONS = 1


class Done(NamedTuple):
    """The result of a command."""

    status: int
    rows: list[list[str]]
    output: str
    errors: str
    audit: list[dict[str, Any]]


def offsets(kafka: Kafka, names: Names, *args: str, **others: str) -> Done:
    """Run `scorer offsets` to its end, with these settings in place of the usual ones. A row is a line of its table,
    split where two spaces are."""
    given: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("SCORER_"))
    given |= {"SCORER_BOOTSTRAP_SERVERS": kafka.bootstrap, **names.environment, **others}
    result = CliRunner().invoke(app, ["offsets", *args], env=given, catch_exceptions=False)
    rows = [re.split(" {2,}", line) for line in result.stdout.splitlines()[1:] if line[:1].isdigit()]
    errors, audit = audit_lines.split(result.stderr)
    return Done(result.exit_code, [row for row in rows if len(row) > 1], result.stdout, errors, audit)


def activities(prefix: str, count: int) -> list[Record]:
    """Activities of ten leads that lead to decisions. Other prefixes give other leads."""
    kind = "lead.qualification_updated"
    return [
        structured(event(f"{prefix}-{number % 10}", number, kind, {"bant": {"budget_status": status}}, START + number))
        for number in range(count)
        for status in ("approved" if number // 10 % 2 else "planned",)
    ]


def administer(kafka: Kafka, work: Any) -> None:
    """Run `work(admin)`."""

    async def run() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            await work(admin)
        finally:
            await admin.close()

    asyncio.run(run())


def delete(kafka: Kafka, topic: str) -> None:
    """Delete a topic, and return when it is gone. A running worker can make the broker create it again, empty."""

    async def has_records() -> bool:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap)
        await consumer.start()
        try:
            partition = TopicPartition(topic, 0)
            async with asyncio.timeout(2):
                return bool((await consumer.end_offsets([partition]))[partition])
        except TimeoutError:
            # The topic went between the list and this question. The client would ask again for forty seconds.
            return True
        finally:
            await consumer.stop()

    async def work(admin: AIOKafkaAdminClient) -> None:
        await admin.delete_topics([topic])
        async with asyncio.timeout(DEADLINE):
            # The broker sends no event.
            while topic in await admin.list_topics() and await has_records():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    administer(kafka, work)


def recreate(kafka: Kafka, names: Names, records: list[Record]) -> None:
    """Delete the input, create it again, and write these records into it."""
    delete(kafka, names.activity)

    async def create(admin: AIOKafkaAdminClient) -> None:
        await admin.create_topics([NewTopic(names.activity, PARTITIONS, 1)])

    administer(kafka, create)
    kafka.write(names.activity, records)


def expire(kafka: Kafka, topic: str, before: int) -> None:
    """Delete the records before an offset, as the retention does."""

    async def work(admin: AIOKafkaAdminClient) -> None:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=before)})

    administer(kafka, work)


def process(kafka: Kafka, names: Names, folder: Path) -> None:
    """Let the service process the whole input, and stop it."""
    with service(kafka, names, folder, topic_partitions=str(PARTITIONS)) as running:
        wait_until_processed(kafka, names, [running])
        assert running.terminate() == 0


def refusal(running: Service, name: str = "input_changed") -> dict[str, Any]:
    """Wait until the service ends; the line of its log that says why."""
    assert running.process.wait(DEADLINE) == 1
    assert "Traceback" not in running.text()
    line: dict[str, Any]
    (line,) = [line for line in running.log() if line["event"] == name]
    return line


def refused(kafka: Kafka, names: Names, folder: Path, name: str = "input_changed") -> dict[str, Any]:
    """Start the service, which refuses."""
    with service(kafka, names, folder, ready=False) as running:
        return refusal(running, name)


@pytest.fixture
def fifty(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    """Fifty activities are processed, and the service is stopped."""
    kafka.create({names.activity: PARTITIONS, names.state: PARTITIONS, names.routing: 1, names.dead_letters: 1})
    kafka.write(names.activity, activities("old", 50))
    process(kafka, names, tmp_path)
    assert offsets(kafka, names, "show").rows == [["0", "50", "0", "50", "0", "ok"]]


@pytest.mark.usefixtures("fifty")
@pytest.mark.parametrize(("count", "change"), [(30, "shortened"), (80, "recreated")])
def test_a_recreated_input_is_refused_until_somebody_says_where_to_continue(
    kafka: Kafka, names: Names, tmp_path: Path, count: int, change: str
) -> None:
    before = len(kafka.read(names.routing))
    recreate(kafka, names, activities("new", count))
    # Again at each start, until somebody decides.
    for _ in range(2):
        line = refused(kafka, names, tmp_path)
        assert (line["change"], line["topic"], line["partition"]) == (change, names.activity, 0)
        assert (line["committed"], line["first"], line["end"]) == (50, 0, count)
        assert "scorer offsets reset" in line["error"]
    shown = offsets(kafka, names, "show")
    assert (shown.status, shown.rows) == (1, [["0", "50", "0", str(count), "?", change]])
    assert "the topic was recreated" in shown.errors

    dry = offsets(kafka, names, "reset", "--to", "earliest")
    assert (dry.status, dry.rows) == (0, [["0", "50", "0", str(count), "reads all"]])
    assert "nothing was changed" in dry.output
    assert offsets(kafka, names, "show") == shown

    evict(kafka, names)
    done = offsets(kafka, names, "reset", "--to", "earliest", "--yes")
    assert (done.status, done.output.splitlines()[-1]) == (0, "1 partition changed")
    assert offsets(kafka, names, "show").rows == [["0", "0", "0", str(count), str(count), "ok"]]
    again = offsets(kafka, names, "reset", "--to", "earliest", "--yes")
    assert (again.status, again.output.splitlines()[-1]) == (0, "0 partitions changed")

    process(kafka, names, tmp_path)
    after = [record.key for record in kafka.read(names.routing)][before:]
    assert set(after) == {f"new-{number}".encode() for number in range(min(count, 10))}
    # It stays usable: the next start finds its own log.
    kafka.write(names.activity, activities("later", 5))
    process(kafka, names, tmp_path)
    assert positions(kafka, names).committed == {0: count + 5}
    assert len(offsets(kafka, names, "show").errors) == 0


@pytest.mark.usefixtures("fifty")
@pytest.mark.parametrize(("count", "change"), [(0, "shortened"), (49, "shortened"), (50, "recreated")])
def test_an_end_near_the_committed_offset_is_seen_too(kafka: Kafka, names: Names, count: int, change: str) -> None:
    recreate(kafka, names, activities("new", count))
    shown = offsets(kafka, names, "show")
    assert (shown.status, shown.rows) == (1, [["0", "50", "0", str(count), "?", change]])


@pytest.mark.usefixtures("fifty")
def test_records_that_the_retention_deleted_unprocessed_are_named(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.write(names.activity, activities("lost", 20) + activities("kept", 10))
    expire(kafka, names.activity, 70)
    line = refused(kafka, names, tmp_path)
    assert (line["change"], line["committed"], line["first"], line["end"]) == ("expired", 50, 70, 80)
    assert "up to 20 records" in line["error"]
    evict(kafka, names)
    done = offsets(kafka, names, "reset", "--to", "earliest", "--yes")
    assert done.rows == [["0", "50", "70", "10", "skips none"]]
    process(kafka, names, tmp_path)
    keys = {record.key for record in kafka.read(names.routing)}
    assert b"kept-0" in keys
    assert b"lost-0" not in keys


@pytest.mark.usefixtures("fifty")
@pytest.mark.parametrize("first", [49, 50])
def test_a_retention_that_deletes_only_what_was_processed_is_fine(
    kafka: Kafka, names: Names, tmp_path: Path, first: int
) -> None:
    expire(kafka, names.activity, first)
    kafka.write(names.activity, activities("new", 10))
    process(kafka, names, tmp_path)
    assert offsets(kafka, names, "show").rows == [["0", "60", str(first), "60", "0", "ok"]]


@pytest.mark.usefixtures("fifty")
@pytest.mark.parametrize(
    ("to", "left", "effect", "deciding"),
    [("earliest", "50", "reads 50 again", "old"), ("50", "0", "goes on without the states", "new")],
)
def test_a_changelog_that_was_deleted_is_refused_until_somebody_says_how_to_go_on(
    kafka: Kafka, names: Names, tmp_path: Path, to: str, left: str, effect: str, deciding: str
) -> None:
    before = len(kafka.read(names.routing))
    delete(kafka, names.state)
    kafka.create({names.state: PARTITIONS})
    line = refused(kafka, names, tmp_path, "states_lost")
    assert (line["change"], line["topic"], line["committed"]) == ("states lost", names.activity, 50)
    for way in ("earliest", "50"):
        assert f"`scorer offsets reset --partition 0 --yes --to {way}`" in line["error"]
    shown = offsets(kafka, names, "show")
    assert (shown.status, shown.rows) == (1, [["0", "50", "0", "50", "?", "states lost"]])
    assert "was deleted or emptied" in shown.errors
    target = "0" if to == "earliest" else "50"
    assert offsets(kafka, names, "reset", "--to", to).rows == [["0", "50", target, left, effect]]

    evict(kafka, names)
    done = offsets(kafka, names, "reset", "--partition", "0", "--yes", "--to", to)
    assert (done.status, done.output.splitlines()[-1]) == (0, "1 partition changed")
    assert offsets(kafka, names, "show").status == 0
    kafka.write(names.activity, activities("new", 1))
    process(kafka, names, tmp_path)
    after = [record.key or b"" for record in kafka.read(names.routing)][before:]
    assert after[0].startswith(deciding.encode())
    assert after[-1] == b"new-0"


def test_nothing_but_dead_letters_gives_a_position_too(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: PARTITIONS, names.state: PARTITIONS, names.routing: 1, names.dead_letters: 1})
    kafka.write(names.activity, [Record(b"lead-1", b"not json") for _ in range(5)])
    process(kafka, names, tmp_path)
    process(kafka, names, tmp_path)
    assert offsets(kafka, names, "show").rows == [["0", "5", "0", "5", "0", "ok"]]


@pytest.mark.usefixtures("fifty")
def test_an_empty_changelog_beside_an_offset_without_our_note_is_only_logged(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    """An earlier release or another tool set the offset. It does not say what the changelog had, so all may be well."""
    evict(kafka, names)
    delete(kafka, names.state)
    kafka.create({names.state: PARTITIONS})

    async def choose() -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=names.group, enable_auto_commit=False)
        await consumer.start()
        try:
            partition = TopicPartition(names.activity, 0)
            consumer.assign([partition])
            await consumer.commit({partition: 40})
        finally:
            await consumer.stop()

    asyncio.run(choose())
    assert offsets(kafka, names, "show").rows == [["0", "40", "0", "50", "10", "ok"]]
    with service(kafka, names, tmp_path) as running:
        (line,) = running.wait(lambda: [line for line in running.log() if line["event"] == "changelog_is_empty"])
        assert (line["topic"], line["offset"]) == (names.state, 40)
        wait_until_processed(kafka, names, [running])
        assert running.terminate() == 0


@pytest.mark.usefixtures("fifty")
def test_a_misspelt_group_is_told_from_a_missing_topic(kafka: Kafka, names: Names) -> None:
    wrong = f"{names.group}s"
    for command in (("show",), ("reset", "--to", "earliest", "--yes")):
        done = offsets(kafka, names, *command, SCORER_GROUP=wrong, SCORER_STATE_TOPIC="")
        assert done.status == 1
        assert f"the group {wrong} (SCORER_GROUP) has no committed offsets; these groups exist: " in done.errors
        assert names.group in done.errors.partition("these groups exist: ")[2].partition(".")[0].split(", ")
    # With its topics, it may be new.
    noted = offsets(kafka, names, "show", SCORER_GROUP=wrong)
    assert f"note: the group {wrong} (SCORER_GROUP) has no committed offsets; these groups exist: " in noted.errors
    strange = offsets(kafka, names, "show", SCORER_GROUP="zzz", SCORER_STATE_TOPIC="")
    assert "the group zzz (SCORER_GROUP) has no committed offsets. Its changelog" in strange.errors
    assert "note" not in offsets(kafka, names, "show").errors


@pytest.mark.parametrize("count", [pytest.param(30, marks=full), 80])
def test_an_input_that_is_recreated_while_the_service_runs_is_noticed(
    kafka: Kafka, names: Names, tmp_path: Path, count: int
) -> None:
    kafka.create({names.activity: PARTITIONS, names.state: PARTITIONS, names.routing: 1, names.dead_letters: 1})
    kafka.write(names.activity, activities("old", 50))
    with service(kafka, names, tmp_path) as running:
        wait_until_processed(kafka, names, [running])
        recreate(kafka, names, activities("new", count))
        line = refusal(running)
    assert line["committed"] == 50
    assert line["change"] in ("shortened", "recreated")


def test_records_that_expire_before_a_running_service_reads_them_are_not_skipped_silently(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    kafka.create({names.activity: PARTITIONS, names.state: PARTITIONS, names.routing: 1, names.dead_letters: 1})
    kafka.write(names.activity, activities("old", 50))
    with service(kafka, names, tmp_path) as running:
        wait_until_processed(kafka, names, [running])
        # The broker answers a fetch after 250 ms at the latest, so none waits any more when the records come.
        running.process.send_signal(signal.SIGSTOP)
        time.sleep(1.0)
        kafka.write(names.activity, activities("lost", 20))
        expire(kafka, names.activity, 70)
        running.process.send_signal(signal.SIGCONT)
        line = refusal(running)
    assert (line["change"], line["committed"], line["first"]) == ("expired", 50, 70)


@pytest.mark.usefixtures("fifty")
def test_reading_again_doubles_nothing(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    dry = offsets(kafka, names, "reset", "--to", "20")
    assert dry.rows == [["0", "50", "20", "30", "reads 30 again"]]
    evict(kafka, names)
    assert offsets(kafka, names, "reset", "--to", "earliest", "--yes").status == 0
    process(kafka, names, tmp_path)
    check_exactly_once(kafka, names)


@pytest.mark.usefixtures("fifty")
def test_latest_skips_what_waits(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.write(names.activity, activities("skipped", 10))
    evict(kafka, names)
    done = offsets(kafka, names, "reset", "--to", "latest", "--yes")
    assert done.rows == [["0", "50", "60", "0", "skips 10"]]
    assert [line["event"] for line in done.audit] == ["offsets_reset_started", "offsets_reset_ended"]
    assert {line["selection"] for line in done.audit} == {"latest"}
    assert done.audit[1]["changes"] == [{"partition": 0, "from": 50, "to": 60}]
    assert done.audit[1]["completed"]
    kafka.write(names.activity, activities("read", 10))
    process(kafka, names, tmp_path)
    keys = {record.key for record in kafka.read(names.routing)}
    assert b"read-0" in keys
    assert b"skipped-0" not in keys


def test_a_reset_is_refused_while_a_worker_runs(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: PARTITIONS, names.state: PARTITIONS, names.routing: 1, names.dead_letters: 1})
    kafka.write(names.activity, activities("old", 50))
    with service(kafka, names, tmp_path) as running:
        wait_until_processed(kafka, names, [running])
        done = offsets(kafka, names, "reset", "--to", "earliest", "--yes")
        assert done.status == 1
        assert [line.get("completed") for line in done.audit] == [None, False]
        assert "has 1 member (from" in done.errors
        assert "stop all workers first" in done.errors
        preview = offsets(kafka, names, "reset", "--to", "earliest")
        assert preview.status == 0
        assert "nothing was changed; --yes will refuse: the group" in preview.output
        assert positions(kafka, names).committed == {0: 50}
        # It was not fenced either.
        kafka.write(names.activity, activities("more", 10))
        wait_until_processed(kafka, names, [running])
        assert "partition_fenced" not in running.text()
        assert running.terminate() == 0
    check_exactly_once(kafka, names)


@embedded_only
@pytest.mark.usefixtures("fifty")
@pytest.mark.parametrize(
    ("args", "status", "error"),
    [
        (("--to", "51"), 1, "has no offset 51; it begins at 0 and ends at 50"),
        (("--to", "first"), 2, "is not earliest, latest or an offset"),
        (("--to", "earliest", "--partition", "7"), 1, "has no partition 7, only 0 to 0"),
    ],
)
def test_a_target_that_does_not_exist_is_refused(
    kafka: Kafka, names: Names, args: tuple[str, ...], status: int, error: str
) -> None:
    done = offsets(kafka, names, "reset", *args, "--yes")
    assert done.status == status
    assert error in done.errors
    assert positions(kafka, names).committed == {0: 50}
