"""A lead's state as bytes: a version byte, then msgpack of nested lists. Equal states give equal bytes.

Facts of one event share its stamp, built-in fact names are numbers, event hashes of one day are packed at 8 bytes each.
A new version gets a new first byte and the reader of the old one stays, so that any changelog ever written can be read;
tests hold a sample of each.
"""

from collections.abc import Callable, Mapping
from sys import intern
from typing import Any, Final

import msgspec

from scorer.domain.lead import Days, Fact, Lead, Published, Stamp
from scorer.domain.score import Grade, Rating, Route, Score

VERSION: Final = 1

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode

_NAMES: Final = (
    "profile.company",
    "profile.industry",
    "profile.employees",
    "profile.annual_revenue",
    "profile.country",
    "profile.language",
    "profile.job_title",
    "profile.job_level",
    "profile.department",
    "profile.email_domain",
    "profile.email_kind",
    "profile.technologies",
    "profile.lead_source",
    "profile.is_competitor",
    "profile.is_customer",
    "bant.budget_status",
    "bant.budget_amount",
    "bant.authority",
    "bant.need",
    "bant.timeline_months",
    "competition.position",
    "competition.competitors",
    "project.resources",
    "project.start_in_months",
    "assessment.rating",
    "assessment.probability",
    "assessment.by",
    "consent.email",
    "consent.phone",
    "lifecycle.status",
    "lifecycle.stage",
    "lifecycle.merged_into",
    "at.demo_requested",
    "at.trial_started",
    "at.meeting_held",
    "at.call_logged",
    "at.sales_accepted",
    "at.sales_returned",
    "at.opportunity_won",
    "at.opportunity_lost",
    "at.handed_over",
)
"""Fact names that are written as their number here. Append only: what is written once must keep its meaning."""

_NUMBERS: Final = {name: number for number, name in enumerate(_NAMES)}


class CodecError(Exception):
    """The bytes are no state that this version of the software can read."""


def encode_lead(lead: Lead) -> bytes:
    """The state as bytes, without the lead's id: that is the record's key. Raises `TypeError` or `OverflowError` for
    a value that has no place in msgpack."""
    sources: dict[str, int] = {}
    by_stamp: dict[Stamp, list[object]] = {}
    for name in sorted(lead.facts):
        value, stamp = lead.facts[name]
        by_stamp.setdefault(stamp, []).extend((_NUMBERS.get(name, name), value))
    groups = []
    for stamp in sorted(by_stamp):
        source = sources.setdefault(stamp.source, len(sources))
        groups.append((stamp.time, stamp.id, source, by_stamp[stamp]))
    signals = [(name, _pack_days(lead.signals[name])) for name in sorted(lead.signals)]
    content = (lead.clock, lead.erased_at, _pack_published(lead.published), list(sources), groups, signals, lead.seen)
    return b"\x01" + _encode(content)


def decode_lead(lead_id: str, state: bytes) -> Lead:
    """The lead of a state. Raises `CodecError`, which says what is wrong with the bytes."""
    if not state:
        raise CodecError(f"the state of {lead_id!a} is empty; expected a version byte")
    reader = _READERS.get(state[0])
    if reader is None:
        known = ", ".join(map(str, _READERS))
        raise CodecError(f"the state of {lead_id!a} has version {state[0]}; this software reads {known}")
    try:
        return reader(lead_id, state)
    except (msgspec.DecodeError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise CodecError(f"the state of {lead_id!a} is damaged: {error}") from error


def _read_1(lead_id: str, state: bytes) -> Lead:
    clock, erased_at, published, sources, groups, signals, seen = _decode(memoryview(state)[1:])
    facts: dict[str, Fact] = {}
    for time, identity, source, named in groups:
        stamp = Stamp(time, identity, sources[source])
        for position in range(0, len(named), 2):
            name = named[position]
            name = intern(name) if isinstance(name, str) else _NAMES[name]
            facts[name] = Fact(named[position + 1], stamp)
    days = {intern(name): _unpack_days(packed) for name, packed in signals}
    return Lead(lead_id, clock, facts, days, erased_at, _unpack_published(published), tuple(map(intern, seen)))


_READERS: Final[Mapping[int, Callable[[str, bytes], Lead]]] = {1: _read_1}


def _pack_days(days: Days) -> list[object]:
    packed: list[object] = []
    for day in sorted(days):
        packed += (day, b"".join(digest.to_bytes(8, "big") for digest in days[day]))
    return packed


def _unpack_days(packed: list[Any]) -> Days:
    return {packed[i]: _unpack_hashes(packed[i + 1]) for i in range(0, len(packed), 2)}


def _unpack_hashes(packed: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(packed[i : i + 8], "big") for i in range(0, len(packed), 8))


def _pack_published(published: Published | None) -> tuple[object, ...] | None:
    if published is None:
        return None
    rating, grade, route, queue, score, decided_at = published
    return (rating.value, grade.fit, grade.engagement, route.value, queue, score.fit, score.engagement, decided_at)


def _unpack_published(packed: list[Any] | None) -> Published | None:
    if packed is None:
        return None
    rating, letter, figure, route, queue, fit, engagement, decided_at = packed
    return Published(Rating(rating), Grade(letter, figure), Route(route), queue, Score(fit, engagement), decided_at)
