"""Every command of `scorer` that a page shows with its arguments works as shown, on a broker with leads and dead
letters.

`tests/contract/test_page_commands.py` finds the commands. Names of examples stand for files and leads of this test.
`scorer run` and `scorer demo` have tests of their own. `tests/deploy` goes through the procedures and the tutorial step
by step."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from typer.testing import CliRunner

from scorer.cli import app
from scorer.cli.common import ExitStatus
from scorer.demo.broker import EmbeddedBroker
from tests.contract.test_page_commands import COMMANDS
from tests.integration.activities import START, event, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import ROOT, RULES, Service, service

EXAMPLE: Final = ROOT / "docs" / "example.jsonl"
LEAD: Final = "L-1042"
PARTITIONS: Final = 6
WITH_TESTS_OF_THEIR_OWN: Final = ("run", "demo")
STAND_FOR: Final = {
    **dict.fromkeys(("RULES", "DIR", "OLD", "/etc/scorer/rules"), str(RULES)),
    **dict.fromkeys(("F", "activities.jsonl", "week.jsonl"), str(EXAMPLE)),
    **dict.fromkeys(("LEAD_ID", "ID"), LEAD),
    "FILE": str(ROOT / "docs" / "segment.jsonl"),
    "NAME": "activity",
    "N": "0",
    "P": "0",
}
NEW_RULES: Final = ("NEW", "/tmp/next", "/tmp/new", "/etc/scorer/shadow", ".cache/new", ".cache/mine")
WRITTEN: Final = ("report.html", "rule-tests.xml", "decisions.jsonl", "dump.jsonl")
COMPLETE_ALONE: Final = (("dlq", "list"), ("offsets", "show"), ("topics", "ensure"))
OTHER_STATUS: Final = {
    # They are for topics that are not there yet; here they report that the topics are others.
    ("topics", "ensure", "--partitions", "12"): ExitStatus.FINDINGS,
    ("topics", "ensure", "--partitions", "12", "--replication-factor", "3"): ExitStatus.FINDINGS,
    # The topic has records that are no activities.
    ("score", "--topic", "lead.activity", "--output", "decisions.jsonl"): ExitStatus.REJECTED,
    ("topics", "dump", "--output", "dump.jsonl"): ExitStatus.REJECTED,
    # It asks, and without a terminal it refuses.
    ("dlq", "purge", "--lead", "lead-7"): ExitStatus.USAGE,
}
SERVICE: Final = ("URL", "http://127.0.0.1:8090")


class World(NamedTuple):
    """A broker, a service that has read its input, and a changed copy of its rules."""

    broker: Kafka
    service: Service
    new_rules: Path
    folder: Path

    def stop(self) -> None:
        """End the service, for commands that want the group to be empty."""
        if self.service.process.poll() is None:
            assert self.service.terminate() == 0, self.service.text()


def is_complete(words: tuple[str, ...]) -> bool:
    """Whether the arguments are there; a page may also just name a command, or an option of it."""
    arguments = [word for word in words if not word.isalpha() or word.isupper()]
    return words in COMPLETE_ALONE or (len(arguments) > 0 and words[-1] != "--against")


def needs_an_empty_group(words: Sequence[str]) -> bool:
    return tuple(words[:2]) == ("offsets", "reset")


RUN: Final = sorted(
    {
        shown.words[1:]
        for shown in COMMANDS
        if shown.words[0] == "scorer" and shown.words[1] not in WITH_TESTS_OF_THEIR_OWN and is_complete(shown.words[1:])
        # Tokens and certificates are in tests/security/test_api_access.py.
        if "--token-file" not in shown.words
    },
    key=lambda words: (needs_an_empty_group(words), words),
)


class DefaultNames(Names):
    """The names of topics and group that the service has by default, because the pages use them."""

    activity = "lead.activity"
    routing = "lead.routing"
    dead_letters = "lead.activity.dlq"
    state = "lead-scorer.lead-state"
    group = "lead-scorer"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("pages")
    new_rules = folder / "new"
    shutil.copytree(RULES, new_rules)
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as broker:
        kafka = Kafka(broker.bootstrap)
        names = DefaultNames("")
        kafka.create({names.activity: PARTITIONS})
        example = [Record(LEAD.encode(), line.encode()) for line in EXAMPLE.read_text().splitlines()]
        others = [
            structured(event(f"L-{number % 200}", number, "lead.page_viewed", {"url": "/pricing"}, START))
            for number in range(PARTITIONS * 200)
        ]
        broken = [Record(b"lead-7", b"{"), Record(None, example[0].value)] * 3
        kafka.write(names.activity, [*example, *others, *broken])
        with service(kafka, names, folder, topic_partitions=str(PARTITIONS), api_port="0") as running:
            running.wait(lambda: running.metric('scorer_dead_letters_total{reason="null_key"}') == 3)
            running.wait(lambda: sum_of_lag(running) == 0)
            yield World(kafka, running, new_rules, folder)


def sum_of_lag(running: Service) -> float:
    return sum(running.metric(f'scorer_consumer_lag_records{{partition="{number}"}}') for number in range(PARTITIONS))


@pytest.mark.parametrize("words", RUN, ids=" ".join)
def test_it_works_as_shown(words: tuple[str, ...], world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    if needs_an_empty_group(words):
        world.stop()
    monkeypatch.chdir(ROOT)
    for name in [name for name in os.environ if name.startswith("SCORER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SCORER_BOOTSTRAP_SERVERS", world.broker.bootstrap)
    stand_for = {
        **STAND_FOR,
        **dict.fromkeys(NEW_RULES, str(world.new_rules)),
        **dict.fromkeys(SERVICE, world.service.api_address),
        **{name: str(world.folder / name) for name in WRITTEN},
    }
    result = CliRunner().invoke(app, [stand_for.get(word, word) for word in words])
    assert result.exit_code == OTHER_STATUS.get(words, ExitStatus.OK), result.output


def test_most_commands_of_the_pages_are_run() -> None:
    assert len(RUN) > 50
