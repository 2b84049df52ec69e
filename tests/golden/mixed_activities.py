"""A stream of mixed activities as Kafka records, the same for the same seed: everything that leads do, late, repeated
and in every spelling, and many records that are not activities.

It imports nothing of the scorer, because the stream must not change with it.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, Literal, NamedTuple

RulesetName = Literal["b2b", "education"]
Headers = Sequence[tuple[str, bytes | None]]
Data = dict[str, Any]
Event = dict[str, Any]

START: Final = datetime(2023, 6, 1, tzinfo=UTC)
NOW: Final = START + timedelta(days=730)
"""When the last record arrives. It is long past, so that commands that use the clock reject the same records."""
ACTIVITIES_A_LEAD: Final = 50
MAX_BYTES: Final = 100_000
"""Larger values must be refused."""

FAILING: Final = "failing-"
FAILING_ONCE: Final = "failing-once-"
UNWRITABLE: Final = "unwritable-"
"""Prefixes of activity ids: the code of the reader must fail on them (always, once), or cannot encode their lead."""

_SPAN: Final = int((NOW - START) / timedelta(microseconds=1))
_MINUTE: Final = 60 * 1_000_000
_DAY: Final = 1440 * _MINUTE
_STRUCTURED: Final = (("content-type", b"application/cloudevents+json"),)
_BROKEN_SHARE: Final = 0.08
_AHEAD: Final = "2999-01-01T00:00:00Z"


class FakeRecord(NamedTuple):
    """A record as a consumer returns it; `timestamp` in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_type: int = 0

    @property
    def serialized_key_size(self) -> int:
        """Bytes of the key; -1 without one."""
        return -1 if self.key is None else len(self.key)

    @property
    def serialized_value_size(self) -> int:
        """Bytes of the value; -1 without one."""
        return -1 if self.value is None else len(self.value)


