"""Activities for the tests, and the expected results: the offline fold with `assess`, record by record."""

import json
from collections import defaultdict
from collections.abc import Iterable
from random import Random
from typing import Any

from scorer.domain.instant import DAY, HOUR, to_text
from scorer.domain.lead import Lead
from scorer.engines.engine import default_engine
from scorer.evaluation.evaluator import Evaluator
from scorer.offline.ruleset_files import load_ruleset
from scorer.sources.cloudevents import parse_record
from tests import planted
from tests.integration.kafka import Record
from tests.integration.service import RULES

START = 20_000 * DAY
NOW = START + 3650 * DAY


def event(lead_id: str, number: int, kind: str, data: dict[str, Any], time: int) -> dict[str, Any]:
    """A CloudEvent in structured mode."""
    return {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "/test",
        "type": kind,
        "time": to_text(time),
        "subject": lead_id,
        "data": data,
    }


def structured(event: dict[str, Any]) -> Record:
    """The event as one JSON value."""
    return Record(event["subject"].encode(), json.dumps(event).encode())


def binary(event: dict[str, Any]) -> Record:
    """The event as headers, with its data as the value."""
    headers = [(f"ce_{name}", str(value).encode()) for name, value in event.items() if name != "data"]
    headers.append(("content-type", b"application/json"))
    return Record(event["subject"].encode(), json.dumps(event["data"]).encode(), headers)


def stream(count: int, leads: int, seed: int) -> list[Record]:
    """A mix of activities: both modes, repeats, late arrivals."""
    random = Random(seed)
    records: list[Record] = []
    for number in range(count):
        lead_id = f"lead-{random.randrange(leads)}"
        time = START + number * HOUR - random.choice((0, 0, 0, 30)) * DAY
        kind, data = random.choice(_KINDS)(random)
        write = random.choice((structured, binary))
        records.append(write(event(lead_id, number, kind, data, time)))
        if records and random.random() < 0.1:
            records.append(random.choice(records))
    return records


def offline(records: Iterable[Record]) -> tuple[dict[str, list[bytes]], dict[str, Lead]]:
    """The decisions (as bytes) and the final state of each lead."""
    ruleset = Evaluator(load_ruleset(RULES), default_engine("compiled"))
    leads: dict[str, Lead] = {}
    decisions: dict[str, list[bytes]] = defaultdict(list)
    for record in records:
        activity = parse_record(record.value, record.key, record.headers, NOW)
        result = ruleset.assess(leads.get(activity.lead_id, Lead(activity.lead_id)), activity)
        leads[activity.lead_id] = result.lead
        if result.decisions:
            decisions[activity.lead_id] += [decision.to_json() for decision in result.decisions]
    return dict(decisions), leads


def _page(random: Random) -> tuple[str, dict[str, Any]]:
    return "lead.page_viewed", {"url": random.choice(("/pricing", "/blog/a", "/careers", "/docs"))}


def _profile(random: Random) -> tuple[str, dict[str, Any]]:
    return "lead.profile_updated", {
        "employees": random.randrange(5000),
        "custom": planted.VALUES,
        "industry": random.choice(("manufacturing", "retail", None)),
        "job_level": random.choice(("student", "manager", "director", "executive")),
    }


def _bant(random: Random) -> tuple[str, dict[str, Any]]:
    bant = {
        "budget_status": random.choice(("approved", "planned", "none")),
        "budget_amount": random.randrange(200_000),
        "authority": random.choice(("decision_maker", "user")),
        "need": random.choice(("critical", "useful")),
        "timeline_months": random.randrange(24),
    }
    return "lead.qualification_updated", {"bant": bant}


def _other(random: Random) -> tuple[str, dict[str, Any]]:
    return random.choice(
        (
            ("lead.demo_requested", {}),
            ("lead.form_submitted", {"form": "contact"}),
            ("lead.unsubscribed", {}),
            ("lead.sales_returned", {"reason": "too early"}),
            ("lead.custom_thing", {"x": 1, **planted.VALUES}),
        )
    )


_KINDS = (_page, _page, _profile, _bant, _other)
