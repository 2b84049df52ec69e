"""Activities as a marketing system sends them: mostly page views and mail, some answers and profiles; CloudEvents in
structured mode, 300 to 400 bytes each. The same for the same seed. Leads have a history of activities each before the
measured traffic begins, so that it meets leads that are known.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import msgspec

from scorer.assessment import assess
from scorer.domain.instant import DAY, SECOND, from_datetime, to_text
from scorer.domain.lead import Lead
from scorer.rules.engine import default_engine
from scorer.rules.ruleset import Ruleset
from scorer.ruleset_files import load_ruleset
from scorer.sources.cloudevents import parse_record

RULES = Path(__file__).parents[1] / "rules" / "b2b"
PARTITIONS = 4
HISTORY = 20
"""Activities of a lead before the traffic begins."""
HEADERS = [("content-type", b"application/cloudevents+json")]

_START = from_datetime(datetime(2025, 3, 3, tzinfo=UTC))
_HISTORY_DAYS = 60
_TRAFFIC_DAYS = 14
_SAMPLE = 1_000

_PAGES = ("/", "/pricing", "/product/overview", "/product/tour", "/docs/start", "/blog/2025/spring", "/case-studies/a")
_CAMPAIGNS = ("spring-2025", "newsletter-march", "webinar-invitation")
_encode = msgspec.json.Encoder().encode


def _page(random: Random) -> dict[str, Any]:
    page = random.choice(_PAGES)
    return {
        "url": f"https://www.example.com{page}?utm_source=mail&utm_campaign={random.choice(_CAMPAIGNS)}",
        "referrer": "https://www.example.com/",
        "seconds": random.randrange(3, 240),
    }


def _mail(random: Random) -> dict[str, Any]:
    campaign = random.choice(_CAMPAIGNS)
    return {"campaign": campaign, "url": f"https://mail.example.com/l/{campaign}/{random.randrange(1 << 40):x}"}


def _profile(random: Random) -> dict[str, Any]:
    return {
        "company": f"Company {random.randrange(10_000)} GmbH",
        "industry": random.choice(("manufacturing", "logistics", "retail", "finance")),
        "employees": random.choice((5, 40, 180, 700, 4_000)),
        "country": random.choice(("DE", "AT", "FR", "US")),
        "job_level": random.choice(("employee", "manager", "director", "executive")),
        "email_kind": random.choice(("business", "business", "free")),
    }


def _answers(random: Random) -> dict[str, Any]:
    return {
        "bant": {
            "budget_status": random.choice(("approved", "planned", "requested", "none")),
            "budget_amount": random.choice((10_000, 60_000, 150_000)),
            "authority": random.choice(("decision_maker", "influencer", "user")),
            "need": random.choice(("critical", "important", "useful")),
            "timeline_months": random.randrange(1, 24),
        }
    }


_MIX: tuple[tuple[float, str, Callable[[Random], dict[str, Any]]], ...] = (
    (0.56, "lead.page_viewed", _page),
    (0.20, "lead.email_opened", _mail),
    (0.10, "lead.email_clicked", _mail),
    (0.03, "lead.content_downloaded", lambda r: {"content": f"paper-{r.randrange(20)}", "kind": "whitepaper"}),
    (0.02, "lead.form_submitted", lambda r: {"form": r.choice(("newsletter", "contact")), "url": "/contact"}),
    (0.04, "lead.profile_updated", _profile),
    (0.03, "lead.qualification_updated", _answers),
    (0.01, "lead.webinar_attended", lambda r: {"name": "Planning live", "minutes": r.randrange(60)}),
    (0.01, "lead.call_logged", lambda r: {"outcome": r.choice(("reached", "no_answer")), "minutes": r.randrange(20)}),
)
_WEIGHTS = [weight for weight, _, _ in _MIX]


def lead_name(number: int) -> str:
    """The id of a lead."""
    return f"lead-{number:08}"


def partition_of(lead_id: str) -> int:
    """The partition of a lead: of its activities, and of its state."""
    return crc32(lead_id.encode()) % PARTITIONS


def _event(random: Random, name: str, lead_id: str, time: int) -> bytes:
    ((_, kind, data),) = random.choices(_MIX, _WEIGHTS)
    return _encode(
        {
            "specversion": "1.0",
            "id": name,
            "source": "https://marketing.example.com/automation",
            "type": kind,
            "time": to_text(time),
            "subject": lead_id,
            "datacontenttype": "application/json",
            "data": data(random),
        }
    )


def traffic(count: int, leads: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """So many activities, each (lead id, value), evenly over the leads and two weeks."""
    random = Random(seed)
    start = _START + _HISTORY_DAYS * DAY
    step = _TRAFFIC_DAYS * DAY // count
    for number in range(count):
        lead_id = lead_name(random.randrange(leads))
        yield lead_id, _event(random, f"t{number:09}", lead_id, start + number * step)


def histories(sample: int = _SAMPLE, seed: int = 2, ruleset: Ruleset | None = None) -> list[Lead]:
    """Leads after a history each. A large number of leads is made by using these over and over."""
    ruleset = ruleset or load_ruleset(RULES, default_engine())
    found = []
    for number in range(sample):
        random = Random(f"{seed}-{number}")
        lead_id = lead_name(number)
        lead = Lead(lead_id)
        times = sorted(random.randrange(_HISTORY_DAYS * 86_400) for _ in range(HISTORY))
        for each, seconds in enumerate(times):
            time = _START + seconds * SECOND
            value = _event(random, f"h{number}-{each}", lead_id, time)
            activity = parse_record(value, lead_id.encode(), HEADERS, time)
            lead = assess(lead, activity, ruleset).lead
        found.append(lead)
    return found
