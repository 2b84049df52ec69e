"""Re-scoring after a change of rules: every known lead once, even if workers are killed and partitions move."""

from collections import Counter
from pathlib import Path
from time import sleep

from scorer.domain.decision import read_decision
from scorer.evaluation.evaluator import Evaluator
from scorer.state.marker import MARKER_KEY, Marker, decode_marker
from scorer.stream.jobs.rescore import rescored
from tests.brokers.marks import fencing
from tests.factory import SMALL_RULES, evaluator, ruleset_folder
from tests.faults.cooling import create_topics
from tests.faults.group import evict, wait_until_processed
from tests.faults.load import Load
from tests.faults.oracle import Output, check_exactly_once, committed_output, history, wait_until_reviewed
from tests.faults.sizes import EVERY_POINT, randomness
from tests.integration.activities import stream
from tests.integration.kafka import DEADLINE, Kafka, Names
from tests.integration.service import Service, service

SLOWLY = "rescore: {per_second: %d}\n"
CHANGED = SMALL_RULES.replace("warm: 20, hot: 40", "warm: 15, hot: 30").replace("points: 10}", "points: 4}")
RECENCY = """  recency:
    rules:
      - {id: now, when: {days_since.last_activity: {lt: 0.000004}}, points: 24}
      - {id: just, when: {days_since.last_activity: {lt: 0.00001}}, points: 12}
routing:
"""
"""A lead cools twice within a second of silence."""
COOLED = 1.0
POINTS = (
    ("begun", "sent", "offsets_sent", "committed", "restoring", "fenced")
    if EVERY_POINT
    else ("sent", "committed", "fenced")
)


def markers(kafka: Kafka, names: Names) -> dict[int, Marker]:
    """The last marker of each partition."""
    return {
        record.partition: decode_marker(record.value)
        for record in kafka.read(names.state)
        if record.key == MARKER_KEY and record.value is not None
    }


def swept(kafka: Kafka, names: Names, rules: Evaluator, running: Service, partitions: int = 2) -> None:
    """Wait until these rules have judged all leads."""

    def done() -> bool:
        last = markers(kafka, names)
        return len(last) == partitions and all(
            marker.revision == rules.ruleset.revision and marker.after is None for marker in last.values()
        )

    running.wait(done)


def rules_changed(output: Output) -> int:
    """The number of decisions that the change of rules caused."""
    return sum(b'"cause":"rules_changed"' in value for values in output.decisions.values() for value in values)


def by_time(kafka: Kafka, names: Names) -> int:
    """How many decisions of time alone are published."""
    return sum(b'"cause":"time"' in (record.value or b"") for record in kafka.read(names.routing))


def test_each_lead_is_judged_once_with_kills_at_every_step(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    """The rules change while many leads are due. Those that the old rules have not reviewed yet are re-scored by the
    new ones, as of the change."""
    before, after = (text.replace("routing:\n", RECENCY) + SLOWLY % 60 for text in (SMALL_RULES, CHANGED))
    old, new = evaluator(before), evaluator(after)
    rules = ruleset_folder(tmp_path / "rules", before)
    load = Load(randomness(), leads=240, live=True)
    create_topics(kafka, names, 2)
    kafka.write(names.activity, load.take(1200))
    with service(kafka, names, tmp_path, rules=str(rules)) as worker:
        wait_until_processed(kafka, names, [worker])
        sleep(COOLED)
        # They bring time after the first rules have taken effect, whatever was in one batch.
        kafka.write(names.activity, load.take(10))
        worker.wait(lambda: by_time(kafka, names) > 10)
        ruleset_folder(rules, after)
        worker.wait(lambda: rules_changed(committed_output(kafka, names)) > 0)
        worker.process.kill()
        worker.process.wait()
    evict(kafka, names)
    for point in POINTS:
        kafka.write(names.activity, load.take(10))
        # Once the rules are those of before again.
        ruleset_folder(rules, before if point == "committed" else after)
        times = 1 if point in ("restoring", "fenced") else 3
        with service(
            kafka, names, tmp_path, ready=False, rules=str(rules), fault_point=f"{point}:{times}:kill"
        ) as worker:
            assert worker.process.wait(DEADLINE) == -9, worker.text()
        evict(kafka, names)
    assert any(marker.after is not None for marker in markers(kafka, names).values()), "no worker died in its sweep"
    with service(kafka, names, tmp_path, rules=str(rules)) as worker:
        swept(kafka, names, new, worker)
        reached = wait_until_reviewed(kafka, names, [worker], rules=[old, new])
        assert worker.terminate() == 0
    output = check_exactly_once(kafka, names, rules=[old, new], reached=reached)
    assert max(map(len, history(kafka.read(names.state)).values())) > 2, "the rules changed only once"
    assert rules_changed(output) > 20
    assert output.by_time > 20


@fencing
def test_the_next_owner_continues_the_sweep(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    """The rules change while two workers run, one leaves in the middle of its sweep, and more input arrives."""
    slow = SLOWLY % 10
    new = evaluator(CHANGED + slow)
    rules = ruleset_folder(tmp_path / "rules", SMALL_RULES + slow)
    records = stream(900, leads=200, seed=9)
    kafka.create({names.activity: 2, names.state: 2, names.routing: 2, names.dead_letters: 1})
    kafka.write(names.activity, records[:800])
    with (
        service(kafka, names, tmp_path, rules=str(rules)) as stays,
        service(kafka, names, tmp_path, rules=str(rules)) as leaves,
    ):
        leaves.wait(lambda: all(len((worker.ready() or {}).get("partitions", ())) == 1 for worker in (stays, leaves)))
        wait_until_processed(kafka, names, [stays, leaves])
        (moved,) = map(int, (leaves.ready() or {})["partitions"])
        ruleset_folder(rules, CHANGED + slow)

        def begun() -> bool:
            marker = markers(kafka, names).get(moved)
            return marker is not None and marker.revision == new.ruleset.revision

        leaves.wait(begun)
        assert leaves.terminate() == 0
        of_all = {record.key for record in kafka.read(names.state) if record.partition == moved} - {MARKER_KEY}
        left = stays.wait(lambda: took_over(stays, moved))
        assert left < len(of_all), "it started the sweep again"
        kafka.write(names.activity, records[800:])
        wait_until_processed(kafka, names, [stays])
        swept(kafka, names, new, stays)
        assert stays.terminate() == 0
    got = committed_output(kafka, names)
    assert rules_changed(got) > 20
    decisions = [read_decision(value) for values in got.decisions.values() for value in values]
    assert [
        value for value, count in Counter(decision.decision_id for decision in decisions).items() if count > 1
    ] == []
    for lead in got.states.values():
        judged = rescored(lead, new, 99)
        assert judged is None or judged.decision is None, "a lead was left out"


def took_over(worker: Service, number: int) -> int | None:
    """The number of leads that it logged for re-scoring when it got the partition."""
    lines = (line for line in worker.log() if line["event"] == "rescoring" and line["partition"] == number)
    return next((line["leads"] for line in lines), None)
