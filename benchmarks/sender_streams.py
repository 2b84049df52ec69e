"""The same behaviour as our CloudEvents, as events of Segment and as arrays of HubSpot, and what translation makes of
the latter two. The streams are in files, because a million events have gigabytes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.kafka import INPUT
from benchmarks.measuring import progress
from benchmarks.traffic import HEADERS, PARTITIONS, RULES, lead_name, partition_of, traffic
from scorer.domain.instant import MILLISECOND, from_datetime
from scorer.offline.source_files import load_source
from scorer.sources.source import Source

OWN, SEGMENT, HUBSPOT = "our own CloudEvents", "segment", "hubspot"
SENDERS: Final = (SEGMENT, HUBSPOT)
FOREIGN: Final = "bench.sender"
NOW: Final = from_datetime(datetime.fromisoformat("2026-01-01T00:00:00Z"))
"""Later than all events."""
MAX_BYTES: Final = 1 << 20
_ARRAY: Final = 20
"""Events of a record of HubSpot, which sends up to 100."""

Record = tuple[str, int, str | None, bytes, Any]
"""Topic, partition, key, value, headers."""
Event = Mapping[str, Any]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_AT_SEGMENT: Final = {
    "lead.email_opened": "Email Opened",
    "lead.email_clicked": "Email Link Clicked",
    "lead.form_submitted": "Form Submitted",
}
_PROPERTIES: Final = {
    "company": "company",
    "industry": "industry",
    "employees": "numemployees",
    "country": "country",
}
"""The property of a contact in HubSpot, by the key of a profile."""
_TOLD: Final = {"lead.page_viewed", "lead.profile_updated", *_AT_SEGMENT}
"""What both platforms can say: 92 of a hundred activities."""


@dataclass(slots=True)
class Content:
    """Records, whatever their order: how many there are, and the sum of their hashes."""

    count: int = 0
    sum: int = 0

    def add(self, key: bytes, value: bytes) -> None:
        """One more record."""
        self.count += 1
        self.sum += int.from_bytes(blake2b(key + b"\t" + value, digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class Stream:
    """What a run gets: a file with a line for each record, which is its key, a tab and its value.

    `source`: None for activities in the input itself. `activities`: what the input has of it in the end. `leads`: their
    ids.
    """

    path: Path
    source: str | None
    activities: Content
    leads: Sequence[str]

    @property
    def topic(self) -> str:
        """The topic that it is for."""
        return INPUT if self.source is None else FOREIGN

    @property
    def array(self) -> int:
        """The events of a record."""
        return _ARRAY if self.source == HUBSPOT else 1

    def records(self) -> Iterator[Record]:
        """The records. Those without a key are on the partitions in turn."""
        topic, headers = self.topic, [] if self.source else HEADERS
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines):
                key, _, value = line.rstrip(b"\n").partition(b"\t")
                lead_id = key.decode() or None
                place = number % PARTITIONS if lead_id is None else _place(lead_id)
                yield topic, place, lead_id, value, headers


_place = cache(partition_of)


def behaviour(count: int, leads: int) -> Iterator[tuple[str, bytes]]:
    """This number of activities that all senders can say, each as (lead id, value)."""
    told = ((lead, value) for lead, value in traffic(2 * count, leads) if _decode(value)["type"] in _TOLD)
    return islice(told, count)


def segment(event: Event) -> dict[str, Any]:
    """The event as Segment passes on what its library in a browser sent: 18 or 19 keys and a context."""
    data, time_text = event["data"], event["time"]
    page = {
        "url": data.get("url", "https://www.example.com/"),
        "path": "/pricing",
        "referrer": data.get("referrer", ""),
        "search": "?utm_source=mail",
        "title": "Pricing",
    }
    sent = {
        "messageId": f"ajs-next-1741000000000-{event['id']}",
        "anonymousId": f"2f6c6d0e-9a3c-4a53-8d0c-{event['subject']}",
        "userId": event["subject"],
        "originalTimestamp": time_text,
        "sentAt": time_text,
        "receivedAt": time_text,
        "timestamp": time_text,
        "channel": "client",
        "context": {
            "ip": "192.0.2.17",
            "locale": "de-DE",
            "timezone": "Europe/Berlin",
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "page": page,
            "campaign": {"source": "newsletter", "medium": "email", "name": "spring"},
            "library": {"name": "analytics.js", "version": "npm:next-1.76.0"},
        },
        "integrations": {"All": True},
        "writeKey": "WRITE-KEY",
        "projectId": "2fqdmcRLXW",
        "version": 2,
        "_metadata": {"bundled": ["Segment.io"], "unbundled": [], "bundledIds": []},
    }
    match event["type"]:
        case "lead.page_viewed":
            return {**sent, "type": "page", "name": "Pricing", "category": "Site", "properties": page}
        case "lead.profile_updated":
            company = {"name": data["company"], "industry": data["industry"], "employee_count": data["employees"]}
            traits = {
                "email": f"{event['subject']}@example.com",
                "firstName": "Ada",
                "lastName": "Byron",
                "title": "Head of IT",
                "address": {"city": "Stuttgart", "country": data["country"]},
                "company": company,
            }
            return {**sent, "type": "identify", "traits": traits}
        case kind:
            properties = {
                "campaign_name": data.get("campaign"),
                "form_name": data.get("form"),
                "link_url": data.get("url"),
                "email_subject": "Plan the spring",
            }
            return {**sent, "type": "track", "event": _AT_SEGMENT[kind], "properties": properties}


def hubspot(event: Event) -> dict[str, Any]:
    """The event as a change of one property of a contact; of a profile, one of its keys."""
    data, number = event["data"], int(event["id"][1:])
    occurred = from_datetime(datetime.fromisoformat(event["time"])) // MILLISECOND
    match event["type"]:
        case "lead.page_viewed":
            name, value = "hs_analytics_last_url", data["url"]
        case "lead.form_submitted":
            name, value = "recent_conversion_event_name", data["form"]
        case "lead.profile_updated":
            key, name = list(_PROPERTIES.items())[number % len(_PROPERTIES)]
            value = str(data[key])
        case kind:
            name = "hs_email_last_open_date" if kind == "lead.email_opened" else "hs_email_last_click_date"
            value = str(occurred)
    return {
        "eventId": 1_400_000_000 + number,
        "subscriptionId": 2881001,
        "portalId": 44120077,
        "appId": 3300123,
        "occurredAt": occurred,
        "subscriptionType": "contact.propertyChange",
        "attemptNumber": 0,
        "objectId": _contact(event["subject"]),
        "propertyName": name,
        "propertyValue": value,
        "changeSource": "CRM_UI",
        "sourceId": "userId:7001",
    }


def _contact(lead_id: str) -> int:
    return 128_830_000_000 + int(lead_id.removeprefix("lead-"))


def known_to(name: str, leads: int) -> list[str]:
    """The ids of that many leads, as translation names those of a platform."""
    names = map(lead_name, range(leads))
    return [f"hubspot:{_contact(lead)}" for lead in names] if name == HUBSPOT else list(names)


def write_streams(folder: Path, count: int, leads: int) -> dict[str, Stream]:
    """The streams by name: ours, each platform's, and the activities that come of it (`scored`).

    Raises `SystemExit` if an event of a platform gives no activity, because then the behaviour is another one.
    """
    names = (OWN, *SENDERS, *map(scored, SENDERS))
    paths = {name: folder / f"{name.replace(', ', '-').replace(' ', '-')}.records" for name in names}
    sources = {name: load_source(name, RULES) for name in SENDERS}
    made = {name: Content() for name in (OWN, *SENDERS)}
    with ExitStack() as stack:
        files = {name: stack.enter_context(path.open("wb")) for name, path in paths.items()}

        def add(name: str, key: str, value: bytes, content: Content | None = None) -> None:
            files[name].write(key.encode() + b"\t" + value + b"\n")
            if content is not None:
                content.add(key.encode(), value)

        events = behaviour(count, leads)
        while some := list(islice(events, _ARRAY)):
            for lead_id, value in some:
                add(OWN, lead_id, value, made[OWN])
            decoded = [_decode(value) for _, value in some]
            records = {
                # Keyed by the lead, so that its events stay in order.
                SEGMENT: [(event["subject"], _encode(segment(event))) for event in decoded],
                HUBSPOT: [("", _encode([hubspot(event) for event in decoded]))],
            }
            for name, source in sources.items():
                for key, value in records[name]:
                    add(name, key, value)
                    for lead_id, activity in activities_of(source, value):
                        add(scored(name), lead_id, activity, made[name])
            if made[OWN].count % (count // 10) < _ARRAY:
                progress(f"  written: {made[OWN].count:,} of {count:,} events, in each way")
    for name, content in made.items():
        if content.count != count:
            raise SystemExit(f"{name}: {count:,} events give {content.count:,} activities; expected as many")
    of_leads = {name: known_to(name, leads) for name in made}
    found = {OWN: Stream(paths[OWN], None, made[OWN], of_leads[OWN])}
    for name in SENDERS:
        found[name] = Stream(paths[name], name, made[name], of_leads[name])
        found[scored(name)] = Stream(paths[scored(name)], None, made[name], of_leads[name])
    return found


def scored(name: str) -> str:
    """The name of the stream of activities that come of a platform's."""
    return f"{name}, scored from the input"


def activities_of(source: Source, value: bytes) -> Iterable[tuple[str, bytes]]:
    """The activities of a record, each as (lead id, value)."""
    outcomes = source.outcomes(value, (), NOW, MAX_BYTES)
    return [(one.lead_id, one.value) for outcome in outcomes for one in outcome.activities]
