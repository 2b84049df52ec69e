"""Permissions, against Apache Kafka with ACLs: the service works with exactly the documented ones, and names what is
missing."""

import asyncio
import itertools
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from scorer.kafka.access import NEEDS, require
from scorer.kafka.denied import DeniedError, Permission, Resource
from scorer.kafka.denied import grant as grant_command
from scorer.kafka.topics import TopicError, ensure_topics
from scorer.runtime.settings import Settings, load_settings
from scorer.sources.tick import is_tick
from tests.brokers.secured import Acl, grant, take_away
from tests.faults.sizes import FULL_CLUSTER
from tests.integration.kafka import DEADLINE, Names, Record
from tests.integration.secured import (
    USER,
    Cluster,
    create_topics,
    demo_request,
    run_command,
    secured_cluster,
    settings_of,
)
from tests.integration.service import ROOT, RULES, Service, service

pytestmark = pytest.mark.apache
full_size: Final = pytest.mark.skipif(not FULL_CLUSTER, reason="SCORER_FAULT_CLUSTER=full runs it")

OPERATIONS_PAGE: Final = (ROOT / "docs" / "operations.md").read_text()
TICKS: Final = "… with `SCORER_TICK_SECONDS` over 0, the default"
"""The row of what the service wants and does not need."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One broker for all tests here: their topics have different names."""
    yield from secured_cluster(tmp_path_factory.mktemp("secured"))


def documented(settings: Settings, command: str) -> list[Acl]:
    """What the table in docs/operations.md says that a command needs."""
    topics = {
        "input": settings.activity_topic,
        "changelog": settings.state_topic,
        "routing": settings.routing_topic,
        "topics of other senders": next(iter(settings.source_topics), ""),
        "shadow topic": settings.shadow_topic,
        "topic of companies": settings.company_topic or "",
        "`<dlq>`": settings.dead_letter_topic,
        "`<dlq>.replayed`": settings.replay_marks_topic,
    }
    row = next(line for line in OPERATIONS_PAGE.splitlines() if line.startswith(f"| {command} |"))
    _, _, topic_cell, group_cell, id_cell, _ = (cell.strip() for cell in row.split("|"))
    acls = []
    for part in filter(None, topic_cell.split(". ")):
        operations, _, resources = part.partition(": ")
        acls += [
            Acl("topic", topics[name], operation)
            for name in resources.split(", ")
            for operation in operations.split(", ")
        ]
    acls += [Acl("group", settings.group, operation) for operation in filter(None, group_cell.split(", "))]
    if id_cell:
        operation, _, text = id_cell.partition(": ")
        name = text.split("`")[1].replace("<group>", settings.group).replace("<dlq>", settings.dead_letter_topic)
        acls.append(Acl("transactional-id", name, operation, prefixed="prefix" in text))
    return acls


def with_described(acls: list[Acl]) -> set[Acl]:
    """These, and what they include."""
    return {*acls, *(acl._replace(operation="Describe") for acl in acls)}


def acl_of(permission: Permission) -> Acl:
    kind = permission.resource.value.replace(" ", "-")
    return Acl(kind, permission.name, permission.operation.value, permission.prefixed)


@pytest.mark.parametrize(
    ("command", "row", "changed"),
    [
        *((command, [f"`scorer {command}`"], {}) for command in NEEDS),
        ("run", ["`scorer run`", "… with `SCORER_CREATE_TOPICS=true`"], {"create_topics": "true"}),
        ("run", ["`scorer run`", "… with `SCORER_NULL_KEYS=rekey`"], {"null_keys": "rekey"}),
        ("run", ["`scorer run`", "… with `SCORER_SHADOW_RULES`"], {"shadow_rules": str(RULES)}),
        ("run", ["`scorer run`", "… with `SCORER_COMPANY_TOPIC`"], {"company_topic": "company.profile"}),
        ("run", ["`scorer run`", "… with `SCORER_SOURCES`"], {"sources": "crm.events:segment"}),
    ],
)
def test_the_documented_permissions_are_those_that_are_checked(
    cluster: Cluster, names: Names, command: str, row: list[str], changed: dict[str, str]
) -> None:
    settings = settings_of(cluster, names, **changed)
    needed = {acl_of(need) for need in NEEDS[command](settings) if need.required}
    assert with_described([acl for text in row for acl in documented(settings, text)]) == needed


