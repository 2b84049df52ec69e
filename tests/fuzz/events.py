"""Events that are valid by construction: every type, every key, in every spelling that senders use."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any, Final

from tests.fuzz import values as v

Event = dict[str, Any]
Headers = list[tuple[str, bytes | None]]
Maker = Callable[[Random], Any]

STRUCTURED: Final = b"application/cloudevents+json"
UNDECLARED: Final = 20_000
"""How many names of custom facts exist that no ruleset declares."""


def _one_of(*words: str) -> Maker:
    return lambda random: random.choice(words)


def _country(random: Random) -> str:
    return random.choice(("DE", "FR", "US", "ZZ", "AA", "XK"))


def _share(random: Random) -> float:
    return random.choice((0, 1, 0.0, 1.0, 0.5, 5e-324, 0.9999999999999999, random.random()))


_LEVEL = _one_of("student", "employee", "manager", "director", "executive")
_PROFILE: Final[Mapping[str, Maker]] = {
    "company": v.name,
    "industry": lambda random: v.name(random) if v.flag(random) else random.choice(("manufacturing", "retail")),
    "employees": lambda random: v.whole(random) if random.random() < 0.9 else float(random.randrange(5_000)),
    "annual_revenue": v.amount,
    "country": _country,
    "language": v.name,
    "job_title": v.name,
    "job_level": _LEVEL,
    "department": v.name,
    "email_domain": v.name,
    "email_kind": _one_of("business", "free", "university", "disposable"),
    "technologies": v.names,
    "lead_source": v.name,
    "is_competitor": v.flag,
    "is_customer": v.flag,
}
_BANT: Final[Mapping[str, Maker]] = {
    "budget_status": _one_of("approved", "planned", "requested", "none"),
    "budget_amount": v.amount,
    "authority": _one_of("decision_maker", "influencer", "user", "none"),
    "need": _one_of("critical", "important", "useful", "none"),
    "timeline_months": v.amount,
}
_COMPETITION: Final[Mapping[str, Maker]] = {
    "position": _one_of("sole", "preferred", "even", "behind"),
    "competitors": v.names,
}
_PROJECT: Final[Mapping[str, Maker]] = {
    "resources": _one_of("available", "partly", "missing"),
    "start_in_months": v.amount,
}
_EMAIL: Final[Mapping[str, Maker]] = {"campaign": v.name, "url": v.long_text, "machine": v.flag}
_HANDLED: Final[Mapping[str, Maker]] = {"by": v.name, "reason": v.long_text, "competitor": v.name, "value": v.amount}
_PRODUCT: Final[Mapping[str, Maker]] = {"product": v.name}
_ATTENDED: Final[Mapping[str, Maker]] = {"minutes": v.amount}

OPTIONAL: Final[Mapping[str, Mapping[str, Maker]]] = {
    "profile_updated": _PROFILE,
    "qualification_updated": {},
    "assessment_recorded": {"rating": _one_of("cold", "warm", "hot"), "probability": _share, "by": v.name},
    "page_viewed": {"path": v.url, "referrer": v.long_text, "seconds": v.amount},
    "form_submitted": {"url": v.url},
    "content_downloaded": {"kind": v.name},
    "email_opened": _EMAIL,
    "email_clicked": _EMAIL,
    "email_bounced": {"campaign": v.name},
    "unsubscribed": {"campaign": v.name},
    "webinar_attended": _ATTENDED,
    "event_attended": _ATTENDED,
    "demo_requested": _PRODUCT,
    "trial_started": _PRODUCT,
    "call_logged": {"minutes": v.amount},
    "meeting_held": {"minutes_sent": v.flag, "participants": v.whole},
    "sales_accepted": _HANDLED,
    "sales_returned": _HANDLED,
    "stage_changed": {"previous": v.name},
    "opportunity_won": _HANDLED,
    "opportunity_lost": _HANDLED,
    "consent_changed": {},
    "merged": {},
    "erased": {"reason": v.long_text},
}
"""Keys by built-in type; each may also be null."""
REQUIRED: Final[Mapping[str, Mapping[str, Maker]]] = {
    "page_viewed": {"url": v.url},
    "form_submitted": {"form": v.name},
    "content_downloaded": {"content": v.name},
    "webinar_attended": {"name": v.name},
    "event_attended": {"name": v.name},
    "call_logged": {"outcome": _one_of("reached", "no_answer", "voicemail", "refused")},
    "stage_changed": {"stage": v.name},
    "consent_changed": {"status": _one_of("granted", "withdrawn")},
}
_PARTS: Final[Mapping[str, Mapping[str, Maker]]] = {"bant": _BANT, "competition": _COMPETITION, "project": _PROJECT}
_WEIGHTS: Final[Mapping[str, float]] = {
    "page_viewed": 20,
    "profile_updated": 12,
    "qualification_updated": 12,
    "merged": 1,
    "erased": 1,
    "unsubscribed": 1,
}
"""How often a type occurs; the others: 3."""
_KINDS: Final = list(OPTIONAL)
_SHARES: Final = [_WEIGHTS.get(kind, 3.0) for kind in _KINDS]
_CUSTOM_KINDS: Final = ("booth_visited", "chat_started", "a", "_", "0.1.2", "my_company.other_type_2", "x" * 123)
_MOMENTS: Final = (
    "0001-01-01T00:00:00Z",
    "0001-01-02T00:00:00+23:59",
    "0999-12-31T23:59:59.5Z",
    "1600-02-29T12:00:00Z",
    "1900-02-28T23:59:59Z",
    "1969-12-31T23:59:59.999999Z",
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00.000001-12:00",
    "2000-02-29T00:00:00Z",
    "2024-02-29T23:59:59.999999+14:00",
    "2024-12-31T23:59:59.9-00:00",
    "2025-03-30T02:30:00+01:00",
)
_EXTENSIONS: Final[Sequence[tuple[str, str]]] = (
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "rojo=00f067aa0ba902b7"),
    ("dataschema", "https://example.org/schema"),
    ("sequence", "0001"),
    ("myext", "x" * 300),
)
_NOT_ATTRIBUTES: Final = str.maketrans("", "", "".join(map(chr, [*range(32), *range(127, 160)])))


class Senders:
    """What the senders say about `leads` leads. `now`: seconds since the epoch; no event is more than 20 hours later.

    `undeclared`: how many different names of custom facts there are; few keep the states small.
    """

    def __init__(self, random: Random, leads: int, now: int, undeclared: int = UNDECLARED) -> None:
        self._random = random
        self._leads = leads
        self._now = datetime.fromtimestamp(now, UTC)
        self._undeclared = undeclared
        self._prefix = f"{random.getrandbits(32):08x}"
        self._number = 0

    def event(self) -> Event:
        """The next event, valid, of one of the leads."""
        random = self._random
        subject = self.lead()
        if random.random() < 0.08:
            kind, data = random.choice(_CUSTOM_KINDS), self._custom_data()
        else:
            (kind,) = random.choices(_KINDS, _SHARES)
            data = self._data(kind, subject)
        return {
            "specversion": "1.0",
            "id": self._id(),
            "source": random.choice(("/web", "/crm", "urn:x:1", "/é/" + "s" * 1021, "😀", "%")),
            "type": f"lead.{kind}",
            "time": self.time(),
            "subject": subject,
            "data": data,
        }

    def lead(self) -> str:
        """The id of a lead. Some leads are far busier than others."""
        random = self._random
        number = int(self._leads * random.random() ** 3)
        if number % 10:
            return f"L-{number:06}"
        alphabet = ("ü", "😀", "שלום", "a\u0301", "\u202e", "x" * 20, "/%2e ", "\u2028", "\ufeff", "'\"<>&\\")[
            number // 10 % 10
        ]
        return f"{number}{alphabet * 300}"[: 256 if number % 100 == 0 else 12]

    def time(self) -> str:
        """When it happened."""
        random = self._random
        chance = random.random()
        if chance < 0.05:
            return random.choice(_MOMENTS)
        if chance < 0.12:
            moment = self._now - timedelta(days=random.randrange(4))
        elif chance < 0.17:
            moment = self._now + timedelta(seconds=random.randrange(20 * 3600))
        else:
            moment = self._now - timedelta(microseconds=random.randrange(700 * 86_400_000_000))
        if random.random() < 0.3:
            moment = moment.replace(microsecond=0)
        if random.random() < 0.2:
            offset = random.choice((-720, -210, 60, 345, 840, 1439))
            return moment.astimezone(timezone(timedelta(minutes=offset))).isoformat()
        return moment.isoformat().replace("+00:00", "Z")

    def _id(self) -> str:
        random = self._random
        self._number += 1
        unique = f"{self._prefix}{self._number}"
        if random.random() < 0.9:
            return unique
        return (unique + v.text(random, 0, 300, control=False).translate(_NOT_ATTRIBUTES))[:256]

    def _data(self, kind: str, subject: str) -> dict[str, Any]:
        random = self._random
        data = {key: make(random) for key, make in REQUIRED.get(kind, {}).items()}
        data |= self._some(OPTIONAL[kind])
        if kind == "qualification_updated":
            for part, keys in _PARTS.items():
                if random.random() < 0.6:
                    data[part] = self._some(keys) if random.random() < 0.95 else None
        elif kind == "email_bounced":
            data |= random.choice(({}, {"kind": "hard"}, {"kind": "soft"}))
        elif kind == "consent_changed":
            data |= random.choice(({}, {"channel": "email"}, {"channel": "phone"}, {"channel": "all"}))
        elif kind == "merged":
            into = self.lead()
            data["into"] = into if into != subject else f"{into[:200]}-other"
        if kind in ("profile_updated", "qualification_updated") and random.random() < 0.3:
            data["custom"] = self._custom_facts()
        if random.random() < 0.1:
            data[f"x-{v.text(random, 0, 20)}"] = v.json_value(random, 5)
        return data

    def _some(self, makers: Mapping[str, Maker]) -> dict[str, Any]:
        random = self._random
        share = random.choice((0.1, 0.4, 0.4, 1.0))
        return {
            key: make(random) if random.random() < 0.92 else None
            for key, make in makers.items()
            if random.random() < share
        }

    def _custom_facts(self) -> dict[str, Any]:
        random = self._random
        count = random.choice((0, 1, 2, 3)) if random.random() < 0.9 else 64
        facts: dict[str, Any] = {}
        for _ in range(count):
            number = random.randrange(self._undeclared)
            name = f"n{number}" if number % 5 else f"n{number}_{'z' * 64}"[:64]
            facts[name] = v.custom_value(random)
        if random.random() < 0.3:
            facts["installed_base"] = v.custom_value(random)
        return dict(list(facts.items())[:64])

    def _custom_data(self) -> dict[str, Any]:
        random = self._random
        chance = random.random()
        if chance < 0.02:
            return {"x": v.nested(random, random.choice((5, 30, 60, 61)))}
        if chance < 0.021:
            return {"x": ["x" * 1000] * 1000, "y": 1}
        if chance < 0.022:
            return {f"k{number}": number for number in range(20_000)}
        data = {v.text(random, 0, 30): v.json_value(random, 4) for _ in range(random.randrange(4))}
        return data | {random.choice(("content", "minutes", "url", "path", "custom")): v.json_value(random, 2)}


def structured(random: Random, event: Event) -> tuple[bytes, Headers]:
    """The event as one JSON value, in one of the spellings that mean the same."""
    whole = dict(event)
    if random.random() < 0.2:
        whole |= random.sample(_EXTENSIONS, 2)
    if random.random() < 0.3:
        whole["datacontenttype"] = random.choice(
            ("application/json", "application/json; charset=utf-8", "text/json", "application/vnd.x+json", None)
        )
    if not whole["data"] and random.random() < 0.5:
        whole["data"] = None
        if random.random() < 0.5:
            del whole["data"]
    if random.random() < 0.2:
        items = list(whole.items())
        random.shuffle(items)
        whole = dict(items)
    spelling: dict[str, Any] = random.choice(
        ({"separators": (",", ":")}, {"separators": (",", ":"), "ensure_ascii": False}, {}, {"indent": 1})
    )
    value = json.dumps(whole, **spelling).encode()
    if random.random() < 0.03:
        value = b" \r\n\t" + value + b"\n"
    return value, _content_type(random)


def _content_type(random: Random) -> Headers:
    chance = random.random()
    if chance < 0.5:
        return [("content-type", STRUCTURED)]
    if chance < 0.8:
        return []
    return [
        (random.choice(("Content-Type", "CONTENT-TYPE")), random.choice((STRUCTURED, STRUCTURED.upper()))),
        ("x", b"; charset=utf-8"),
    ]


def binary(random: Random, event: Event) -> tuple[bytes, Headers]:
    """The attributes as headers, and the data as the value."""
    headers: Headers = [(f"ce_{name}", text.encode()) for name, text in event.items() if name != "data"]
    if random.random() < 0.7:
        kind = random.choice((b"application/json", b"Application/JSON; charset=UTF-8", b"application/x+json"))
        headers.append(("content-type", kind))
    if random.random() < 0.2:
        headers += [(f"ce_{name}", text.encode()) for name, text in random.sample(_EXTENSIONS, 2)]
    random.shuffle(headers)
    return json.dumps(event["data"], ensure_ascii=v.flag(random)).encode(), headers


def more_headers(random: Random) -> Headers:
    """Headers that mean nothing to us: many, twice the same, without a value, not UTF-8."""
    kind = random.randrange(6)
    if kind == 0:
        return [(f"h{number}", b"%d" % number) for number in range(random.choice((100, 400)))]
    if kind == 1:
        return [("same", b"1"), ("same", b"2"), ("same", None)]
    if kind == 2:
        return [("raw", bytes(range(256))), ("none", None), ("", b"")]
    if kind == 3:
        return [("dlq-reason", b"not_json"), ("dlq-offset", b"\xff"), ("dlq-topic", None)]
    if kind == 4:
        return [(BROKEN_NAME, b"1")]
    return [(v.text(random, 1, 200), random.randbytes(random.choice((1, 40, 5_000))))]


BROKEN_NAME: Final = "-not-utf-8-"
"""A header with this name is written with bytes that are not UTF-8, where the batch is not compressed."""
