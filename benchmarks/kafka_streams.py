"""The scorers on Kafka Streams in `peers/kafka_streams`, in Java: the tables of rules/b2b, and the ten weights.

.venv/bin/python -m benchmarks.kafka_streams --activities 5000    # whether the tables give our decisions
"""

import argparse
import io
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.traffic import RULES, past, traffic
from scorer.domain.lead import NEVER, Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.sources.cloudevents import parse_line
from tests.brokers.jars import VERSION, MissingError, jars

_SOURCES = Path(__file__).parent / "peers" / "kafka_streams"
_CACHE = Path(__file__).parents[1] / ".cache" / "kafka-streams"
_LATER = 4_000_000_000_000_000
"""After all activities, in microseconds since the epoch."""

Verdict = tuple[object, ...]
"""Lead, activity, rating, grade, route, queue, routing rule, and the score: total, fit and engagement."""


@cache
def java() -> tuple[str, ...]:
    """The command that runs `Main`, without its arguments. Raises `MissingError` without Java or Maven."""
    libraries = jars(VERSION, _SOURCES / "pom.xml", _CACHE.name)
    classes = _CACHE / "classes"
    classes.mkdir(exist_ok=True)
    sources = [str(path) for path in sorted(_SOURCES.glob("*.java"))]
    command = ["javac", "-d", str(classes), "-cp", f"{libraries}/*", *sources]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise MissingError("Kafka Streams needs javac, which is not on this machine") from None
    if done.returncode:
        raise MissingError(f"the scorers on Kafka Streams cannot be compiled: {done.stderr}")
    logging = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return ("java", logging, "-cp", f"{classes}:{libraries}/*", "Main")


def of_tables(events: bytes) -> set[Verdict]:
    """The decisions of the tables in Java about activities (JSON Lines)."""
    done = subprocess.run([*java(), "tables", "-"], input=events, capture_output=True, check=True)
    return {_verdict(decision, decision["id"], decision["rule"]) for decision in _lines(done.stdout)}


def of_ours(events: bytes) -> set[Verdict]:
    """The decisions of our evaluator about them, without those of time alone, because the tables have no reviews."""
    evaluator = Evaluator(load_ruleset(RULES), default_engine())
    leads: dict[str, Lead] = {}
    verdicts = set()
    for line in events.splitlines():
        activity = parse_line(line, _LATER)
        assessment = evaluator.assess(leads.get(activity.lead_id) or Lead(activity.lead_id), activity)
        lead = leads[activity.lead_id] = assessment.lead
        lead.due = NEVER
        if assessment.decision is not None:
            decision: dict[str, Any] = msgspec.json.decode(assessment.decision.to_json())
            verdicts.add(_verdict(decision, activity.id, decision["routing"]["rule"]))
    return verdicts


def _lines(output: bytes) -> Iterable[dict[str, Any]]:
    return map(msgspec.json.decode, output.splitlines())


def _verdict(decision: Mapping[str, Any], activity: str, rule: str) -> Verdict:
    score = decision["score"]
    named = [decision[name] for name in ("lead_id", "rating", "grade", "route", "queue")]
    return (activity, rule, *named, score["total"], score["fit"], score["engagement"])


def agreement(activities: int, leads: int) -> tuple[float, int, list[Verdict]]:
    """The share of decisions that are equal, the number of all, and the others. The activities are those of the
    benchmarks, with the past of the leads before them."""
    output = io.BytesIO()
    for _, value in (*past(leads), *traffic(activities, leads)):
        output.write(value + b"\n")
    theirs, ours = of_tables(output.getvalue()), of_ours(output.getvalue())
    return len(ours & theirs) / len(ours | theirs), len(ours), sorted(ours ^ theirs, key=str)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activities", type=int, default=5_000)
    parser.add_argument("--leads", type=int, default=300)
    options = parser.parse_args()
    try:
        share, count, others = agreement(options.activities, options.leads)
    except MissingError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(f"{share:.2%} of {count:,} decisions are equal\n")
    for verdict in others[:20]:
        sys.stdout.write(f"  {verdict}\n")


if __name__ == "__main__":
    main()
