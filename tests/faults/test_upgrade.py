"""From earlier versions to the present one, worker by worker under load, and back as documented: stop all, then start
the old ones. Workers are killed in their transactions meanwhile."""

import io
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Final

import psutil
import pytest

from scorer.domain.instant import DAY
from scorer.sources.tick import is_tick
from tests.faults.cooling import COOLING_RULES, TICKING, create_topics
from tests.faults.crew import Crew
from tests.faults.group import wait_until_processed
from tests.faults.load import Load
from tests.faults.oracle import OldRelease, check_exactly_once, history, wait_until_closed, wait_until_reviewed
from tests.faults.sizes import FULL_CLUSTER, randomness
from tests.faults.writer import Writer
from tests.integration.activities import event, structured
from tests.integration.kafka import Kafka, Names
from tests.integration.service import ROOT, Service

pytestmark = [pytest.mark.apache, pytest.mark.timeout(600)]

OLD_COMMITS: Final = {
    "one producer for each partition": "65b0fbb",
    "one producer for each worker": "183d73c",
}
"""The second is from before the work on deployment."""
NEW: Final = str(ROOT)
WORKERS: Final = 3 if FULL_CLUSTER else 2
PARTITIONS: Final = 6
PER_SECOND: Final = 50
HANG_SECONDS: Final = 180.0
WAIT_SECONDS: Final = 20
"""The time-out of a transaction, ten seconds until the broker notices it, and some to complete it."""


