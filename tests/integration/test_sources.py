"""Topics of other senders in front of the input, with a real broker."""

from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord

from scorer.sources.rejected import Rejected
from scorer.stream.translation import TRANSLATED_FROM
from tests.faults.foreign import wait_until_translated
from tests.faults.group import wait_until_processed
from tests.integration.activities import START, event, offline, stream, structured
from tests.integration.kafka import DEADLINE, Kafka, Names, Record
from tests.integration.service import service
from tests.integration.test_dlq import dlq, listed
from tests.integration.test_offsets import delete, expire, offsets, refusal
from tests.integration.test_service import by_lead, total
from tests.integration.test_topic import BY_THE_BROKER, published, run
from tests.integration.test_topic import by_lead as lines_by_lead
from tests.integration.test_topics import ensure
from tests.senders.samples import outcomes, platforms, samples


def others(names: Names) -> tuple[str, str]:
    return f"{names.prefix}.crm", f"{names.prefix}.web"


def prepared(kafka: Kafka, names: Names, partitions: int = 1, **config: str) -> str:
    """Make the topics of other senders; returns the setting."""
    kafka.create(dict.fromkeys(others(names), partitions), config)
    return ",".join(f"{topic}:cloudevents" for topic in others(names))


def page(lead_id: str, number: int, **data: object) -> Record:
    return structured(event(lead_id, number, "lead.page_viewed", {"url": "/pricing", **data}, START + number))


def array(*records: Record) -> Record:
    """Activities as one record with a key that means nothing."""
    return Record(b"any", b"[" + b",".join(record.value or b"" for record in records) + b"]")


