"""What is too large for its topic costs one activity; all others go on, in this run and after a restart.

The service does not start with rules under which a state or a decision can be too large. `fault_bounds` makes it
believe that there are none.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from scorer.domain.instant import DAY
from scorer.domain.lead import Lead
from scorer.evaluation.evaluator import Evaluator
from scorer.kafka.client_internals import record_size
from scorer.sources.cloudevents import parse_record
from scorer.state.codec import encode_lead
from tests.factory import SMALL_RULES, evaluator, ruleset_folder
from tests.faults.group import wait_until_processed
from tests.faults.oracle import committed_output
from tests.integration.activities import NOW, START, event, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import Service, service
from tests.integration.test_topics import config, create, ensure

LIMIT = 65_536
TEXT = "x" * 2_000
DECLARED = ", ".join(f"t{number}: {{type: string}}" for number in range(64))
TEXTS = SMALL_RULES.replace("{installed_base: {type: integer}}", f"{{installed_base: {{type: integer}}, {DECLARED}}}")
REASONS = "".join(
    f"      - {{id: why-{number}, when: {{profile.country: XX}}, points: 1, reason: {'because ' * 60}}}\n"
    for number in range(150)
)
EXPLAINED = SMALL_RULES.replace("    rules:\n      - {id: large", f"    rules:\n{REASONS}      - {{id: large")
assert REASONS in EXPLAINED


class Expected(NamedTuple):
    """What must come out: decisions and state of each lead, and the offsets of dead letters by reason."""

    decisions: dict[str, list[bytes]]
    states: dict[str, Lead]
    letters: list[tuple[int, str]]


def expected(records: Iterable[Record], rules: Evaluator, limit: int = LIMIT) -> Expected:
    """Judge one record after the other, and skip what leads to something larger than the limit."""
    result = Expected(defaultdict(list), {}, [])
    for offset, record in enumerate(records):
        activity = parse_record(record.value, record.key, record.headers, NOW)
        assessment = rules.assess(result.states.get(activity.lead_id, Lead(activity.lead_id)), activity)
        decisions = [decision.to_json() for decision in assessment.decisions]
        if len(encode_lead(assessment.lead)) > limit:
            result.letters.append((offset, "state_too_large"))
        elif max(map(len, decisions), default=0) > limit:
            result.letters.append((offset, "decision_too_large"))
        else:
            result.states[activity.lead_id] = assessment.lead
            if decisions:
                result.decisions[activity.lead_id] += decisions
    return result


def check(kafka: Kafka, names: Names, wanted: Expected) -> None:
    """Fail unless the committed output is the expected one."""
    got = committed_output(kafka, names)
    assert got.decisions == wanted.decisions
    assert got.states == wanted.states
    assert sorted((letter.offset, letter.reason) for letter in got.letters) == wanted.letters


def profile(lead_id: str, number: int, **data: object) -> Record:
    """A change of the profile."""
    return structured(event(lead_id, number, "lead.profile_updated", data, START + number * DAY // 100))


def texts(lead_id: str, number: int, names: range) -> Record:
    """2,000 letters for each of these names."""
    return profile(lead_id, number, custom={f"t{name}": TEXT for name in names})


def demo(lead_id: str, number: int) -> Record:
    """A request for a demo."""
    data = {"bant": {"budget_status": "approved", "authority": "decision_maker"}}
    return structured(event(lead_id, number, "lead.qualification_updated", data, START + number * DAY // 100))


def one_partition(kafka: Kafka, names: Names) -> None:
    """The topics, with the limits of Kafka's defaults."""
    kafka.create({names.activity: 1, names.state: 1, names.routing: 1, names.dead_letters: 1})


def set_limit(kafka: Kafka, topic: str, accepted: int) -> None:
    """Change what a topic accepts, as an operator does."""

    async def work() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            settings = {"max.message.bytes": str(accepted)}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, settings)])
        finally:
            await admin.close()

    asyncio.run(work())
    assert config(kafka, topic)["max.message.bytes"] == str(accepted)


def processed(kafka: Kafka, names: Names, records: Iterable[Record], running: Service) -> None:
    """Write the records, and wait until the service has committed them."""
    kafka.write(names.activity, records)
    wait_until_processed(kafka, names, [running])