@pytest.fixture(
    scope="module", params=list(OLD_COMMITS.values())[: None if FULL_CLUSTER else 1], ids=lambda commit: str(commit)
)
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the project as it was."""
    commit: str = request.param
    command = ["git", "archive", "--format=tar", commit]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this repository does not have {commit} (a shallow clone?): {done.stderr.decode().strip()}")
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    command = [sys.executable, "-c", "import scorer; print(scorer.__file__)"]
    found = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, check=True)
    assert found.stdout.decode().strip() == str(folder / "scorer" / "__init__.py")
    return str(folder)


def earlier_rules(folder: Path) -> Path:
    """The rules without what the old version does not know: promises that are escalated, and business time."""
    folder.mkdir()
    for path in COOLING_RULES.glob("*.yaml"):
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.strip().startswith(("escalate:", "calendar:"))]
        (folder / path.name).write_text("".join(kept))
    return folder


class Fleet(Crew):
    """Workers of which each runs the code of one version. Leads cool by their rules within seconds, which the old
    version does not notice."""

    def __init__(self, kafka: Kafka, names: Names, folder: Path) -> None:
        self.rules = earlier_rules(folder / "rules")
        super().__init__(
            kafka,
            names,
            folder,
            0,
            topic_partitions=str(PARTITIONS),
            transaction_timeout_ms="10000",
            max_records="50",
            rules=str(self.rules),
        )

    def join(self, code: str, **settings: str) -> Service:
        """A worker with that code, which is ready. One of the present version writes ticks."""
        if code == NEW:
            settings = {**TICKING, "rules": str(self.rules), **settings}
        worker = self.start(code=code, **settings)
        assert psutil.Process(worker.process.pid).cwd() == code
        if "fault_point" not in settings:
            worker.wait(worker.ready)
            self.workers.append(worker)
        return worker

    def dies_in_a_transaction(self, code: str) -> None:
        """One more worker with that code joins, and dies between what it sends and its commit."""
        worker = self.join(code, fault_point="offsets_sent:3:kill")
        assert worker.process.wait(HANG_SECONDS) == -9, worker.text()

    def leave(self, worker: Service) -> None:
        """It ends with SIGTERM."""
        self.check()
        self.workers.remove(worker)
        assert worker.terminate() == 0, worker.text()


def check(kafka: Kafka, names: Names, old: str, fleet: Fleet) -> None:
    """Each record was judged once, by the version whose worker had its partition. A tick is no dead letter for any."""
    with OldRelease(old, fleet.rules) as before:
        reached = wait_until_reviewed(kafka, names, fleet.workers, (), fleet.rules, HANG_SECONDS, before)
        fleet.finish(HANG_SECONDS)
        wait_until_closed(kafka, names)
        output = check_exactly_once(kafka, names, (), fleet.rules, reached, before)
        eras = history(kafka.read(names.state), mixed=True)
    ticks = sum(is_tick(record.value) for record in kafka.read(names.activity))
    assert not any(is_tick(letter.value) for letter in output.letters)
    assert {era.is_old for known in eras.values() for era in known} == {True, False}
    assert output.by_time > 0
    assert ticks > 0
    print(  # noqa: T201
        f"{sum(map(len, output.decisions.values()))} decisions, {output.by_time} of them by time, {ticks} ticks, "
        f"{output.letters.total()} dead letters, {sum(map(len, eras.values()))} eras"
    )


def test_worker_by_worker_to_the_present_version(apache_kafka: Kafka, names: Names, tmp_path: Path, old: str) -> None:
    create_topics(apache_kafka, names, PARTITIONS)
    with (
        Fleet(apache_kafka, names, tmp_path) as fleet,
        Writer(apache_kafka, names.activity, Load(randomness(), live=True), PER_SECOND) as writer,
    ):
        first, *others = [fleet.join(old) for _ in range(WORKERS)]
        fleet.leave(first)
        fleet.join(NEW)
        # What these leave open belongs to partitions that workers of both versions get.
        fleet.dies_in_a_transaction(old)
        fleet.dies_in_a_transaction(NEW)
        for worker in others:
            fleet.leave(worker)
            fleet.join(NEW)
        writer.await_more(2 * PER_SECOND)
        writer.stop()
        check(apache_kafka, names, old, fleet)


def test_the_first_batch_of_the_present_version_begins_with_an_activity_that_is_only_remembered(
    apache_kafka: Kafka, names: Names, tmp_path: Path, old: str
) -> None:
    """Its lead is not judged, so its state looks like one of the old version. The new one judged the whole batch."""
    create_topics(apache_kafka, names, 1)
    kind = "lead.profile_updated"
    first = structured(event("lead-1", 1, kind, {"country": "DE"}, 20_000 * DAY))
    outdated = structured(event("lead-1", 2, kind, {"country": "FR"}, 19_999 * DAY))
    second = structured(event("lead-2", 3, "lead.demo_requested", {}, 20_000 * DAY))
    with Fleet(apache_kafka, names, tmp_path) as fleet:
        worker = fleet.join(old)
        apache_kafka.write(names.activity, [first])
        wait_until_processed(apache_kafka, names, fleet.workers)
        fleet.leave(worker)
        apache_kafka.write(names.activity, [outdated, second])
        fleet.join(NEW)
        with OldRelease(old, fleet.rules) as before:
            reached = wait_until_reviewed(apache_kafka, names, fleet.workers, (), fleet.rules, HANG_SECONDS, before)
            fleet.finish(HANG_SECONDS)
            check_exactly_once(apache_kafka, names, (), fleet.rules, reached, before)


@pytest.mark.skipif(not FULL_CLUSTER, reason="only with SCORER_FAULT_CLUSTER=full")
def test_back_to_the_old_version_after_all_have_stopped(
    apache_kafka: Kafka, names: Names, tmp_path: Path, old: str
) -> None:
    create_topics(apache_kafka, names, PARTITIONS)
    with (
        Fleet(apache_kafka, names, tmp_path) as fleet,
        Writer(apache_kafka, names.activity, Load(randomness(), live=True), PER_SECOND) as writer,
    ):
        for worker in [fleet.join(NEW) for _ in range(WORKERS)]:
            if worker is fleet.workers[-1]:
                # It leaves a transaction open that no old worker knows how to end.
                fleet.dies_in_a_transaction(NEW)
            fleet.leave(worker)
        assert not fleet.workers
        # As CHANGELOG.md says: a commit counts for the old version only when the brokers have completed it.
        time.sleep(WAIT_SECONDS)
        for _ in range(WORKERS):
            fleet.join(old)
        writer.await_more(2 * PER_SECOND)
        writer.stop()
        check(apache_kafka, names, old, fleet)
