"""The procedures of docs/procedures.md, step by step, with the commands of the page.

The rebuild and the move to another cluster run with SCORER_TEST_DEPLOY=full only: the change of the number of
partitions does the same or much of it."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from aiokafka import AIOKafkaProducer

from scorer.demo.broker import EmbeddedBroker
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.runtime.settings import Settings
from scorer.sources.arrival import log_time_after
from scorer.state.store import LeadStore
from scorer.stream.offset_reset import survey
from tests.deploy.sizes import FULL
from tests.faults.oracle import Output, expected, state_differences
from tests.integration.activities import stream
from tests.integration.changelog import read_changelog
from tests.integration.kafka import Kafka
from tests.integration.service import ROOT, RULES, Service

PAGE: Final = (ROOT / "docs" / "procedures.md").read_text()
INPUT: Final = "lead.activity"
PARTITIONS: Final = 6
"""The number that the page names for the old cluster."""
SECONDS: Final = 120


def plain_environment() -> dict[str, str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
    return {**variables, "PYTHONPATH": str(ROOT)}


class Operator:
    """Follows a section of the page: `step` runs its next block of commands, in a shell whose variables last."""

    def __init__(self, section: str, bootstrap: str, new_bootstrap: str = "") -> None:
        text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        self._blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        assert self._blocks, section
        self._new = new_bootstrap
        self.variables = {"SCORER_BOOTSTRAP_SERVERS": bootstrap}

    @property
    def left(self) -> int:
        """The number of blocks that are not done yet."""
        return len(self._blocks)

    def step(self) -> list[str]:
        """What the commands of the next block print."""
        printed = []
        for line in self._blocks.pop(0).splitlines():
            first, *rest = shlex.split(line)
            if first == "export":
                name, _, value = rest[0].partition("=")
                self.variables[name] = self._new if name == "SCORER_BOOTSTRAP_SERVERS" else value
            elif first == "kafka-configs.sh":
                topic, setting = (rest[rest.index(option) + 1] for option in ("--entity-name", "--add-config"))
                name, _, value = setting.partition("=")
                Kafka(self.variables["SCORER_BOOTSTRAP_SERVERS"]).configure(topic, name, value)
            elif first == "unset":
                for name in rest:
                    del self.variables[name]
            else:
                command = {"scorer": [sys.executable, "-m", "scorer"], "python": [sys.executable]}[first]
                done = subprocess.run(
                    [*command, *rest],
                    cwd=ROOT,
                    env={**plain_environment(), **self.variables},
                    capture_output=True,
                    text=True,
                    timeout=SECONDS,
                    check=False,
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                printed.append(done.stdout)
        return printed

    @contextmanager
    def worker(self, folder: Path) -> Iterator[Service]:
        """A worker with the variables of the shell. On leaving it is ended with SIGTERM."""
        log = folder / f"worker-{len(list(folder.glob('worker-*')))}.log"
        # Ticks would give leads decisions that a worker which is stopped has not published yet.
        settings = {"SCORER_HTTP_PORT": "0", "SCORER_RULES": str(RULES), "SCORER_TICK_SECONDS": "0"}
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "scorer", "run"],
                cwd=ROOT,
                env={**plain_environment(), **settings, **self.variables},
                stdout=file,
                stderr=file,
            )
        running = Service(process, log)
        try:
            running.wait(running.ready)
            yield running
            running.wait(lambda: nothing_to_read(self.settings()))
            running.wait(lambda: running.metric("scorer_review_remaining") == 0)
            assert running.terminate() == 0, running.text()
        finally:
            process.kill()
            process.wait()

    def settings(self) -> Settings:
        """Those of the service with these variables."""
        names = {name.removeprefix("SCORER_").lower(): value for name, value in self.variables.items()}
        return Settings.model_validate({"rules": RULES, **names})


def nothing_to_read(settings: Settings) -> bool:
    """Whether the column `to read` of `scorer offsets show` is 0 everywhere."""
    logs = asyncio.run(survey(settings, frozenset()))
    return all(log.span.end - (log.span.first if log.offset is None else log.offset) == 0 for log in logs)


def decisions(kafka: Kafka, topic: str = "lead.routing") -> list[bytes]:
    return [record.value or b"" for record in kafka.read(topic)]


def states(settings: Settings, partitions: int) -> dict[str, Lead]:
    """The states in the changelog of a group. Fails if a lead has two."""

    async def read() -> dict[str, Lead]:
        leads: dict[str, Lead] = {}
        for partition in range(partitions):
            store = LeadStore()
            await read_changelog(settings, partition, store)
            for lead in store.leads():
                assert lead.id not in leads, f"{lead.id} has a state in two partitions"
                leads[lead.id] = lead
        return leads

    return asyncio.run(read())


def mirror(old: Kafka, new: Kafka, *topics: str) -> None:
    """What MirrorMaker 2 does: committed records, with their partitions, keys, headers and timestamps."""

    records = [record for topic in topics for record in old.read(topic)]

    async def write() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=new.bootstrap)
        await producer.start()
        sent = [
            await producer.send(
                record.topic,
                record.value,
                key=record.key,
                headers=list(record.headers),
                partition=record.partition,
                timestamp_ms=record.timestamp,
            )
            for record in records
        ]
        await asyncio.gather(*sent)
        await producer.stop()

    asyncio.run(write())


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka]:
    """A broker of its own, because the page has the usual names of topics."""
    with EmbeddedBroker(tmp_path / "broker") as broker:
        yield Kafka(broker.bootstrap)


def worked(kafka: Kafka, folder: Path) -> None:
    """Topics, and a service that has processed its input and is stopped."""
    before = Operator("Moving to another cluster", kafka.bootstrap)
    kafka.create({INPUT: PARTITIONS, "lead.routing": PARTITIONS, "lead.activity.dlq": 1})
    kafka.create({"lead-scorer.lead-state": PARTITIONS}, {"cleanup.policy": "compact"})
    kafka.write(INPUT, stream(300, 20, seed=1))
    with before.worker(folder):
        pass
    assert decisions(kafka)


def expected_by_now(kafka: Kafka, topic: str) -> Output:
    """What the input leads to, with the reviews that are due by the time of the log at its end."""
    records = kafka.read(topic)
    output = expected(records)
    evaluator = Evaluator(load_ruleset(RULES), default_engine("compiled"))
    times: dict[int, int | None] = {}
    partitions: dict[str, int] = {}
    for record in sorted(records, key=lambda record: record.offset):
        times[record.partition] = log_time_after(times.get(record.partition), record)
        partitions[(record.key or b"").decode(errors="replace")] = record.partition
    for lead_id, lead in output.states.items():
        log_time = times[partitions[lead_id]]
        if log_time is not None:
            done = evaluator.catch_up(lead, log_time)
            output.states[lead_id] = done.lead
            output.decisions.setdefault(lead_id, []).extend(decision.to_json() for decision in done.decisions)
    return output


def check(operator: Operator, kafka: Kafka, partitions: int) -> None:
    """The states are those that the input leads to, and each lead has one."""
    settings = operator.settings()
    wanted = expected_by_now(kafka, settings.activity_topic).states
    assert len(wanted) > 10
    assert state_differences(wanted, states(settings, partitions)) == []


def test_the_number_of_partitions(kafka: Kafka, tmp_path: Path) -> None:
    worked(kafka, tmp_path)
    old = Operator("Moving to another cluster", kafka.bootstrap)
    operator = Operator("Changing the number of partitions", kafka.bootstrap)
    before = Counter(decisions(kafka))
    operator.step()
    operator.step()
    operator.step()
    with operator.worker(tmp_path):
        operator.step()
        # Senders went on, and so did the old worker.
        kafka.write(INPUT, stream(60, 20, seed=2))
        with old.worker(tmp_path):
            pass
        copied, _ = operator.step()
        assert re.match(r"\d+ records copied", copied)
    published = Counter(decisions(kafka))
    assert published > before
    operator.step()
    assert operator.left == 0
    # The usual topic has what the old group decided. The new one goes on from there and repeats nothing.
    with operator.worker(tmp_path):
        pass
    assert Counter(decisions(kafka)) == published
    kafka.write(operator.settings().activity_topic, stream(60, 20, seed=3))
    with operator.worker(tmp_path):
        pass
    check(operator, kafka, 12)
    wanted = expected_by_now(kafka, operator.settings().activity_topic).decisions
    got = Counter(decisions(kafka, "lead.routing.rebuild")) + (Counter(decisions(kafka)) - published)
    assert got == Counter(value for values in wanted.values() for value in values)


@pytest.mark.skipif(not FULL, reason="only with SCORER_TEST_DEPLOY=full")
def test_another_cluster(kafka: Kafka, tmp_path: Path) -> None:
    worked(kafka, tmp_path)
    with EmbeddedBroker(tmp_path / "other") as broker:
        new = Kafka(broker.bootstrap)
        operator = Operator("Moving to another cluster", kafka.bootstrap, broker.bootstrap)
        (made,) = operator.step()
        assert made.count("created ") >= 4
        operator.step()
        mirror(kafka, new, INPUT, "lead-scorer.lead-state")
        operator.step()
        assert operator.left == 0
        with operator.worker(tmp_path):
            pass
        assert decisions(new) == [], "what was decided in the old cluster is decided"
        new.write(INPUT, stream(60, 20, seed=3))
        with operator.worker(tmp_path):
            pass
        assert decisions(new)
        check(operator, new, PARTITIONS)


@pytest.mark.skipif(not FULL, reason="only with SCORER_TEST_DEPLOY=full")
def test_rebuilding_everything(kafka: Kafka, tmp_path: Path) -> None:
    worked(kafka, tmp_path)
    operator = Operator("Rebuilding everything from the activities", kafka.bootstrap)
    before = decisions(kafka)
    operator.step()
    with operator.worker(tmp_path):
        operator.step()
    assert sorted(decisions(kafka, "lead.routing.rebuild")) == sorted(before)
    operator.step()
    assert operator.left == 0
    kafka.write(INPUT, stream(60, 20, seed=3))
    with operator.worker(tmp_path):
        pass
    check(operator, kafka, PARTITIONS)
    wanted = expected_by_now(kafka, INPUT).decisions
    assert sorted(decisions(kafka)) == sorted(value for values in wanted.values() for value in values)


def test_the_copy_says_what_is_wrong(kafka: Kafka) -> None:
    command = [sys.executable, "deploy/tools/copy_topic.py"]
    variables = {**plain_environment(), "SCORER_BOOTSTRAP_SERVERS": kafka.bootstrap}
    for arguments, status, says in (
        ([INPUT], 2, "usage: "),
        ([INPUT, INPUT], 2, "usage: "),
        (["no.topic", "no.other"], 1, "error: no.topic was not copied to its end: there is no topic no.topic"),
    ):
        done = subprocess.run(
            [*command, *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (status, "")
        assert done.stderr.startswith(says)
