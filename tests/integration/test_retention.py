"""A lead whose retention has ended is gone from the service and from its changelog, as `scorer retention` said."""

import json
import os
from functools import partial
from pathlib import Path

from typer.testing import CliRunner

from scorer.cli import app
from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.sources.cloudevents import parse_record
from tests.factory import evaluator, ruleset_folder
from tests.integration.activities import START, event, structured
from tests.integration.kafka import Kafka, Names
from tests.integration.service import Service, service
from tests.unit.test_reviews import TEXT

RULES = f"{TEXT}retention: {{inactive: 60d, after_erasure: 7d}}\n"


def deleted(running: Service, reason: str, count: int) -> bool:
    """Whether so many leads were deleted for this reason."""
    return running.metric(f'scorer_leads_deleted_total{{reason="{reason}"}}') == count


def planned(kafka: Kafka, names: Names, *args: str) -> list[str]:
    """The lines that `scorer retention` prints."""
    given: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("SCORER_"))
    given |= {"SCORER_BOOTSTRAP_SERVERS": kafka.bootstrap, **names.environment}
    done = CliRunner().invoke(app, ["retention", *args], env=given, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout.splitlines()


def test_deleted_leads_are_gone_everywhere_and_come_back_as_new_ones(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    rules = str(ruleset_folder(tmp_path / "rules", RULES))
    kafka.create({names.activity: 1})
    silent = [structured(event(f"lead-{number}", 1, "lead.trial_started", {}, START)) for number in range(5)]
    erased = structured(event("erased", 1, "lead.erased", {}, START + DAY))
    with service(kafka, names, tmp_path, rules=rules) as running:
        kafka.write(names.activity, [*silent, erased])
        kafka.read(names.routing, at_least=6)
        assert running.terminate() == 0

    lines = planned(kafka, names, "--rules", rules, "--list", "now")
    assert [line.split()[1:] for line in lines[1:6]] == [["5", "1"]] * 5
    assert lines[6] == "6 known"
    assert sorted(line.split()[1:] for line in lines[8:]) == [
        ["erased", "erased"],
        *(["inactive", f"lead-{number}"] for number in range(5)),
    ]

    with service(kafka, names, tmp_path, rules=rules, tick_seconds="1", api_port="0") as running:
        for reason, count in (("inactive", 5), ("erased", 1)):
            running.wait(partial(deleted, running, reason, count))
        assert running.get("/leads/lead-0", running.api_address)[0] == 404
        assert running.get("/leads/erased", running.api_address)[0] == 404
        assert running.terminate() == 0
    last = {record.key: record.value for record in kafka.read(names.state)}
    assert {last[f"lead-{number}".encode()] for number in range(5)} | {last[b"erased"]} == {None}
    judge = evaluator(RULES)
    record = silent[0]
    first = judge.assess(Lead("lead-0"), parse_record(record.value, record.key, (), START))
    decided = [*first.decisions, *judge.catch_up(first.lead, START + 60 * DAY).decisions]
    found = [each.value for each in kafka.read(names.routing) if each.key == b"lead-0"]
    assert found == [decision.to_json() for decision in decided]
    assert len(found) > 1

    with service(kafka, names, tmp_path, rules=rules, api_port="0") as running:
        opened = [line for line in running.log() if line["event"] == "partition_running"]
        assert [line["leads"] for line in opened] == [0]
        assert running.get("/leads/lead-0", running.api_address)[0] == 404
        before = len(kafka.read(names.routing))
        kafka.write(names.activity, silent[:1])
        again = kafka.read(names.routing, at_least=before + 1)[-1]
        assert again.key == b"lead-0"
        assert json.loads(again.value or b"")["previous"] is None
        assert running.terminate() == 0
    assert kafka.read(names.dead_letters) == []