def test_the_documented_permission_for_ticks_is_wanted_and_not_needed(cluster: Cluster, names: Names) -> None:
    settings = settings_of(cluster, names)
    wanted = {acl_of(need) for need in NEEDS["run"](settings) if not need.required}
    assert {acl for acl in wanted if acl.operation != "DescribeConfigs"} == set(documented(settings, TICKS))


def test_without_write_on_the_input_the_service_works_and_says_that_it_writes_no_ticks(
    cluster: Cluster, names: Names, tmp_path: Path
) -> None:
    settings = settings_of(cluster, names)
    create_topics(cluster, names)
    grant(cluster.admin.bootstrap, USER, documented(settings, "`scorer run`"))
    with service(cluster.admin, names, tmp_path, ready=True, tick_seconds="1", **cluster.login()) as running:
        cluster.admin.write(names.activity, [demo_request("lead-1")])
        assert cluster.admin.read(names.routing, 1)
        ready = running.wait(running.ready)
        text = f"User:{USER} may not Write to the topic {names.activity}: grant it with `kafka-acls"
        assert f"because {text}" in ready["ticks"]
        warned = [line["error"] for line in running.log() if line["event"] == "access_incomplete"]
        assert len(warned) == 1
        assert f"DescribeConfigs and Write to the topic {names.activity}" in warned[0]
        assert running.terminate() == 0
        assert not {"kafka_denies_access", "partition_reopened"} & {line["event"] for line in running.log()}
    assert len(cluster.admin.read(names.activity)) == 1


@full_size
def test_ticks_stop_and_begin_with_the_permission(cluster: Cluster, names: Names, tmp_path: Path) -> None:
    settings = settings_of(cluster, names)
    create_topics(cluster, names)
    write = documented(settings, TICKS)
    grant(cluster.admin.bootstrap, USER, [*documented(settings, "`scorer run`"), *write])
    with service(cluster.admin, names, tmp_path, ready=True, tick_seconds="1", **cluster.login()) as running:
        take_away(cluster.admin.bootstrap, USER, write)
        cluster.admin.write(names.activity, [demo_request("lead-1")])
        cluster.admin.read(names.routing, 1)
        running.wait(lambda: (running.ready() or {}).get("ticks"))
        cluster.admin.write(names.activity, [demo_request("lead-2")])
        cluster.admin.read(names.routing, 2)
        assert not any(is_tick(record.value) for record in cluster.admin.read(names.activity))
        grant(cluster.admin.bootstrap, USER, write)
        running.wait(lambda: any(is_tick(record.value) for record in cluster.admin.read(names.activity)))
        assert running.terminate() == 0
    decided = [(record.value or b"").count(b'"cause":"activity"') for record in cluster.admin.read(names.routing, 2)]
    assert sum(decided) == 2


