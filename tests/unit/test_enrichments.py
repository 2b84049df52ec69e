"""The job that gives leads the profiles of their companies: each lead once, and none for ever."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from scorer.domain.enrichment import COMPANY_PROFILE, ENRICHING
from scorer.domain.instant import DAY, MILLISECOND, SECOND, to_text
from scorer.evaluation.evaluator import Evaluator
from scorer.kafka.record_limits import TopicLimits
from scorer.runtime.company_metrics import CompanyMetrics
from scorer.runtime.metrics import BatchFigures
from scorer.runtime.settings import load_settings
from scorer.runtime.token_bucket import TokenBucket
from scorer.state.store import LeadStore
from scorer.stream.batch import BatchProcessor
from scorer.stream.companies import Companies, Findings, TooManyError
from scorer.stream.jobs.enrichments import Enrichments
from scorer.stream.jobs.rescore import Rescorer
from scorer.stream.outbox import Outbox
from tests.factory import SMALL_RULES, evaluator

NOW = 21_000 * DAY
SETTINGS = load_settings(None, rules=Path(__file__).parent)
RULES = evaluator()
CLOSED = evaluator(SMALL_RULES + "allowed_sources: {lead.profile_updated: [/crm, web]}\n")


class Partition:
    """An input of one partition with its worker. `step` is one transaction."""

    def __init__(self, rules: Evaluator = RULES) -> None:
        self.seconds = 0.0
        self.rules = rules
        self.log: list[ConsumerRecord[bytes, bytes]] = []
        self.offset = 0
        self.companies = Companies(10)
        self.companies.ready = True
        self.caught_up = True
        self.registry = CollectorRegistry()
        self.metrics = CompanyMetrics(self.registry)
        self.limits = TopicLimits(SETTINGS)
        self.open(LeadStore())

    def open(self, store: LeadStore) -> None:
        """A worker takes the partition over."""
        self.store = store
        rescorer = Rescorer(
            SETTINGS, lambda: self.rules, self.clock, TokenBucket(self.monotonic), self.monotonic, limits=self.limits
        )
        reading = TokenBucket(self.monotonic)
        self.job = Enrichments(rescorer, self.companies, self.metrics, store, 0, reading, lambda: self.caught_up)

    def clock(self) -> int:
        return NOW + round(self.seconds * SECOND)

    def monotonic(self) -> float:
        return self.seconds

    def say(self, lead_id: str, kind: str = "profile_updated", **data: object) -> None:
        """A lead does something."""
        event = {"specversion": "1.0", "id": f"e{len(self.log)}", "source": "web", "type": f"lead.{kind}"}
        self.append(lead_id, json.dumps({**event, "subject": lead_id, "time": to_text(self.clock()), "data": data}))

    def append(self, lead_id: str, value: str | bytes) -> None:
        """Add a record to the input."""
        content, key = value.encode() if isinstance(value, str) else value, lead_id.encode()
        stamp = self.clock() // MILLISECOND
        self.log.append(
            ConsumerRecord("lead.activity", 0, len(self.log), stamp, 1, key, content, None, len(key), len(content), ())
        )

    def know(self, company: str, data: Mapping[str, object] | None) -> None:
        """The topic of companies has another record, which the worker reads."""
        value = None if data is None else msgspec.json.encode(data)
        changed = self.companies.read(record(company, value, self.clock()), Findings())
        self.job.changed([] if changed is None else [changed])

    def step(self, *, commits: bool = True, reads: bool = True) -> int:
        """A transaction, in the next second. Returns how many enrichments it wrote."""
        self.seconds += 1.0
        batch = self.log[self.offset :] if reads else []
        outbox, figures = Outbox(self.offset, log_time=self.clock()), BatchFigures()
        if batch:
            processor = BatchProcessor(SETTINGS, lambda *given: self.rules.assess(*given), self.clock)
            outbox, figures = processor.process(batch, self.store)
        self.job.ready()
        self.job.stage(outbox, figures, busy=False)
        if not commits:
            self.store.discard()
            return 0
        self.store.commit()
        self.job.committed()
        self.offset = outbox.next_offset
        written = [message for message in outbox.messages if message.topic == "lead.activity"]
        for message in written:
            assert (message.partition, message.timestamp) == (0, self.clock() // MILLISECOND)
            self.append((message.key or b"").decode(), message.value or b"")
        return len(written)

    def settle(self) -> int:
        """Steps until nothing happens any more. Returns how many enrichments were written."""
        written = 0
        for _ in range(100):
            now = self.step()
            written += now
            if not now and self.offset == len(self.log) and self.job.patience() is None:
                return written
        raise AssertionError("it writes for ever")

    def industry(self, lead_id: str) -> object:
        return self.store.get(lead_id).value("profile.industry")

    def count(self, outcome: str) -> float:
        """A counter of enrichments."""
        return self.registry.get_sample_value("scorer_enrichments_total", {"outcome": outcome}) or 0.0


def record(company: str, value: bytes | None, at: int) -> "ConsumerRecord[bytes | None, bytes | None]":
    """A record of the topic of companies."""
    given: Any = ConsumerRecord("company.profile", 0, 7, at // MILLISECOND, 1, company.encode(), value, None, 1, 1, ())
    return given


def test_each_lead_of_a_company_gets_its_profile_once() -> None:
    partition = Partition()
    for number in range(250):
        partition.say(f"lead-{number}", email_domain="acme.com" if number % 2 else "bolt.com")
    partition.know("acme.com", {"industry": "Machines"})
    assert partition.settle() == 125
    assert (partition.industry("lead-1"), partition.industry("lead-2")) == ("Machines", None)
    partition.know("bolt.com", {"industry": "Energy"})
    assert partition.settle() == 125
    partition.know("acme.com", {"industry": "Machines"})
    assert partition.settle() == 0, "an export without a change"
    partition.know("acme.com", None)
    assert partition.settle() == 125
    assert partition.industry("lead-1") is None
    assert (partition.count("stated"), partition.count("withdrawn"), partition.count("refused")) == (250, 125, 0)


def test_a_lead_that_becomes_known_as_one_of_a_company_gets_its_profile() -> None:
    partition = Partition()
    partition.know("acme.com", {"industry": "Machines"})
    partition.know("bolt.com", {"industry": "Energy"})
    assert partition.settle() == 0
    partition.say("a", "page_viewed", url="/")
    partition.say("b", email_domain="mail.acme.com")
    assert partition.settle() == 1
    partition.say("b", email_domain="bolt.com")
    assert partition.settle() == 1
    assert partition.industry("b") == "Energy"
    partition.know("acme.com", {"industry": "Tools"})
    assert partition.settle() == 0, "it is no lead of this company any more"


def test_leads_of_a_restored_partition_are_compared() -> None:
    partition = Partition()
    partition.say("a", email_domain="acme.com")
    partition.say("b", email_domain="acme.com")
    partition.know("acme.com", {"industry": "Machines"})
    partition.settle()
    partition.know("acme.com", {"industry": "Tools"})
    # The next owner knows the states alone.
    store = LeadStore()
    for lead_id in partition.store.ids():
        store.restore(lead_id, partition.store.state(lead_id))
    partition.open(store)
    assert partition.settle() == 2
    assert partition.industry("a") == "Tools"


def test_nothing_is_written_before_both_ends_were_read() -> None:
    partition = Partition()
    partition.companies.ready = partition.caught_up = False
    partition.say("a", email_domain="acme.com")
    partition.know("acme.com", {"industry": "Machines"})
    assert [partition.step(), partition.step()] == [0, 0]
    assert partition.job.patience() is None
    partition.companies.ready = True
    assert [partition.step(), partition.step()] == [0, 0]
    assert partition.job.patience() == 1.0
    partition.caught_up = True
    assert partition.settle() == 1


def test_nothing_is_withdrawn_while_the_profiles_are_not_known() -> None:
    partition = Partition()
    partition.say("a", email_domain="acme.com")
    partition.know("acme.com", {"industry": "Machines"})
    partition.settle()
    partition.companies.ready = False
    partition.companies.profiles = {}
    partition.say("a", email_domain="acme.com", country="DE")
    assert [partition.step(), partition.step(), partition.step()] == [0, 0, 0]
    assert partition.industry("a") == "Machines"


def test_a_transaction_that_fails_writes_them_in_the_next_one() -> None:
    partition = Partition()
    partition.say("a", email_domain="acme.com")
    partition.know("acme.com", {"industry": "Machines"})
    partition.step()
    assert partition.step(commits=False) == 0
    assert partition.settle() == 1


def test_one_that_is_not_read_yet_is_not_written_again() -> None:
    partition = Partition()
    partition.know("acme.com", {"industry": "Machines"})
    partition.say("a", email_domain="acme.com")
    written = [partition.step(), *(partition.step(reads=False) for _ in range(5))]
    assert sum(written) == 1
    # What the lead does meanwhile does not change that.
    partition.log.insert(partition.offset, partition.log.pop())
    assert partition.settle() == 0


def test_a_profile_that_changes_before_the_one_before_was_read_is_written_too() -> None:
    partition = Partition()
    partition.say("a", email_domain="acme.com")
    partition.know("acme.com", {"industry": "Machines", "employees": 400})
    partition.step()
    partition.step(reads=False)
    partition.know("acme.com", {"industry": "Tools"})
    assert partition.settle() == 1
    assert partition.industry("a") == "Tools"
    assert partition.store.get("a").value("profile.employees") is None


def test_what_the_rules_refuse_is_never_written_and_said_once() -> None:
    partition = Partition(CLOSED)
    for lead in "abc":
        partition.say(lead, email_domain="acme.com")
    partition.know("acme.com", {"industry": "Machines"})
    with capture_logs() as logs:
        assert partition.settle() == 0
        partition.say("a", email_domain="acme.com", country="DE")
        assert partition.settle() == 0
    (line,) = [line for line in logs if line["event"] == "enrichment_refused"]
    assert line["reason"] == "source_not_allowed"
    assert partition.count("refused") == 3
    # Other rules may accept them.
    partition.rules = RULES
    assert partition.settle() == 3


def test_one_that_has_no_effect_is_not_written_for_ever() -> None:
    partition = Partition()
    partition.say("a", email_domain="acme.com")
    partition.know("acme.com", {"industry": "Machines"})
    partition.step()
    # Somebody empties the input of it, or a release before does not understand it.
    partition.step(reads=False)
    partition.log[-1].value = b"{}"
    assert partition.settle() == 0
    partition.know("acme.com", {"industry": "Tools"})
    assert partition.settle() == 1
    assert partition.industry("a") == "Tools"


def test_an_enrichment_that_the_input_would_refuse_is_not_written() -> None:
    partition = Partition()
    partition.say("a", email_domain="acme.com")
    partition.know("acme.com", {"technologies": ["x" * 250] * 60})
    partition.limits.current = replace(partition.limits.current, rekeyed=10_000)
    with capture_logs() as logs:
        assert partition.settle() == 0
    assert [line["reason"] for line in logs if line["event"] == "enrichment_refused"] == ["too_large"]


def test_a_busy_worker_writes_once_a_second_and_the_pace_holds() -> None:
    partition = Partition()
    for number in range(300):
        partition.say(f"lead-{number}", email_domain="acme.com")
    partition.know("acme.com", {"industry": "Machines"})
    partition.step()
    first = partition.step(reads=False)
    assert 0 < first <= 100
    per_second = RULES.ruleset.rescoring.per_second
    assert partition.job.patience() == pytest.approx(max(0.0, first / per_second))
    outbox = Outbox(0)
    assert not partition.job.stage(outbox, BatchFigures(), busy=True)
    partition.seconds += 1.0
    assert partition.job.stage(outbox, BatchFigures(), busy=True)


def test_a_replay_of_the_input_alone_gives_the_same_leads() -> None:
    partition = Partition()
    partition.know("acme.com", {"industry": "Machines"})
    for number in range(20):
        partition.say(f"lead-{number}", email_domain="acme.com", employees=number)
    partition.settle()
    partition.know("acme.com", {"industry": "Tools", "employees": 400})
    partition.settle()
    again = Partition()
    again.companies.ready = False
    again.log = partition.log
    again.step()
    assert {lead: again.store.state(lead) for lead in again.store.ids()} == {
        lead: partition.store.state(lead) for lead in partition.store.ids()
    }
    assert all(lead.facts[COMPANY_PROFILE].stamp.source == ENRICHING for lead in again.store.leads())


def test_a_table_never_has_more_companies_than_the_settings_allow() -> None:
    companies, findings = Companies(2), Findings()
    for company in ("a.com", "b.com"):
        assert companies.read(record(company, b'{"employees": 1}', NOW), findings) == company
    companies.check()
    # A record that is not compacted away yet may be deleted by one that follows.
    assert companies.read(record("c.com", b'{"employees": 1}', NOW), findings) == "c.com"
    with pytest.raises(TooManyError, match=r"more than 2 companies \(SCORER_COMPANY_PROFILES\)"):
        companies.check()
    assert companies.read(record("a.com", None, NOW), findings) == "a.com"
    companies.check()
    for company in ("d.com", "e.com"):
        companies.read(record(company, b'{"employees": 1}', NOW), findings)
    with pytest.raises(TooManyError):
        companies.read(record("f.com", b'{"employees": 1}', NOW), findings)


def test_what_does_not_fit_is_counted_with_its_place() -> None:
    companies, findings = Companies(9), Findings()
    companies.read(record("gmail.com", b"{}", NOW), findings)
    companies.read(record("a.com", b"[]", NOW), findings)
    companies.read(record("a.com", b'{"employees": "many", "name": "x", "industry": "Energy"}', NOW), findings)
    assert findings.outcomes == {"rejected": 2, "changed": 1}
    assert findings.rejected == {"bad_key": 1, "not_an_object": 1}
    assert findings.first_rejected is not None
    assert findings.first_rejected[0] == findings.first_dropped == "company.profile/0/7"
    assert findings.dropped == {("profile.employees", "wrong_type"): 1, ("other", "undeclared"): 1}


def test_after_the_topic_was_read_again_the_differences_are_known() -> None:
    companies, findings = Companies(9), Findings()
    for company, employees in (("a.com", 1), ("b.com", 1), ("c.com", 1)):
        companies.read(record(company, b'{"employees": %d}' % employees, NOW), findings)
    fresh = Companies(9)
    for company, employees in (("a.com", 1), ("b.com", 2), ("d.com", 1)):
        fresh.read(record(company, b'{"employees": %d}' % employees, NOW + DAY), findings)
    assert companies.replace(fresh.profiles) == {"b.com", "c.com", "d.com"}
