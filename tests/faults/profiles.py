"""Profiles of companies that change all the time, and what the leads must have in the end."""

import json
import re
from collections.abc import Iterable, Mapping
from random import Random
from typing import Final
from zlib import crc32

from scorer.domain.enrichment import ENRICHING
from scorer.domain.lead import Lead
from scorer.sources.company.enrichment import company_of, enrichment
from scorer.sources.company.profile import Profile, read_profile
from scorer.sources.rejected import Rejected
from scorer.state.codec import decode_lead
from scorer.state.input_position import POSITION_KEY
from scorer.state.marker import MARKER_KEY
from tests.faults.group import wait_until_processed
from tests.faults.load import Load
from tests.integration.kafka import Kafka, Names, Record
from tests.integration.service import Service

_COMPANIES: Final = 12
_DOMAIN: Final = re.compile(rb'"email_domain":"([^"]*)"')
_NEVER: Final = 1 << 61
"""As the present: no profile is of the future then."""


def company_topic(names: Names) -> str:
    """The topic of companies of a test."""
    return f"{names.prefix}.companies"


def profile(company: str, data: Mapping[str, object] | None) -> Record:
    """A record of that topic; None deletes the profile."""
    return Record(company.encode(), None if data is None else json.dumps(data).encode())


class CompanyLoad(Load):
    """A load whose leads belong to a few companies, or have a free mailbox. Domains of the market cannot exist."""

    def take(self, count: int) -> list[Record]:
        """The next `count` records."""
        return [record._replace(value=_DOMAIN.sub(_one_of_few, record.value or b"")) for record in super().take(count)]


def _one_of_few(match: "re.Match[bytes]") -> bytes:
    company = crc32(match[1]) % (_COMPANIES + 1)
    return b'"email_domain":"%b"' % (f"company-{company}.com".encode() if company else b"gmail.com")


class ProfileLoad:
    """Changes profiles of these companies."""

    def __init__(self, kafka: Kafka, names: Names, random: Random) -> None:
        self._kafka = kafka
        self._names = names
        self._random = random
        kafka.create(
            {company_topic(names): 3}, {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"}
        )

    def write(self, count: int) -> None:
        """Change so many profiles. About one in eight is deleted."""
        companies = [f"company-{self._random.randint(1, _COMPANIES)}.com" for _ in range(count)]
        self._kafka.write(company_topic(self._names), [profile(company, self._any()) for company in companies])

    def _any(self) -> Mapping[str, object] | None:
        draw = self._random
        if draw.random() < 0.125:
            return None
        keys: dict[str, object] = {"employees": draw.choice((10, 400, 5000)), "is_customer": draw.random() < 0.5}
        keys |= {"industry": draw.choice(("machinery", "retail")), "company": f"Company {draw.randrange(9)}"}
        return {key: value for key, value in keys.items() if draw.random() < 0.7}


def present_profiles(kafka: Kafka, names: Names) -> dict[str, Profile]:
    """What the topic of companies says in the end."""
    found: dict[str, Profile] = {}
    for record in kafka.read(company_topic(names)):
        try:
            company, known, _ = read_profile(record.key, record.value, record.timestamp)
        except Rejected:
            continue
        found.pop(company, None)
        if known is not None:
            found[company] = known
    return found


def present_leads(kafka: Kafka, names: Names) -> list[Lead]:
    """The leads by the changelog."""
    states: dict[bytes, bytes] = {}
    for record in kafka.read(names.state):
        if record.key is not None and record.key not in (MARKER_KEY, POSITION_KEY):
            states.pop(record.key, None)
            if record.value is not None:
                states[record.key] = record.value
    return [decode_lead(key.decode(), state) for key, state in states.items()]


def behind(leads: Iterable[Lead], profiles: Mapping[str, Profile]) -> list[str]:
    """The leads that do not have the present profile of their company."""
    found = []
    for lead in leads:
        company = company_of(lead)
        if enrichment(lead, company, profiles.get(company or ""), _NEVER) is not None:
            found.append(lead.id)
    return found


def wait_until_enriched(kafka: Kafka, names: Names, worker: Service) -> None:
    """Return once the input is processed and every lead has the present profile of its company."""
    wait_until_processed(kafka, names, [worker])
    profiles = present_profiles(kafka, names)
    worker.wait(lambda: not behind(present_leads(kafka, names), profiles))


def enrichments(kafka: Kafka, names: Names) -> list[dict[str, object]]:
    """The enrichments in the input, in order within a partition."""
    source = f'"source":"{ENRICHING}"'.encode()
    return [json.loads(record.value) for record in kafka.read(names.activity) if source in (record.value or b"")]