def translated(records: "list[ConsumerRecord[bytes, bytes]]") -> dict[str, bytes]:
    """The values of the input's records that were translated, by their origin. Each may occur once."""
    pairs = [
        ((value or b"").decode(), record.value or b"")
        for record in records
        for name, value in record.headers
        if name == "translated-from"
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_two_topics_are_translated_and_the_input_alone_gives_the_decisions(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    sources = prepared(kafka, names, 2)
    crm, web = others(names)
    records = stream(300, leads=20, seed=3)
    number_of = {key: number for number, key in enumerate(sorted({record.key or b"" for record in records}))}
    first, second, direct = (
        [record for record in records if number_of[record.key or b""] % 3 == part] for part in range(3)
    )
    with service(kafka, names, tmp_path, sources=sources) as running:
        kafka.write(crm, [record._replace(key=b"one partition") for record in first])
        kafka.write(web, [record._replace(key=None) for record in second])
        kafka.write(names.activity, direct)
        published = kafka.read(names.activity, at_least=len(records))
        expected, _ = offline([Record(each.key, each.value, each.headers) for each in published])
        decisions = kafka.read(names.routing, at_least=total(expected))
        counted = running.metric('scorer_source_events_total{outcome="translated",source="cloudevents"}')
        assert counted == len(first) + len(second)
        partitions = (running.ready() or {})["partitions"]
        assert partitions.keys() == {"0", "1", *(f"{topic}-{number}" for topic in (crm, web) for number in range(2))}
        assert set(partitions.values()) == {"running"}
        assert running.metric('scorer_partitions{state="running"}') == 2
        assert running.metric('scorer_source_partitions{state="running"}') == 4
        running.wait(lambda: running.metric(f'scorer_consumer_lag_records{{partition="{crm}-0"}}') == 0)
        assert running.terminate() == 0
    assert by_lead(decisions) == expected
    places = Counter(place.split("/")[0] for place in translated(published))
    assert places == {crm: len(first), web: len(second)}


def test_what_all_platforms_send_is_scored_and_replays_from_the_input_alone(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    topics = {platform: f"{names.prefix}.{platform}" for platform in platforms()}
    kafka.create(dict.fromkeys(topics.values(), 1))
    kafka.create({names.activity: 3}, BY_THE_BROKER)
    wanted: Counter[str] = Counter()
    for platform, topic in topics.items():
        kafka.write(topic, [Record(None, sample.value) for sample in samples(platform)])
        for sample in samples(platform):
            with suppress(Rejected):
                wanted[topic] += sum(len(outcome.activities) for outcome in outcomes(platform, sample.value))
    assert min(wanted[topic] for topic in topics.values()) > 0
    sources = ",".join(f"{topic}:{platform}" for platform, topic in topics.items())
    with service(kafka, names, tmp_path, sources=sources, topic_partitions="3") as running:
        wait_until_translated(kafka, names, [*topics.values()], [running])
        wait_until_processed(kafka, names, [running])
        assert running.terminate() == 0
    records = kafka.read(names.activity)
    origins = [
        (value or b"").decode() for record in records for name, value in record.headers if name == TRANSLATED_FROM
    ]
    assert Counter(origin.partition("/")[0] for origin in origins) == wanted
    scored = run(kafka, names, "score", "--topic", names.activity, "--engine", "compiled")
    expected = lines_by_lead(scored.stdout.splitlines())
    assert published(kafka, names, 1) == expected
    assert len(expected) > len(topics)


def test_bad_events_are_dead_letters_that_go_back_to_their_topic(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    sources = prepared(kafka, names)
    crm, _ = others(names)
    kafka.create({names.dead_letters: 1})
    bad = structured(event("a", 5, "lead.merged", {}, START + 5))
    given = [array(page("a", 0), bad, page("b", 1)), Record(b"k", b"{broken"), Record(b"k", None)]
    with service(kafka, names, tmp_path, sources=sources) as running:
        kafka.write(crm, given)
        letters = kafka.read(names.dead_letters, at_least=3)
        assert [letter.value for letter in letters] == [bad.value, b"{broken", None]
        found = listed(kafka, names)
        origin = {"topic": crm, "partition": 0}
        assert [(letter["reason"], letter["origin"]) for letter in found] == [
            ("invalid_data", {**origin, "offset": 0, "index": 1}),
            ("not_json", {**origin, "offset": 1}),
            ("empty_value", {**origin, "offset": 2}),
        ]
        assert running.metric('scorer_source_events_total{outcome="rejected",source="cloudevents"}') == 3
        unknown = dlq(kafka, names, "replay", "--from", "0:0#1")
        assert "name it in SCORER_SOURCES" in unknown.stderr
        done = dlq(kafka, names, "replay", "--from", "0:0#1", sources=sources)
        assert done.stdout.splitlines()[0] == f"1 dead letter to send back to {crm}"
        # It is rejected again, now as a record of its own.
        again = kafka.read(names.dead_letters, at_least=4)[-1]
        assert (again.value, dict(again.headers)["dlq-offset"]) == (bad.value, b"3")
        assert dict(again.headers)["replayed-from"] == f"{names.dead_letters}/0/0".encode()
        assert running.terminate() == 0
    assert len(translated(kafka.read(names.activity))) == 2


def test_an_activity_that_the_input_refuses_costs_one_event(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    sources = prepared(kafka, names)
    _, web = others(names)
    large = page("a", 1, url="/" + "x" * 2_000)
    kafka.create({names.activity: 1}, {"max.message.bytes": "3000", "message.timestamp.type": "CreateTime"})
    with service(kafka, names, tmp_path, sources=sources, topic_partitions="1") as running:
        kafka.write(web, [array(page("a", 0), large, page("a", 2))])
        assert len(kafka.read(names.activity, at_least=3)) == 3
        # The topic is changed while the service runs, which does not know it.
        kafka.configure(names.activity, "max.message.bytes", "1500")
        kafka.write(web, [array(page("a", 3), page("a", 4, url="/" + "x" * 1_900), page("a", 5))])
        (letter,) = kafka.read(names.dead_letters, at_least=1)
        assert dict(letter.headers)["dlq-reason"] == b"too_large"
        assert dict(letter.headers)["dlq-index"] == b"1"
        assert len(translated(kafka.read(names.activity, at_least=5))) == 5
        assert running.terminate() == 0


def test_thousands_of_events_in_one_record_are_translated(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    sources = prepared(kafka, names)
    crm, _ = others(names)
    record = array(*(page(f"lead-{number % 50}", number) for number in range(4_000)))
    with service(kafka, names, tmp_path, sources=sources, max_records="50") as running:
        kafka.write(crm, [record, page("last", 1)])
        assert len(translated(kafka.read(names.activity, at_least=4_001))) == 4_001
        assert running.terminate() == 0


def test_a_missing_topic_is_refused_and_only_made_on_request(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    crm, _ = others(names)
    sources = f"{crm}:cloudevents"
    with service(kafka, names, tmp_path, ready=False, sources=sources) as running:
        assert running.process.wait(DEADLINE) == 2
        (line,) = [line for line in running.log() if line["event"] == "topics_wrong"]
    assert f"the topic {crm} (SCORER_SOURCES) does not exist; its sender creates it" in line["error"]
    missing = ensure(kafka, names, sources=sources)
    assert missing.status == 1
    ((status, text),) = missing.of(crm)
    assert (status, text.split(";")[0]) == ("failed", "does not exist")
    made = ensure(kafka, names, "--sources", sources=sources)
    assert (made.status, made.of(crm)[0][0]) == (0, "created")
    assert ensure(kafka, names, sources=sources).of(crm)[0][0] == "ok"


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        ("{crm}:segmnt", "names the source 'segmnt', which does not exist"),
        ("{activity}:segment", "is SCORER_ACTIVITY_TOPIC"),
    ],
)
def test_a_wrong_setting_ends_the_service_with_one_line(
    kafka: Kafka, names: Names, tmp_path: Path, sources: str, problem: str
) -> None:
    setting = sources.format(crm=others(names)[0], activity=names.activity)
    with service(kafka, names, tmp_path, ready=False, sources=setting) as running:
        assert running.process.wait(DEADLINE) == 2
        last = running.text().splitlines()[-1]
    assert last.startswith("error: SCORER_SOURCES")
    assert problem in last


def process(kafka: Kafka, names: Names, folder: Path, sources: str) -> None:
    with service(kafka, names, folder, sources=sources) as running:
        wait_until_translated(kafka, names, others(names), [running])
        wait_until_processed(kafka, names, [running])
        assert running.terminate() == 0


def test_offsets_are_shown_and_reset_and_reading_again_counts_nothing_twice(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    sources = prepared(kafka, names)
    crm, web = others(names)
    kafka.write(crm, [page("a", number) for number in range(3)])
    process(kafka, names, tmp_path, sources)
    before = by_lead(kafka.read(names.routing))
    rows = offsets(kafka, names, "show", SCORER_SOURCES=sources).output.splitlines()
    assert [row.split() for row in rows if crm in row or web in row] == [
        [f"{crm}-0", "3", "0", "3", "0", "ok"],
        [f"{web}-0", "-", "0", "0", "0", "ok"],
    ]
    wrong = offsets(kafka, names, "reset", "--topic", "other", "--to", "earliest", SCORER_SOURCES=sources)
    assert (wrong.status, "it reads" in wrong.errors) == (2, True)
    reset = offsets(kafka, names, "reset", "--topic", crm, "--to", "earliest", "--yes", SCORER_SOURCES=sources)
    assert reset.rows == [["0", "3", "0", "3", "reads 3 again"]]
    assert reset.output.splitlines()[-1] == "1 partition changed"
    process(kafka, names, tmp_path, sources)
    assert len(kafka.read(names.activity)) == 6
    assert by_lead(kafka.read(names.routing)) == before


def test_a_topic_that_was_made_again_is_read_from_its_start(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    sources = prepared(kafka, names)
    crm, _ = others(names)
    kafka.write(crm, [page("a", number) for number in range(3)])
    process(kafka, names, tmp_path, sources)
    delete(kafka, crm)
    kafka.create({crm: 1})
    kafka.write(crm, [page("b", number) for number in range(5)])
    process(kafka, names, tmp_path, sources)
    assert [record.key for record in kafka.read(names.activity) if record.key == b"b"] == [b"b"] * 5


def test_records_that_expired_untranslated_are_refused_until_somebody_says_where_to_continue(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    sources = prepared(kafka, names)
    crm, _ = others(names)
    kafka.write(crm, [page("a", number) for number in range(3)])
    process(kafka, names, tmp_path, sources)
    kafka.write(crm, [page("b", number) for number in range(5)])
    expire(kafka, crm, 6)
    with service(kafka, names, tmp_path, ready=False, sources=sources) as running:
        line = refusal(running)
    assert (line["change"], line["topic"]) == ("expired", crm)
    assert f"`scorer offsets reset --topic {crm}` chooses where to continue" in line["error"]
    assert offsets(kafka, names, "show", SCORER_SOURCES=sources).status == 1
    offsets(kafka, names, "reset", "--topic", crm, "--to", "earliest", "--yes", SCORER_SOURCES=sources)
    process(kafka, names, tmp_path, sources)
    assert sorted(translated(kafka.read(names.activity))) == [f"{crm}/0/{n}" for n in (0, 1, 2, 6, 7)]


def test_a_topic_that_goes_away_is_named_until_it_is_there_again(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    sources = prepared(kafka, names)
    crm, web = others(names)
    with service(kafka, names, tmp_path, sources=sources, stalled_after_s="1") as running:
        kafka.write(crm, [page("a", 0)])
        wait_until_translated(kafka, names, [crm, web], [running])
        delete(kafka, crm)
        about = running.wait(lambda: running.unready().get("stalled"))
        assert about.keys() == {crm}
        assert "its topic, which Kafka does not show" in about[crm]["waits_for"]
        assert running.metric(f'scorer_partition_stalled_seconds{{partition="{crm}"}}') >= 1
        # The others are translated and judged meanwhile.
        kafka.write(web, [page("b", 1)])
        kafka.read(names.activity, at_least=2)
        kafka.create({crm: 1})
        kafka.write(crm, [page("c", 2)])
        kafka.read(names.activity, at_least=3)
        running.wait(running.ready)
        stalls = [line["partition"] for line in running.log() if line["event"].startswith("partition_stall")]
        assert stalls == [crm] * len(stalls)
        assert running.terminate() == 0
