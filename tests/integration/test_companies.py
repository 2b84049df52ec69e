"""Profiles of companies from a compacted topic, with a real broker."""

from functools import partial
from pathlib import Path

from scorer.domain.instant import SECOND
from tests.factory import SMALL_RULES, ruleset_folder
from tests.faults.group import wait_until_processed
from tests.faults.oracle import check_exactly_once
from tests.faults.profiles import company_topic, enrichments, present_leads, profile, wait_until_enriched
from tests.integration.activities import START, event, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import service

STATED = 'scorer_enrichments_total{outcome="stated"}'


def lead(lead_id: str, number: int, **data: object) -> Record:
    return structured(event(lead_id, number, "lead.profile_updated", dict(data), START + number * SECOND))


def industries(kafka: Kafka, names: Names) -> dict[str, object]:
    return {lead.id: lead.value("profile.industry") for lead in present_leads(kafka, names)}


def test_leads_get_the_profiles_of_their_companies_and_the_input_alone_gives_the_same(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    rules = ruleset_folder(tmp_path / "rules", SMALL_RULES)
    topic = company_topic(names)
    with service(kafka, names, tmp_path, rules=str(rules), company_topic=topic) as worker:
        ready = worker.ready()
        assert ready is not None
        assert ready["companies"] == {"ready": False, "profiles": 0}
        kafka.write(names.activity, [lead(f"a{n}", n, email_domain="mail.acme.com") for n in range(20)])
        kafka.write(names.activity, [lead(f"b{n}", n, email_domain="bolt.com", industry="Logistics") for n in range(3)])
        kafka.write(names.activity, [lead("free", 1, email_domain="gmail.com")])
        kafka.write(
            topic,
            [
                profile("acme.com", {"industry": "Machines", "employees": 400}),
                profile("bolt.com", {"industry": "Energy", "email": "x@bolt.com"}),
                profile("www.acme.com", {"industry": "Wrong"}),
                profile("gmail.com", {"industry": "Wrong"}),
            ],
        )
        wait_until_enriched(kafka, names, worker)
        assert industries(kafka, names) == {
            **{f"a{n}": "Machines" for n in range(20)},
            **{f"b{n}": "Energy" for n in range(3)},
            "free": None,
        }
        assert worker.metric(STATED) == 23
        assert worker.metric('scorer_company_records_total{outcome="rejected"}') == 2
        assert worker.metric('scorer_company_keys_dropped_total{key="other",reason="undeclared"}') == 1
        assert worker.metric("scorer_company_topic_ready") == 1

        # A nightly export without a change.
        kafka.write(topic, [profile("acme.com", {"employees": 400.0, "industry": "Machines"})])
        worker.wait(partial(worker.metric, 'scorer_company_records_total{outcome="unchanged"}'))
        kafka.write(topic, [profile("bolt.com", None)])
        wait_until_enriched(kafka, names, worker)
        assert worker.metric(STATED) == 23
        assert worker.metric('scorer_enrichments_total{outcome="withdrawn"}') == 3
        assert worker.terminate() == 0
    # After a restart, each worker compares again and finds nothing to do.
    with service(kafka, names, tmp_path, rules=str(rules), company_topic=topic) as worker:
        worker.wait(partial(worker.metric, "scorer_company_topic_ready"))
        kafka.write(names.activity, [lead("late", 1, email_domain="acme.com")])
        wait_until_enriched(kafka, names, worker)
        wait_until_processed(kafka, names, [worker])
        assert worker.terminate() == 0
    assert len(enrichments(kafka, names)) == 27
    assert len({(activity["subject"], activity["id"]) for activity in enrichments(kafka, names)}) == 27
    output = check_exactly_once(kafka, names, rules=rules)
    assert not output.letters


def test_two_thousand_leads_of_one_company_get_each_change(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "rules", SMALL_RULES + "rescore: {per_second: 2000}\n")
    topic = company_topic(names)
    kafka.create({names.activity: 2}, {"message.timestamp.type": "CreateTime"})
    kafka.write(names.activity, [lead(f"lead-{n}", n, email_domain="acme.com") for n in range(2_000)])
    with service(kafka, names, tmp_path, rules=str(rules), company_topic=topic) as worker:
        for number in range(2):
            kafka.write(topic, [profile("acme.com", {"industry": "Machines", "employees": number})])
            wait_until_enriched(kafka, names, worker)
        wait_until_processed(kafka, names, [worker])
        assert worker.metric("scorer_enrichment_remaining") == 0
        assert worker.metric(STATED) == 4_000
        assert worker.terminate() == 0
    check_exactly_once(kafka, names, rules=rules)


def test_what_the_rules_refuse_is_not_written_and_a_table_that_is_too_large_withdraws_nothing(
    kafka: Kafka, names: Names, tmp_path: Path
) -> None:
    closed = SMALL_RULES + "allowed_sources: {lead.profile_updated: [/test]}\n"
    rules = ruleset_folder(tmp_path / "rules", closed)
    topic = company_topic(names)
    with service(kafka, names, tmp_path, rules=str(rules), company_topic=topic, company_profiles="2") as worker:
        kafka.write(topic, [profile("acme.com", {"industry": "Machines"}), profile("bolt.com", {"industry": "Energy"})])
        kafka.write(names.activity, [lead("a", 1, email_domain="acme.com")])
        worker.wait(partial(worker.metric, 'scorer_enrichments_total{outcome="refused"}'))
        assert "enrichment_refused" in [line["event"] for line in worker.log()]
        ruleset_folder(tmp_path / "rules", SMALL_RULES)
        wait_until_enriched(kafka, names, worker)
        kafka.write(topic, [profile("cast.com", {"industry": "Foundry"})])
        worker.wait(lambda: worker.metric("scorer_company_topic_ready") == 0)
        assert "company_topic_too_large" in [line["event"] for line in worker.log()]
        kafka.write(names.activity, [lead("a", 2, country="DE")])
        wait_until_processed(kafka, names, [worker])
        assert industries(kafka, names) == {"a": "Machines"}
        # Once there are fewer again, it goes on.
        kafka.write(topic, [profile("bolt.com", None), profile("acme.com", {"industry": "Tools"})])
        wait_until_enriched(kafka, names, worker)
        assert worker.terminate() == 0
    assert len(enrichments(kafka, names)) == 2
    assert kafka.read(names.dead_letters) == []
