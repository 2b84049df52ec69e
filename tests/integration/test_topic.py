"""`--topic`: the offline commands say about a topic what the service publishes."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from shutil import copytree
from typing import Any, Final

from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from scorer.cli import app
from scorer.domain.instant import DAY, HOUR, MILLISECOND, SECOND, from_datetime, to_text
from scorer.sources.tick import tick
from tests.integration.activities import event, stream, structured
from tests.integration.kafka import ANY_TIME, Kafka, Names, Record
from tests.integration.service import RULES, service

BY_SENDERS: Final = {"message.timestamp.type": "CreateTime", "retention.ms": "-1", **ANY_TIME}
BY_THE_BROKER: Final = {"message.timestamp.type": "LogAppendTime"}
FIRST: Final = 20_454 * DAY + 9 * HOUR
"""When rule tests begin."""
Decisions = dict[str, list[str]]


def run(kafka: Kafka, names: Names, *arguments: str, **settings: str) -> Result:
    """Run `scorer` in this process with the settings of the service."""
    environment: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("SCORER_"))
    environment |= {"SCORER_BOOTSTRAP_SERVERS": kafka.bootstrap, **names.environment}
    environment |= {f"SCORER_{name.upper()}": value for name, value in settings.items()}
    return CliRunner().invoke(app, arguments, env=environment, catch_exceptions=False)


def by_lead(lines: Iterable[str]) -> Decisions:
    """The decisions of each lead, in order."""
    found: Decisions = defaultdict(list)
    for line in lines:
        found[json.loads(line)["lead_id"]].append(line)
    return dict(found)


def published(kafka: Kafka, names: Names, at_least: int) -> Decisions:
    """What the service has published for each lead."""
    return by_lead((record.value or b"").decode() for record in kafka.read(names.routing, at_least))


def test_a_topic_gives_what_the_service_publishes(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: 2}, BY_THE_BROKER)
    records = stream(200, leads=15, seed=5)
    lead = records[0].key or b""
    batch = [event(lead.decode(), 1000 + number, "lead.demo_requested", {}, FIRST) for number in range(3)]
    batch[1]["subject"] = "another"
    records[50:50] = [
        Record(lead, json.dumps(batch, indent=1).encode()),
        Record(lead, b"not JSON"),
        Record(lead, None),
        Record(lead, tick(lead.decode())),
        Record(None, structured(event("keyless", 2000, "lead.demo_requested", {}, FIRST)).value),
    ]
    kafka.write(names.activity, records)
    rejects, dump, page = (str(tmp_path / name) for name in ("rejects.jsonl", "dump.jsonl", "page.html"))
    topic, quick = ["--topic", names.activity], ["--engine", "compiled"]
    scored = run(kafka, names, "score", *topic, *quick, "--rejects", rejects)
    assert scored.exit_code == 3
    expected = by_lead(scored.stdout.splitlines())
    with service(kafka, names, tmp_path) as running:
        assert published(kafka, names, sum(map(len, expected.values()))) == expected
        running.wait(lambda: len(kafka.read(names.dead_letters)) == 4)
        assert running.terminate() == 0
    assert published(kafka, names, 0) == expected
    assert len(expected) == 15

    reasons = [json.loads(line) for line in Path(rejects).read_text().splitlines()]
    letters = kafka.read(names.dead_letters)
    assert {(entry["reason"], entry.get("index")) for entry in reasons} == {
        ("key_mismatch", 1),
        ("not_json", None),
        ("empty_value", None),
        ("null_key", None),
    }
    places = {f"{entry['file']}:{entry['line']}" for entry in reasons}
    sources = [dict(letter.headers) for letter in letters]
    assert places == {f"{names.activity}-{int(h['dlq-partition'])}:{int(h['dlq-offset'])}" for h in sources}

    # The same bytes with several processes, and from the file that `dump` writes.
    spread = run(kafka, names, "score", *topic, *quick, "--workers", "2")
    assert spread.stdout == scored.stdout
    dumped = run(kafka, names, "topics", "dump", "--output", dump)
    assert dumped.exit_code == 3
    count = len(Path(dump).read_bytes().splitlines())
    told, _, reached = dumped.stderr.splitlines()[-2].partition("; the log has reached ")
    assert told == f"{count:,} activities of {names.activity}"
    again = run(kafka, names, "score", "--input", dump, "--until", reached, *quick)
    assert (again.exit_code, again.stdout) == (0, scored.stdout)
    reported = run(kafka, names, "backtest", *topic, *quick, "--workers", "1", "--format", "json", "--report", page)
    report = json.loads(reported.stdout)
    assert report["new"]["decisions"] == len(scored.stdout.splitlines())
    assert (report["input"]["activities"], report["input"]["lines"]) == (count, count + 4)
    assert names.activity in Path(page).read_text()
    # A record without a key that the service writes back with one is no mistake.
    rekeyed = run(kafka, names, "score", *topic, *quick, null_keys="rekey")
    assert "null_key" not in rekeyed.stderr
    assert rekeyed.stdout == scored.stdout


def silence() -> list[dict[str, Any]]:
    """Leads of which nothing is heard any more after a few days."""
    told: list[tuple[str, float, str, dict[str, Any]]] = [
        ("buyer", 0, "lead.profile_updated", {"employees": 900, "industry": "manufacturing", "job_level": "director"}),
        ("buyer", 1, "lead.demo_requested", {}),
        ("buyer", 1, "lead.trial_started", {}),
        ("buyer", 2, "lead.meeting_held", {}),
        ("buyer", 2, "lead.form_submitted", {"form": "contact"}),
        ("visitor", 0, "lead.page_viewed", {"url": "/pricing"}),
        ("visitor", 3.5, "lead.page_viewed", {"url": "/pricing"}),
        ("tester", 0, "lead.trial_started", {}),
        ("tester", 20, "lead.webinar_attended", {"name": "w"}),
        ("tester", 40, "lead.page_viewed", {"url": "/pricing"}),
    ]
    return [
        event(lead, number, kind, data, FIRST + round(day * DAY)) for number, (lead, day, kind, data) in enumerate(told)
    ]


def test_a_year_of_silence_is_the_same_everywhere(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    """The service, `score`, `backtest`, `explain` and rule tests, with the rules that we deliver."""
    activities = silence()
    end = FIRST + 500 * DAY
    source = tmp_path / "activities.jsonl"
    source.write_text("".join(f"{json.dumps(activity)}\n" for activity in activities))
    given, until = ["--input", str(source)], ["--until", to_text(end)]
    rules, topic = ["--rules", str(RULES), "--engine", "compiled"], ["--topic", names.activity]
    scored = run(kafka, names, "score", *given, *until, *rules)
    expected = by_lead(scored.stdout.splitlines())
    for lead in ("buyer", "visitor", "tester"):
        # The rule for a year of silence, which nothing but time can reach.
        last = json.loads(expected[lead][-1])
        assert (last["cause"], last["routing"]["rule"], last["route"]) == ("time", "hopeless", "discard")
        latest = max(activity["time"] for activity in activities if activity["subject"] == lead)
        assert instant(last["decided_at"]) == instant(latest) + 365 * DAY
    assert sum(json.loads(line)["cause"] == "time" for line in scored.stdout.splitlines()) > 6

    # The log of the service: the times of the senders, and one tick at the end.
    kafka.create({names.activity: 1}, BY_SENDERS)
    stamped = [structured(each)._replace(timestamp=instant(each["time"]) // MILLISECOND) for each in activities]
    kafka.write(names.activity, [*stamped, Record(b"buyer", tick("buyer"), (), end // MILLISECOND)])
    with service(kafka, names, tmp_path) as running:
        assert published(kafka, names, len(scored.stdout.splitlines())) == expected
        assert running.terminate() == 0
    assert published(kafka, names, 0) == expected

    of_topic = run(kafka, names, "score", *topic, *rules)
    assert by_lead(of_topic.stdout.splitlines()) == expected
    dumped = run(kafka, names, "topics", "dump", "--output", str(tmp_path / "dump.jsonl"))
    assert f"{len(activities)} activities of {names.activity}; the log has reached {to_text(end)}" in dumped.stderr
    of_dump = run(kafka, names, "score", "--input", str(tmp_path / "dump.jsonl"), *until, *rules)
    assert of_dump.stdout == of_topic.stdout

    counted = [
        json.loads(run(kafka, names, "backtest", *which, *rules, "--format", "json", "--workers", "1").stdout)
        for which in ([*given, *until], topic)
    ]
    assert counted[0]["new"] == counted[1]["new"]
    assert counted[0]["new"]["decisions"] == len(scored.stdout.splitlines())

    for lead, lines in expected.items():
        at: list[str] = []
        explained = ""
        for decision in last_of_each_instant(lines)[-4:]:
            at = ["--at", decision["decided_at"], "--format", "json"]
            explained = run(kafka, names, "explain", lead, *given, *rules, *at).stdout
            story = json.loads(explained)
            assert story["rating"]["rating"] == decision["rating"]
            assert story["routing"]["rule"] == decision["routing"]["rule"]
            assert story["score"] == decision["score"]
        assert run(kafka, names, "explain", lead, *topic, *rules, *at).stdout == explained

    tested = rule_tested(kafka, names, tmp_path, activities, expected)
    assert tested.exit_code == 0, tested.stdout


def rule_tested(
    kafka: Kafka, names: Names, folder: Path, activities: list[dict[str, Any]], decisions: Decisions
) -> Result:
    """`scorer test`: each decision of a lead, at its exact time."""
    tests = [
        {
            "name": lead,
            "activities": [
                {"type": each["type"], "after": after(each["time"]), "data": each["data"]}
                for each in activities
                if each["subject"] == lead
            ],
            "expect": [
                {
                    "after": after(decision["decided_at"]),
                    "rating": decision["rating"],
                    "route": decision["route"],
                    "routing": decision["routing"]["rule"],
                    "score": decision["score"]["total"],
                }
                for decision in last_of_each_instant(lines)
            ],
        }
        for lead, lines in decisions.items()
    ]
    rules = copytree(RULES, folder / "rules", ignore=lambda _, files: [name for name in files if "_test" in name])
    with (Path(rules) / "silence_test.yaml").open("w") as file:
        YAML(typ="safe").dump({"tests": tests}, file)
    return run(kafka, names, "test", str(rules))


def last_of_each_instant(lines: list[str]) -> list[dict[str, Any]]:
    """A rule test judges after all activities of an instant."""
    return list({decision["decided_at"]: decision for decision in map(json.loads, lines)}.values())


def instant(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text))


def after(time: str) -> str | int:
    seconds = (instant(time) - FIRST) // SECOND
    return f"{seconds}s" if seconds else 0


def test_what_is_wrong_with_a_topic_is_said_in_one_line(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    missing = run(kafka, names, "score", "--topic", names.activity)
    assert (missing.exit_code, missing.stderr) == (1, f"error: there is no topic {names.activity}\n")
    kafka.create({names.activity: 1}, BY_THE_BROKER)
    empty = run(kafka, names, "score", "--topic", names.activity)
    assert (empty.exit_code, empty.stderr) == (3, f"error: no activity in {names.activity}\n")
    both = run(kafka, names, "score", "--topic", names.activity, "--input", str(tmp_path / "a.jsonl"))
    assert (both.exit_code, both.stderr) == (2, "error: give either files of activities or --topic, not both\n")
    nobody = run(kafka, names, "explain", "nobody", "--topic", names.activity)
    assert (nobody.exit_code, nobody.stderr) == (1, f"error: {names.activity}: no activity is of 'nobody'\n")
    away = run(kafka, names, "topics", "dump", bootstrap_servers="127.0.0.1:1", startup_timeout_s="1")
    assert away.exit_code == 1
    assert away.stderr.startswith("error: Kafka at 127.0.0.1:1 (SCORER_BOOTSTRAP_SERVERS): ")
