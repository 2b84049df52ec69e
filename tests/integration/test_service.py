"""The service end to end with a real broker: from activities to decisions, states and dead letters."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord

from scorer.domain.decision import read_decision
from scorer.domain.instant import DAY, to_text
from scorer.domain.lead import Lead
from scorer.kafka.tool_producer import TOOL_LIMITS
from scorer.kafka.transaction import TransactionalProducer
from scorer.state.store import LeadStore
from tests.brokers.marks import both, embedded_only, fencing
from tests.integration.activities import START, binary, event, offline, stream, structured
from tests.integration.changelog import read_changelog
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import service, settings_for
from tests.planted import EMAIL, NAME

pytestmark = both


def by_lead(records: "Iterable[ConsumerRecord[bytes, bytes]]") -> dict[str, list[bytes]]:
    """Values by key."""
    values: dict[str, list[bytes]] = defaultdict(list)
    for record in records:
        values[(record.key or b"").decode()].append(record.value or b"")
    return dict(values)


def total(decisions: dict[str, list[bytes]]) -> int:
    """The number of all values."""
    return sum(map(len, decisions.values()))


def page(lead_id: str, number: int) -> dict[str, object]:
    """A valid activity."""
    return event(lead_id, number, "lead.page_viewed", {"url": "/pricing"}, START)


def test_publishes_the_decisions_of_assess_and_keeps_the_states(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    records = stream(600, leads=40, seed=1)
    expected, leads = offline(records)
    with service(kafka, names, tmp_path) as running:
        kafka.write(names.activity, records)
        kafka.read(names.routing, at_least=total(expected))
        running.wait(lambda: running.metric('scorer_consumer_lag_records{partition="0"}') == 0)
        assert running.terminate() == 0
    published = kafka.read(names.routing)
    assert by_lead(published) == expected
    assert kafka.read(names.dead_letters) == []
    for record in published:
        decision = read_decision(record.value or b"")
        headers = {name: value.decode() for name, value in record.headers}
        assert headers.pop("published-at") >= "2026"
        assert headers == {
            "ce_specversion": "1.0",
            "ce_id": decision.decision_id,
            "ce_source": f"/lead-scorer/{names.group}",
            "ce_type": "lead.routing_decision",
            "ce_time": decision.decided_at,
            "ce_subject": decision.lead_id,
            "content-type": "application/json",
            "schema_version": "2",
        }
    settings = settings_for(kafka, names)
    restored: dict[str, Lead] = {}
    for partition in (0, 1):
        store = LeadStore()
        asyncio.run(read_changelog(settings, partition, store))
        restored |= {lead.id: lead for lead in store.leads()}
    assert restored == leads


BAD: list[tuple[str, Record]] = [
    ("empty_value", Record(b"bad", b"")),
    ("empty_value", Record(b"bad", None)),
    ("not_json", Record(b"bad", f"{{'id': {EMAIL}}}".encode())),
    ("not_utf8", Record(b"bad", b'{"id": "\xff%b"}' % EMAIL.encode())),
    ("empty_value", Record(b"bad", b"[]")),
    ("not_an_object", Record(b"bad", b"[1, 2]", [("content-type", b"application/cloudevents+json")])),
    ("not_a_list", Record(b"bad", b"{}", [("content-type", b"application/cloudevents-batch+json")])),
    ("invalid_attribute", structured({**page("bad", 1), "id": 5})),
    ("invalid_data", structured({**page("bad", 2), "type": "lead.merged", "data": {"into": 5, NAME: EMAIL}})),
    ("missing_attribute", structured({k: v for k, v in page("bad", 3).items() if k != "id"})),
    ("missing_attribute", Record(b"bad", json.dumps({**page("bad", 4), "subject": None}).encode())),
    ("missing_attribute", structured({k: v for k, v in page("bad", 5).items() if k != "time"})),
    ("time_in_future", structured({**page("bad", 6), "time": to_text(START + 36500 * DAY)})),
    ("invalid_time", structured({**page("bad", 7), "time": EMAIL})),
    ("too_large", Record(b"bad", b'{"data": "' + b"x" * 1_000_000 + b'"}')),
    ("too_deep", Record(b"bad", b'{"data":' + b"[" * 5000 + b"]" * 5000 + b"}")),
    ("number_out_of_range", Record(b"bad", b'{"data": NaN, "name": "Jane Zylberquist"}')),
    ("number_out_of_range", Record(b"bad", b'{"data": -Infinity}')),
    ("number_out_of_range", Record(b"bad", b'{"data": NaN}')),
    ("null_key", structured(page("bad", 8))._replace(key=None)),
    ("key_mismatch", structured(page("bad", 9))._replace(key=b"other")),
    ("bad_header", Record(b"bad", b"{}", [("ce_id", b"\xff\xfe")])),
    ("bad_header", Record(b"bad", b"{}", [("ce_id", None)])),
    ("missing_attribute", Record(b"bad", b"{}", binary(page("bad", 10)).headers[1:])),
    (
        "unsupported_content_type",
        Record(b"bad", b"<x/>", [("content-type", f"application/cloudevents+{EMAIL}".encode())]),
    ),
    ("unsupported_specversion", structured({**page("bad", 11), "specversion": "0.3"})),
    ("unknown_type", structured({**page("bad", 12), "type": f"order.{NAME}"})),
]


def test_bad_input_becomes_dead_letters_and_the_rest_is_processed(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    good = [structured(page(f"good-{number}", number)) for number in range(len(BAD) + 1)]
    mixed = [good[0]]
    for (_, bad), record in zip(BAD, good[1:], strict=True):
        mixed += [bad._replace(headers=[*bad.headers, ("trace", b"\x00\xff")]), record]
    kafka.create({names.activity: 1, names.state: 1, names.routing: 1, names.dead_letters: 1})
    # Written before the service starts, so that good and bad records share a batch.
    kafka.write(names.activity, mixed)
    # The local broker accepts records of up to 1 MiB only.
    with service(kafka, names, tmp_path, max_value_bytes="900000") as running:
        decided = kafka.read(names.routing, at_least=len(good))
        letters = kafka.read(names.dead_letters, at_least=len(BAD))
        reasons = [reason for reason, _ in BAD]
        running.wait(lambda: running.metric('scorer_consumer_lag_records{partition="0"}') == 0)
        counted = {reason: running.metric(f'scorer_dead_letters_total{{reason="{reason}"}}') for reason in reasons}
        assert counted == Counter(reasons)
        assert running.terminate() == 0
    assert [record.key for record in decided] == [record.key for record in good]
    assert len(letters) == len(BAD)
    for position, ((reason, bad), letter) in enumerate(zip(BAD, letters, strict=True)):
        headers = dict(letter.headers)
        assert headers["dlq-reason"].decode() == reason, headers["dlq-detail"]
        assert 10 < len(headers["dlq-detail"].decode()) <= 300
        assert headers["dlq-topic"].decode() == names.activity
        assert (headers["dlq-partition"], headers["dlq-offset"]) == (b"0", str(2 * position + 1).encode())
        assert int(headers["dlq-timestamp"]) > 0
        # An empty value or key differs from a missing one, and both are preserved.
        assert (letter.key, letter.value) == (bad.key, bad.value)
        original = [header for header in letter.headers if not header[0].startswith("dlq-")]
        assert original == [*bad.headers, ("trace", b"\x00\xff")]


def test_state_survives_a_restart(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    records = stream(300, leads=20, seed=2)
    first, second = records[:150], records[150:]
    expected, _ = offline(records)
    with service(kafka, names, tmp_path) as running:
        kafka.write(names.activity, first)
        kafka.read(names.routing, at_least=total(offline(first)[0]))
        assert running.terminate() == 0
    with service(kafka, names, tmp_path) as running:
        assert running.metric("scorer_restore_records_total") > 0
        kafka.write(names.activity, second)
        kafka.read(names.routing, at_least=total(expected))
        assert running.terminate() == 0
    assert by_lead(kafka.read(names.routing)) == expected


@fencing
def test_two_workers_share_the_partitions(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    records = stream(600, leads=40, seed=3)
    expected, _ = offline(records)
    with service(kafka, names, tmp_path, topic_partitions="4") as one:
        kafka.write(names.activity, records[:200])
        with service(kafka, names, tmp_path, topic_partitions="4") as two:
            kafka.write(names.activity, records[200:400])

            def share() -> set[str] | None:
                first, second = (set((worker.ready() or {}).get("partitions", ())) for worker in (one, two))
                shared = first and second and not first & second and first | second == {"0", "1", "2", "3"}
                return first if shared else None

            one.wait(share)
            kafka.write(names.activity, records[400:])
            kafka.read(names.routing, at_least=total(expected))
            assert two.terminate() == 0
        one.wait(lambda: len((one.ready() or {}).get("partitions", ())) == 4)
        assert one.terminate() == 0
    assert by_lead(kafka.read(names.routing)) == expected


def test_a_killed_worker_restarts_and_nothing_counts_twice(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    records = stream(600, leads=40, seed=4)
    expected, _ = offline(records)
    # It has an instance name, because the local broker never drops a dead member without one.
    with service(kafka, names, tmp_path, instance="one", max_records="7", linger_ms="0") as running:
        kafka.write(names.activity, records)
        running.wait(lambda: running.metric('scorer_transactions_total{outcome="committed"}') > 3)
        running.process.kill()
    with service(kafka, names, tmp_path, instance="one") as running:
        kafka.read(names.routing, at_least=total(expected))
        assert running.terminate() == 0
    assert by_lead(kafka.read(names.routing)) == expected


def test_a_fenced_worker_rejoins_and_continues(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    records = stream(300, leads=20, seed=5)
    expected, _ = offline(records)
    kafka.create({names.activity: 1, names.state: 1, names.routing: 1, names.dead_letters: 1})
    settings = settings_for(kafka, names)

    async def intrude() -> None:
        intruder = TransactionalProducer(settings, f"{settings.group}-worker-one", TOOL_LIMITS)
        try:
            await intruder.start()
        finally:
            await intruder.stop()

    with service(kafka, names, tmp_path, instance="one") as running:
        kafka.write(names.activity, records[:150])
        kafka.read(names.routing, at_least=total(offline(records[:150])[0]))
        asyncio.run(intrude())
        kafka.write(names.activity, records[150:])
        kafka.read(names.routing, at_least=total(expected))
        assert running.metric('scorer_transactions_total{outcome="fenced"}') == 1
        assert running.terminate() == 0
    assert by_lead(kafka.read(names.routing)) == expected


def test_metrics_and_health(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    with service(kafka, names, tmp_path) as running:
        kafka.write(names.activity, [structured(page("a", 1)), structured(page("a", 1)), Record(b"a", b"no")])
        running.wait(lambda: running.metric('scorer_activities_total{type="lead.page_viewed"}') == 2)
        ready = running.ready()
        assert ready is not None
        assert ready["status"] == "ready"
        assert ready["partitions"] == {"0": "running", "1": "running"}
        assert running.get("/health/live") == (200, '{"status": "live"}\n')
        assert running.get("/nothing")[0] == 404
        revision = ready["ruleset"]["revision"]
        assert running.metric(f'scorer_ruleset_info{{engine="durable",revision="{revision}",ruleset="b2b"}}') == 1
        running.wait(lambda: running.metric('scorer_dead_letters_total{reason="not_json"}') == 1)
        running.wait(lambda: running.metric('scorer_partitions{state="running"}') == 2)
        assert running.metric("scorer_assess_seconds_count") == 2
        assert running.metric("scorer_event_to_decision_seconds_count") == 1
        assert all(line["revision"] == revision[:12] for line in running.log())
        assert running.terminate() == 0


def test_refuses_a_changelog_with_another_number_of_partitions(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    kafka.create({names.activity: 3, names.state: 2})
    with service(kafka, names, tmp_path, ready=False) as refused:
        assert refused.process.wait(30) == 2
        assert f"the changelog {names.state} has 2 partitions, its input {names.activity} has 3" in refused.text()


def test_refuses_a_missing_topic(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    with service(kafka, names, tmp_path, ready=False, create_topics="false") as refused:
        assert refused.process.wait(30) == 2
        assert f"the topic {names.activity} (SCORER_ACTIVITY_TOPIC) does not exist" in refused.text()


@embedded_only
@pytest.mark.parametrize(
    ("variable", "value"), [("http_port", "eighty"), ("bootstrap_servers", "localhost"), ("rules", "/nowhere")]
)
def test_a_wrong_setting_ends_it_at_once(kafka: Kafka, names: Names, tmp_path: Path, variable: str, value: str) -> None:
    with service(kafka, names, tmp_path, ready=False, **{variable: value}) as refused:
        assert refused.process.wait(30) == 2
        lines = refused.text().splitlines()
        assert len(lines) == 1
        assert f"SCORER_{variable.upper()}" in lines[0]


def test_ends_if_kafka_does_not_answer(names: Names, tmp_path: Path) -> None:
    with service(Kafka("127.0.0.1:1"), names, tmp_path, ready=False, startup_timeout_s="0.5") as alone:
        assert alone.process.wait(30) == 1
        assert "SCORER_BOOTSTRAP_SERVERS=127.0.0.1:1" in alone.text()
        lines = [line for line in alone.log() if line["level"] in ("warning", "error")]
        assert [line["event"] for line in lines] == ["kafka_not_yet", "kafka_unreachable"]
        assert all("(SCORER_BOOTSTRAP_SERVERS=127.0.0.1:1): Connection refused" in line["error"] for line in lines)
        assert not any(word in alone.text() for word in ("KafkaConnectionError", "AddressFamily", "Unable connect"))


def test_a_session_timeout_that_the_brokers_refuse_is_named(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    with service(kafka, names, tmp_path, ready=False, session_timeout_ms="1000") as refused:
        assert refused.process.wait(30) == 2
        assert (
            refused.text().splitlines()[-1].startswith("error: SCORER_SESSION_TIMEOUT_MS=1000: the brokers refuse it")
        )
