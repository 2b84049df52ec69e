"""The key figures of a running service equal those of the leads, also after a restart, a rebalance and new rules."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from scorer.domain.instant import MINUTE, SECOND
from scorer.domain.lead import Lead
from scorer.figures.figures import Figures
from scorer.figures.gauges import Gauges, gauges
from scorer.runtime.metrics import KEY_FIGURES
from scorer.sources.cloudevents import parse_record
from tests.brokers.marks import embedded_only
from tests.factory import SMALL_RULES, evaluator, ruleset_folder
from tests.integration.activities import event, structured
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import Service, service

RULES = (
    SMALL_RULES.replace("respond_within: 1h", "respond_within: 1m")
    + """
targets: {revenue: 100000, average_deal: 4000, closing_rate: 1/3, period: year, zone: Europe/Berlin}
lifecycle:
  phases: {contact: [Working], offer: [Proposal]}
  categories: [{id: active, when: {lifecycle.status: accepted}}, {id: base}]
  actions: {meeting: {activity: meeting_held}}
"""
)
OTHER_RULES = RULES.replace("average_deal: 4000", "average_deal: 2000").replace(
    "offer: [Proposal]", "close: [Proposal]"
)
DATA: dict[str, dict[str, object]] = {
    "profile_updated": {"employees": 500, "country": "DE"},
    "qualification_updated": {"bant": {"budget_status": "approved", "authority": "decision_maker"}},
    "page_viewed": {"url": "/pricing"},
    "sales_accepted": {},
    "meeting_held": {},
    "sales_returned": {"reason": "not ready"},
    "opportunity_won": {},
}
PASSING = ("scorer_opportunities_forecast", "scorer_period_elapsed_ratio")
"""These change with each second."""


def activities(first: int, start: int, *kinds: str) -> list[Record]:
    """Twelve leads that reach sales, and what follows, by turns."""
    records = []
    for number in range(12):
        lead_id, at = f"lead-{number}", start + number * SECOND
        for place, kind in enumerate(kinds[: 1 + number % (len(kinds) + 1)]):
            data = DATA.get(kind, {"stage": "Proposal" if number % 2 else "Their own"})
            number_of = 1000 * first + 20 * number + place
            records.append(structured(event(lead_id, number_of, f"lead.{kind}", data, at + place * MINUTE)))
    return records


class Log:
    """What was written, and the leads that follow from it."""

    def __init__(self) -> None:
        self.evaluator = evaluator(RULES)
        self.leads: dict[str, Lead] = {}

    def write(self, kafka: Kafka, names: Names, records: Sequence[Record]) -> None:
        kafka.write(names.activity, records)
        for record in records:
            activity = parse_record(record.value, record.key, record.headers, 1 << 60)
            lead = self.leads.get(activity.lead_id, Lead(activity.lead_id))
            self.leads[lead.id] = self.evaluator.assess(lead, activity).lead

    def expected(self) -> Gauges:
        figures = Figures(self.evaluator.ruleset)
        for lead in self.leads.values():
            figures.add(lead.lifecycle, lead.counted)
        return gauges([figures], time.time_ns() // 1000)


def shown(*workers: Service) -> Gauges:
    """The gauges of the workers together."""
    total: dict[str, dict[tuple[str, ...], float]] = {}
    for worker in workers:
        for family in text_string_to_metric_families(worker.get("/metrics")[1]):
            if family.name in KEY_FIGURES:
                for sample in family.samples:
                    labels = tuple(sample.labels[name] for name in KEY_FIGURES[family.name][1])
                    values = total.setdefault(family.name, {})
                    values[labels] = values.get(labels, 0.0) + sample.value
    return total


def agree(log: Log, *workers: Service) -> Callable[[], bool]:
    """Whether the workers show the figures of the log. Each of them shows the number needed."""

    def check() -> bool:
        expected = {name: dict(values) for name, values in log.expected().items() if name not in PASSING}
        expected["scorer_figures_partitions"] = {(): 2}
        if log.evaluator.ruleset.targets is not None:
            expected["scorer_opportunities_needed"] = {(): len(workers) * float(log.evaluator.ruleset.targets.needed)}
        found = {name: dict(values) for name, values in shown(*workers).items() if name not in PASSING}
        return found == expected

    return check


# Two workers on a broker that does not fence are fine here: nobody looks at repeated decisions.
@embedded_only
def test_the_figures_are_those_of_the_leads(kafka: Kafka, names: Names, tmp_path: Path) -> None:
    rules = ruleset_folder(tmp_path / "rules", RULES)
    log, start = Log(), time.time_ns() // 1000 - 20 * MINUTE
    first = activities(
        1, start, "profile_updated", "qualification_updated", "page_viewed", "sales_accepted", "meeting_held"
    )
    with service(kafka, names, tmp_path, rules=str(rules), unfenced="allow") as running:
        log.write(kafka, names, first)
        running.wait(agree(log, running))
        assert running.metric('scorer_promises_overdue{queue="key-accounts"}') > 0
        assert running.terminate() == 0
    with service(kafka, names, tmp_path, rules=str(rules), unfenced="allow") as running:
        # A restart does not reset them.
        running.wait(agree(log, running))
        log.write(kafka, names, activities(2, start + 10 * MINUTE, "stage_changed", "sales_returned", "meeting_held"))
        running.wait(agree(log, running))
        assert running.metric('scorer_phase_reached{phase="offer"}') > 0
        with service(kafka, names, tmp_path, rules=str(rules), unfenced="allow") as other:
            running.wait(agree(log, running, other))
            log.write(kafka, names, activities(3, start + 15 * MINUTE, "opportunity_won"))
            running.wait(agree(log, running, other))
            assert other.terminate() == 0
        running.wait(agree(log, running))
        ruleset_folder(rules, OTHER_RULES)
        log.evaluator = evaluator(OTHER_RULES)
        running.wait(agree(log, running))
        assert running.metric("scorer_opportunities_needed") == 150
        assert running.metric('scorer_phase_reached{phase="close"}') > 0
