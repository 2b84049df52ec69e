"""A lead's state as bytes: a version byte, then msgpack of nested lists. Equal states give equal bytes.

Facts of one event share its stamp, and built-in fact names are numbers. Facts are packed separately because most
activities neither read nor change them; then they are neither unpacked nor packed again. The state ends with the
evaluator's notes (`Lead.notes`), which are recomputed if other rules are in effect.

A new version gets a new first byte, and the readers of older versions stay, so that any changelog ever written can be
read. Tests contain a sample of each version.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from sys import intern
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scorer.domain.counts import Counts, join_counts
from scorer.domain.facts import Fact, Facts, Stamp
from scorer.domain.lead import Lead, Published
from scorer.domain.score import Grade, Rating, Route, Score
from scorer.evaluation.notes import pack_notes, unpack_notes

VERSION: Final = 2

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
"""Fact names that are written as their index here. Append only, because the numbers in existing states must keep their
meaning."""

_NUMBERS: Final = {name: number for number, name in enumerate(_NAMES)}


class CodecError(Exception):
    """The bytes are not a state that this version of the software can read."""


if TYPE_CHECKING:
    _StoredCounts = Counts
else:  # msgspec cannot read a tuple whose first items differ from the rest; a cast would cost time for each lead
    _StoredCounts = tuple[bytes | int, ...]


class _State(msgspec.Struct, array_like=True, gc=False):
    clock: int
    erased_at: int | None
    published: tuple[int, str | None, int, int, int] | None
    facts: bytes | None
    counted: Mapping[str, _StoredCounts]
    seen: tuple[str, ...]
    notes: bytes | None = None
    timed: bool = False
    """`notes` and `timed` belong to `scorer.evaluation.notes`."""


_decode_state: Final = msgspec.msgpack.Decoder(_State).decode


def encode_lead(lead: Lead) -> bytes:
    """The state as bytes, without the lead's id, which is the record's key. Raises `TypeError` or `OverflowError` for a
    value that msgpack cannot represent."""
    facts = lead.facts
    if not isinstance(facts, Facts):
        packed = _pack_facts(facts)
    elif facts.packed is None:
        packed = facts.packed = _pack_facts(facts.known)
    else:
        packed = facts.packed
    published = _pack_published(lead.published, lead.clock)
    state = _State(lead.clock, lead.erased_at, published, packed or None, lead.counted, lead.rules_at_return)
    packed_notes = pack_notes(lead.notes, facts)
    if packed_notes is not None:
        state.notes, state.timed = packed_notes
    return b"\x02" + _encode(state)


def _pack_facts(facts: Mapping[str, Fact]) -> bytes:
    sources: dict[str, int] = {}
    by_stamp: dict[Stamp, list[object]] = {}
    for name in sorted(facts):
        value, stamp = facts[name]
        by_stamp.setdefault(stamp, []).extend((_NUMBERS.get(name, name), value))
    content: list[object] = [sources]
    for stamp in sorted(by_stamp):
        source = sources.setdefault(stamp.source, len(sources))
        content += (stamp.time, stamp.id, source, by_stamp[stamp])
    content[0] = list(sources)
    return _encode(content) if by_stamp else b""


def _unpack_facts(packed: bytes) -> dict[str, Fact]:
    if not packed:
        return {}
    try:
        sources, *content = _decode(packed)
        parts = iter(content)
        return _facts(sources, zip(parts, parts, parts, parts, strict=True))
    except _DAMAGED as error:
        raise CodecError(f"the facts of a state are damaged: {error}") from error


def _facts(sources: list[str], groups: Iterable[Sequence[Any]]) -> dict[str, Fact]:
    facts: dict[str, Fact] = {}
    for time, identity, source, named in groups:
        stamp = Stamp(time, identity, sources[source])
        for position in range(0, len(named), 2):
            name = named[position]
            name = intern(name) if isinstance(name, str) else _NAMES[name]
            facts[name] = Fact(named[position + 1], stamp)
    return facts


_DAMAGED: Final = (msgspec.DecodeError, ValueError, TypeError, IndexError, AttributeError, RecursionError)


def decode_lead(lead_id: str, state: bytes) -> Lead:
    """The lead from its state. Raises `CodecError`, which says what is wrong with the bytes."""
    if not state:
        raise CodecError(f"the state of {lead_id!a} is empty; expected a version byte")
    reader = _READERS.get(state[0])
    if reader is None:
        known = ", ".join(map(str, _READERS))
        raise CodecError(f"the state of {lead_id!a} has version {state[0]}; this software reads {known}")
    try:
        return reader(lead_id, state)
    except _DAMAGED as error:
        raise CodecError(f"the state of {lead_id!a} is damaged: {error}") from error


def _read_2(lead_id: str, state: bytes) -> Lead:
    read = _decode_state(memoryview(state)[1:])
    facts = Facts(None, read.facts or b"", _unpack_facts)
    notes = unpack_notes(read.notes, read.timed, facts) if read.notes else None
    published = None
    if read.published is not None:
        said, queue, fit, engagement, before = read.published
        rating, grade, route = _SAID[said]
        published = Published(rating, grade, route, queue, Score(fit, engagement), read.clock - before)
    return Lead(lead_id, read.clock, facts, read.counted, read.erased_at, published, read.seen, notes)


def _read_1(lead_id: str, state: bytes) -> Lead:
    clock, erased_at, published, sources, groups, signals, seen = _decode(memoryview(state)[1:])
    facts = Facts(_facts(sources, groups))
    counted = {intern(name): _counts(days) for name, days in signals}
    return Lead(lead_id, clock, facts, counted, erased_at, _unpack_published(published), tuple(map(intern, seen)))


_READERS: Final[Mapping[int, Callable[[str, bytes], Lead]]] = {1: _read_1, 2: _read_2}


def _counts(days: list[Any]) -> Counts:
    numbers = [number for day, hashes in zip(days[::2], days[1::2], strict=True) for number in (day, len(hashes) // 8)]
    return join_counts(b"".join(days[1::2]), numbers)


_SAID: Final = tuple(
    (rating, Grade(letter, figure), route)
    for rating in Rating
    for route in Route
    for letter in "ABCD"
    for figure in range(1, 5)
)
_SAID_NUMBERS: Final = {said: number for number, said in enumerate(_SAID)}
"""Rating, grade and route as one number. Never change the order."""


def _pack_published(published: Published | None, clock: int) -> tuple[int, str | None, int, int, int] | None:
    if published is None:
        return None
    rating, grade, route, queue, score, decided_at = published
    return (_SAID_NUMBERS[rating, grade, route], queue, score.fit, score.engagement, clock - decided_at)


def _unpack_published(packed: list[Any] | None) -> Published | None:
    if packed is None:
        return None
    rating, letter, figure, route, queue, fit, engagement, decided_at = packed
    return Published(Rating(rating), Grade(letter, figure), Route(route), queue, Score(fit, engagement), decided_at)