@pytest.fixture(scope="module")
def worked(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Names:
    """Topics in which the service has worked with exactly the documented permissions: it has decided, written a dead
    letter, and continued after a restart."""
    names = Names(f"worked{os.getpid()}")
    folder = tmp_path_factory.mktemp("worked")
    create_topics(cluster, names)
    # Without a mark, nobody has to read the marks.
    cluster.admin.write(f"{names.dead_letters}.replayed", [Record(b"another/0/0", b"{}")])
    acls = documented(settings_of(cluster, names), "`scorer run`")
    grant(cluster.admin.bootstrap, USER, acls)
    for number in (1, 2):
        with service(cluster.admin, names, folder, ready=True, **cluster.login()) as running:
            wrong = [Record(lead, b"not JSON") for lead in (b"lead-0", b"lead-1")]
            cluster.admin.write(names.activity, [demo_request("lead-1"), *wrong])
            cluster.admin.read(names.dead_letters, 2 * number)
            assert running.terminate() == 0
            events = [line["event"] for line in running.log()]
            assert "access_incomplete" in events
            assert "topic_limits_unknown" in events
            assert not {"kafka_denies_access", "partition_reopened", "transaction_aborted"} & set(events)
    assert cluster.admin.read(names.routing, 1)
    take_away(cluster.admin.bootstrap, USER, acls)
    return names


def test_the_service_works_with_exactly_the_documented_permissions(worked: Names, cluster: Cluster) -> None:
    assert len(cluster.admin.read(worked.dead_letters, 4)) == 4


COMMANDS: Final = {
    "topics ensure": "topics ensure --replication-factor 1",
    "dlq list": "dlq list",
    "dlq replay": "dlq replay --reason not_json --yes",
    "dlq purge": "dlq purge --lead lead-1 --yes",
    "offsets show": "offsets show",
    "offsets reset": "offsets reset --to earliest --yes",
    "retention": "retention",
}


def without(needs: list[Permission], wanted: Permission) -> list[Acl]:
    """What a command needs, except one operation. What includes it is not granted either, or it is denied."""
    acls = [acl_of(need) for need in needs if need != wanted]
    # Read and Write include Describe, so it is missing only if it is denied.
    return [*acls, acl_of(wanted)._replace(deny=True)] if wanted.operation == "Describe" else acls


def needs_of(command: str, **changed: str) -> list[Permission]:
    """With names that the parameters of a test can have."""
    names = {"activity_topic": "input", "group": "group"}
    settings = load_settings(None, rules=RULES, bootstrap_servers="b:1", **names, **changed)
    return [need for need in NEEDS[command](settings) if need.required]


def cases(*commands: str) -> list[Any]:
    """Each permission that they need. Create is left out: the topics exist, and the test of missing ones has it."""
    return [
        pytest.param(command, number, id=f"{command}-{need.operation.value}-{need.resource.value}-{need.name}")
        for command in commands
        for number, need in enumerate(needs_of(command))
        if need.operation != "Create"
    ]


ROWS: Final[dict[str, dict[str, str]]] = {
    "run": {},
    "run with SCORER_NULL_KEYS": {"null_keys": "rekey"},
    "run with SCORER_SHADOW_RULES": {"shadow_rules": str(RULES)},
    "run with SCORER_CREATE_TOPICS": {"create_topics": "true"},
}
"""The rows of `scorer run` in the table, with the settings that make them."""


def run_cases() -> list[Any]:
    """Each permission of each row, once. With SCORER_CREATE_TOPICS the topics do not exist, and each is refused in the
    same way: one of them stands for the others, except in the full size."""
    found = []
    for row, changed in ROWS.items():
        creating = "create_topics" in changed
        known = set() if not changed else set(needs_of("run"))
        added = [(number, need) for number, need in enumerate(needs_of("run", **changed)) if need not in known]
        for number, need in added:
            full = creating and (number, need) != added[0]
            marks = [pytest.mark.skipif(full and not FULL_CLUSTER, reason="SCORER_FAULT_CLUSTER=full runs it")]
            name = f"{row}-{need.operation.value}-{need.resource.value}-{need.name}"
            starts = FULL_CLUSTER or (number, need) == added[0]
            found.append(pytest.param(changed, number, starts, id=name, marks=marks))
    return found


@pytest.mark.parametrize(("changed", "number", "starts"), run_cases())
def test_the_service_names_the_permission_that_is_missing_at_its_start(
    cluster: Cluster, names: Names, tmp_path: Path, changed: dict[str, str], number: int, starts: bool
) -> None:
    """`starts`: by a process of the service; otherwise by what it asks first, in this process."""
    settings = settings_of(cluster, names, **changed)
    needs = [need for need in NEEDS["run"](settings) if need.required]
    wanted = needs[number]
    if "create_topics" not in changed:
        create_topics(cluster, names)
    if "shadow_rules" in changed:
        cluster.admin.create({settings.shadow_topic: 1})
    grant(cluster.admin.bootstrap, USER, without(needs, wanted))
    if not starts:
        with pytest.raises(DeniedError) as denied:
            asyncio.run(require(settings))
        assert_names(str(denied.value), wanted)
        return
    with service(cluster.admin, names, tmp_path, ready=False, **{**cluster.login(), **changed}) as running:
        assert running.process.wait(DEADLINE) == 1
        lines = [line for line in running.log() if line["level"] in ("warning", "error")]
    assert [line["event"] for line in lines] == ["kafka_denies_access"], running.text()
    assert_names(lines[0]["error"], wanted)


@pytest.mark.parametrize(("command", "number"), cases(*COMMANDS))
def test_a_command_names_the_permission_that_is_missing(
    worked: Names, cluster: Cluster, command: str, number: int
) -> None:
    settings = settings_of(cluster, worked)
    needs = [need for need in NEEDS[command](settings) if need.required]
    wanted = needs[number]
    acls = without(needs, wanted)
    grant(cluster.admin.bootstrap, USER, acls)
    try:
        done = run_command(COMMANDS[command], worked, cluster.login())
    finally:
        take_away(cluster.admin.bootstrap, USER, acls)
    assert done.status == 1, done
    assert_names(f"{done.output}{done.errors}", wanted)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_works_with_exactly_the_documented_permissions(worked: Names, cluster: Cluster, command: str) -> None:
    acls = documented(settings_of(cluster, worked), f"`scorer {command}`")
    grant(cluster.admin.bootstrap, USER, acls)
    try:
        done = run_command(COMMANDS[command], worked, cluster.login())
        checked = run_command(f"topics check-access --for '{command}'", worked, cluster.login())
    finally:
        take_away(cluster.admin.bootstrap, USER, acls)
    assert done.status == 0, done
    assert [line for line in done.errors.splitlines() if '"log": "audit"' not in line] == []
    assert checked.status == 0, checked
    assert " denied\n" not in checked.output


READERS: Final = {
    "topics dump": "topics dump",
    "score": "score --topic {}",
    "backtest": "backtest --workers 1 --topic {}",
    "report": "report --workers 1 --topic {}",
    "explain": "explain lead-1 --topic {}",
}
"""They report the records that are no activities, so their exit status says more than success."""


@pytest.mark.parametrize("command", READERS)
def test_a_command_that_reads_the_input_works_with_exactly_the_documented_permissions(
    worked: Names, cluster: Cluster, command: str
) -> None:
    acls = documented(settings_of(cluster, worked), f"`scorer {command}`")
    line = READERS[command].format(worked.activity)
    grant(cluster.admin.bootstrap, USER, acls)
    try:
        done = run_command(line, worked, cluster.login())
    finally:
        take_away(cluster.admin.bootstrap, USER, acls)
    assert done.status == (0 if command in ("backtest", "report") else 3), done
    assert "lead-1" in done.output or "activities" in done.output
    denied = run_command(line, worked, cluster.login())
    assert denied.status == 1, denied
    assert f"User:{USER} may not" in denied.errors
    assert f"--topic {worked.activity}" in denied.errors


def assert_names(text: str, wanted: Permission) -> None:
    """The text says what is missing, of which resource, and how to grant it."""
    kind = "transactional ids" if wanted.prefixed else wanted.resource.value
    name = f"{wanted.name}*" if wanted.prefixed else wanted.name
    assert re.search(
        rf"User:{USER} may not [^`]*{wanted.operation.value}( to| and [^`]*)? the {kind} {re.escape(name)}", text
    )
    assert f"--operation {wanted.operation.value}" in text
    option = {Resource.TOPIC: "--topic", Resource.GROUP: "--group"}.get(wanted.resource, "--transactional-id")
    assert f"{option} {wanted.name}" in text


# --- the table of what is allowed


def known_to(cluster: Cluster) -> tuple[list[str], list[tuple[str, str]]]:
    """The topics and groups of the cluster, and the transactional ids."""

    async def work() -> tuple[list[str], list[tuple[str, str]]]:
        admin = AIOKafkaAdminClient(bootstrap_servers=cluster.admin.bootstrap)
        await admin.start()
        try:
            topics = sorted(await admin.list_topics())
            return topics, sorted((str(group[0]), str(group[1])) for group in await admin.list_consumer_groups())
        finally:
            await admin.close()

    return asyncio.run(work())


def records_of(cluster: Cluster, topic: str) -> int:
    return len(cluster.admin.read(topic))


def test_the_check_shows_every_permission_and_changes_nothing(worked: Names, cluster: Cluster) -> None:
    # The coordinators exist by now, and with them their topics.
    settings = settings_of(cluster, worked)
    before = known_to(cluster), records_of(cluster, "__transaction_state")
    denied = run_command("topics check-access", worked, cluster.login())
    acls = documented(settings, "`scorer run`")
    grant(cluster.admin.bootstrap, USER, acls)
    try:
        allowed = run_command("topics check-access", worked, cluster.login())
    finally:
        take_away(cluster.admin.bootstrap, USER, acls)
    assert (known_to(cluster), records_of(cluster, "__transaction_state")) == before
    assert (denied.status, allowed.status) == (1, 0)
    head, *rows = [re.split(r"\s{2,}", line.strip()) for line in denied.output.splitlines()]
    assert head == ["resource", "name", "operation", "result", "grant it with"]
    needs = NEEDS["run"](settings)
    assert [(row[0], row[1].removesuffix("*"), row[2]) for row in rows] == [
        (need.resource.value, need.name, need.operation.value) for need in needs
    ]
    results = ["denied" if need.required else "denied (not required)" for need in needs]
    assert [row[3] for row in rows] == results
    assert [row[4] for row in rows] == [grant_command(settings, need) for need in needs]
    allowed_rows = [re.split(r"\s{2,}", line.strip()) for line in allowed.output.splitlines()[1:]]
    assert [row[3] for row in allowed_rows] == [
        "allowed" if need.required else "denied (not required)" for need in needs
    ]


def granted_by(command: str) -> Acl:
    """What a `kafka-acls` command grants, as its documentation says."""
    words = shlex.split(command)
    options = dict(itertools.pairwise(words))
    assert words[0] == "kafka-acls"
    assert "--add" in words
    assert options["--allow-principal"] == f"User:{USER}"
    (kind,) = {"--topic", "--group", "--transactional-id"} & set(words)
    prefixed = options.get("--resource-pattern-type", "literal") == "prefixed"
    return Acl(kind.removeprefix("--"), options[kind], options["--operation"], prefixed)


@pytest.mark.parametrize("command", NEEDS)
def test_the_commands_that_it_prints_grant_what_is_missing(cluster: Cluster, names: Names, command: str) -> None:
    create_topics(cluster, names)
    check = f"topics check-access --for '{command}'"
    denied = run_command(check, names, cluster.login()).output.splitlines()[1:]
    acls = [granted_by(re.split(r"\s{2,}", line.strip())[4]) for line in denied]
    grant(cluster.admin.bootstrap, USER, acls)
    allowed = run_command(check, names, cluster.login()).output.splitlines()[1:]
    assert {re.split(r"\s{2,}", line.strip())[3] for line in allowed} == {"allowed"}
    assert len(allowed) == len(denied) == len(NEEDS[command](settings_of(cluster, names)))


def test_topics_that_exist_need_not_be_created(cluster: Cluster, names: Names) -> None:
    settings = settings_of(cluster, names, create_topics="true")
    create_topics(cluster, names)
    creating = documented(settings, "… with `SCORER_CREATE_TOPICS=true`")
    acls = [*documented(settings, "`scorer run`"), *(acl for acl in creating if acl.operation != "Create")]
    grant(cluster.admin.bootstrap, USER, acls)
    assert {need.operation for need in asyncio.run(require(settings))} == {"DescribeConfigs", "Write"}
    assert set(asyncio.run(ensure_topics(settings))) >= {names.activity, names.routing, names.dead_letters, names.state}


def test_missing_topics_are_told_from_those_that_may_not_be_described(cluster: Cluster, names: Names) -> None:
    settings = settings_of(cluster, names)
    topics = (names.activity, names.routing, names.dead_letters, names.state, f"{names.dead_letters}.replayed")
    hidden, missing, *_ = topics
    acls = [Acl("topic", topic, "Describe") for topic in topics if topic != hidden]
    cluster.admin.create({hidden: 1})
    grant(cluster.admin.bootstrap, USER, acls)
    try:
        ensured = run_command("topics ensure", names, cluster.login())
        reset = run_command("offsets show", names, cluster.login())
        with pytest.raises(DeniedError) as denied:
            asyncio.run(ensure_topics(settings))
        take_away(cluster.admin.bootstrap, USER, acls)
        acls = [Acl("topic", topic, "Describe") for topic in topics]
        grant(cluster.admin.bootstrap, USER, acls)
        with pytest.raises(TopicError) as absent:
            asyncio.run(ensure_topics(settings))
    finally:
        take_away(cluster.admin.bootstrap, USER, acls)
    assert ensured.status == 1
    lines = {line.split()[1]: line for line in ensured.output.splitlines()}
    assert f"User:{USER} may not Describe the topic {hidden}: grant it with `kafka-acls" in lines[hidden]
    assert f"could not be created: User:{USER} may not Create the topic {missing}: grant it" in lines[missing]
    # It could have another number of partitions than an input that nobody sees.
    assert f"was not created: it needs as many partitions as the input {hidden}" in lines[names.state]
    assert f"Read the topic {hidden}" in reset.errors
    assert "does not exist" not in reset.errors
    assert f"may not Describe the topic {hidden}" in str(denied.value)
    assert f"the topic {missing} (SCORER_ROUTING_TOPIC) does not exist" in str(absent.value)


# --- a permission that is taken away while the service runs


class Taken(NamedTuple):
    """The documented permission that is taken away, and what stays of it."""

    acl: Acl
    stays: Acl | None
    says: str


def taken(settings: Settings) -> dict[str, Taken]:
    routing = Acl("topic", settings.routing_topic, "Write")
    state = Acl("topic", settings.state_topic, "Write")
    source = Acl("topic", settings.activity_topic, "Read")
    group = Acl("group", settings.group, "Read")
    crm = Acl("topic", next(iter(settings.source_topics), ""), "Read")
    ids = Acl("transactional-id", f"{settings.group}-", "Write", prefixed=True)
    return {
        "routing": Taken(
            routing, routing._replace(operation="Describe"), f"Write to the topic {settings.routing_topic}"
        ),
        "state": Taken(state, None, f"Write to the topic {settings.state_topic}"),
        "input": Taken(source, source._replace(operation="Describe"), f"Read the topic {settings.activity_topic}"),
        "input, hidden": Taken(source, None, f"Describe and Read the topic {settings.activity_topic}"),
        "other sender": Taken(crm, crm._replace(operation="Describe"), f"Read the topic {crm.name}"),
        "other sender, hidden": Taken(crm, None, f"Describe and Read the topic {crm.name}"),
        "group": Taken(group, group._replace(operation="Describe"), f"Read the group {settings.group}"),
        "transactional ids": Taken(ids, None, f"Write to the transactional ids {settings.group}-*"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "routing",
        pytest.param("state", marks=full_size),
        pytest.param("input", marks=full_size),
        "input, hidden",
        "other sender",
        "other sender, hidden",
        pytest.param("group, idle", marks=full_size),
        "group",
        "transactional ids",
    ],
)
def test_a_permission_that_is_taken_away_later_makes_the_service_wait(
    cluster: Cluster, names: Names, tmp_path: Path, case: str
) -> None:
    create_topics(cluster, names)
    topic, sources, rows = names.activity, {}, ["`scorer run`"]
    if case.startswith("other sender"):
        topic = f"{names.prefix}.crm"
        cluster.admin.create({topic: 1})
        sources = {"sources": f"{topic}:cloudevents"}
        rows.append("… with `SCORER_SOURCES`")
    settings = settings_of(cluster, names, **sources)
    acls = [acl for row in rows for acl in documented(settings, row)]
    missing = taken(settings)[case.removesuffix(", idle")]
    grant(cluster.admin.bootstrap, USER, acls)
    with service(cluster.admin, names, tmp_path, ready=True, **cluster.login(), **sources) as running:
        cluster.admin.write(topic, [demo_request("lead-1")])
        cluster.admin.read(names.routing, 1)
        if missing.stays is not None:
            grant(cluster.admin.bootstrap, USER, [missing.stays])
        take_away(cluster.admin.bootstrap, USER, [missing.acl])
        if not case.endswith("idle"):
            cluster.admin.write(topic, [demo_request("lead-2")])
        status, body = running.wait(lambda: unready(running))
        details = json.loads(body)
        assert status == 503
        assert details["status"] == "access denied"
        assert missing.says in running.wait(lambda: denied_lines(running))[0]["error"]
        grant(cluster.admin.bootstrap, USER, [missing.acl])
        if case.endswith("idle"):
            running.wait(running.ready)
            cluster.admin.write(names.activity, [demo_request("lead-2")])
        assert {record.key for record in cluster.admin.read(names.routing, 2)} == {b"lead-1", b"lead-2"}
        running.wait(running.ready)
        running.wait(lambda: [line for line in running.log() if line["event"] == "kafka_allows_access"])
        assert len(denied_lines(running)) <= 2, running.text()
        assert sum(line["event"] == "partition_reopened" for line in running.log()) <= 3, running.text()
        assert running.terminate() == 0


def unready(running: Service) -> tuple[int, str] | None:
    status, body = running.get("/health/ready")
    return (status, body) if status == 503 and "access" in json.loads(body) else None


def denied_lines(running: Service) -> list[dict[str, Any]]:
    return [line for line in running.log() if line["event"] == "kafka_denies_access"]
