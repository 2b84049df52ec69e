"""The same activities give the same decisions by every way: Kafka, `score`, `backtest` and `test`."""

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from shutil import copytree
from typing import Any

from ruamel.yaml import YAML

from scorer.domain.instant import DAY
from tests.integration.activities import START, event, stream, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import RULES, service
from tests.unit.test_cli import scorer


def story() -> list[dict[str, Any]]:
    """Activities of 25 leads in the order of time, as rule tests need them."""
    random = Random(11)
    events = []
    for record in stream(400, leads=25, seed=11):
        if record.headers:
            continue  # the binary mode has the same content, and a file needs the structured one
        activity = json.loads(record.value or b"")
        # A rule test can only state fields that are declared.
        activity["data"].pop("custom", None)
        events.append(activity)
    days = (START + random.randrange(20) * DAY for _ in range(25))
    events += [event(f"lead-{number}", 1000 + number, "lead.meeting_held", {}, day) for number, day in enumerate(days)]
    unique = {activity["id"]: activity for activity in events}
    return sorted(unique.values(), key=lambda activity: (activity["time"], activity["id"]))


def test_the_same_activities_give_the_same_decisions_everywhere(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    activities = story()
    source = tmp_path / "activities.jsonl"
    source.write_text("".join(json.dumps(activity) + "\n" for activity in activities))

    scored = scorer("score", "--rules", str(RULES), "--input", str(source), "--workers", "2")
    assert scored.returncode == 0, scored.stderr.decode()
    decisions: dict[str, list[bytes]] = defaultdict(list)
    for line in scored.stdout.splitlines():
        decisions[json.loads(line)["lead_id"]].append(line)
    assert len(scored.stdout.splitlines()) > 60

    kafka_decisions = over_kafka(kafka, names, tmp_path, [structured(activity) for activity in activities])
    assert kafka_decisions == decisions

    last = {lead: json.loads(lines[-1]) for lead, lines in decisions.items()}
    counted = backtested(source)
    assert counted["new"]["decisions"] == len(scored.stdout.splitlines())
    for what in ("rating", "route"):
        shown = {name: count for name, count in counted["new"][f"{what}s"].items() if count}
        assert shown == tally(decision[what] for decision in last.values())
    assert counted["new"]["handovers"]["total"] == handovers(decisions)

    tested = rule_tested(tmp_path, activities, decisions)
    assert tested.returncode == 0, tested.stdout.decode()
    assert tested.stdout.decode().splitlines()[-1].startswith(f"{len(decisions)} passed, 0 failed, 0 in error")


def over_kafka(kafka: Kafka, names: Names, folder: Path, records: list[Record]) -> dict[str, list[bytes]]:
    decisions: dict[str, list[bytes]] = defaultdict(list)
    with service(kafka, names, folder) as running:
        kafka.write(names.activity, records)
        counters = [f'scorer_activities_total{{type="{name}"}}' for name in types(records)]
        running.wait(lambda: sum(map(running.metric, counters)) == len(records))
        assert running.terminate() == 0
    for record in kafka.read(names.routing):
        decisions[(record.key or b"").decode()].append(record.value or b"")
    return decisions


def types(records: list[Record]) -> set[str]:
    return {json.loads(record.value or b"")["type"] for record in records}


def tally(values: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for value in values:
        counts[value] += 1
    return dict(counts)


def backtested(source: Path) -> dict[str, Any]:
    done = scorer("backtest", "--rules", str(RULES), "--input", str(source), "--format", "json", "--workers", "2")
    assert done.returncode == 0, done.stderr.decode()
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def handovers(decisions: dict[str, list[bytes]]) -> int:
    """The number of decisions that gave a lead to sales, except those that sales had accepted already."""
    count = 0
    for lines in decisions.values():
        for decision in map(json.loads, lines):
            was = (decision["previous"] or {}).get("route")
            count += decision["route"] == "sales" != was and decision["routing"]["rule"] != "opportunity-open"
    return count


def rule_tested(folder: Path, activities: list[dict[str, Any]], decisions: dict[str, list[bytes]]) -> Any:
    """`scorer test` on a test file with the activities of each lead, which expects the points of its last decision."""
    tests = []
    for lead, lines in sorted(decisions.items()):
        of_lead = [activity for activity in activities if activity["subject"] == lead]
        expected = json.loads(lines[-1])
        first = moment(of_lead[0])
        until = datetime.fromisoformat(expected["decided_at"])
        # Signals are counted by the UTC day and a test starts at nine, so keep the hours of the story.
        shift = timedelta(hours=(first.hour - 9) % 24, minutes=first.minute)
        if expected["cause"] == "time":
            until_decision = [activity for activity in of_lead if moment(activity) < until]
        else:
            # A later activity of the same second may have changed something that was not worth a decision.
            decided_by = [activity["id"] for activity in of_lead].index(expected["reference"]["id"])
            until_decision = of_lead[: decided_by + 1]
        tests.append(
            {
                "name": lead,
                "activities": [
                    {
                        "type": activity["type"],
                        "after": after(moment(activity) - first + shift),
                        "data": activity["data"],
                    }
                    for activity in until_decision
                ],
                "expect": {
                    # The last decision may be one of time alone.
                    "after": after(until - first + shift),
                    "rating": expected["rating"],
                    "route": expected["route"],
                    "routing": expected["routing"]["rule"],
                    "grade": expected["grade"],
                    "score": expected["score"]["total"],
                    "criteria": expected["criteria"],
                    "contributions": {
                        contribution["rule"]: contribution["points"]
                        for contribution in expected["contributions"]
                        if contribution["rule"] != "cap"
                    },
                },
            }
        )
    rules = copytree(RULES, folder / "rules", ignore=lambda _, files: [name for name in files if "_test" in name])
    with (Path(rules) / "story_test.yaml").open("w") as file:
        YAML(typ="safe").dump({"tests": tests}, file)
    return scorer("test", str(rules))


def moment(activity: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(activity["time"])


def after(time: timedelta) -> str | int:
    seconds = int(time.total_seconds())
    return f"{seconds}s" if seconds else 0