@pytest.mark.parametrize("max_records", ["2000", "2"])
def test_an_activity_whose_state_is_too_large_becomes_a_dead_letter(
    kafka: Kafka, names: Names, tmp_path: Path, max_records: str
) -> None:
    rules = ruleset_folder(tmp_path / "rules", TEXTS)
    records = [
        demo("a", 1),
        *(texts("large", 2 + round_, range(round_ * 8, round_ * 8 + 8)) for round_ in range(6)),
        demo("b", 10),
        demo("large", 11),
        texts("at-once", 12, range(64)),
        demo("at-once", 13),
    ]
    more = [texts("large", 14, range(32, 48)), demo("c", 15), profile("large", 16, employees=300)]
    one_partition(kafka, names)

    def run() -> AbstractContextManager[Service]:
        limits = {"max_record_bytes": str(LIMIT), "max_records": max_records}
        return service(kafka, names, tmp_path, ready=True, rules=str(rules), **limits, fault_bounds="wrong")

    with run() as running:
        processed(kafka, names, records, running)
        assert running.metric('scorer_dead_letters_total{reason="state_too_large"}') == 3
        assert running.terminate() == 0
    wanted = expected(records, evaluator(TEXTS))
    assert [reason for _, reason in wanted.letters] == ["state_too_large"] * 3
    check(kafka, names, wanted)
    with run() as running:
        processed(kafka, names, more, running)
        assert running.terminate() == 0
    check(kafka, names, expected([*records, *more], evaluator(TEXTS)))
    detail = dict(kafka.read(names.dead_letters)[0].headers)["dlq-detail"].decode()
    assert detail.startswith("the state of the lead would have ")
    assert detail.endswith(" bytes; at most 65,536 (SCORER_MAX_RECORD_BYTES)")