class _Raw(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: Headers


class _Lead(NamedTuple):
    """`warmth`, 0 to 1: how good its answers usually are."""

    id: str
    warmth: float


Maker = Callable[[Random, _Lead], Data]


def records(ruleset: RulesetName, count: int, seed: int) -> Iterator[FakeRecord]:
    """`count` records of activities that suit the ruleset, over two years."""
    stream = _Stream(ruleset, count, seed)
    for number in range(count):
        arrived = _SPAN * (number + 1) // count
        raw = stream.next(number, arrived)
        timestamp = int(START.timestamp()) * 1000 + arrived // 1000
        yield FakeRecord("lead.activity", 0, number, timestamp, raw.key, raw.value, raw.headers)


class _Stream:
    def __init__(self, ruleset: RulesetName, count: int, seed: int) -> None:
        self._random = random = Random(seed)
        self._count = count
        size = max(40, count // ACTIVITIES_A_LEAD)
        self._leads = [_Lead(_lead_id(number), random.random()) for number in range(size)]
        table = _B2B if ruleset == "b2b" else _EDUCATION
        self._kinds = list(table)
        self._weights = [table[kind] for kind in self._kinds]
        self._makers = {**_MAKERS, **(_EDUCATION_MAKERS if ruleset == "education" else {})}
        self._busy: list[tuple[_Lead, int]] = []
        """Future page views: the lead, and the earliest time."""
        self._latest: dict[str, int] = {}
        self._recent: deque[_Raw] = deque(maxlen=300)
        self._events: deque[Event] = deque(maxlen=300)
        self._broken = 0

    def next(self, number: int, arrived: int) -> _Raw:
        """The record that arrives `arrived` microseconds after the start."""
        random = self._random
        if self._recent and random.random() < 0.04:
            return random.choice(self._recent)
        event = self._event(number, arrived)
        if random.random() < _BROKEN_SHARE:
            broken = _BROKEN[self._broken % len(_BROKEN)]
            self._broken += 1
            raw = broken(random, event)
            if random.random() < 0.1:
                raw = raw._replace(headers=[*raw.headers, ("dlq-reason", b"not_json"), ("dlq-offset", b"17")])
        else:
            raw = _written(random, event)
        if len(raw.value or b"") < 10_000:
            self._recent.append(raw)
        return raw

    def _event(self, number: int, arrived: int) -> Event:
        random = self._random
        if self._busy:
            lead, begin = self._busy.pop()
            kind, time = "lead.page_viewed", begin + random.randrange(240) * _MINUTE
        else:
            lead, kind = self._lead(number), random.choices(self._kinds, self._weights)[0]
            time = self._time(lead, arrived)
            if kind == "lead.page_viewed" and random.random() < 0.2:
                self._busy = [(lead, time)] * random.randint(2, 8)
        self._latest[lead.id] = time
        event: Event = {
            "specversion": "1.0",
            "id": f"{random.choice(('e', 'evt-', 'ö', 'A/'))}{number}",
            "source": random.choice(("/web", "/web", "/crm", "/mail", "https://example.com/a?b=c", "urn:größe")),
            "type": kind,
            "time": _time_text(random, time),
            "subject": lead.id,
            "data": self._makers[kind](random, lead),
        }
        for every, begin_of_id in ((487, FAILING), (563, FAILING_ONCE), (941, UNWRITABLE)):
            if number % every == every // 2:
                event["id"] = f"{begin_of_id}{number}"
        if self._events and random.random() < 0.02:
            self._repeat(event)
        self._events.append(event)
        return event

    def _repeat(self, event: Event) -> None:
        """Give the event the identity of another one, completely or partly, at the same time or not."""
        random = self._random
        other = random.choice(self._events)
        for name in random.choice((("id",), ("id", "source"), ("id", "source", "time"), ("time",))):
            event[name] = other[name]
        if random.random() < 0.5:
            event["subject"] = other["subject"]

    def _lead(self, number: int) -> _Lead:
        random, size = self._random, len(self._leads)
        if random.random() < 0.6:
            return self._leads[int(size * number / self._count + random.gauss(0, 0.04 * size)) % size]
        return self._leads[int(size * random.random() ** 2)]

    def _time(self, lead: _Lead, arrived: int) -> int:
        random = self._random
        chance = random.random()
        if chance < 0.05:
            return self._latest.get(lead.id, arrived)
        if chance < 0.7:
            return arrived - random.randrange(60) * 1_000_000
        if chance < 0.9:
            return arrived - random.randrange(3 * 1440) * _MINUTE
        if chance < 0.98:
            return arrived - random.randrange(90) * _DAY - random.randrange(1000)
        if chance < 0.99:
            return arrived - random.randrange(800) * _DAY
        if chance < 0.995:
            return arrived // _DAY * _DAY
        # Clocks differ: at most as far ahead as the end of the stream allows.
        return arrived + random.randrange(20 * 60) * _MINUTE if chance < 0.999 else random.randrange(-_SPAN, 0)


def _lead_id(number: int) -> str:
    forms = (
        f"lead-{number:06}",
        f"{number:08x}-4a2b",
        f"person{number}@example.com",
        f"lead-{number:06}",
        f"Łódź-{number}",
        f"crm:{number}/contact",
        f"lead-{number:06}",
        f"with blank {number} ",
        f"“{number}” \\ \"'",
        f"😀{number}",
    )
    return forms[number % len(forms)]


def _time_text(random: Random, passed: int) -> str:
    moment = START + timedelta(microseconds=passed)
    form = random.randrange(12)
    if form < 6:
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    if form == 6:
        return moment.isoformat()
    if form == 7:
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if form == 8:
        return f"{moment.strftime('%Y-%m-%dT%H:%M:%S')}.{moment.microsecond:06}789Z"
    if form == 9:
        return moment.strftime("%Y-%m-%d %H:%M:%Sz")
    hours = random.choice((-8, -3.5, 1, 2, 5.5, 12))
    sign, minutes = "-" if hours < 0 else "+", round(abs(hours) * 60)
    shifted = (moment + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{shifted}{sign}{minutes // 60:02}:{minutes % 60:02}"


# Forms of an event


def _json(random: Random, content: object) -> bytes:
    form = random.randrange(10)
    if form < 6:
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    if form == 6:
        return json.dumps(content).encode()
    if form == 7:
        return json.dumps(content, indent=1, sort_keys=True).encode()
    if form == 8:
        # Escapes that are not needed.
        return json.dumps(content).replace("lead.", "lead\\u002e").encode()
    return b" " + json.dumps(content, sort_keys=True, ensure_ascii=False).encode() + b"\t"


def _written(random: Random, event: Event) -> _Raw:
    key = str(event["subject"]).encode()
    if random.random() < 0.2:
        return _Raw(key, _json(random, event["data"]), _binary(random, event))
    content = dict(event)
    if random.random() < 0.2:
        content["datacontenttype"] = random.choice(("application/json", "application/json; charset=utf-8", "text/json"))
    if random.random() < 0.1:
        content["traceparent"] = f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-01"
    if random.random() < 0.05:
        content |= {"comexampleextension": {"nested": [1, 2.5, None]}, "dataschema": "https://example.com/schema"}
    if not content["data"] and random.random() < 0.5:
        if random.random() < 0.5:
            del content["data"]
        else:
            content["data"] = None
    headers: Headers = _STRUCTURED
    form = random.randrange(10)
    if form == 0:
        headers = ()
    elif form == 1:
        headers = list(_STRUCTURED)
    elif form == 2:
        headers = (("Content-Type", b"Application/CloudEvents+JSON; charset=UTF-8"), ("trace", b"\xff\x00"))
    elif form == 3:
        headers = (("trace", None), *_STRUCTURED, ("x", b""))
    return _Raw(key, _json(random, content), headers)


def _binary(random: Random, event: Event) -> Headers:
    headers: list[tuple[str, bytes | None]] = [
        (f"ce_{name}", str(value).encode()) for name, value in event.items() if name != "data"
    ]
    form = random.randrange(5)
    if form == 0:
        headers.reverse()
    if form < 4:
        headers.insert(random.randrange(len(headers)), ("content-type", b"application/json"))
    if form == 1:
        headers += [("ce_traceparent", b"00-1-2-01"), ("other", b"\xfe")]
    return headers if random.random() < 0.5 else tuple(headers)


# The data of an activity


def _graded(random: Random, lead: _Lead, values: Sequence[Any]) -> Any:
    """One of the values, which go from bad to good."""
    place = min(0.999, max(0.0, random.gauss(lead.warmth, 0.25)))
    return values[int(place * len(values))]


def _some(random: Random, values: Mapping[str, Any], most: int, withdrawn: float = 0.06) -> Data:
    """Some of the values in any order; a few are withdrawn."""
    names = random.sample(list(values), random.randint(1, min(most, len(values))))
    return {name: None if random.random() < withdrawn else values[name] for name in names}


_LONG: Final = 'Ganz 長い text, 😀 and "quotes". ' * 66


def _custom(random: Random) -> Data:
    values = {
        "installed_base": random.randrange(-5, 5000),
        "segment": random.choice(("A", "b", "ß", "", "\u2028")),
        "share": random.choice((0.1, 1e-9, 1e300, -0.0, 3.0)),
        "is_partner": random.random() < 0.5,
        "interests": random.sample(["pumps", "valves", "Größe", "a b"], random.randint(0, 4)),
        "largest": random.choice((2**63 - 1, -(2**63), 0)),
        "note": random.choice((_LONG[:2048], "short", "\t")),
        "x" * 64: 1,
    }
    return _some(random, values, 4, 0.15)


def _profile(random: Random, lead: _Lead) -> Data:
    values = {
        "company": random.choice(("Northmoor Pumps GmbH", "Ångström AB", "😀 Ltd", "x" * 256)),
        "industry": _graded(random, lead, ("public sector", "hospitality", "media", "retail", "energy", "logistics")),
        "employees": _graded(random, lead, (0, 3, 9, 10, 49, 50, 250, 999, 1000, 40_000)),
        "annual_revenue": _graded(random, lead, (0, 1e5, 49_999_999.99, 50_000_000, 8e7)),
        "country": _graded(random, lead, ("US", "BR", "FR", "GB", "DE", "CH")),
        "language": random.choice(("de", "en-GB", "fr")),
        "job_title": random.choice(("Leiterin Einkauf", "CEO", "Praktikant/in")),
        "job_level": _graded(random, lead, ("employee", "employee", "manager", "director", "executive")),
        "department": _graded(random, lead, ("hr", "finance", "it", "operations")),
        "email_domain": random.choice(("example.com", "münchen.example")),
        "email_kind": _graded(random, lead, ("free", "free", "business", "business")),
        "technologies": random.sample(["SAP S/4HANA", "Microsoft Dynamics", "Excel", "Oracle"], random.randint(0, 4)),
        "lead_source": _graded(random, lead, ("web", "advertisement", "fair", "colleague", "recommendation")),
    }
    data = _some(random, values, 7)
    chance = random.random()
    if chance < 0.02:
        data |= {"job_level": "student"}
    elif chance < 0.04:
        data |= {"email_kind": random.choice(("university", "disposable"))}
    elif chance < 0.06:
        data |= {"is_competitor": random.random() < 0.5}
    elif chance < 0.09:
        data |= {"is_customer": random.random() < 0.5}
    if random.random() < 0.15:
        data["custom"] = _custom(random)
    return _with_more(random, data)


def _with_more(random: Random, data: Data) -> Data:
    """Add keys that the type does not have, now and then."""
    if random.random() < 0.05:
        data |= {"utm": {"campaign": "spring", "terms": [1, [2, [3]]]}, "Sent-By": None}
    return data


def _school_profile(random: Random, lead: _Lead) -> Data:
    stay = _graded(random, lead, (0, 60, 299, 300, 599, 600, 1199, 1200, 2000))
    values = {
        "lead_origin": _graded(random, lead, ("Landing Page Submission", "API", "Lead Import", "Lead Add Form")),
        "do_not_email": random.random() < 0.08,
        "do_not_call": random.random() < 0.1,
        "total_visits": _graded(random, lead, (0, 1, 1, 2, 3, 4, 25)),
        "time_on_website": stay,
        "occupation": _graded(random, lead, ("Student", "Unemployed", "Other", "Working Professional", "Businessman")),
        "matters_most": _graded(random, lead, (None, "Better Career Prospects", "Flexibility & Convenience")),
        "city": _graded(random, lead, (None, "Mumbai", "Thane & Outskirts", "Other Metro Cities")),
        "page_views_per_visit": stay / 300,
        "specialization": random.choice(("Finance Management", "IT Projects Management")),
    }
    data: Data = {"custom": _some(random, values, 9)}
    if random.random() < 0.6:
        sources = ("Olark Chat", "Live Chat", "Google", "Direct Traffic", "Reference", "Welingak Website")
        data["lead_source"] = _graded(random, lead, sources)
    if random.random() < 0.1:
        data |= _profile(random, lead)
    return _with_more(random, data)


def _qualification(random: Random, lead: _Lead) -> Data:
    bant = {
        "budget_status": _graded(random, lead, ("none", "requested", "planned", "approved")),
        "budget_amount": _graded(random, lead, (0, 9_999.5, 49_999, 50_000, 99_999.99, 100_000, 250_000)),
        "authority": _graded(random, lead, ("none", "user", "influencer", "decision_maker")),
        "need": _graded(random, lead, ("none", "useful", "important", "critical")),
        "timeline_months": _graded(random, lead, (24, 12.5, 12, 6, 3.5, 3, 1, 0)),
    }
    competition = {
        "position": _graded(random, lead, ("behind", "even", "preferred", "sole")),
        "competitors": random.sample(["Stockwise", "Lagerhaus 24", "x"], random.randint(0, 3)),
    }
    project = {
        "resources": _graded(random, lead, ("missing", "partly", "available")),
        "start_in_months": random.choice((0, 1.5, 7, 30)),
    }
    data: Data = {"bant": _some(random, bant, 5)}
    if random.random() < 0.4:
        data["competition"] = _some(random, competition, 2)
    if random.random() < 0.4:
        data["project"] = _some(random, project, 2)
    if random.random() < 0.08:
        data["custom"] = _custom(random)
    if random.random() < 0.04:
        data[random.choice(("bant", "competition", "project"))] = None
    if random.random() < 0.03 and data["bant"]:
        data["bant"]["asked_by"] = "j.lindgren"
    return _with_more(random, data)


def _judgement(random: Random, lead: _Lead) -> Data:
    values = {
        "rating": _graded(random, lead, ("cold", "warm", "hot")),
        "probability": _graded(random, lead, (0, 0.1, 0.199, 0.2, 0.5, 0.6, 1)),
        "by": "j.lindgren",
    }
    return _some(random, values, 3)


def _page(random: Random, lead: _Lead) -> Data:
    bad = ("/careers", "/careers/berlin", "http://[broken/careers", "", "/", "/blog?x=/pricing")
    good = ("/docs/start", "/case-studies/a", "/product", "https://example.com/products#a", "/pricing", "/pricing/eu")
    data: Data = {"url": _graded(random, lead, bad + good + good)}
    if random.random() < 0.2:
        data["seconds"] = random.choice((0, 1.5, 3600))
    if random.random() < 0.1:
        data["referrer"] = random.choice((None, "https://search.example/?q=größe", ""))
    if random.random() < 0.1:
        data["path"] = random.choice((None, "/pricing", "/careers", ""))
    return _with_more(random, data)


def _form(random: Random, lead: _Lead) -> Data:
    return {"form": _graded(random, lead, ("newsletter", "survey", "call-me", "quote", "contact")), "url": "/contact"}


def _content(random: Random, lead: _Lead) -> Data:
    data = {"content": random.choice(("guide.pdf", "prices.pdf"))}
    kind = _graded(random, lead, ("whitepaper", None, "case-study", "price-list"))
    return data if kind is None else data | {"kind": kind}


def _mail(random: Random, lead: _Lead) -> Data:
    values = {
        "campaign": random.choice(("spring", "Frühling")),
        "url": random.choice(("https://example.com/offer", "/unsubscribe?x=1")),
        "machine": random.random() < 0.3,
    }
    return {} if random.random() < 0.1 else _some(random, values, 3)


def _bounce(random: Random, lead: _Lead) -> Data:
    return random.choice(({"kind": "soft"}, {"kind": "soft", "campaign": "spring"}, {"kind": "hard"}, {}))


def _attendance(random: Random, lead: _Lead) -> Data:
    data = {"name": random.choice(("Inventory live", "Fair 2024"))}
    minutes = random.choice((None, 0, 14.9, 15, 60, ""))
    return data if minutes == "" else data | {"minutes": minutes}


def _product(random: Random, lead: _Lead) -> Data:
    return random.choice(({}, {"product": "Warehouse"}, {"product": None}))


def _call(random: Random, lead: _Lead) -> Data:
    data = {"outcome": _graded(random, lead, ("refused", "no_answer", "voicemail", "reached", "reached", "reached"))}
    return data if random.random() < 0.7 else data | {"minutes": random.choice((0, 12.25, 90))}


def _meeting(random: Random, lead: _Lead) -> Data:
    return random.choice(({}, {"minutes_sent": True}, {"participants": 4, "minutes_sent": None}))


def _handling(random: Random, lead: _Lead) -> Data:
    values = {"by": "a.berg", "reason": _LONG[:2048], "competitor": "Stockwise", "value": random.choice((0, 12_000.5))}
    return {} if random.random() < 0.4 else _some(random, values, 2)


def _stage(random: Random, lead: _Lead) -> Data:
    return {"stage": random.choice(("demo", "offer", "Verhandlung")), "previous": None}


def _consent(random: Random, lead: _Lead) -> Data:
    data = {"status": "withdrawn" if random.random() < 0.4 else "granted"}
    channel = random.choice(("email", "phone", "phone", "all", ""))
    return data if not channel else data | {"channel": channel}


def _merger(random: Random, lead: _Lead) -> Data:
    # One in ten names the lead itself, which is not a valid activity.
    return {"into": lead.id if random.random() < 0.1 else _lead_id(random.randrange(40))}


def _end(random: Random, lead: _Lead) -> Data:
    return random.choice(({}, {"reason": "asked by mail"}, {"reason": None}))


def _unsubscription(random: Random, lead: _Lead) -> Data:
    return random.choice(({}, {"campaign": "spring"}))


def _own(random: Random, lead: _Lead) -> Data:
    nested: Any = random.choice((1, "x", None, [], {}, 2.5, True))
    for _ in range(random.randrange(8)):
        nested = random.choice(({"a": nested}, [nested, 1], {"ä": nested, "b": [None]}))
    text = random.choice((_LONG, "x", "\u2028\ufeff", "x" * 70_000 if random.random() < 0.05 else "y"))
    return random.choice(({"content": nested, "text": text}, {"minutes": 20}, {}))


_MAKERS: Final[Mapping[str, Maker]] = {
    "lead.profile_updated": _profile,
    "lead.qualification_updated": _qualification,
    "lead.assessment_recorded": _judgement,
    "lead.page_viewed": _page,
    "lead.form_submitted": _form,
    "lead.content_downloaded": _content,
    "lead.email_opened": _mail,
    "lead.email_clicked": _mail,
    "lead.email_bounced": _bounce,
    "lead.unsubscribed": _unsubscription,
    "lead.webinar_attended": _attendance,
    "lead.event_attended": _attendance,
    "lead.demo_requested": _product,
    "lead.trial_started": _product,
    "lead.call_logged": _call,
    "lead.meeting_held": _meeting,
    "lead.sales_accepted": _handling,
    "lead.sales_returned": _handling,
    "lead.stage_changed": _stage,
    "lead.opportunity_won": _handling,
    "lead.opportunity_lost": _handling,
    "lead.consent_changed": _consent,
    "lead.merged": _merger,
    "lead.erased": _end,
    "lead.my_type": _own,
    "lead.chat_started": _own,
    "lead.my_company.other_type_2": _own,
}
_EDUCATION_MAKERS: Final[Mapping[str, Maker]] = {"lead.profile_updated": _school_profile}

_B2B: Final[Mapping[str, float]] = {
    "lead.profile_updated": 12,
    "lead.qualification_updated": 12,
    "lead.assessment_recorded": 3,
    "lead.page_viewed": 14,
    "lead.form_submitted": 3,
    "lead.content_downloaded": 4,
    "lead.email_opened": 6,
    "lead.email_clicked": 5,
    "lead.email_bounced": 0.8,
    "lead.unsubscribed": 0.5,
    "lead.webinar_attended": 2.5,
    "lead.event_attended": 2,
    "lead.demo_requested": 2.5,
    "lead.trial_started": 2,
    "lead.call_logged": 5,
    "lead.meeting_held": 2.5,
    "lead.sales_accepted": 1,
    "lead.sales_returned": 1.2,
    "lead.stage_changed": 1.5,
    "lead.opportunity_won": 0.5,
    "lead.opportunity_lost": 0.6,
    "lead.consent_changed": 1,
    "lead.merged": 0.3,
    "lead.erased": 0.5,
    "lead.my_type": 2,
    "lead.chat_started": 2,
    "lead.my_company.other_type_2": 0.5,
}
"""How often each type happens."""
_EDUCATION: Final[Mapping[str, float]] = {
    **_B2B,
    "lead.profile_updated": 50,
    "lead.qualification_updated": 4,
    "lead.opportunity_won": 1.5,
    "lead.opportunity_lost": 1.5,
    "lead.merged": 0.4,
}


# Records that are not activities

Breaker = Callable[[Random, Event], _Raw]


def _raw(event: Event, value: bytes | None, headers: Headers = _STRUCTURED) -> _Raw:
    return _Raw(str(event["subject"]).encode(), value, headers)


def _plain(event: Event) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


def _cut(random: Random, event: Event) -> _Raw:
    whole = _plain(event)
    return _raw(event, whole[: random.randrange(1, len(whole))])


def _no_json(random: Random, event: Event) -> _Raw:
    values = (
        b"no json",
        b"{",
        b"{'a': 1}",
        b"   ",
        b'{"a": 1,}',
        b"\xef\xbb\xbf" + _plain(event),
        b"{} {}",
        b'{"a": 01}',
    )
    return _raw(event, random.choice(values))


def _not_utf8(random: Random, event: Event) -> _Raw:
    return _raw(
        event,
        _plain(event | {"data": {"url": "/@"}}).replace(b"@", random.choice((b"\xff", b"\xc3(", b"\xed\xa0\x80"))),
    )


def _nothing(random: Random, event: Event) -> _Raw:
    return _raw(event, random.choice((b"", None)), random.choice((_STRUCTURED, (), (("ce_id", b"1"),))))


def _no_object(random: Random, event: Event) -> _Raw:
    return _raw(event, random.choice((b"[]", b"1", b'"text"', b"null", b"true", b"[" + _plain(event) + b"]")))


def _no_number(random: Random, event: Event) -> _Raw:
    number = random.choice((b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" * 30, b"-" + b"9" * 400))
    return _raw(event, _plain(event | {"data": {"x": "@"}}).replace(b'"@"', number))


def _deep(random: Random, event: Event) -> _Raw:
    levels = random.choice((61, 62, 63, 64, 65, 200, 5000))
    return _raw(
        event | {"type": "lead.my_type"},
        _plain(event | {"data": {"x": "@"}}).replace(b'"@"', b"[" * levels + b"]" * levels),
    )


def _half_pair(random: Random, event: Event) -> _Raw:
    text = random.choice((b"\\ud800", b"\\udc00 x", b"\\ud83d\\u0041", b"\\ud83d\\ude00"))
    return _raw(event, _plain(event | {random.choice(("id", "type", "dataschema")): "@"}).replace(b"@", text))


def _attribute_missing(random: Random, event: Event) -> _Raw:
    name = random.choice(("specversion", "id", "source", "type", "time", "subject"))
    rest = {key: value for key, value in event.items() if key != name}
    if random.random() < 0.3:
        rest[name] = None
    return _raw(event, _plain(rest))


def _other_version(random: Random, event: Event) -> _Raw:
    return _raw(event, _plain(event | {"specversion": random.choice(("0.3", "1.0.2", 1.0, "", ["1.0"], "x" * 90))}))


def _attribute_wrong(random: Random, event: Event) -> _Raw:
    name = random.choice(("id", "source", "type", "subject"))
    wrong: object = random.choice((5, 1.5, True, [], ["x"], {}, "", "x" * 2000, "a\nb", "a\x7f", "a\x85b", "\x00"))
    return _raw(event, _plain(event | {name: wrong}))


def _attribute_at_the_limit(random: Random, event: Event) -> _Raw:
    lengths = {"id": 256, "source": 1024, "subject": 256, "type": 128}
    name = random.choice(list(lengths))
    text = ("lead." if name == "type" else "") + "x" * 2000
    changed = event | {name: text[: lengths[name] + random.randrange(2)]}
    return _raw(changed, _plain(changed))


def _type_unknown(random: Random, event: Event) -> _Raw:
    kind = random.choice(("page_viewed", "order.created", "LEAD.page_viewed", "leads.x", "ü"))
    return _raw(event, _plain(event | {"type": kind}))


def _type_wrong(random: Random, event: Event) -> _Raw:
    kind = random.choice(("lead.", "lead.Page", "lead.page-viewed", "lead..x", "lead.x.", "lead.ü", "lead.x\n"))
    return _raw(event, _plain(event | {"type": kind}))


def _time_wrong(random: Random, event: Event) -> _Raw:
    wrong = (
        "2024-01-31T09:30:00",
        "yesterday",
        "",
        1_700_000_000,
        "2024-13-01T00:00:00Z",
        "2024-02-30T00:00:00Z",
        "2024-01-31",
        "2023-12-31T23:59:60Z",
        "2024-01-31T24:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "0000-01-01T00:00:00Z",
        "2024-01-31T09:30:00+25:00",
        ["2024-01-31T09:30:00Z"],
        "x" * 300,
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999Z",
    )
    return _raw(event, _plain(event | {"time": random.choice(wrong)}))


def _time_ahead(random: Random, event: Event) -> _Raw:
    times = (_AHEAD, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00", "2500-06-01T00:00:00.000001+02:00")
    return _raw(event, _plain(event | {"time": random.choice(times)}))


def _key_missing(random: Random, event: Event) -> _Raw:
    return _written(random, event)._replace(key=None)


def _key_of_another(random: Random, event: Event) -> _Raw:
    key = str(event["subject"]).encode()
    return _written(random, event)._replace(
        key=random.choice((b"another", b"", b"\xff\xfe", key + b" ", key.upper() + b"x"))
    )


def _data_type_wrong(random: Random, event: Event) -> _Raw:
    return _raw(
        event, _plain(event | {"datacontenttype": random.choice(("text/plain", 5, "", "application/xml", ["x"]))})
    )


def _data_encoded(random: Random, event: Event) -> _Raw:
    return _raw(event, _plain(event | {"data_base64": "e30="}))


def _data_no_object(random: Random, event: Event) -> _Raw:
    return _raw(event, _plain(event | {"data": random.choice(([], "text", 5, True, [{}]))}))


def _content_type_unsupported(random: Random, event: Event) -> _Raw:
    kind = random.choice(
        (b"application/cloudevents+avro", b"application/cloudevents-batch+json", b"application/cloudevents")
    )
    return _raw(event, _plain(event), (("content-type", kind),))


def _binary_no_json(random: Random, event: Event) -> _Raw:
    headers = [header for header in _binary(random, event) if header[0] != "content-type"]
    kind = random.choice((b"text/xml", b"application/avro", b"", b"x" * 100))
    return _raw(event, _plain(event["data"]), [*headers, ("content-type", kind)])


def _header_bad(random: Random, event: Event) -> _Raw:
    bad: Sequence[tuple[str, bytes | None]] = random.choice(
        (
            [("ce_id", None)],
            [("ce_id", b"\xff")],
            [("ce_time", b"1"), ("ce_time", b"2")],
            [("content-type", None)],
            [("content-type", b"text/json"), ("Content-Type", b"text/json")],
            [("ce_\\xff" + "x" * 80, None)],
        )
    )
    return _raw(event, _plain(event["data"]), [("ce_source", b"/web"), *bad])


def _binary_wrong(random: Random, event: Event) -> _Raw:
    headers = dict(_binary(random, event))
    name = random.choice(("ce_subject", "ce_time", "ce_type", "ce_specversion", "ce_id"))
    headers[name] = random.choice((b"", b"\x01", "ü".encode() * 300, b"1.1", b"lead.X"))
    return _raw(event, _plain(event["data"]), list(headers.items()))


def _binary_incomplete(random: Random, event: Event) -> _Raw:
    headers = list(_binary(random, event))
    del headers[random.randrange(len(headers))]
    return _raw(event, random.choice((_plain(event["data"]), b"[]", b"{", b"\xff", b"null")), headers)


_WRONG_DATA: Final[Sequence[tuple[str, Any]]] = (
    ("profile_updated", {"employees": "12"}),
    ("profile_updated", {"employees": -1, "country": "Germany", "job_level": "boss"}),
    ("profile_updated", {"employees": 12.0}),
    ("profile_updated", {"employees": 2**63}),
    ("profile_updated", {"company": ""}),
    ("profile_updated", {"company": "x" * 257}),
    ("profile_updated", {"country": "de"}),
    ("profile_updated", {"country": "DE\n"}),
    ("profile_updated", {"technologies": ["x"] * 65}),
    ("profile_updated", {"technologies": ["", 5]}),
    ("profile_updated", {"technologies": "SAP"}),
    ("profile_updated", {"is_customer": 1}),
    ("profile_updated", {"annual_revenue": True}),
    ("profile_updated", {"custom": {"Bad-Name": 1}}),
    ("profile_updated", {"custom": {"x" * 65: 1, "ü": 2}}),
    ("profile_updated", {"custom": {"x": {"y": 1}}}),
    ("profile_updated", {"custom": {"x": [1, "a"]}}),
    ("profile_updated", {"custom": {"x": 2**63}}),
    ("profile_updated", {"custom": {f"x{number}": number for number in range(65)}}),
    ("profile_updated", {"custom": None}),
    ("qualification_updated", {"bant": {"budget_status": "maybe"}}),
    ("qualification_updated", {"bant": {"budget_amount": -1, "need": 5}}),
    ("qualification_updated", {"bant": []}),
    ("qualification_updated", {"project": {"resources": "all"}, "competition": {"competitors": [None]}}),
    ("assessment_recorded", {"probability": 1.5}),
    ("assessment_recorded", {"rating": "lukewarm", "by": ""}),
    ("page_viewed", {}),
    ("page_viewed", {"url": "/" + "x" * 2048}),
    ("page_viewed", {"url": 5}),
    ("page_viewed", {"url": "/", "seconds": -1}),
    ("form_submitted", {"url": "/"}),
    ("content_downloaded", {"content": None}),
    ("email_opened", {"machine": "no"}),
    ("email_bounced", {"kind": "medium"}),
    ("webinar_attended", {"minutes": 5}),
    ("call_logged", {}),
    ("call_logged", {"outcome": "busy", "minutes": "5"}),
    ("meeting_held", {"participants": 1.5}),
    ("opportunity_won", {"value": -0.01}),
    ("opportunity_lost", {"reason": "x" * 2049}),
    ("stage_changed", {"stage": ""}),
    ("consent_changed", {"channel": "fax", "status": "granted"}),
    ("consent_changed", {"channel": "email"}),
    ("merged", {}),
    ("merged", {"into": ""}),
    ("erased", {"reason": 5}),
)


def _data_wrong(random: Random, event: Event) -> _Raw:
    kind, data = random.choice(_WRONG_DATA)
    return _written(random, event | {"type": f"lead.{kind}", "data": data})


def _merged_into_itself(random: Random, event: Event) -> _Raw:
    return _written(random, event | {"type": "lead.merged", "data": {"into": event["subject"]}})


def _too_large(random: Random, event: Event) -> _Raw:
    return _raw(event, _plain(event | {"data": {"url": "x" * (MAX_BYTES + random.randrange(20_000))}}))


def _large(random: Random, event: Event) -> _Raw:
    return _raw(event, _plain(event | {"type": "lead.form_submitted", "data": {"form": "ß" * 40_000}}))


def _random_bytes(random: Random, event: Event) -> _Raw:
    return _Raw(random.randbytes(8), random.randbytes(random.randrange(200)), [(f"h{random.randrange(9)}", b"\x00")])


_BROKEN: Final[Sequence[Breaker]] = (
    _cut,
    _no_json,
    _not_utf8,
    _nothing,
    _no_object,
    _no_number,
    _deep,
    _half_pair,
    _attribute_missing,
    _other_version,
    _attribute_wrong,
    _attribute_at_the_limit,
    _type_unknown,
    _type_wrong,
    _time_wrong,
    _time_ahead,
    _key_missing,
    _key_of_another,
    _data_type_wrong,
    _data_encoded,
    _data_no_object,
    _content_type_unsupported,
    _binary_no_json,
    _header_bad,
    _binary_wrong,
    _binary_incomplete,
    _data_wrong,
    _data_wrong,
    _data_wrong,
    _merged_into_itself,
    _too_large,
    _large,
    _random_bytes,
)
"""They take turns, so that a short stream has all of them."""