def test_an_activity_whose_decision_is_too_large_becomes_a_dead_letter(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    rules = ruleset_folder(tmp_path / "rules", EXPLAINED)
    records = [
        demo("a", 1),
        demo("b", 2),
        profile("b", 3, country="XX"),
        profile("c", 4, country="XX"),
        demo("b", 5),
        demo("d", 6),
    ]
    one_partition(kafka, names)
    with service(
        kafka, names, tmp_path, rules=str(rules), max_record_bytes=str(LIMIT), fault_bounds="wrong"
    ) as running:
        processed(kafka, names, records, running)
        assert running.metric('scorer_dead_letters_total{reason="decision_too_large"}') >= 1
        assert running.terminate() == 0
    wanted = expected(records, evaluator(EXPLAINED))
    assert {reason for _, reason in wanted.letters} == {"decision_too_large"}
    assert "c" not in wanted.states
    check(kafka, names, wanted)


def test_a_topic_that_accepts_less_while_the_service_runs_costs_only_what_is_too_large(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    rules = ruleset_folder(tmp_path / "rules", TEXTS)
    one_partition(kafka, names)
    before = [texts("large", 1, range(20)), demo("a", 2), texts("larger", 3, range(40))]
    after = [
        demo("b", 4),
        # Each fits, and together they are more than a batch may be.
        *(texts(f"lead-{number}", 5 + number, range(10)) for number in range(12)),
        texts("large", 20, range(20, 50)),
        demo("large", 21),
        demo("larger", 22),
        demo("a", 23),
    ]
    wanted = expected([*before, *after], evaluator(TEXTS), 90_000 - 16_384)
    # The state of this lead was written while the topic still accepted it.
    assert [offset for offset, _ in wanted.letters] == [2, 16]
    whole = expected([before[2]], evaluator(TEXTS), 1_000_000)
    with service(kafka, names, tmp_path, rules=str(rules), fault_bounds="wrong") as running:
        processed(kafka, names, before, running)
        set_limit(kafka, names.state, 90_000)
        processed(kafka, names, after, running)
        assert running.ready() is not None
        lines = [line for line in running.log() if line["event"] == "topic_accepts_less"]
        assert 1 <= len(lines) <= 2
        for line in lines:
            assert (line["topic"], line["limit"]) == (names.state, 90_000)
            assert line["size"] > 90_000
            assert line["lead"]
            assert f"--entity-name {names.state} --add-config max.message.bytes=1016384" in line["fix"]
        assert running.terminate() == 0
    got = committed_output(kafka, names)
    assert sorted((letter.offset, letter.reason) for letter in got.letters) == [
        (16, "state_too_large"),
        (18, "state_too_large"),
    ]
    assert got.states == {**wanted.states, **whole.states}
    assert got.decisions["a"] == wanted.decisions["a"]
    sizes = [record_size(record.key, record.value, list(record.headers)) for record in kafka.read(names.state)]
    assert sum(size > 90_000 for size in sizes) <= 1
    with service(kafka, names, tmp_path, ready=False, rules=str(rules), fault_bounds="wrong") as refused:
        assert refused.process.wait(30) == 2
        assert f"the topic {names.state} has max.message.bytes=90000, but 1016384 are needed" in refused.text()
    with service(kafka, names, tmp_path, rules=str(rules), max_record_bytes="70000", fault_bounds="wrong") as running:
        processed(kafka, names, [demo("z", 30)], running)
        assert running.terminate() == 0
    assert "z" in committed_output(kafka, names).states


def test_a_dead_letter_topic_that_accepts_less_while_the_service_runs_gets_shorter_letters(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    one_partition(kafka, names)
    large = [Record(b"k" * 100_000, b"x" * 200_000) for _ in range(3)]
    with service(kafka, names, tmp_path) as running:
        processed(kafka, names, [demo("a", 1)], running)
        set_limit(kafka, names.dead_letters, 20_000)
        processed(kafka, names, [*large, demo("b", 2), Record(b"k", b"small")], running)
        assert running.metric('scorer_transactions_total{outcome="aborted"}') == 1
        assert running.terminate() == 0
    letters = kafka.read(names.dead_letters, at_least=4)
    assert [dict(letter.headers).get("dlq-length") for letter in letters] == [b"200000"] * 3 + [None]
    assert all(record_size(letter.key, letter.value, list(letter.headers)) <= 20_000 for letter in letters)
    assert len(kafka.read(names.routing)) == 2
    with service(kafka, names, tmp_path) as running:
        processed(kafka, names, [demo("c", 3)], running)
        assert running.terminate() == 0


def test_a_topic_that_is_too_small_is_reported_and_refused(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    small = {"max.message.bytes": "500000"}
    create(
        kafka,
        {
            names.activity: (1, {}),
            names.state: (1, {"cleanup.policy": "compact", **small}),
            names.routing: (1, small),
            names.dead_letters: (1, {"max.message.bytes": "5000"}),
        },
    )
    done = ensure(kafka, names)
    assert done.status == 1
    for topic in (names.state, names.routing):
        fix = (
            f"kafka-configs --bootstrap-server {kafka.bootstrap} --alter --entity-type topics --entity-name {topic} "
            "--add-config max.message.bytes=1016384"
        )
        text = (
            f"max.message.bytes=500000, but 1016384 are needed with SCORER_MAX_RECORD_BYTES=1000000: run `{fix}`, "
            "or set SCORER_MAX_RECORD_BYTES=483616 or less"
        )
        assert ("differs", text) in done.of(topic)
    ((_, letters),) = done.of(names.dead_letters)
    assert letters.startswith("max.message.bytes=5000, but 16384 are needed for dead letters: run `kafka-configs ")
    with service(kafka, names, tmp_path, ready=False) as refused:
        assert refused.process.wait(30) == 2
        (line,) = [line for line in refused.log() if line["event"] == "topics_wrong"]
        for topic in (names.state, names.routing, names.dead_letters):
            assert f"the topic {topic} has max.message.bytes=" in line["error"]
    set_limit(kafka, names.dead_letters, 16_384)
    assert ensure(kafka, names, max_record_bytes="483616").of(names.routing)[0][0] == "ok"
    rules = ruleset_folder(tmp_path / "rules", SMALL_RULES)
    with service(kafka, names, tmp_path, rules=str(rules), max_record_bytes="483616") as running:
        processed(kafka, names, [demo("a", 1)], running)


def test_created_topics_have_room(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    shadow = {"max_record_bytes": "3000000", "shadow_rules": str(tmp_path)}
    assert ensure(kafka, names, **shadow).status == 0
    for topic in (names.state, names.routing, f"{names.routing}.shadow"):
        assert int(config(kafka, topic)["max.message.bytes"]) == 3_016_384
    assert config(kafka, names.state)["cleanup.policy"] == "compact"


def test_re_scoring_leaves_a_lead_that_is_too_large_and_goes_on(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "rules", TEXTS)
    one_partition(kafka, names)
    records = [demo("a", 1), texts("large", 2, range(50)), demo("large", 3), demo("z", 4)]
    with service(kafka, names, tmp_path, rules=str(rules), fault_bounds="wrong") as running:
        processed(kafka, names, records, running)
        assert running.terminate() == 0
    before = committed_output(kafka, names)
    ruleset_folder(rules, TEXTS.replace("budget_status: approved}, points: 20", "budget_status: approved}, points: 45"))
    with service(
        kafka, names, tmp_path, rules=str(rules), max_record_bytes=str(LIMIT), fault_bounds="wrong"
    ) as running:
        running.wait(lambda: any(line["event"] == "rescored" for line in running.log()))
        assert running.metric('scorer_rescore_leads_total{outcome="too_large"}') == 1
        assert running.metric('scorer_rescore_leads_total{outcome="published"}') == 2
        (line,) = [line for line in running.log() if line["event"] == "rescoring_too_large"]
        assert line["lead"] == "large"
        assert "at most 65,536 (SCORER_MAX_RECORD_BYTES)" in line["detail"]
        processed(kafka, names, [demo("b", 5)], running)
        assert running.terminate() == 0
    after = committed_output(kafka, names)
    assert after.states["large"] == before.states["large"]
    assert after.decisions["large"] == before.decisions["large"]
    assert all(len(after.decisions[lead]) == len(before.decisions[lead]) + 1 for lead in ("a", "z"))
